"""One connection of conntrack's table, and the messages about it: what to list, what to delete, what was listed. Pure.

Source: linux/netfilter/nfnetlink_conntrack.h; kernel: nf_conntrack_netlink.c.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from sys import byteorder
from typing import NamedTuple

from netlink import message
from netlink.message import NetlinkDecodeError
from nfq.packet import FiveTuple

Address = IPv4Address | IPv6Address

_SUBSYSTEM = message.NFNL_SUBSYS_CTNETLINK
_DELETE = 2
FAMILY_NUMBER = {4: 2, 6: 10}
"""AF_INET and AF_INET6 by IP version."""

_ORIGINAL, _REPLY, _STATUS, _PROTOCOL_INFO, _MARK, _ID, _MASTER, _ZONE, _FILTER = 1, 2, 3, 4, 8, 12, 14, 18, 25
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2
_SOURCE4, _DESTINATION4, _SOURCE6, _DESTINATION6 = 1, 2, 3, 4
_PROTOCOL, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_ICMP_TYPES = ((5, 6), (8, 9))
"""Type and code of ICMP and of ICMPv6 (CTA_PROTO_ICMP_TYPE and so on)."""
_FILTER_ORIGINAL_FLAGS = 1
_FILTER_SOURCE, _FILTER_DESTINATION = 1, 2
"""Which parts of the tuple the kernel compares (kernel: nf_internals.h, CTA_FILTER_F_CTA_IP_SRC and _DST)."""
_EXPECTED = 1
"""Status bit (IPS_EXPECTED): a helper foresaw the connection in the data of another one."""

_INFO_TCP, _INFO_TCP_FLAGS = 1, 4
_LIBERAL = 0x08
"""Flag of a TCP entry (IP_CT_TCP_FLAG_BE_LIBERAL): made from the middle of a connection (kernel: tcp_new)."""

_HEAD = struct.Struct("=HHHHHH")
"""The heads of a tuple, of its addresses, and of the first of them."""
_NEST_LENGTH = {1: (20, 4), 3: (44, 16)}
"""By the kind of the first address: the length of the two with all heads, and of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One conntrack entry."""

    original: FiveTuple
    """As the first packet had it, before any translation."""
    reply: FiveTuple
    """As answers come: its source is where the packets really go, its destination where they come from."""
    mark: int = 0
    zone: int = 0
    icmp: tuple[int, int] | None = None
    """Type and code of the first packet; all packets of the entry are of this type or of the one that answers it."""
    master: FiveTuple | None = None
    """The original tuple of the connection in whose data a helper foresaw this one; `None` for all others."""
    is_picked_up: bool = False
    """TCP that was open before conntrack saw it: which end began it is not known (nf_conntrack_tcp_loose)."""
    id: bytes = field(repr=False)
    """The kernel's own, made from the entry's place in memory; a successor often has another one, not always."""
    key: bytes = field(repr=False)
    """The original tuple as the kernel wrote it."""


def list_request(source: Address | None, destination: Address | None) -> bytes:
    """The attributes that make the kernel list only what has these addresses; none where it cannot.

    It cannot for IPv6: the kernel compares these addresses the wrong way round and lists exactly the others (seen on
    6.18; nf_conntrack_netlink.c, ctnetlink_filter_match_tuple). When no supported kernel does so, this can go.
    """
    parts, flags = [], 0
    for address, kind, flag in (
        (source, _SOURCE4, _FILTER_SOURCE),
        (destination, _DESTINATION4, _FILTER_DESTINATION),
    ):
        if address is not None and address.version == 4:
            parts.append(message.attribute(kind, address.packed))
            flags |= flag
    if not parts:
        return b""
    # The flags are in the machine's own order, unlike everything else here.
    compared = message.attribute(_FILTER_ORIGINAL_FLAGS, flags.to_bytes(4, byteorder))
    return message.nested(_ORIGINAL, message.nested(_TUPLE_IP, *parts)) + message.nested(_FILTER, compared)


def delete_request(connection: Connection, sequence: int) -> bytes:
    """The message that deletes exactly this entry. Without a tuple it would delete all of them."""
    body = (
        message.attribute(_ORIGINAL | message.NLA_F_NESTED, connection.key),
        message.attribute(_ID, connection.id),
        message.be16(_ZONE, connection.zone),
    )
    flags = message.NLM_F_REQUEST | message.NLM_F_ACK
    family = FAMILY_NUMBER[connection.original.version]
    return message.nf_message(_SUBSYSTEM, _DELETE, flags, sequence, family, b"".join(body))


def read_connection(entry: message.Message) -> Connection | None:
    """The connection of one listed message; `None` for what cannot be named by addresses and a protocol."""
    try:
        found = dict(message.attributes(entry.body))
        original, reply = _read_tuple(found[_ORIGINAL]), _read_tuple(found[_REPLY])
        return _connection(found, original, reply, _read_icmp(found[_ORIGINAL]), _read_master(found))
    except (KeyError, IndexError, NetlinkDecodeError):
        return None


def _connection(
    found: Mapping[int, memoryview],
    original: FiveTuple,
    reply: FiveTuple,
    icmp: tuple[int, int] | None,
    master: FiveTuple | None,
) -> Connection:
    return Connection(
        original=original,
        reply=reply,
        mark=int.from_bytes(found.get(_MARK, b""), "big"),
        zone=int.from_bytes(found.get(_ZONE, b""), "big"),
        icmp=icmp,
        master=master,
        is_picked_up=_is_picked_up(found),
        id=bytes(found.get(_ID, b"")),
        key=bytes(found[_ORIGINAL]),
    )


def _read_tuple(data: memoryview) -> FiveTuple:
    parts = dict(message.attributes(data))
    addresses = dict(message.attributes(parts[_TUPLE_IP]))
    protocol = dict(message.attributes(parts[_TUPLE_PROTOCOL]))
    is_ipv4 = _SOURCE4 in addresses
    return FiveTuple(
        4 if is_ipv4 else 6,
        int.from_bytes(protocol[_PROTOCOL], "big"),
        bytes(addresses[_SOURCE4 if is_ipv4 else _SOURCE6]),
        bytes(addresses[_DESTINATION4 if is_ipv4 else _DESTINATION6]),
        _port(protocol, _SOURCE_PORT),
        _port(protocol, _DESTINATION_PORT),
    )


def _port(protocol: Mapping[int, memoryview], kind: int) -> int | None:
    return int.from_bytes(protocol[kind], "big") if kind in protocol else None


def _read_icmp(data: memoryview) -> tuple[int, int] | None:
    protocol = dict(message.attributes(dict(message.attributes(data))[_TUPLE_PROTOCOL]))
    for kind, code in _ICMP_TYPES:
        if kind in protocol and code in protocol:
            return protocol[kind][0], protocol[code][0]
    return None


def _read_master(found: Mapping[int, memoryview]) -> FiveTuple | None:
    is_expected = int.from_bytes(found.get(_STATUS, b""), "big") & _EXPECTED
    return _read_tuple(found[_MASTER]) if is_expected and _MASTER in found else None


def _is_picked_up(found: Mapping[int, memoryview]) -> bool:
    try:
        info = dict(message.attributes(found[_PROTOCOL_INFO]))
        return bool(dict(message.attributes(info[_INFO_TCP]))[_INFO_TCP_FLAGS][0] & _LIBERAL)
    except (KeyError, IndexError, NetlinkDecodeError):
        return False  # not TCP


def peek(body: memoryview) -> tuple[bytes, bytes, bytes] | None:
    """The original source and destination, and the source of replies: all that most of a long list is asked for.

    Reads at the places where the kernel writes them, a tenth of the cost of reading the entry; `None` where they are
    not there (the order of attributes is nobody's promise).
    """
    try:
        length, kind, nest, _, _, first = _HEAD.unpack_from(body, 0)
        other, other_kind, other_nest, _, _, other_first = _HEAD.unpack_from(body, length)
    except struct.error:
        return None
    first &= message.NLA_TYPE_MASK
    expected, size = _NEST_LENGTH.get(first, (0, 0))
    is_usual = (kind & message.NLA_TYPE_MASK, other_kind & message.NLA_TYPE_MASK) == (_ORIGINAL, _REPLY)
    if not is_usual or (nest, other_nest, other_first & message.NLA_TYPE_MASK) != (expected, expected, first):
        return None
    if length + other > len(body):
        return None
    source, destination, replies_from = 12, 16 + size, length + 12
    return (
        bytes(body[source : source + size]),
        bytes(body[destination : destination + size]),
        bytes(body[replies_from : replies_from + size]),
    )


class Listed(NamedTuple):
    """What is looked at of every entry of a long list; `whole` reads the rest of those few that it matters for."""

    original: FiveTuple
    reply: FiveTuple
    icmp: tuple[int, int] | None
    master: FiveTuple | None
    body: bytes
    """The attributes as the kernel wrote them."""

    @property
    def key(self) -> bytes:
        """The first attribute, which is the original tuple: no two entries of a zone share it."""
        return self.body[: int.from_bytes(self.body[:2], byteorder)]

    def whole(self) -> Connection:
        """The entry."""
        found = dict(message.attributes(memoryview(self.body)))
        return _connection(found, self.original, self.reply, self.icmp, self.master)


def read_listed(entry: message.Message) -> Listed | None:
    """The entry of one listed message; `None` as in `read_connection`.

    Entries of TCP, UDP and their like that are no helper's work are read at the places where the kernel writes them:
    a fifth of the cost.
    """
    body = entry.body
    quick = _quick(body)
    if quick is not None:
        return Listed(*quick, None, None, bytes(body))
    found = read_connection(entry)
    return None if found is None else Listed(found.original, found.reply, found.icmp, found.master, bytes(body))


def _quick(body: memoryview) -> tuple[FiveTuple, FiveTuple] | None:
    """The two tuples, if everything stands where the kernel writes it and no helper foresaw the connection."""
    layout = _LAYOUTS.get(bytes(body[:2]))
    if layout is None:
        return None
    rest = bytes(body[2 * layout.size : 2 * layout.size + 8])
    if len(rest) < 8 or rest[:4] != _STATUS_HEAD or rest[7] & _EXPECTED:
        return None
    return both_tuples(body)


def both_tuples(body: memoryview | bytes) -> tuple[FiveTuple, FiveTuple] | None:
    """Original and reply of an entry of TCP, UDP or their like, if they stand where the kernel writes them."""
    layout = _LAYOUTS.get(bytes(body[:2]))
    if layout is None or len(body) < 2 * layout.size:
        return None
    one, other = layout.unpack_from(body, 0), layout.unpack_from(body, layout.size)
    version = _QUICK_HEADS.get((one[0], one[2], one[4], one[6], one[8], _ORIGINAL))
    is_usual = version is not None and (other[0], other[2], other[4], other[6], other[8], _REPLY) in _QUICK_HEADS
    if not is_usual or one[5] not in _WITH_PORTS:
        return None
    assert version is not None, "the heads are usual"
    return (
        FiveTuple(version, one[5], one[1], one[3], one[7], one[9]),
        FiveTuple(version, other[5], other[1], other[3], other[7], other[9]),
    )


def _heads(version: int, kind: int, nested: int) -> tuple[bytes, bytes, bytes, bytes, bytes, int]:
    """The heads of attributes between the values of a tuple, for the layouts above; last, which tuple it is."""
    source, destination, size = (_SOURCE4, _DESTINATION4, 4) if version == 4 else (_SOURCE6, _DESTINATION6, 16)
    head = struct.Struct("=HH").pack
    return (
        head(12 + 2 * size + 32, kind | nested) + head(12 + 2 * size, _TUPLE_IP | nested) + head(4 + size, source),
        head(4 + size, destination),
        head(28, _TUPLE_PROTOCOL | nested) + head(5, _PROTOCOL),
        head(6, _SOURCE_PORT),
        head(6, _DESTINATION_PORT),
        kind,
    )


_LAYOUTS = {
    struct.pack("=H", 52): struct.Struct("!12s4s4s4s8sB3x4sHxx4sHxx"),
    struct.pack("=H", 76): struct.Struct("!12s16s4s16s8sB3x4sHxx4sHxx"),
}
"""A tuple with ports, IPv4 and IPv6, by its length as it is written: heads of attributes, and values between them."""
_QUICK_HEADS = {
    _heads(version, kind, nested): version
    for version in (4, 6)
    for kind in (_ORIGINAL, _REPLY)
    for nested in (0, message.NLA_F_NESTED)
}
_STATUS_HEAD = struct.pack("=HH", 8, _STATUS)
_WITH_PORTS = frozenset((6, 17, 132, 136))
"""TCP, UDP, SCTP, UDPLite."""
