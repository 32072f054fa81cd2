"""A document of a file, with the lines its fields stand on."""

import re
from dataclasses import dataclass

from policy.errors import Fault

MAX_DEPTH = 100
"""Of nesting. Resources need twenty; readers of the values may recurse."""


class Located(dict[str, object]):
    """A mapping that knows on which line each of its keys stands (in the order of the keys, from 1)."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file, readable or not."""

    line: int
    """Where it begins, from 1."""
    value: object = None
    """As JSON would have it; None if there are faults."""
    faults: tuple[Fault, ...] = ()
    """Why it cannot be read, with line and column."""


def unreadable(line: int, message: str, column: int = 0) -> Document:
    """A document that cannot be read, and why; the message goes on after "cannot"."""
    place = f"line {line}, column {column}" if column else f"line {line}"
    return Document(line, faults=(Fault("", f"{place}: cannot {message}"),))


def line_of(document: Document, path: str) -> int:
    """The line of a field of a YAML document, or of the nearest one around it; JSON has only the document's line."""
    line, value = document.line, document.value
    for match in re.finditer(r"\[(\d+)\]|\['([^']*)'\]|([A-Za-z_][\w-]*)", path):
        index, quoted, word = match.groups()
        key = quoted if word is None else word
        if isinstance(value, Located) and index is None and key in value:
            line, value = value.lines[list(value).index(key)], value[key]
        elif isinstance(value, list) and index is not None and int(index) < len(value):
            value = value[int(index)]
            line = value.lines[0] if isinstance(value, Located) and value.lines else line
        else:
            break
    return line
