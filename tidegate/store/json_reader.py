"""From JSON text to documents: one value after the other, with nothing but blanks between."""

import json
import re
from collections.abc import Iterable, Iterator

from tidegate.store.document import MAX_DEPTH, Document, unreadable

_TOO_DEEP = f"read what is nested deeper than {MAX_DEPTH} levels"
_BLANK = re.compile(r"[ \t\r\n]*")


def read_json(text: str) -> Iterator[Document]:
    """The values of a text, in order. Never raises; what follows an unreadable one is not looked at."""
    decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)
    at = _next_value(text, 0)
    while at < len(text):
        line = text.count("\n", 0, at) + 1
        try:
            value, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            yield unreadable(error.lineno, f"parse JSON: {error.msg}", error.colno)
            return
        except (ValueError, RecursionError) as error:
            wrong = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
            yield unreadable(line, f"read the document that begins there: {wrong}")
            return
        yield Document(line, value) if _is_shallow(value) else unreadable(line, _TOO_DEEP)
        at = _next_value(text, end)


def _next_value(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!r} stands twice in one object")
    return values


def _refuse_constant(name: str) -> object:
    raise ValueError(f"JSON has no {name}")


def _is_shallow(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for item in level for inner in _inner(item) if isinstance(inner, dict | list)]
        if not level:
            return True
    return False


def _inner(item: object) -> Iterable[object]:
    if isinstance(item, dict):
        return item.values()
    return item if isinstance(item, list) else ()
