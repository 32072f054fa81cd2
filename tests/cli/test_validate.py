"""`tidegate validate`: rows for programs, a table for people, and the exit code."""

import json

import pytest

GOOD = "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: good}\n"
BAD = """apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: bad
  namespace: shop
spec:
  egress:
  - action: Allow
    protocol: tcp
    destination:
      domains: ["g*.test"]
"""


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "a.yaml").write_text(f"{GOOD}---\n{BAD}")
    (tmp_path / "b.json").write_text('{"apiVersion": "projectcalico.org/v3", "kind": "Teir"}')
    (tmp_path / "notes.md").write_text("{")
    return tmp_path


def rows(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_programs_get_a_line_for_each_resource(call, directory):
    result = call("validate", directory, "-o", "json")
    assert result.exit_code == 1
    good, bad, unknown = rows(result)
    assert good == {
        "file": str(directory / "a.yaml"),
        "index": 0,
        "apiVersion": "projectcalico.org/v3",
        "kind": "Tier",
        "namespace": "",
        "name": "good",
        "valid": True,
        "errors": [],
    }
    assert (bad["index"], bad["namespace"], bad["valid"]) == (1, "shop", False)
    assert bad["errors"] == [
        {"path": "spec.egress[0].protocol", "message": "cannot be 'tcp': write TCP"},
        {
            "path": "spec.egress[0].destination.domains[0]",
            "message": "cannot have a wildcard inside the label `g*`: `*` stands for whole labels, as in `*.test`",
        },
    ]
    assert (unknown["file"], unknown["errors"][0]["path"]) == (str(directory / "b.json"), "kind")


def test_people_get_a_table_with_lines(call, directory):
    result = call("validate", directory)
    assert result.exit_code == 1
    told = "".join(result.stdout.split())
    assert f"{directory / 'a.yaml'}:5: NetworkPolicy shop/bad\n" in result.stdout
    assert "│13│spec.egress[0].protocol" in told
    assert "│15│spec.egress[0].destin" in told
    assert "3resourcesin2files:2faulty" in told


def test_valid_files_exit_with_0(call, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(GOOD)
    result = call("validate", path, path, tmp_path)
    assert result.exit_code == 0
    assert result.stdout == "1 resources in 1 files: all valid\n"
    assert call("validate", tmp_path / "a.yaml", "-o", "json").exit_code == 0


def test_a_name_that_stands_twice_is_told_with_both_places(call, tmp_path):
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(f"---\n{GOOD}")
    result = call("validate", tmp_path, "-o", "json")
    assert result.exit_code == 1
    first, second = rows(result)
    assert first["valid"]
    assert second["errors"] == [
        {
            "path": "metadata.name",
            "message": f"cannot define Tier good again: {tmp_path / 'a.yaml'}, line 1, already does, and counts",
        }
    ]


def test_malformed_files_are_rows_too(call, tmp_path):
    (tmp_path / "a.yaml").write_text(f"{GOOD}---\nkind: [\n---\n{GOOD.replace('good', 'fine')}")
    result = call("validate", tmp_path, "-o", "json")
    assert result.exit_code == 1
    assert [(row["index"], row["name"], row["valid"]) for row in rows(result)] == [
        (0, "good", True),
        (1, "", False),
        (2, "fine", True),
    ]
    assert rows(result)[1]["errors"][0]["message"].startswith("line 6")


def test_wrong_usage_exits_with_2(call, tmp_path):
    assert call("validate").exit_code == 2
    assert call("validate", tmp_path / "nowhere").exit_code == 2
    assert call("validate", tmp_path, "-o", "yaml").exit_code == 2


def test_names_cannot_move_the_cursor(call, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"kind": "\x1b[2J\ud800", "apiVersion": "v1"}))
    result = call("validate", tmp_path)
    assert result.exit_code == 1
    assert "\x1b[2J" not in result.stdout
