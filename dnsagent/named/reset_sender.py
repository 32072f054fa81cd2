"""Sends the packets that end connections: raw sockets, which write their own headers (raw(7), ipv6(7))."""

import contextlib
import socket
from collections.abc import Iterable
from typing import Final

_SO_MARK: Final = 36
_IPV6_HDRINCL: Final = 36


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
