"""What conntrack tells of connections that began or ended, with what it counted. Pure.

Read at the places where the kernel writes it: a connection is two such messages, and there are ten thousands a second.
Source: linux/netfilter/nfnetlink_conntrack.h; kernel: nf_conntrack_netlink.c (ctnetlink_conntrack_event).
"""

import struct
from collections.abc import Iterator
from operator import itemgetter
from sys import byteorder
from typing import NamedTuple

from netlink import message
from netlink.message import NetlinkDecodeError
from nfq.connection import both_tuples, read_connection
from nfq.packet import FiveTuple

NEW, DELETE = message.NFNL_SUBSYS_CTNETLINK << 8, message.NFNL_SUBSYS_CTNETLINK << 8 | 2
"""Types of messages (IPCTNL_MSG_CT_NEW: also each entry of a list; IPCTNL_MSG_CT_DELETE)."""

_ORIGINAL_COUNTERS, _REPLY_COUNTERS, _ID, _TIMESTAMP = 9, 10, 12, 20
_NUMBER = struct.Struct("!Q")
_MESSAGE = struct.Struct("=IH")
_BODY_AT = 20
"""Behind the netlink header and nfnetlink's own."""
_TUPLE4_BYTES = 52
_MAX_SHAPES = 64
"""There are a handful: each protocol's, both families', at beginning and end."""
_TUPLE_VALUES = ("source", "destination", "protocol", "sport", "dport", "back", "to", "again", "bport", "tport")
_COUNTED = ("out", "out_bytes", "into", "in_bytes", "start", "stop")
_VALUES = {
    (_ORIGINAL_COUNTERS, 28): ("out", "out_bytes"),
    (_REPLY_COUNTERS, 28): ("into", "in_bytes"),
    (_TIMESTAMP, 28): ("start", "stop"),
    (_TIMESTAMP, 16): ("start",),
}
"""Numbers of 64 bits in a nest of this type and length."""
_TYPE_MASK = message.NLA_TYPE_MASK
_HEAD = struct.Struct("=HH")


class Counts(NamedTuple):
    """What a connection carried, both ways."""

    packets_out: int
    """In the direction of the first packet."""
    bytes_out: int
    """IP packets, headers included."""
    packets_in: int
    bytes_in: int


NOTHING = Counts(0, 0, 0, 0)


class FlowEvent(NamedTuple):
    """A connection that began, ended, or is open."""

    is_end: bool
    original: FiveTuple
    reply: FiveTuple
    counts: Counts
    """Zero where conntrack does not count (nf_conntrack_acct), and in most cases at the beginning."""
    started_ns: int
    """Since the epoch; 0 where conntrack keeps no time (nf_conntrack_timestamp)."""
    ended_ns: int
    identity: bytes
    """The kernel's id: the same at the beginning and at the end, and of no other connection at the time."""
    icmp: tuple[int, int] | None = None
    """Type and code of the first packet."""


