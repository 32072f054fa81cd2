"""The documents that promise tests name tests that exist, and what has no test yet is known."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
THREATS = 32
SCENARIOS = 80
COMPLAINTS = 48
WANTS = 14
NOTHING_TO_RUN = {"34", "44"}
"""Complaints whose answer is that there is nothing here, or what the program is made of."""
NOT_BUILT: set[int] = set()
"""What has no test yet, of which `docs/critiques.md` says so."""


def written_tests():
    files = (ROOT / "tests").rglob("test_*.py")
    return {
        name for file in files for name in re.findall(r"^ *(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }


def rows(document="threats.md", pattern=r"T\d"):
    lines = (ROOT / "docs" / document).read_text().splitlines()
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return [cells for cells in found if re.match(pattern, cells[0])]


def test_every_threat_has_its_row():
    assert [row[0] for row in rows()] == [f"T{number}" for number in range(1, THREATS + 1)]


def test_every_threat_is_shown_by_tests_that_exist():
    for number, _, _, shown in rows():
        named = re.findall(r"`(test_\w+)`", shown)
        assert named, number
        assert set(named) <= written_tests(), f"{number}: {set(named) - written_tests()}"


def test_every_answer_to_a_complaint_is_shown_by_tests_that_exist():
    complaints = rows("complaints.md", r"\d")
    assert [number for row in complaints for number in row[0].split(", ")] == [str(n) for n in range(1, COMPLAINTS + 1)]
    wants = [row for row in rows("complaints.md", r"[A-Z]") if len(row) == 3][1:]
    assert len(wants) == WANTS
    shown = {row[0]: row[-1] for row in (*complaints, *wants)}
    assert {number for number, tests in shown.items() if tests == "-"} == NOTHING_TO_RUN
    for number, tests in shown.items():
        named = re.findall(r"`(test_\w+)`", tests)
        assert bool(named) is (number not in NOTHING_TO_RUN), number
        assert set(named) <= written_tests(), f"{number}: {set(named) - written_tests()}"


def test_every_scenario_that_is_built_has_a_test_under_its_number():
    numbered = {int(number) for name in written_tests() for number in re.findall(r"^test_d(\d\d)_", name)}
    assert set(range(1, SCENARIOS + 1)) - numbered == NOT_BUILT
