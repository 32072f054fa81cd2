"""IP, UDP and TCP headers as values: the careful reader, which knows options, fragments and extension headers.

Every length is checked against the bytes that are there, and nothing but `PacketError` is raised for any bytes. The
packet path uses the shortcuts of `nfq.packet`, which fall back to this. Addresses are packed bytes here.
"""

import struct
from builtins import memoryview  # noqa: A004 - mypyc looks the annotation up in the module
from dataclasses import dataclass

from nfq.errors import PacketError

TCP, UDP, ICMP, ICMPV6, SCTP = 6, 17, 1, 58, 132
"""Protocol numbers (IANA), as the kernel compares them."""

_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60
_MOBILITY, _HIP, _SHIM6 = 135, 139, 140
_EXTENSIONS = frozenset({_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION, _MOBILITY, _HIP, _SHIM6})
_EXTENSIONS_LIMIT = 16
"""Extension headers in one packet. RFC 8200 4.1 describes 7; 64 KiB hold 8192, which would take milliseconds."""

_IPV4 = struct.Struct("!BxHHHBBxx4s4s")
_IPV6 = struct.Struct("!B3xHBB16s16s")
_IPV6_FRAGMENT = struct.Struct("!BxHI")
_UDP = struct.Struct("!HHHH")
_TCP = struct.Struct("!HHIIBBHHH")


@dataclass(frozen=True, slots=True, kw_only=True)
class IpHeader:
    """The header of an IPv4 or IPv6 packet with all that stands before the transport header."""

    version: int
    """4 or 6."""
    source: bytes
    destination: bytes
    protocol: int
    """Of what follows: for IPv6 the next header of the last extension header."""
    hop_limit: int
    header_bytes: int
    """Where the transport header begins: behind options and extension headers."""
    total_bytes: int
    """Length of the whole packet as it says itself; the copy may be shorter, or padded."""
    identification: int | None = None
    """Ties fragments together; an IPv6 packet has one only in a fragment header."""
    fragment_offset_bytes: int = 0
    more_fragments: bool = False
    transport: memoryview
    """What follows the headers as far as it was copied, without padding. Of a fragment: its part."""

    @property
    def is_fragment(self) -> bool:
        """Whether this is only a part of a packet (an IPv6 "atomic fragment" is a whole one: RFC 6946)."""
        return self.more_fragments or self.fragment_offset_bytes > 0

    @property
    def is_cut(self) -> bool:
        """Whether the copy ends before the packet does."""
        return self.header_bytes + len(self.transport) < self.total_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class UdpHeader:
    """A UDP header and its payload (RFC 768)."""

    source_port: int
    destination_port: int
    length_bytes: int
    """Of header and payload."""
    checksum: int
    """0: none, which only IPv4 allows."""
    payload: memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpHeader:
    """A TCP header and its payload (RFC 9293 3.1)."""

    source_port: int
    destination_port: int
    sequence: int
    acknowledgement: int
    flags: int
    """FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128."""
    window: int
    options: memoryview
    payload: memoryview


def read_ip(packet: memoryview) -> IpHeader:
    """Reads the headers before the transport header.

    Raises:
        PacketError: neither IPv4 nor IPv6, or a length that does not fit the bytes.
    """
    if not len(packet):
        raise PacketError("cannot read an empty packet")
    version = packet[0] >> 4
    if version == 4:
        return _read_ipv4(packet)
    if version == 6:
        return _read_ipv6(packet)
    raise PacketError(f"cannot read a packet of IP version {version}")


def read_udp(transport: memoryview) -> UdpHeader:
    """Reads a UDP header from the start of a transport payload.

    Raises:
        PacketError: shorter than its header, or than it says.
    """
    if len(transport) < _UDP.size:
        raise PacketError(f"cannot read a UDP header in {len(transport)} bytes")
    source_port, destination_port, length, checksum = _UDP.unpack_from(transport)
    if not _UDP.size <= length <= len(transport):
        raise PacketError(f"cannot read a UDP datagram of {length} bytes in {len(transport)}")
    return UdpHeader(
        source_port=source_port,
        destination_port=destination_port,
        length_bytes=length,
        checksum=checksum,
        payload=transport[_UDP.size : length],
    )


