"""From YAML text to documents, with bounds on what a file can make of the reader.

The values are built here from libyaml's events: depth, and the growth that aliases allow (a kilobyte of nested aliases
stands for gigabytes), must be bounded while they are built, and keys that stand twice must be seen.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from sys import intern
from typing import Any

import yaml
from yaml._yaml import CParser
from yaml.reader import ReaderError

from tidegate.store.document import MAX_DEPTH, Document, Located, unreadable
from tidegate.store.scalars import Scalar, key_text, plain_scalar

MAX_SHARED = 63
"""Characters of a text that is likely to occur again: a name, a label."""
MAX_ALIASED = 100_000
"""Values that all aliases of a document stand for together."""

_NEW_DOCUMENT = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_DIRECTIVES = re.compile(r"\A(?:%[^\n]*(?:\n|\Z)|[ \t]*(?:#[^\n]*)?\r?(?:\n|\Z))*\Z")
_TAG = "tag:yaml.org,2002:"
_MERGE = "<<"


class _UnreadableError(Exception):
    """Ends the reading of one document."""

    def __init__(self, line: int, message: str, column: int = 0) -> None:
        super().__init__(message)
        self.line = line
        self.message = message
        self.column = column


def read_yaml(text: str) -> Iterator[Document]:
    """The documents of a text, in order; empty ones are left out. Never raises."""
    for line, chunk in _chunks(text):
        if _DIRECTIVES.match(chunk):
            continue
        try:
            yield from _Builder(chunk, line).documents()
        except _UnreadableError as error:
            yield unreadable(error.line, error.message, error.column)


def _chunks(text: str) -> Iterator[tuple[int, str]]:
    """The text cut before each line that begins a document: such a line ends whatever stood before, even in quotes."""
    begins = [0, *(match.start() for match in _NEW_DOCUMENT.finditer(text)), len(text)]
    line = 1
    for begin, end in pairwise(begins):
        chunk = text[begin:end]
        if chunk:
            yield line, chunk
        line += chunk.count("\n")


@dataclass(slots=True)
class _Open:
    """A mapping or list that is being filled."""

    value: "Located | list[object]"
    line: int
    anchor: str | None
    size: int = 1
    """Values in it so far, aliases counted for what they stand for."""
    key: str | None = None
    """Of the value to come; None where a key is to come."""
    key_line: int = 0
    is_merge: bool = False
    """Whether the value to come is one to merge."""
    merged: list[object] = field(default_factory=list)
    """What `<<` named."""


class _Builder:
    """Holds state: the events of one chunk, and what has been built of the document."""

    def __init__(self, chunk: str, line: int) -> None:
        self._chunk = chunk
        self._first_line = line
        self._anchors: dict[str, tuple[object, int]] = {}
        self._open: list[_Open] = []
        self._aliased = 0
        self._root: object = None
        self._root_line = line

    def documents(self) -> Iterator[Document]:
        """What the chunk holds: one document or none.

        Raises:
            _UnreadableError: It cannot be read.
        """
        try:
            yield from self._documents()
        except yaml.MarkedYAMLError as error:
            raise self._malformed(error) from error
        except ReaderError as error:
            raise _UnreadableError(self._line_at(error.position), f"read the character {error.character!r}") from error
        except UnicodeEncodeError as error:
            raise _UnreadableError(self._line_at(error.start), "read half of a surrogate pair") from error

    def _documents(self) -> Iterator[Document]:
        parser = CParser(self._chunk)
        # A file of 10,000 pods is two million events: nothing is looked up or asked twice here.
        takers: dict[type[yaml.Event], Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._begin_mapping,
            yaml.MappingEndEvent: self._end_collection,
            yaml.SequenceStartEvent: self._begin_list,
            yaml.SequenceEndEvent: self._end_collection,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._begin_document,
        }
        next_event = parser.get_event
        while (event := next_event()) is not None:
            take = takers.get(type(event))
            if take is not None:
                take(event)
            elif type(event) is yaml.DocumentEndEvent and self._root is not None:
                yield Document(self._root_line, self._root)

    def _malformed(self, error: yaml.MarkedYAMLError) -> _UnreadableError:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(filter(None, (error.context, error.problem)))
        if mark is None:
            return _UnreadableError(self._first_line, f"parse YAML: {what}")
        return _UnreadableError(mark.line + self._first_line, f"parse YAML: {what}", mark.column + 1)

    def _line_at(self, offset: int) -> int:
        return self._chunk.count("\n", 0, offset) + self._first_line

    def _line(self, event: yaml.Event) -> int:
        return self._first_line + (event.start_mark.line if event.start_mark else 0)

    # --- One event ---

    def _begin_document(self, event: yaml.DocumentStartEvent) -> None:
        del event
        self._anchors, self._aliased, self._root = {}, 0, None

    def _begin_mapping(self, event: yaml.MappingStartEvent) -> None:
        self._begin(event, Located())

    def _begin_list(self, event: yaml.SequenceStartEvent) -> None:
        self._begin(event, [])

    def _end_collection(self, event: yaml.CollectionEndEvent) -> None:
        del event
        done = self._open.pop()
        if done.merged:
            self._merge(done)
        self._put(done.value, done.line, done.size, done.anchor)

    def _alias(self, event: yaml.AliasEvent) -> None:
        value, size = self._resolved(event)
        self._put(value, self._line(event), size)

    def _begin(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, value: Located | list[object]) -> None:
        line = self._line(event)
        if len(self._open) >= MAX_DEPTH:
            raise _UnreadableError(line, f"read what is nested deeper than {MAX_DEPTH} levels")
        if self._wants_key():
            raise _UnreadableError(line, "use a mapping or list as a key")
        wanted = _TAG + ("map" if isinstance(value, dict) else "seq")
        if event.tag not in (None, "!", wanted):
            raise _UnreadableError(line, f"use the tag {event.tag}")
        self._open.append(_Open(value, line, event.anchor))

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        line = self._line(event)
        if self._wants_key() and event.implicit[0] and event.value == _MERGE:
            self._begin_value(_MERGE, line, is_merge=True)
        else:
            self._put(self._scalar_value(event, line), line, 1, event.anchor)

    def _scalar_value(self, event: yaml.ScalarEvent, line: int) -> Scalar:
        if event.tag is None:
            value = plain_scalar(event.value) if event.implicit[0] else str(event.value)
            # Ten thousand documents say the same few words; each is kept once.
            return intern(value) if isinstance(value, str) and len(value) <= MAX_SHARED else value
        if event.tag in ("!", _TAG + "str"):
            return str(event.value)
        value = plain_scalar(event.value)
        wanted = {"int": int, "float": float, "bool": bool, "null": type(None)}.get(event.tag.removeprefix(_TAG))
        if wanted is None or not isinstance(value, wanted):
            raise _UnreadableError(line, f"use the tag {event.tag} here")
        return value

    def _resolved(self, event: yaml.AliasEvent) -> tuple[object, int]:
        line = self._line(event)
        if event.anchor not in self._anchors:
            raise _UnreadableError(line, f"find the anchor &{event.anchor} that is named there")
        value, size = self._anchors[event.anchor]
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            raise _UnreadableError(line, f"read aliases that stand for more than {MAX_ALIASED} values")
        return value, size

    # --- Filling what is open ---

    def _wants_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].value, Located) and self._open[-1].key is None

    def _put(self, value: object, line: int, size: int, anchor: str | None = None) -> None:
        """Adds a complete value, or begins one with it as the key."""
        if anchor is not None:
            self._anchors[anchor] = (value, size)
        if not self._open:
            self._root, self._root_line = value, line
            return
        top = self._open[-1]
        top.size += size
        if isinstance(top.value, list):
            top.value.append(value)
        elif top.key is None:
            self._begin_value(key_text(value) if isinstance(value, Scalar) else None, line)
        elif top.is_merge:
            top.merged.extend(value if isinstance(value, list) else [value])
            top.key, top.is_merge = None, False
        else:
            top.value[top.key] = value
            top.value.lines.append(top.key_line)
            top.key = None

    def _begin_value(self, key: str | None, line: int, *, is_merge: bool = False) -> None:
        top = self._open[-1]
        if key is None:
            raise _UnreadableError(line, "use nothing, a mapping or a list as a key")
        if isinstance(top.value, Located) and key in top.value and not is_merge:
            raise _UnreadableError(line, f"use the key {key[:80]!r} twice in one mapping")
        top.key, top.key_line, top.is_merge = key, line, is_merge

    def _merge(self, done: _Open) -> None:
        """Adds the keys of what `<<` named that the mapping does not have itself (yaml.org/type/merge)."""
        for source in done.merged:
            if not isinstance(source, Located):
                raise _UnreadableError(done.line, "merge with `<<` what is no mapping")
            for (key, value), line in zip(source.items(), source.lines, strict=True):
                if isinstance(done.value, Located) and key not in done.value:
                    done.value[key] = value
                    done.value.lines.append(line)
