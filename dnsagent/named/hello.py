"""The TLS ClientHello: who the client wants to speak to (RFC 8446 4.1.2, 5.1; RFC 5246 7.4.1.2; RFC 6066 3).

It may be split over records as well as over segments. A greeting that is longer than `EARLY_BYTES` is read as far as it
goes: a sender stops after its first window (RFC 6928: ten segments) and waits for an acknowledgement, which does not
come while its segments are held.
"""

from builtins import memoryview  # noqa: A004 - mypyc looks the annotation up in the module
from typing import Final

from dnsagent.named.spoken import Spoken, UnspokenError, checked_name

HANDSHAKE: Final = 0x16
"""Content type of the record."""
EARLY_BYTES: Final = 8192
_MAX_RECORD: Final = 1 << 14
_MAX_HELLO: Final = (1 << 14) + 1024
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_HOST_NAME: Final = 0
_ECH: Final = 0xFE0D
"""encrypted_client_hello (RFC 9849); browsers send one with random content where they have no key (GREASE)."""


class _EndError(Exception):
    """The bytes end before the thing that is read."""


class _Reader:
    """Reads forward in bytes that may not all be there yet. `end` is where they shall end at last."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: memoryview, at: int, end: int) -> None:
        self.data = data
        self.at = at
        self.end = end

    def number(self, size: int) -> int:
        return int.from_bytes(self.bytes(size), "big")

    def bytes(self, size: int) -> memoryview:
        start = self.at
        if start + size > self.end:
            raise UnspokenError("malformed-hello")
        if start + size > len(self.data):
            raise _EndError
        self.at = start + size
        return self.data[start : self.at]

    def vector(self, size_bytes: int, least: int, most: int) -> memoryview:
        size = self.number(size_bytes)
        if not least <= size <= most:
            raise UnspokenError("malformed-hello")
        return self.bytes(size)


def read_hello(data: memoryview) -> Spoken | None:
    """The name in a greeting; None if more bytes are needed.

    Raises:
        UnspokenError: no ClientHello, or one that is malformed.
    """
    return read_message(memoryview(_handshake(data)))


def read_message(message: memoryview) -> Spoken | None:
    """The same of a handshake message without records, as QUIC carries it (RFC 9001 4.1.3).

    Raises:
        UnspokenError: as `read_hello`.
    """
    if len(message) < 4:
        return None
    if message[0] != _CLIENT_HELLO:
        raise UnspokenError("no-hello")
    size = int.from_bytes(message[1:4], "big")
    if size > _MAX_HELLO:
        raise UnspokenError("hello-too-long")
    try:
        return _read(_Reader(message, 4, 4 + size), can_be_early=len(message) >= EARLY_BYTES)
    except _EndError:
        return None


def _handshake(data: memoryview) -> bytes:
    """The handshake message out of its records, as far as it has come."""
    parts, at = [], 0
    while at < len(data):
        if data[at] != HANDSHAKE or (len(data) > at + 1 and data[at + 1] != 3):
            raise UnspokenError("no-hello")
        if len(data) < at + 5:
            break
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        if not 0 < size <= _MAX_RECORD:
            raise UnspokenError("malformed-hello")
        parts.append(bytes(data[at + 5 : at + 5 + size]))
        if _is_enough(parts):
            break
        at += 5 + size
    return b"".join(parts)


def _is_enough(parts: list[bytes]) -> bool:
    """Whether the whole greeting is there: what follows it is not looked at."""
    head = b"".join(parts[:4])[:4] if len(parts[0]) < 4 else parts[0][:4]
    return len(head) == 4 and sum(map(len, parts)) >= 4 + int.from_bytes(head[1:], "big")


def _read(hello: _Reader, *, can_be_early: bool) -> Spoken:
    if hello.number(2) >> 8 != 3:
        raise UnspokenError("no-hello")
    hello.bytes(32)  # random
    hello.vector(1, 0, 32)  # session id
    if len(hello.vector(2, 2, 0xFFFE)) % 2:  # cipher suites
        raise UnspokenError("malformed-hello")
    hello.vector(1, 1, 255)  # compression methods
    if hello.at == hello.end:
        return Spoken(None)
    size = hello.number(2)
    if hello.at + size != hello.end:
        raise UnspokenError("malformed-hello")
    return _extensions(hello, can_be_early=can_be_early)


def _extensions(hello: _Reader, *, can_be_early: bool) -> Spoken:
    """No extension may come twice (RFC 8446 4.2): which of two names counts, servers would say differently."""
    name: bytes | None = None
    met: set[int] = set()
    try:
        while hello.at < hello.end:
            kind = hello.number(2)
            content = hello.vector(2, 0, 0xFFFF)
            if kind in met:
                raise UnspokenError("malformed-hello")
            met.add(kind)
            if kind == _SERVER_NAME:
                name = _server_name(content)
    except _EndError:
        if not can_be_early or name is None:
            raise
        return Spoken(name, _ECH in met, is_whole=False)
    return Spoken(name, _ECH in met)


def _server_name(content: memoryview) -> bytes:
    """Exactly one host name; other kinds were never defined (RFC 8446 and RFC 6066 erratum)."""
    reader = _Reader(content, 0, len(content))
    names = reader.vector(2, 1, 0xFFFF)
    inner = _Reader(names, 0, len(names))
    kind, name = inner.number(1), inner.vector(2, 1, 0xFFFF)
    if kind != _HOST_NAME or inner.at != inner.end or reader.at != reader.end:
        raise UnspokenError("malformed-hello")
    return checked_name(bytes(name))
