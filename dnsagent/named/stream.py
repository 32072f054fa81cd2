"""The first bytes of a TCP connection out of its segments, in whatever order and however often they come.

Two copies of a byte that differ end it: which of them the server would take, nobody knows (RFC 9293 leaves it open).
"""

from builtins import memoryview  # noqa: A004 - mypyc looks the annotation up in the module
from enum import Enum
from typing import Final

from dnsagent.named.hello import HANDSHAKE, read_hello
from dnsagent.named.http_head import is_like_http, read_host
from dnsagent.named.spoken import Spoken, UnspokenError

MAX_BYTES: Final = 20_480
"""A ClientHello of 16 KiB with the heads of its records. HTTP: servers take 8 to 16 KiB of head."""
MAX_SEGMENTS: Final = 64
_SPACE: Final = 1 << 32
_HALF: Final = 1 << 31


class Segment(Enum):
    """What a segment was to the stream."""

    NEW = "new"
    COPY = "copy"
    """All of it is known: the first copy goes on in its place."""
    OLD = "old"
    """Before the first byte: a probe whether the connection lives (RFC 9293 3.8.4)."""


class FirstBytes:
    """Bounded; knows where the stream starts, by the SYN."""

    __slots__ = ("_data", "_known", "segments", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        """Sequence number of the first byte."""
        self.segments = 0
        self._data = bytearray()
        self._known: list[tuple[int, int]] = []
        """What is there, as ranges in order that do not touch."""

    def add(self, sequence: int, payload: memoryview) -> Segment:
        """Takes a segment that is not empty.

        Raises:
            UnspokenError: too far from the start, too many, or not what was said before.
        """
        offset = (sequence - self.start) % _SPACE
        if offset >= _HALF:
            return Segment.OLD
        end = offset + len(payload)
        if end > MAX_BYTES or self.segments >= MAX_SEGMENTS:
            raise UnspokenError("hello-too-long")
        for first, last in self._known:
            low, high = max(first, offset), min(last, end)
            if low < high and self._data[low:high] != payload[low - offset : high - offset]:
                raise UnspokenError("overlap")
        if any(first <= offset and end <= last for first, last in self._known):
            return Segment.COPY
        self.segments += 1
        if len(self._data) < end:
            self._data.extend(bytes(end - len(self._data)))
        self._data[offset:end] = payload
        self._note(offset, end)
        return Segment.NEW

    def emptied(self) -> "FirstBytes":
        """As it began."""
        return FirstBytes(self.start)

    def spoken(self) -> Spoken | None:
        """What the bytes so far say; None if they do not yet.

        Raises:
            UnspokenError: they never will.
        """
        if not self._known or self._known[0][0] != 0:
            return None
        return read_spoken(memoryview(bytes(self._data[: self._known[0][1]])))

    def _note(self, start: int, end: int) -> None:
        apart = [each for each in self._known if each[1] < start or end < each[0]]
        joined = [each for each in self._known if each not in apart]
        low, high = min((start, *(each[0] for each in joined))), max((end, *(each[1] for each in joined)))
        self._known = sorted([*apart, (low, high)])


def read_spoken(data: memoryview) -> Spoken | None:
    """What a client's first bytes say; None if they do not yet.

    Raises:
        UnspokenError: neither TLS nor HTTP, or not so that all servers understand the same.
    """
    if data[0] == HANDSHAKE:
        return read_hello(data)
    if is_like_http(data):
        return read_host(data)
    raise UnspokenError("neither-tls-nor-http")
