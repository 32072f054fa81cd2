"""Ends a TCP connection at both ends: the two packets with RST, and the sockets that send them.

Each end believes a reset with the number that it expects next (RFC 5961 3.2). Nothing of what the client said has
passed, so the server still expects the first of it; the client expects what it acknowledged last.
"""

import contextlib
import socket
import struct
from collections.abc import Iterable
from typing import Final

from nfq.headers import TCP, IpHeader, TcpHeader

_RESET: Final = 0x14
"""RST and ACK."""
_HOP_LIMIT: Final = 64
_SO_MARK: Final = 36
_IPV6_HDRINCL: Final = 36
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


class ResetSender:
    """Raw sockets of both families, opened when the first packet is sent. Needs CAP_NET_RAW and CAP_NET_ADMIN."""

    def __init__(self, mark: int) -> None:
        """`mark`: of the packets that leave here, by which rules know them."""
        self._mark = mark
        self._sockets: dict[int, socket.socket] = {}
        self.failed = 0
        """Packets that could not be sent: their end finds out by itself, when it next says something."""

    def send(self, packets: Iterable[bytes]) -> None:
        """Sends each. Raises nothing."""
        for packet in packets:
            try:
                self._send(packet)
            except OSError:
                self.failed += 1

    def close(self) -> None:
        """Closes the sockets."""
        for made in self._sockets.values():
            with contextlib.suppress(OSError):
                made.close()
        self._sockets.clear()

    def _send(self, packet: bytes) -> None:
        version = packet[0] >> 4
        if version not in self._sockets:
            self._sockets[version] = self._open(version)
        if version == 4:
            self._sockets[4].sendto(packet, (socket.inet_ntop(socket.AF_INET, packet[16:20]), 0))
        else:
            self._sockets[6].sendto(packet, (socket.inet_ntop(socket.AF_INET6, packet[24:40]), 0))

    def _open(self, version: int) -> socket.socket:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        made = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_RAW)
        made.setsockopt(socket.SOL_SOCKET, _SO_MARK, self._mark)
        if version == 6:
            made.setsockopt(socket.IPPROTO_IPV6, _IPV6_HDRINCL, 1)
        return made
