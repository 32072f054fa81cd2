"""Routes packets with a mark to this host, whatever their address: a rule and a table of the routing policy.

    ip rule add fwmark MARK/MARK lookup TABLE priority 98;  ip route add local default dev lo table TABLE

A packet that `tproxy` has given a socket is delivered only if it is routed here (Documentation/networking/tproxy.rst).
Without marked packets both do nothing, so they may stay when nobody listens.
"""

import errno
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from netlink import message
from netlink.transport import NetlinkSocket

PRIORITY = 98
"""Behind the table of local addresses (0) and before main; WireGuard's of Calico has 99."""
_NETLINK_ROUTE = 0
_RTM_NEWROUTE, _RTM_DELROUTE, _RTM_NEWRULE, _RTM_DELRULE = 24, 25, 32, 33
_HEADER = struct.Struct("=BBBBBBBBI")
"""struct rtmsg and struct fib_rule_hdr: family, two prefix lengths, tos, table, protocol, scope, type, flags."""
_RTPROT_STATIC, _RT_SCOPE_HOST, _RTN_LOCAL, _FR_ACT_TO_TBL = 4, 254, 2, 1
_RTA_OIF, _RTA_TABLE = 4, 15
_FRA_PRIORITY, _FRA_FWMARK, _FRA_TABLE, _FRA_FWMASK = 6, 10, 15, 16
_LOOPBACK_INDEX = 1
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


@dataclass(frozen=True, slots=True)
class Steering:
    """Which mark leads here, by which table."""

    mark: int
    table: int

    def install(self) -> None:
        """Puts both in place, for both families; what is there already stays.

        Raises:
            OSError: the kernel refuses; a kernel without IPv6 is no fault.
        """
        self._each(_RTM_NEWROUTE, _RTM_NEWRULE, message.NLM_F_CREATE | message.NLM_F_EXCL, errno.EEXIST)

    def remove(self) -> None:
        """Takes both away, if they are there.

        Raises:
            OSError: the kernel refuses.
        """
        self._each(_RTM_DELROUTE, _RTM_DELRULE, 0, errno.ENOENT)

    def _each(self, route: int, rule: int, flags: int, tolerated: int) -> None:
        link = NetlinkSocket(_NETLINK_ROUTE)
        try:
            for kind, payload in self._messages(route, rule):
                sequence = link.next_sequence()
                wanted = message.NLM_F_REQUEST | message.NLM_F_ACK | flags
                try:
                    link.request(message.message(kind, wanted, sequence, payload), sequence)
                except OSError as error:
                    if error.errno not in (tolerated, errno.ESRCH, errno.EAFNOSUPPORT):
                        raise
        finally:
            link.close()

    def _messages(self, route: int, rule: int) -> Iterator[tuple[int, bytes]]:
        for family in _FAMILIES:
            way = _HEADER.pack(family, 0, 0, 0, 0, _RTPROT_STATIC, _RT_SCOPE_HOST, _RTN_LOCAL, 0)
            yield route, way + _u32(_RTA_TABLE, self.table) + _u32(_RTA_OIF, _LOOPBACK_INDEX)
            which = _HEADER.pack(family, 0, 0, 0, 0, 0, 0, _FR_ACT_TO_TBL, 0)
            yield (
                rule,
                which
                + _u32(_FRA_PRIORITY, PRIORITY)
                + _u32(_FRA_FWMARK, self.mark)
                + _u32(_FRA_FWMASK, self.mark)
                + _u32(_FRA_TABLE, self.table),
            )


def _u32(kind: int, value: int) -> bytes:
    return message.attribute(kind, struct.pack("=I", value))
