"""What conntrack tells of connections that began or ended, with what it counted. Pure.

Read at the places where the kernel writes it: a connection is two such messages, and there are ten thousands a second.
Source: linux/netfilter/nfnetlink_conntrack.h; kernel: nf_conntrack_netlink.c (ctnetlink_conntrack_event).
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from netlink import message
from nfq.connection import both_tuples, read_connection
from nfq.packet import FiveTuple

NEW, DELETE = message.NFNL_SUBSYS_CTNETLINK << 8, message.NFNL_SUBSYS_CTNETLINK << 8 | 2
"""Types of messages (IPCTNL_MSG_CT_NEW: also each entry of a list; IPCTNL_MSG_CT_DELETE)."""

_ORIGINAL_COUNTERS, _REPLY_COUNTERS, _ID, _TIMESTAMP = 9, 10, 12, 20
_NUMBER = struct.Struct("!Q")
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


def flow_events(datagram: bytes) -> Iterator[FlowEvent]:
    """The connections in one datagram; what has no addresses and protocol is left out.

    Raises:
        NetlinkDecodeError: the bytes are no netlink messages.
    """
    for item in message.messages(datagram):
        if item.type in (NEW, DELETE):
            found = _read(item)
            if found is not None:
                yield found


def _read(item: message.Message) -> FlowEvent | None:
    body = bytes(item.body)
    icmp, tuples = None, both_tuples(body)
    if tuples is None:
        found = read_connection(item)
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
    is_end = item.type == DELETE
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
