"""From a file's bytes to its resources: what each document or list item says, or what is wrong with it."""

from collections.abc import Iterator
from dataclasses import dataclass

from policy.errors import Fault, Faults
from policy.resources.decode import Identity, decode, fallback, identify, key_of
from policy.resources.lists import unroll
from policy.resources.metadata import Resource, ResourceKey
from tidegate.store.document import Document, line_of
from tidegate.store.documents import read

SUFFIXES = (".yaml", ".yml", ".json")
"""Of files that are read; others in a resource directory are none of our business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One resource of a file, right or wrong."""

    index: int
    """Its place among the resources of the file, from 0; the items of a List are counted singly."""
    line: int
    """From 1."""
    identity: Identity
    """What it calls itself."""
    key: ResourceKey | None
    """Which resource it is about, valid or not; None if that cannot be said."""
    resource: Resource | None = None
    """None if there are faults."""
    fallback: Resource | None = None
    """What a faulty one means that never was valid, if that is anything: its bad rules closed."""
    faults: tuple[Fault, ...] = ()
    fault_lines: tuple[int, ...] = ()
    """The line of each fault."""


def read_entries(name: str, content: bytes) -> tuple[Entry, ...]:
    """Everything in a file, in order. The name says whether it is JSON. Never raises."""
    found: list[Entry] = []
    for document in read(content, is_json=name.endswith(".json")):
        found.extend(_entries(document, len(found)))
    return tuple(found)


def unreadable(message: str) -> Entry:
    """The entry of a file that gives no bytes."""
    return Entry(index=0, line=1, identity=identify(None), key=None, faults=(Fault("", message),), fault_lines=(1,))


def _entries(document: Document, first: int) -> Iterator[Entry]:
    if document.faults:
        lines = (document.line,) * len(document.faults)
        identity = identify(None)
        yield Entry(
            index=first, line=document.line, identity=identity, key=None, faults=document.faults, fault_lines=lines
        )
        return
    for number, single in enumerate(singles(document)):
        yield _entry(single, first + number)


def entry_of(value: object) -> Entry:
    """The entry of a value that stands in no file: it has no line (0)."""
    return _entry(Document(0, value), 0)


def singles(document: Document) -> Iterator[Document]:
    """The document, or those that it lists, each with its own line."""
    for number, item in enumerate(unroll(document.value)):
        is_listed = item is not document.value
        yield Document(line_of(document, f"items[{number}]") if is_listed else document.line, item)


def _entry(document: Document, index: int) -> Entry:
    decoded = decode(document.value)
    identity = identify(document.value)
    if isinstance(decoded, Faults):
        return Entry(
            index=index,
            line=document.line,
            identity=identity,
            key=key_of(document.value),
            fallback=fallback(document.value),
            faults=decoded.faults,
            fault_lines=tuple(line_of(document, fault.path) for fault in decoded.faults),
        )
    return Entry(index=index, line=document.line, identity=identity, key=decoded.key, resource=decoded)
