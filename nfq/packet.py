"""The two questions the packet path asks of every packet, answered in about a microsecond.

`udp_datagram` takes a whole UDP datagram apart; `five_tuple` names the flow of any packet. Plain packets are read at
fixed offsets in one step; options, fragments and extension headers go the careful way through `nfq.headers`. Both ways
give the same answers, and neither reads outside the bytes it is given. Addresses are packed bytes: making address
objects costs more than all the rest, so callers that need them make them.
"""

import struct
from builtins import memoryview  # noqa: A004 - mypyc looks the annotation up in the module
from typing import Final, NamedTuple, final

from nfq.errors import PacketError
from nfq.headers import SCTP, TCP, UDP, IpHeader, read_ip, read_udp

_UDP_IN_IPV4: Final = struct.Struct("!BxHxxHxBxx4s4sHHHxx")
_UDP_IN_IPV6: Final = struct.Struct("!B3xHBx16s16sHHHxx")
_PORTS_IN_IPV4: Final = struct.Struct("!BxHxxHxBxx4s4sHH")
_PORTS_IN_IPV6: Final = struct.Struct("!B5xBx16s16sHH")
_PORTS: Final = struct.Struct("!HH")
_PLAIN_IPV4: Final = 0x45
"""Version 4 and a header of five words: no options."""
_FRAGMENT_BITS: Final = 0x3FFF
"""More fragments, and the offset; "do not fragment" is above."""
_WITH_PORTS: Final = frozenset({TCP, UDP, SCTP})


@final
class UdpDatagram:
    """A whole UDP datagram. Made for every packet: no tuple, which costs three times as much."""

    __slots__ = ("destination", "destination_port", "payload", "source", "source_port", "version")

    def __init__(
        self,
        version: int,
        source: bytes,
        destination: bytes,
        source_port: int,
        destination_port: int,
        payload: memoryview,
    ) -> None:
        self.version = version
        """4 or 6."""
        self.source = source
        self.destination = destination
        self.source_port = source_port
        self.destination_port = destination_port
        self.payload = payload


class FiveTuple(NamedTuple):
    """What names a flow."""

    version: int
    """4 or 6."""
    protocol: int
    source: bytes
    destination: bytes
    source_port: int | None
    """Absent for protocols without ports, and where the packet carries no ports: later fragments, short copies."""
    destination_port: int | None


def udp_datagram(packet: memoryview) -> UdpDatagram | None:
    """The datagram in an IP packet; `None` for all that is not a whole and well-formed UDP datagram.

    Fragments are no whole datagrams; conntrack puts them together before the hooks at which packets are queued.
    """
    size = len(packet)
    if size >= _UDP_IN_IPV4.size:
        first, total, fragment, protocol, source, destination, source_port, destination_port, length = (
            _UDP_IN_IPV4.unpack_from(packet)
        )
        if first == _PLAIN_IPV4:
            end = 20 + length
            if protocol != UDP or fragment & _FRAGMENT_BITS or length < 8 or not end <= total <= size:
                return None
            return UdpDatagram(4, source, destination, source_port, destination_port, packet[28:end])
    if size >= _UDP_IN_IPV6.size:
        first, total, protocol, source, destination, source_port, destination_port, length = _UDP_IN_IPV6.unpack_from(
            packet
        )
        if first >> 4 == 6 and protocol == UDP:
            if length < 8 or not length <= total <= size - 40:
                return None
            return UdpDatagram(6, source, destination, source_port, destination_port, packet[48 : 40 + length])
    return _udp_datagram_slowly(packet)


def _udp_datagram_slowly(packet: memoryview) -> UdpDatagram | None:
    try:
        ip = read_ip(packet)
        if ip.protocol != UDP or ip.is_fragment or ip.is_cut:
            return None
        udp = read_udp(ip.transport)
    except PacketError:
        return None
    return UdpDatagram(ip.version, ip.source, ip.destination, udp.source_port, udp.destination_port, udp.payload)


def five_tuple(packet: memoryview) -> FiveTuple:
    """The flow that a packet belongs to; the copy may be cut behind the ports.

    Raises:
        PacketError: neither IPv4 nor IPv6, or a length that does not fit the bytes.
    """
    size = len(packet)
    if size >= _PORTS_IN_IPV4.size:
        first, total, fragment, protocol, source, destination, source_port, destination_port = (
            _PORTS_IN_IPV4.unpack_from(packet)
        )
        plain = first == _PLAIN_IPV4 and protocol in _WITH_PORTS
        if plain and not fragment & _FRAGMENT_BITS and total >= _PORTS_IN_IPV4.size:
            return FiveTuple(4, protocol, source, destination, source_port, destination_port)
    if size >= _PORTS_IN_IPV6.size:
        first, protocol, source, destination, source_port, destination_port = _PORTS_IN_IPV6.unpack_from(packet)
        if first >> 4 == 6 and protocol in _WITH_PORTS and packet[4] | packet[5] > 3:
            return FiveTuple(6, protocol, source, destination, source_port, destination_port)
    return _five_tuple_slowly(read_ip(packet))


def _five_tuple_slowly(ip: IpHeader) -> FiveTuple:
    has_ports = ip.protocol in _WITH_PORTS and not ip.fragment_offset_bytes and len(ip.transport) >= _PORTS.size
    source_port, destination_port = _PORTS.unpack_from(ip.transport) if has_ports else (None, None)
    return FiveTuple(ip.version, ip.protocol, ip.source, ip.destination, source_port, destination_port)
