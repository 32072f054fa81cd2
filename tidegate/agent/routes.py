"""By which interface the host would send to an address: one question to the kernel for each. Blocks."""

import socket
import struct
from types import TracebackType
from typing import Self, final

from netlink import message
from netlink.transport import NetlinkSocket
from tidegate.revoke.way import ELSEWHERE

_ROUTE = 0
_GET_ROUTE, _NEW_ROUTE = 26, 24
_RTMSG = struct.Struct("=BBBBBBBBI")
"""struct rtmsg (linux/rtnetlink.h): family, length of destination, six more octets, flags."""
_DESTINATION, _OUTPUT_INTERFACE = 1, 4
MAX_KNOWN = 65_536
"""Answers kept for one look. At the bound all are forgotten, and asked for again."""


@final
class KernelRoutes:
    """Implements `revoke.way.Routes`. Remembers what it was told for as long as it lives: one look."""

    def __init__(self) -> None:
        """Opens the socket.

        Raises:
            OSError: not allowed.
        """
        self._link = NetlinkSocket(_ROUTE)
        self._known: dict[bytes, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._link.close()

    def __call__(self, address: bytes) -> str:
        """The interface's name; `ELSEWHERE` where no route leads there."""
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            known = self._known[address] = self._ask(address)
        return known

    def _ask(self, address: bytes) -> str:
        family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
        sequence = self._link.next_sequence()
        head = _RTMSG.pack(family, len(address) * 8, 0, 0, 0, 0, 0, 0, 0)
        body = head + message.attribute(_DESTINATION, address)
        try:
            flags = message.NLM_F_REQUEST | message.NLM_F_ACK
            replies = list(self._link.dump(message.message(_GET_ROUTE, flags, sequence, body), sequence))
            return next((name for reply in replies if (name := _interface(reply))), ELSEWHERE)
        except OSError:
            return ELSEWHERE  # unreachable, or the interface went away meanwhile


def _interface(reply: message.Message) -> str:
    if reply.type != _NEW_ROUTE:
        return ""
    found = dict(message.attributes(reply.payload[_RTMSG.size :]))
    if _OUTPUT_INTERFACE not in found:
        return ""
    return socket.if_indextoname(struct.unpack("=I", found[_OUTPUT_INTERFACE])[0])
