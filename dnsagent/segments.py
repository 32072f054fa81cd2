"""DNS over TCP read from segments that pass by, in whatever order and however often they come. Pure.

A message that has not ended says nothing to its reader, so only the segment that ends it must wait until the message is
learned; what comes before it may go, and what comes early is kept here until the gap before it is filled. Of two copies
of a byte the first counts. Whoever could send another could as well have sent the first: only servers that are believed
are read.
"""

from collections import Counter, OrderedDict
from collections.abc import Container, Iterable
from typing import Final, NamedTuple, final

from dnsagent.framing import MAX_MESSAGE_BYTES, Deframer, FramingError
from dnsagent.learn import Packet
from nfq.errors import PacketError
from nfq.headers import TCP, IpHeader, TcpHeader, read_ip, read_tcp

MAX_SIDES: Final = 512
"""Two of a conversation. Those that were silent longest go; what they say next is read from its first whole message."""
MAX_BYTES: Final = 4 << 20
"""Kept of all sides together: the side that would keep more is forgotten."""
MAX_EARLY_BYTES: Final = 1 << 16
"""A window without scaling; beyond it a gap is not one of packets that have overtaken each other."""
MAX_EARLY_SEGMENTS: Final = 64
_SPACE: Final = 1 << 32
_HALF: Final = 1 << 31
_FIN, _SYN, _RST = 1, 2, 4
_RESPONSE_BIT: Final = 0x80
_LEAST: Final = 14
"""A length and a header."""

_Key = tuple[bytes, int, bytes, int]
"""Who says it, to whom."""


class LostStreamError(ValueError):
    """Too much came before what is missing."""


class Heard(NamedTuple):
    """What a segment completed."""

    is_answer: bool
    packets: list[Packet]


@final
class Side:
    """What one end of a connection says, from the given sequence number on."""

    __slots__ = ("_deframer", "_early", "early_bytes", "next", "start")

    def __init__(self, start: int) -> None:
        self.start = self.next = start % _SPACE
        """Sequence number of the first byte that is not known."""
        self.early_bytes = 0
        self._deframer = Deframer()
        self._early: dict[int, bytes] = {}

    def __len__(self) -> int:
        """Bytes that are kept."""
        return len(self._deframer) + self.early_bytes

    def add(self, sequence: int, payload: bytes) -> list[bytes]:
        """The messages that this segment completes, with what came early behind it.

        Raises:
            FramingError: it is no sequence of DNS messages.
            LostStreamError: too much has come early.
        """
        known = (self.next - sequence) % _SPACE
        if known >= _HALF:
            self._keep(sequence, payload)
            return []
        found = self._feed(payload[known:])
        while (piece := self._take_early()) is not None:
            found += self._feed(piece)
        return found

    def _feed(self, data: bytes) -> list[bytes]:
        self.next = (self.next + len(data)) % _SPACE
        self._deframer.feed(data)
        return self._deframer.take(MAX_MESSAGE_BYTES)

    def _keep(self, sequence: int, payload: bytes) -> None:
        before = self._early.get(sequence, b"")
        if len(payload) > len(before):
            self._early[sequence] = before + payload[len(before) :]
            self.early_bytes += len(payload) - len(before)
        if self.early_bytes > MAX_EARLY_BYTES or len(self._early) > MAX_EARLY_SEGMENTS:
            raise LostStreamError(f"cannot keep {self.early_bytes} bytes behind a gap")

    def _take_early(self) -> bytes | None:
        """What continues the stream, of all that came early."""
        for sequence, payload in self._early.items():
            known = (self.next - sequence) % _SPACE
            if known < _HALF:
                del self._early[sequence]
                self.early_bytes -= len(payload)
                return payload[known:]
        return None


