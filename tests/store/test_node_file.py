"""The agent's words in its own node's document: these and no others change."""

import json
import stat
from pathlib import Path

import pytest
import yaml

from tidegate.store.node_file import NodeFileError, annotate

OTHER = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "b", "annotations": {"k": "theirs"}}}
OWN = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "a", "labels": {"zone": "1"}, "annotations": {"kept": "yes", "k": "old"}},
    "spec": {"podCIDRs": ["10.0.1.0/24", "fd00:1::/64"]},
}


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "nodes.yaml"
    made.write_text(yaml.safe_dump_all([OTHER, OWN]))
    return made


def said(file: Path):
    return list(yaml.safe_load_all(file.read_text()))


def test_its_annotations_are_written_and_all_else_stays(file):
    file.chmod(0o640)
    assert annotate(file, "a", {"k": "new", "l": "more", "m": ""})
    own = json.loads(json.dumps(OWN))
    own["metadata"]["annotations"] = {"kept": "yes", "k": "new", "l": "more"}
    assert said(file) == [OTHER, own]
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(file.parent.iterdir()) == [file]


def test_what_is_said_already_is_not_written_again(file):
    before = file.stat()
    assert not annotate(file, "a", {"k": "old", "m": ""})
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_an_empty_one_is_taken_out(file):
    assert annotate(file, "a", {"k": ""})
    assert said(file)[1]["metadata"]["annotations"] == {"kept": "yes"}


def test_a_document_without_annotations_gets_some(tmp_path):
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}}))
    assert annotate(file, "a", {"k": "v"})
    assert json.loads(file.read_text())["metadata"] == {"name": "a", "annotations": {"k": "v"}}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        ("", "no document of node a"),
        (yaml.safe_dump(OTHER), "no document of node a"),
        ("{ not yaml", "line 2"),
        ("kind: Node\nmetadata: [a]\n", "no document of node a"),
    ],
)
def test_what_cannot_be_written_is_named_and_left_alone(tmp_path, content, why):
    file = tmp_path / "node.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(NodeFileError, match=f"(?s){file}.*{why}"):
        annotate(file, "a", {"k": "v"})
    assert not file.exists() or file.read_text() == content
    assert [each for each in tmp_path.iterdir() if each != file] == []
