"""The list of expected skips: nothing is skipped in silence."""

import pytest

from tests.lab.skips import Skips, machine, read


@pytest.mark.parametrize(
    ("absent", "name"),
    [(None, "user"), ((), "root"), (("native_queue", "fib"), "root-without-fib-native_queue")],
)
def test_the_list_is_named_after_what_the_machine_lacks(absent, name):
    assert machine(absent) == name


def test_an_unexpected_skip_is_a_fault():
    assert Skips({"tests/a.py::b": "no scapy"}).faults([]) == [
        "skipped, and not expected to be: tests/a.py::b (no scapy)"
    ]


@pytest.mark.parametrize("entry", ["tests/a.py::b[x]", "tests/a.py::*", "tests/*"])
def test_an_expected_skip_is_none(entry):
    assert Skips({"tests/a.py::b[x]": "no root"}).faults([entry]) == []


def test_an_expected_skip_that_ran_is_a_fault():
    run = Skips(ran={"tests/a.py::b"})
    assert run.faults(["tests/a.py::b", "tests/*"]) == ["expected to be skipped, but ran: tests/a.py::b"]


def test_comments_and_empty_lines_are_no_entries(tmp_path):
    (tmp_path / "root.txt").write_text("# why\n\ntests/a.py::b  # because\n")
    assert read("root", tmp_path) == ("tests/a.py::b",)


def test_a_machine_without_a_list_may_skip_nothing(tmp_path):
    assert read("root-without-everything", tmp_path) == ()
