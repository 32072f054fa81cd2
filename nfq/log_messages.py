"""The netlink messages of NFLOG as bytes (linux/netfilter/nfnetlink_log.h); nothing here opens a socket.

A datagram carries one message for each logged packet, up to the group's threshold (kernel: nfnetlink_log.c). Where it
carries several, NLMSG_DONE ends it.
"""

import struct
import sys
from builtins import memoryview  # noqa: A004 - mypyc looks the annotation up in the module
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

from netlink import message
from netlink.message import NetlinkDecodeError

_SUBSYSTEM: Final = message.NFNL_SUBSYS_ULOG
_PACKET, _CONFIG = 0, 1

_CFG_CMD, _CFG_MODE, _CFG_TIMEOUT, _CFG_THRESHOLD, _CFG_FLAGS = 1, 2, 4, 5, 6
_CMD_BIND: Final = 1
_COPY_PACKET: Final = 2
_FLAG_SEQUENCE: Final = 1

_A_PACKET_HDR, _A_MARK, _A_TIMESTAMP, _A_IN_INDEX, _A_OUT_INDEX, _A_PAYLOAD, _A_PREFIX, _A_SEQUENCE = (
    1,
    2,
    3,
    4,
    5,
    9,
    10,
    12,
)
_A_HARDWARE_ADDRESS: Final = 8
_HARDWARE_ADDRESS_AT: Final = 4
_STABLE: Final = frozenset({1, 2, 4, 5, 6, 7, 8, 10, 15, 16, 17})
"""Attributes that repeat from packet to packet: header, mark, interfaces, hardware addresses, prefix."""

_MESSAGE: Final = struct.Struct("=IH")
_MESSAGE_BYTES: Final = 20
"""Netlink header and nfnetlink header."""
_NUMBER_BYTES: Final = 4
_LOG_TYPE: Final = _SUBSYSTEM << 8 | _PACKET
_TAIL: Final = struct.Struct("!4sI2s2s")
"""The sequence attribute and the head of the payload attribute behind it."""
_SEQUENCE_HEAD: Final = struct.pack("=HH", 8, _A_SEQUENCE)
_PAYLOAD_TYPE: Final = struct.pack("=H", _A_PAYLOAD)


@dataclass(frozen=True, slots=True)
class LogOrigin:
    """How a packet came to the log; packets of one rule and path share one value."""

    prefix: bytes = b""
    """The rule's own words, without the closing NUL."""
    hook: int = 0
    """The netfilter hook: 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting."""
    mark: int = 0
    in_index: int | None = None
    """Index of the interface it came in by; absent for local output."""
    out_index: int | None = None
    """Index of the interface it goes out by; absent before routing."""
    mac: bytes = b""
    """Of the sender on the link; absent for local output and on links without such addresses."""


@final
class LoggedPacket:
    """A copy of a packet that a rule logged. Made for every query: no tuple, which costs three times as much."""

    __slots__ = ("origin", "payload", "sequence")

    def __init__(self, payload: memoryview, origin: LogOrigin, sequence: int | None) -> None:
        self.payload = payload
        """From its IP header on, cut to the group's copy range."""
        self.origin = origin
        self.sequence = sequence
        """Counts up from 0 in each group; absent on packets logged while the group was being set up."""


_ORIGINS_LIMIT = 4096
"""Origins remembered. A hardware address is part of one, so traffic can make any number of them; at the limit all are
forgotten, which costs one slow read for each that is still in use."""

_LAYOUTS_LIMIT: Final = 4
"""Lengths of origin tried before the careful way is taken; each one tried in vain costs 0.1 us."""