def read_tcp(transport: memoryview) -> TcpHeader:
    """Reads a TCP header from the start of a transport payload.

    Raises:
        PacketError: shorter than its header, or than its data offset says.
    """
    if len(transport) < _TCP.size:
        raise PacketError(f"cannot read a TCP header in {len(transport)} bytes")
    ports_and_numbers = _TCP.unpack_from(transport)
    source_port, destination_port, sequence, acknowledgement, offset, flags, window, _, _ = ports_and_numbers
    header_bytes = (offset >> 4) * 4
    if not _TCP.size <= header_bytes <= len(transport):
        raise PacketError(f"cannot read a TCP header of {header_bytes} bytes in {len(transport)}")
    return TcpHeader(
        source_port=source_port,
        destination_port=destination_port,
        sequence=sequence,
        acknowledgement=acknowledgement,
        flags=flags,
        window=window,
        options=transport[_TCP.size : header_bytes],
        payload=transport[header_bytes:],
    )


def _read_ipv4(packet: memoryview) -> IpHeader:
    """RFC 791 3.1."""
    if len(packet) < _IPV4.size:
        raise PacketError(f"cannot read an IPv4 header in {len(packet)} bytes")
    first, total, identification, fragment, hop_limit, protocol, source, destination = _IPV4.unpack_from(packet)
    header_bytes = (first & 0xF) * 4
    if not _IPV4.size <= header_bytes <= min(total, len(packet)):
        raise PacketError(f"cannot read an IPv4 header of {header_bytes} bytes in {min(total, len(packet))}")
    return IpHeader(
        version=4,
        source=source,
        destination=destination,
        protocol=protocol,
        hop_limit=hop_limit,
        header_bytes=header_bytes,
        total_bytes=total,
        identification=identification,
        fragment_offset_bytes=(fragment & 0x1FFF) * 8,
        more_fragments=bool(fragment & 0x2000),
        transport=packet[header_bytes:total],
    )


def _read_ipv6(packet: memoryview) -> IpHeader:
    """RFC 8200 3. Jumbograms (RFC 2675) read as empty: their length is in an option, and no queue carries them."""
    if len(packet) < _IPV6.size:
        raise PacketError(f"cannot read an IPv6 header in {len(packet)} bytes")
    _, length, protocol, hop_limit, source, destination = _IPV6.unpack_from(packet)
    total = _IPV6.size + length
    packet = packet[:total]
    chain = _walk_extensions(packet, protocol)
    return IpHeader(
        version=6,
        source=source,
        destination=destination,
        protocol=chain.protocol,
        hop_limit=hop_limit,
        header_bytes=chain.end,
        total_bytes=total,
        identification=chain.identification,
        fragment_offset_bytes=chain.fragment_offset_bytes,
        more_fragments=chain.more_fragments,
        transport=packet[chain.end :],
    )


@dataclass(slots=True)
class _Chain:
    """How far the walk over extension headers has come, and what it met."""

    protocol: int
    end: int = _IPV6.size
    identification: int | None = None
    fragment_offset_bytes: int = 0
    more_fragments: bool = False


def _walk_extensions(packet: memoryview, protocol: int) -> _Chain:
    chain = _Chain(protocol)
    for _ in range(_EXTENSIONS_LIMIT):
        # Behind the header of a later fragment lies the middle of something, no further header.
        if chain.protocol not in _EXTENSIONS or chain.fragment_offset_bytes:
            return chain
        if chain.end + 8 > len(packet):
            raise PacketError(f"cannot read an IPv6 extension header at {chain.end}: the packet ends")
        if chain.protocol == _FRAGMENT:
            _step_over_fragment(packet, chain)
        else:
            _step_over_extension(packet, chain)
    raise PacketError(f"cannot read an IPv6 packet with more than {_EXTENSIONS_LIMIT - 1} extension headers")


def _step_over_fragment(packet: memoryview, chain: _Chain) -> None:
    """RFC 8200 4.5."""
    chain.protocol, fragment, chain.identification = _IPV6_FRAGMENT.unpack_from(packet, chain.end)
    chain.fragment_offset_bytes = fragment & 0xFFF8
    chain.more_fragments = bool(fragment & 1)
    chain.end += _IPV6_FRAGMENT.size


def _step_over_extension(packet: memoryview, chain: _Chain) -> None:
    """RFC 8200 4.2 counts eights beyond the first; the authentication header fours beyond two (RFC 4302 2.2)."""
    protocol, length = packet[chain.end], packet[chain.end + 1]
    size = (length + 2) * 4 if chain.protocol == _AUTHENTICATION else (length + 1) * 8
    if chain.end + size > len(packet):
        raise PacketError(f"cannot read an IPv6 extension header of {size} bytes at {chain.end}: the packet ends")
    chain.protocol = protocol
    chain.end += size
