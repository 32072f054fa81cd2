"""A node's own document, in a file that its operator has given to the agent: the one thing that the agent writes there.

The file stays one of documents like any other, with what its author wrote, but for comments and the order of lines.
"""

import json
import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tidegate.store.documents import read
from tidegate.store.yaml_writer import write_yaml


class NodeFileError(Exception):
    """What keeps the file from being written; names it."""


def annotate(path: Path, node: str, annotations: Mapping[str, str]) -> bool:
    """Has the node's document say these annotations, and not say those that are empty; whether that took a change.

    Readers find the old file or the new one, whole.

    Raises:
        NodeFileError: it cannot be read or written, or has no document of that node.
    """
    try:
        documents = _documents(path, node)
        if not _changed(_named(documents, path, node), annotations):
            return False
        is_json = path.suffix == ".json"
        _replace(path, json.dumps(documents[0], indent=2) + "\n" if is_json else write_yaml(documents))
    except OSError as error:
        raise NodeFileError(f"cannot write {path}: {error.strerror}") from error
    return True


def _documents(path: Path, node: str) -> list[object]:
    found = list(read(path.read_bytes(), is_json=path.suffix == ".json"))
    for document in found:
        if document.faults:
            raise NodeFileError(f"cannot write what {path} says of node {node}: {document.faults[0].message}")
    if path.suffix == ".json" and len(found) != 1:
        raise NodeFileError(f"cannot write {path}: it has {len(found)} documents, and one of JSON has one")
    # Plain values: what was read knows its lines, and writers know only what JSON knows.
    return [json.loads(json.dumps(document.value)) for document in found]


def _named(documents: list[object], path: Path, node: str) -> dict[str, object]:
    """The node's metadata."""
    for document in documents:
        if isinstance(document, dict) and document.get("kind") == "Node":
            metadata = document.get("metadata")
            if isinstance(metadata, dict) and metadata.get("name") == node:
                return metadata
    raise NodeFileError(f"cannot write {path}: it has no document of node {node}")


def _changed(metadata: dict[str, object], annotations: Mapping[str, str]) -> bool:
    said = metadata.get("annotations")
    before = said if isinstance(said, dict) else {}
    after = {name: value for name, value in {**before, **annotations}.items() if value or name not in annotations}
    if after == before:
        return False
    metadata["annotations"] = after
    return True


def _replace(path: Path, content: str) -> None:
    """With the mode and, where we may, the owner of the file that was there."""
    was = path.stat()
    # Hidden, so that nobody reads it as a document before it is whole.
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            with suppress(PermissionError):
                os.fchown(descriptor, was.st_uid, was.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(was.st_mode))
            os.fsync(descriptor)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
