"""Ends a TCP connection at both ends: the two packets with RST.

Each end believes a reset with the number that it expects next (RFC 5961 3.2). Nothing of what the client said has
passed, so the server still expects the first of it; the client expects what it acknowledged last.
"""

import struct
from typing import Final

from nfq.headers import TCP, IpHeader, TcpHeader

_RESET: Final = 0x14
"""RST and ACK."""
_HOP_LIMIT: Final = 64
_SPACE: Final = 1 << 32


def resets(ip: IpHeader, tcp: TcpHeader, start: int | None) -> tuple[bytes, bytes]:
    """The packets to the server and to the client; `start` is the number of the client's first byte, if it is known."""
    expected = tcp.sequence if start is None else start
    to_server = _packet(ip.source, ip.destination, tcp.source_port, tcp.destination_port, expected, tcp.acknowledgement)
    said = (tcp.sequence + len(tcp.payload)) % _SPACE
    to_client = _packet(ip.destination, ip.source, tcp.destination_port, tcp.source_port, tcp.acknowledgement, said)
    return to_server, to_client


def _packet(source: bytes, destination: bytes, source_port: int, destination_port: int, number: int, ack: int) -> bytes:
    ports = struct.pack("!HHIIBBHHH", source_port, destination_port, number, ack, 0x50, _RESET, 0, 0, 0)
    pseudo = source + destination + struct.pack("!II", len(ports), TCP)
    body = ports[:16] + struct.pack("!H", checksum(pseudo + ports)) + ports[18:]
    if len(source) == 16:
        return struct.pack("!IHBB", 6 << 28, len(body), TCP, _HOP_LIMIT) + source + destination + body
    # The kernel fills in the checksum of an IPv4 header, and the identification (raw(7)).
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, _HOP_LIMIT, TCP, 0)
    return head + source + destination + body


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