class PassingStreams:
    """All conversations that pass by, within bounds. A segment of none begins one, if it can be the beginning."""

    def __init__(self, counters: Counter[str]) -> None:
        self.counters = counters
        self._sides: OrderedDict[_Key, Side] = OrderedDict()
        """The longest silent first."""
        self.kept_bytes = 0

    def __len__(self) -> int:
        return len(self._sides)

    def sides(self) -> Iterable[Side]:
        """All that are being read."""
        return self._sides.values()

    def hear(self, packet: memoryview, servers: Container[tuple[bytes, int]]) -> Heard | None:
        """The messages that an IP packet completes; None if it is no whole TCP segment."""
        try:
            ip = read_ip(packet)
            if ip.protocol != TCP or ip.is_fragment or ip.is_cut:
                return None
            segment = read_tcp(ip.transport)
        except PacketError:
            return None
        is_answer = (ip.source, segment.source_port) in servers
        client, server = _ends(ip, segment, is_answer=is_answer)
        said = self._listen(ip, segment, is_answer=is_answer)
        return Heard(is_answer, [Packet(*client, *server, each, is_stream=True) for each in said])

    def _listen(self, ip: IpHeader, segment: TcpHeader, *, is_answer: bool) -> list[bytes]:
        key = (ip.source, segment.source_port, ip.destination, segment.destination_port)
        if segment.flags & (_SYN | _RST):
            self._begin_anew(key, segment)
        side = self._side(key, segment, is_answer=is_answer)
        if side is None:
            return []
        before, said = len(side), list[bytes]()
        sequence = segment.sequence + bool(segment.flags & _SYN)
        try:
            said = side.add(sequence, bytes(segment.payload))
        except FramingError:
            self._forget(key, before, "tcp-framing")
        except LostStreamError:
            self._forget(key, before, "tcp-gap")
        else:
            self._note(key, len(side) - before)
            if segment.flags & _FIN and side.next == (sequence + len(segment.payload)) % _SPACE:
                self._forget(key)
        return said

    def _side(self, key: _Key, segment: TcpHeader, *, is_answer: bool) -> Side | None:
        """The stream that the segment belongs to; None where it says nothing, or says it in the midst of a message."""
        known = self._sides.get(key)
        if known is not None:
            return known if segment.payload or segment.flags & _FIN else None
        if segment.flags & _SYN:
            return self._begin(key, segment.sequence + 1)
        if _is_beginning(segment.payload, is_answer=is_answer):
            return self._begin(key, segment.sequence)
        if segment.payload:
            self.counters["tcp-unknown-start"] += 1
        return None

    def _begin(self, key: _Key, start: int) -> Side:
        if len(self._sides) >= MAX_SIDES:
            self._forget(next(iter(self._sides)), reason="tcp-cap")
        self._sides[key] = side = Side(start)
        return side

    def _begin_anew(self, key: _Key, segment: TcpHeader) -> None:
        """Another connection has these ports now, unless it is the same SYN again."""
        known = self._sides.get(key)
        if known is not None and (segment.flags & _RST or known.start != (segment.sequence + 1) % _SPACE):
            self._forget(key)

    def _note(self, key: _Key, grown: int) -> None:
        self._sides.move_to_end(key)
        self.kept_bytes += grown
        if self.kept_bytes > MAX_BYTES:
            self._forget(key, reason="tcp-cap")

    def _forget(self, key: _Key, counted: int | None = None, reason: str = "") -> None:
        """Drops a side; `counted` is how many of its bytes were counted, if not all."""
        side = self._sides.pop(key, None)
        if side is not None:
            self.kept_bytes -= len(side) if counted is None else counted
        if reason:
            self.counters[reason] += 1


def _ends(ip: IpHeader, segment: TcpHeader, *, is_answer: bool) -> tuple[tuple[bytes, int], tuple[bytes, int]]:
    """Client and server."""
    source, destination = (ip.source, segment.source_port), (ip.destination, segment.destination_port)
    return (destination, source) if is_answer else (source, destination)


def _is_beginning(payload: memoryview, *, is_answer: bool) -> bool:
    """Whether a message of this direction may begin here: a length that can be one, and a header with its bit."""
    if len(payload) < _LEAST or bool(payload[4] & _RESPONSE_BIT) is not is_answer:
        return False
    return payload[0] << 8 | payload[1] >= _LEAST - 2
