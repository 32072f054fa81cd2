"""Netlink messages and attributes as bytes (linux/netlink.h, linux/netfilter/nfnetlink.h).

Pure packing and parsing; nothing here opens a socket. A message is a 16-byte header, a family header (for nfnetlink
four bytes: address family, version, resource id in network order) and attributes, each padded to four bytes:

    | length u32 | type u16 | flags u16 | sequence u32 | port u32 | family header | len u16, type u16, payload | ...
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

NLM_F_REQUEST = 0x01
NLM_F_MULTI = 0x02
NLM_F_ACK = 0x04
NLM_F_ROOT = 0x100
NLM_F_MATCH = 0x200
NLM_F_DUMP = NLM_F_ROOT | NLM_F_MATCH
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800

NLMSG_ERROR = 2
NLMSG_DONE = 3
NLMSG_OVERRUN = 4

NFNL_MSG_BATCH_BEGIN = 0x10
NFNL_MSG_BATCH_END = 0x11
NFNL_SUBSYS_CTNETLINK = 1
NFNL_SUBSYS_QUEUE = 3
NFNL_SUBSYS_ULOG = 4
NFNL_SUBSYS_NFTABLES = 10

NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_NFGEN = struct.Struct("!BBH")
_ERRNO = struct.Struct("=i")


class NetlinkDecodeError(ValueError):
    """Bytes from the kernel that are not well-formed netlink: the offset is in the message."""


@dataclass(frozen=True, slots=True)
class Message:
    """One received netlink message."""

    type: int
    flags: int
    sequence: int
    port: int
    payload: memoryview
    """What follows the 16-byte header (for nfnetlink it begins with the four-byte family header)."""

    @property
    def errno(self) -> int:
        """The positive errno of an NLMSG_ERROR message, 0 for an acknowledgement.

        Raises:
            NetlinkDecodeError: the message is no error message, or is too short.
        """
        if self.type != NLMSG_ERROR or len(self.payload) < _ERRNO.size:
            raise NetlinkDecodeError("cannot read an errno: not an error message")
        code: int = _ERRNO.unpack_from(self.payload)[0]
        return -code

    @property
    def body(self) -> memoryview:
        """The attributes of an nfnetlink message: the payload without the family header."""
        return self.payload[_NFGEN.size :]


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + b"\0" * (-length % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    """An attribute whose payload is attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(parts))


def text(kind: int, value: str) -> bytes:
    """A NUL-terminated string attribute."""
    return attribute(kind, value.encode("ascii") + b"\0")


def u8(kind: int, value: int) -> bytes:
    """An 8-bit attribute."""
    return attribute(kind, value.to_bytes(1, "big"))


def be16(kind: int, value: int) -> bytes:
    """A 16-bit attribute in network order."""
    return attribute(kind, value.to_bytes(2, "big"))


def be32(kind: int, value: int) -> bytes:
    """A 32-bit attribute in network order, as all numbers of nf_tables are."""
    return attribute(kind, value.to_bytes(4, "big"))


def be64(kind: int, value: int) -> bytes:
    """A 64-bit attribute in network order."""
    return attribute(kind, value.to_bytes(8, "big"))


def message(kind: int, flags: int, sequence: int, payload: bytes = b"") -> bytes:
    """A whole message with its 16-byte header."""
    return _HEADER.pack(_HEADER.size + len(payload), kind, flags, sequence, 0) + payload


def nfgen(family: int, resource: int = 0) -> bytes:
    """The four-byte header of nfnetlink messages (linux/netfilter/nfnetlink.h: struct nfgenmsg)."""
    return _NFGEN.pack(family, 0, resource)


def nf_message(
    subsystem: int, kind: int, flags: int, sequence: int, family: int, payload: bytes = b"", resource: int = 0
) -> bytes:
    """A whole nfnetlink message: subsystem in the high byte of the type."""
    return message(subsystem << 8 | kind, flags, sequence, nfgen(family, resource) + payload)


def batch(subsystem: int, first_sequence: int, messages: bytes) -> bytes:
    """Wraps messages into one transaction: all or nothing (kernel: nfnetlink_rcv_batch)."""
    begin = message(NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, first_sequence, nfgen(0, subsystem))
    end = message(NFNL_MSG_BATCH_END, NLM_F_REQUEST, first_sequence, nfgen(0, subsystem))
    return begin + messages + end


def messages(data: bytes | bytearray | memoryview) -> Iterator[Message]:
    """The messages of one datagram, in order.

    Raises:
        NetlinkDecodeError: a length runs past the data or is shorter than a header.
    """
    view = memoryview(data)
    offset = 0
    while offset + _HEADER.size <= len(view):
        length, kind, flags, sequence, port = _HEADER.unpack_from(view, offset)
        if length < _HEADER.size or offset + length > len(view):
            raise NetlinkDecodeError(f"cannot read a netlink message: length {length} at offset {offset}")
        yield Message(kind, flags, sequence, port, view[offset + _HEADER.size : offset + length])
        offset += length + -length % 4


def attributes(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The attributes of a payload as (type without flag bits, payload).

    Raises:
        NetlinkDecodeError: a length runs past the data or is shorter than a header.
    """
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size or offset + length > len(data):
            raise NetlinkDecodeError(f"cannot read a netlink attribute: length {length} at offset {offset}")
        yield kind & NLA_TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + length]
        offset += length + -length % 4