class FlowReader:
    """Reads datagrams; remembers how messages of each length were laid out, and reads the next ones in one step."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[int, int], _Shape] = {}

    def read(self, datagram: bytes) -> Iterator[FlowEvent]:
        """The connections in one datagram; what has no addresses and protocol is left out.

        Raises:
            NetlinkDecodeError: the bytes are no netlink messages.
        """
        offset, size = 0, len(datagram)
        while offset + _BODY_AT <= size:
            length, kind = _MESSAGE.unpack_from(datagram, offset)
            if length < _BODY_AT or offset + length > size:
                raise NetlinkDecodeError(f"cannot read a netlink message: length {length} at offset {offset}")
            if kind in (NEW, DELETE):
                shape = self._shapes.get((kind, length))
                found = shape.read(datagram, offset + _BODY_AT, kind == DELETE) if shape is not None else None
                found = found or self._slowly(datagram[offset + _BODY_AT : offset + length], kind, length)
                if found is not None:
                    yield found
            offset += length + 3 & ~3

    def _slowly(self, body: bytes, kind: int, length: int) -> FlowEvent | None:
        found = _read(body, is_end=kind == DELETE)
        if found is not None and (shape := _shape(body)) is not None and len(self._shapes) < _MAX_SHAPES:
            self._shapes[kind, length] = shape
        return found


class _Shape:
    """Where the values of a message stand, and what must stand between them."""

    def __init__(self, plan: "_Plan", version: int, body: bytes) -> None:
        self._layout = struct.Struct("".join(plan.parts))
        self._version = version
        self._heads = itemgetter(*plan.heads)
        # Behind the parts stand a 0 and nothing, for what the message does not say.
        missing = {**dict.fromkeys(_COUNTED, plan.count), "identity": plan.count + 1}
        places = {**missing, **plan.values}
        self._values = itemgetter(*(places[name] for name in (*_TUPLE_VALUES, "identity", *_COUNTED)))
        self._expected = self._heads(self._layout.unpack_from(body))

    def read(self, data: bytes, offset: int, is_end: bool) -> FlowEvent | None:  # noqa: FBT001 - called for each event
        """The event; None where something else stands there."""
        parts = self._layout.unpack_from(data, offset)
        if self._heads(parts) != self._expected:
            return None
        (source, destination, protocol, sport, dport, back, to, _, bport, tport, identity,
         out, out_bytes, into, in_bytes, start, stop) = self._values((*parts, 0, b""))  # fmt: skip
        return FlowEvent(
            is_end,
            FiveTuple(self._version, protocol, source, destination, sport, dport),
            FiveTuple(self._version, protocol, back, to, bport, tport),
            Counts(out, out_bytes, into, in_bytes),
            start,
            stop,
            identity,
        )


class _Plan:
    """A shape in the making: begins behind the two tuples."""

    def __init__(self, address_bytes: int) -> None:
        one = f"12s{address_bytes}s4s{address_bytes}s8sB3x4sHxx4sHxx"
        self.parts = ["!", one, one]
        # Of each tuple ten parts: head, source, head, destination, head, protocol, head, port, head, port.
        self.heads = [first + index for first in (0, 10) for index in (0, 2, 4, 6, 8)]
        self.values = dict(zip(_TUPLE_VALUES, (1, 3, 5, 7, 9, 11, 13, 15, 17, 19), strict=True))
        self.count = 20

    def add(self, kind: int, length: int, padded: int) -> None:
        """The next attribute."""
        names = _VALUES.get((kind, length), ())
        self.heads.append(self.count)
        if kind == _ID and length == 8:
            self.parts.append("4s4s")
            self.values["identity"] = self.count + 1
            self.count += 2
        elif names:
            # Each value of a nest has a head before it; that of the first goes with the nest's own.
            self.parts.append("8sQ" + "4sQ" * (len(names) - 1))
            self.values.update({name: self.count + 1 + 2 * index for index, name in enumerate(names)})
            self.heads += [self.count + 2 * index for index in range(1, len(names))]
            self.count += 2 * len(names)
        else:
            self.parts.append(f"4s{length - 4}x")
            self.count += 1
        self.parts.append(f"{padded - length}x")


def _shape(body: bytes) -> _Shape | None:
    """The shape of a message with ports; None for all others."""
    if both_tuples(body) is None:
        return None
    size = int.from_bytes(body[:2], byteorder)
    plan, offset = _Plan(4 if size == _TUPLE4_BYTES else 16), 2 * size
    while offset + 4 <= len(body):
        length, kind = _HEAD.unpack_from(body, offset)
        if length < 4 or offset + length > len(body):
            return None
        padded = min(length + 3 & ~3, len(body) - offset)
        plan.add(kind & _TYPE_MASK, length, padded)
        offset += padded
    return _Shape(plan, 4 if size == _TUPLE4_BYTES else 6, body)


def flow_events(datagram: bytes) -> Iterator[FlowEvent]:
    """The connections in one datagram, by a reader that remembers nothing. Raises as `FlowReader.read`."""
    return FlowReader().read(datagram)


def _read(body: bytes, *, is_end: bool) -> FlowEvent | None:
    icmp, tuples = None, both_tuples(body)
    if tuples is None:
        found = read_connection(message.Message(0, 0, 0, 0, memoryview(bytes(4) + body)))
        if found is None:
            return None
        icmp, tuples = found.icmp, (found.original, found.reply)
    out, back, started, ended, identity = (0, 0), (0, 0), 0, 0, b""
    offset, size = 0, len(body)
    while offset + 4 <= size:
        length, kind = _HEAD.unpack_from(body, offset)
        kind &= _TYPE_MASK
        if length < 4 or offset + length > size:
            return None
        if kind == _ID:
            identity = body[offset + 4 : offset + length]
        elif kind == _ORIGINAL_COUNTERS:
            out = _pair(body, offset + 4, offset + length)
        elif kind == _REPLY_COUNTERS:
            back = _pair(body, offset + 4, offset + length)
        elif kind == _TIMESTAMP:
            started, ended = _pair(body, offset + 4, offset + length)
        offset += length + 3 & ~3
    counts = Counts(*out, *back) if out != (0, 0) or back != (0, 0) else NOTHING
    return FlowEvent(is_end, *tuples, counts, started, ended, identity, icmp)


def _pair(body: bytes, offset: int, end: int) -> tuple[int, int]:
    """The 64-bit attributes 1 and 2 of a nest: packets and bytes, or start and stop. One that is not there is 0."""
    found = [0, 0]
    while offset + 12 <= end:
        length, kind = _HEAD.unpack_from(body, offset)
        if kind & _TYPE_MASK in (1, 2) and length == 12:
            found[(kind & _TYPE_MASK) - 1] = _NUMBER.unpack_from(body, offset + 4)[0]
        offset += max(length, 4) + 3 & ~3
    return found[0], found[1]
