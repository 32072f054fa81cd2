"""Random packets, built by scapy, which then says what is in them."""

from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.packet import Packet, Raw

ports = st.integers(0, 0xFFFF)
contents = st.binary(max_size=80)
addresses4 = st.ip_addresses(v=4).map(str)
addresses6 = st.ip_addresses(v=6).map(str)
# Multiples of four: scapy pads options only up to the word.
options4 = st.sampled_from([b"", b"\x01\x01\x01\x01", b"\x07\x07\x04\x00\x00\x00\x00\x00", b"\x94\x04\x00\x00" * 10])
extensions = st.lists(st.sampled_from([IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting]), max_size=4).map(
    tuple
)


@st.composite
def transports(draw, icmp):
    kind = draw(st.sampled_from(["udp", "tcp", "icmp"]))
    if kind == "udp":
        return UDP(sport=draw(ports), dport=draw(ports)) / Raw(draw(contents))
    if kind == "tcp":
        flags = draw(st.sampled_from(["S", "SA", "A", "FPA", "R"]))
        return TCP(sport=draw(ports), dport=draw(ports), flags=flags, seq=draw(st.integers(0, 2**32 - 1))) / Raw(
            draw(contents)
        )
    return icmp() / Raw(draw(contents))


def _options_of(raw: bytes):
    """The options as scapy names them: dissected from a header that has nothing else in it."""
    return IP(bytes([0x45 + len(raw) // 4]) + bytes(19) + raw).options


@st.composite
def ipv4_packets(draw) -> Packet:
    head = IP(
        src=draw(addresses4),
        dst=draw(addresses4),
        ttl=draw(st.integers(0, 255)),
        id=draw(ports),
        flags=draw(st.sampled_from(["", "DF", "MF"])),
        frag=draw(st.sampled_from([0, 0, 0, 1, 185, 8191])),
        options=_options_of(draw(options4)),
    )
    return IP(bytes(head / draw(transports(ICMP))))


@st.composite
def ipv6_packets(draw) -> Packet:
    packet = IPv6(src=draw(addresses6), dst=draw(addresses6), tc=draw(st.integers(0, 255)), hlim=draw(ports) & 255)
    for extension in draw(extensions):
        packet /= extension()
    if draw(st.booleans()):
        packet /= IPv6ExtHdrFragment(offset=draw(st.sampled_from([0, 0, 5])), m=draw(st.integers(0, 1)), id=7)
    return IPv6(bytes(packet / draw(transports(ICMPv6EchoRequest))))


packets = st.one_of(ipv4_packets(), ipv6_packets())