@final
class LogReader:
    """Reads log messages; remembers the origins of packets.

    All that stands before the time stamp is the same for packets of one rule and path, so it is looked up as bytes,
    not taken apart:

        | headers, 20 bytes | what makes the origin | time stamp, often | sequence | payload |
    """

    def __init__(self) -> None:
        self._origins: dict[bytes, tuple[LogOrigin, int]] = {}
        """By the bytes up to the first one that varies, with the number of varying bytes before the sequence."""
        self._known_ends: tuple[int, ...] = ()
        """Where the bytes that repeat ended lately: rules with and without a prefix, forwarded and local packets."""

    def read(self, data: bytes) -> Iterator[LoggedPacket]:
        """The packets of one datagram from the kernel.

        Raises:
            NetlinkDecodeError: a length is wrong; the packets before it have been yielded.
        """
        start, size = 0, len(data)
        while start + _MESSAGE_BYTES <= size:
            length, kind = _MESSAGE.unpack_from(data, start)
            end = start + length
            if length < _MESSAGE_BYTES or end > size:
                raise NetlinkDecodeError(f"cannot read a log message: length {length} at offset {start}")
            if kind == _LOG_TYPE:
                yield self._read_fast(data, start, end) or self._read_slowly(data, start, end)
            start = end + 3 & ~3

    def _read_fast(self, data: bytes, start: int, end: int) -> LoggedPacket | None:
        for known_end in self._known_ends:
            at = start + known_end
            known = self._origins.get(data[start + _MESSAGE_BYTES : at])
            if known is None:
                continue
            origin, varying_bytes = known
            at += varying_bytes
            if at + _TAIL.size > end:
                return None
            head, sequence, length, kind = _TAIL.unpack_from(data, at)
            payload_end = at + 8 + int.from_bytes(length, sys.byteorder)
            if head != _SEQUENCE_HEAD or kind != _PAYLOAD_TYPE or payload_end > end:
                return None
            return LoggedPacket(memoryview(data)[at + _TAIL.size : payload_end], origin, sequence)
        return None

    def _read_slowly(self, data: bytes, start: int, end: int) -> LoggedPacket:
        view = memoryview(data)[start + _MESSAGE_BYTES : end]
        found: dict[int, memoryview] = {}
        order: list[tuple[int, int]] = []
        offset = 0
        for kind, value in message.attributes(view):
            found[kind] = value
            order.append((kind, offset))
            offset += len(value) + 7 & ~3
        header = found.get(_A_PACKET_HDR, b"")
        origin = LogOrigin(
            prefix=bytes(found.get(_A_PREFIX, b"")).rstrip(b"\0"),
            hook=header[2] if len(header) >= 3 else 0,
            mark=_number(found, _A_MARK) or 0,
            in_index=_number(found, _A_IN_INDEX),
            out_index=_number(found, _A_OUT_INDEX),
            mac=_mac(found.get(_A_HARDWARE_ADDRESS)),
        )
        self._remember(bytes(view), order, origin)
        return LoggedPacket(found.get(_A_PAYLOAD, memoryview(b"")), origin, _number(found, _A_SEQUENCE))

    def _remember(self, attributes: bytes, order: list[tuple[int, int]], origin: LogOrigin) -> None:
        """Remembers the origin if the message ends as most do: time stamp or none, sequence, payload."""
        kinds = [kind for kind, _ in order]
        if kinds[-2:] != [_A_SEQUENCE, _A_PAYLOAD] or not _STABLE.issuperset(kinds[:-3]):
            return
        known_end, varying_bytes = order[-2][1], 0
        if len(kinds) > 2 and kinds[-3] == _A_TIMESTAMP:
            known_end, varying_bytes = order[-3][1] + 4, 16
        elif len(kinds) > 2 and kinds[-3] not in _STABLE:
            return
        if len(self._origins) >= _ORIGINS_LIMIT:
            self._origins.clear()
        if _MESSAGE_BYTES + known_end not in self._known_ends:
            self._known_ends = (_MESSAGE_BYTES + known_end, *self._known_ends[: _LAYOUTS_LIMIT - 1])
        self._origins[attributes[:known_end]] = (origin, varying_bytes)


def _mac(value: memoryview | None) -> bytes:
    """linux/netfilter/nfnetlink_log.h, struct nfulnl_msg_packet_hw: length, padding, 8 bytes."""
    if value is None or len(value) < _HARDWARE_ADDRESS_AT:
        return b""
    found = bytes(value[_HARDWARE_ADDRESS_AT : _HARDWARE_ADDRESS_AT + int.from_bytes(value[:2], "big")])
    return found if any(found) else b""  # the loopback interface's is all zero


def _number(found: dict[int, memoryview], kind: int) -> int | None:
    value = found.get(kind)
    return int.from_bytes(value, "big") if value is not None and len(value) == _NUMBER_BYTES else None


def bind(group: int, copy_bytes: int, threshold: int, flush_seconds: float, sequence: int) -> bytes:
    """Binds and configures a group in one message."""
    attributes = (
        message.u8(_CFG_CMD, _CMD_BIND),
        message.attribute(_CFG_MODE, struct.pack("!IBx", copy_bytes, _COPY_PACKET)),
        message.be32(_CFG_TIMEOUT, max(1, round(flush_seconds * 100))),
        message.be32(_CFG_THRESHOLD, threshold),
        message.be16(_CFG_FLAGS, _FLAG_SEQUENCE),
    )
    wants = message.NLM_F_REQUEST | message.NLM_F_ACK
    return message.nf_message(_SUBSYSTEM, _CONFIG, wants, sequence, 0, b"".join(attributes), resource=group)
