"""Entries of the connection table out of nothing: what traffic would have made, by the thousand."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from netlink import message
from netlink.message import attribute, be16, be32, nested, u8
from netlink.transport import RECEIVE_BYTES, NetlinkSocket
from nfq.connection import FAMILY_NUMBER

Address = IPv4Address | IPv6Address

_NEW, _CREATE, _EXCLUSIVE = 0, 0x400, 0x200
_TCP, _ICMP, _ICMPV6 = 6, 1, 58
_ESTABLISHED, _CONFIRMED = 3, 0xE
"""TCP state; status bits: seen reply, assured, confirmed."""
_ECHO = {_ICMP: (8, 0), _ICMPV6: (128, 129)}
_ICMP_KINDS = {_ICMP: (4, 5, 6), _ICMPV6: (7, 8, 9)}
_BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry. Without a target nothing was translated; ICMP's ports are its type, code 0, and its id."""

    source: Address
    destination: Address
    protocol: int = _TCP
    source_port: int = 40000
    port: int = 443
    target: Address | None = None
    target_port: int = 0


def insert(entries: Iterable[Entry]) -> int:
    """Puts entries into the table of the namespace that the thread is in; how many there are.

    Raises:
        OSError: the kernel refused one.
    """
    link, count = NetlinkSocket(receive_buffer_bytes=1 << 20), 0
    batch: list[bytes] = []
    try:
        for entry in entries:
            batch.append(_request(entry, link.next_sequence()))
            count += 1
            if len(batch) == _BATCH:
                _send(link, batch)
        _send(link, batch)
    finally:
        link.close()
    return count


def _send(link: NetlinkSocket, batch: list[bytes]) -> None:
    if not batch:
        return
    link.raw.send(b"".join(batch))
    for _ in batch:
        (answer,) = message.messages(link.raw.recv(RECEIVE_BYTES))
        if answer.errno:
            raise OSError(answer.errno, "the entry was refused")
    batch.clear()


def _request(entry: Entry, sequence: int) -> bytes:
    target, port = entry.target or entry.destination, entry.target_port or entry.port
    parts = [
        nested(1, *_tuple(entry, entry.source, entry.destination, entry.source_port, entry.port)),
        nested(2, *_tuple(entry, target, entry.source, port, entry.source_port, is_reply=True)),
        be32(7, 3600),
        be32(3, _CONFIRMED),
    ]
    if entry.protocol == _TCP:
        flags = struct.pack("BB", 0, 0)
        parts.append(nested(4, nested(1, u8(1, _ESTABLISHED), attribute(4, flags), attribute(5, flags))))
    head = message.NLM_F_REQUEST | message.NLM_F_ACK | _CREATE | _EXCLUSIVE
    family = FAMILY_NUMBER[entry.source.version]
    return message.nf_message(message.NFNL_SUBSYS_CTNETLINK, _NEW, head, sequence, family, b"".join(parts))


def _tuple(
    entry: Entry, source: Address, destination: Address, source_port: int, port: int, *, is_reply: bool = False
) -> tuple[bytes, bytes]:
    kinds = (1, 2) if source.version == 4 else (3, 4)
    ip = nested(1, attribute(kinds[0], source.packed), attribute(kinds[1], destination.packed))
    number = u8(1, entry.protocol)
    if entry.protocol in _ECHO:
        identity, kind, code = _ICMP_KINDS[entry.protocol]
        echo = _ECHO[entry.protocol][is_reply] if entry.protocol == _ICMPV6 else (0 if is_reply else 8)
        return ip, nested(2, number, be16(identity, entry.source_port), u8(kind, echo), u8(code, 0))
    if entry.protocol in (_TCP, 17, 132, 136):
        return ip, nested(2, number, be16(2, source_port), be16(3, port))
    return ip, nested(2, number)
