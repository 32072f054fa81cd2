"""From the bytes of a file to its documents: YAML (many in one file) or JSON.

Every document stands alone: one that cannot be read is told with its line, and its neighbours count.
"""

import codecs
from collections.abc import Iterator

from policy.errors import Fault
from tidegate.store.document import Document, unreadable
from tidegate.store.json_reader import read_json
from tidegate.store.yaml_reader import read_yaml

MAX_FILE_BYTES = 32 * 1024 * 1024
"""A dump of 10,000 pods, which takes ten seconds to read."""


def read(content: bytes, *, is_json: bool = False) -> Iterator[Document]:
    """The documents of a file, in order; empty ones are left out. Never raises."""
    if len(content) > MAX_FILE_BYTES:
        yield Document(1, faults=(Fault("", f"cannot read {len(content)} bytes: a file has {MAX_FILE_BYTES} at most"),))
        return
    try:
        text = _decoded(content)
    except UnicodeDecodeError as error:
        yield unreadable(content.count(b"\n", 0, error.start) + 1, "read the bytes there: files are in UTF-8")
        return
    yield from read_json(text) if is_json else read_yaml(text)


def _decoded(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    return content.decode("utf-8-sig")
