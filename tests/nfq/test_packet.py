"""The packet views: equal to scapy on what is well-formed, quiet on what is not, never outside the bytes."""

from ipaddress import ip_address

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop

from nfq.errors import PacketError
from nfq.headers import IpHeader, read_ip, read_tcp, read_udp
from nfq.packet import UdpDatagram, _five_tuple_slowly, _udp_datagram_slowly, five_tuple, udp_datagram
from tests.nfq.packets import contents, ipv4_packets, ipv6_packets, packets

PROTOCOLS = {UDP: 17, TCP: 6}


def view(packet) -> memoryview:
    return memoryview(bytes(packet))


def udp4(payload=b"hello", **fields):
    return IP(src="10.0.0.1", dst="10.0.0.2", **fields) / UDP(sport=53, dport=40000) / payload


def udp6(*extensions, payload=b"hello"):
    packet = IPv6(src="fd00::1", dst="fd00::2")
    for extension in extensions:
        packet /= extension
    return packet / UDP(sport=53, dport=40000) / payload


def is_fragment(packet) -> bool:
    if IP in packet:
        return bool(packet.flags.MF or packet.frag)
    return IPv6ExtHdrFragment in packet and bool(packet[IPv6ExtHdrFragment].m or packet[IPv6ExtHdrFragment].offset)


def is_first(packet) -> bool:
    if IP in packet:
        return packet.frag == 0
    return IPv6ExtHdrFragment not in packet or packet[IPv6ExtHdrFragment].offset == 0


@given(ipv4_packets())
def test_ipv4_header_is_read_as_scapy_reads_it(packet):
    header = read_ip(view(packet))
    assert (header.version, header.protocol, header.hop_limit) == (4, packet.proto, packet.ttl)
    assert str(ip_address(header.source)) == packet.src
    assert str(ip_address(header.destination)) == packet.dst
    assert (header.header_bytes, header.total_bytes) == (packet.ihl * 4, packet.len)
    assert header.identification == packet.id
    assert (header.fragment_offset_bytes, header.more_fragments) == (packet.frag * 8, bool(packet.flags.MF))
    assert bytes(header.transport) == bytes(packet)[packet.ihl * 4 :]
    assert not header.is_cut


@given(ipv6_packets())
def test_ipv6_header_is_read_as_scapy_reads_it(packet):
    header = read_ip(view(packet))
    assert (header.version, header.hop_limit) == (6, packet.hlim)
    assert ip_address(header.source) == ip_address(packet.src)
    assert ip_address(header.destination) == ip_address(packet.dst)
    assert header.total_bytes == packet.plen + 40
    assert header.is_fragment == is_fragment(packet)
    if IPv6ExtHdrFragment in packet:
        assert header.identification == packet[IPv6ExtHdrFragment].id
    for kind, number in PROTOCOLS.items():
        if kind in packet:
            assert header.protocol == number
            assert bytes(header.transport) == bytes(packet[kind])


@given(packets)
def test_transport_header_is_read_as_scapy_reads_it(packet):
    assume(is_first(packet))
    transport = read_ip(view(packet)).transport
    if UDP in packet:
        udp = read_udp(transport)
        assert (udp.source_port, udp.destination_port) == (packet[UDP].sport, packet[UDP].dport)
        assert (udp.length_bytes, udp.checksum) == (packet[UDP].len, packet[UDP].chksum)
        assert bytes(udp.payload) == bytes(packet[UDP].payload)
    elif TCP in packet:
        tcp = read_tcp(transport)
        assert (tcp.source_port, tcp.destination_port) == (packet[TCP].sport, packet[TCP].dport)
        assert (tcp.sequence, tcp.acknowledgement) == (packet[TCP].seq, packet[TCP].ack)
        assert (tcp.flags, tcp.window) == (int(packet[TCP].flags), packet[TCP].window)
        assert bytes(tcp.payload) == bytes(packet[TCP].payload)


@given(packets)
def test_udp_datagram_is_found_wherever_scapy_finds_a_whole_one(packet):
    found = udp_datagram(view(packet))
    if UDP not in packet or is_fragment(packet):
        assert found is None
        return
    assert found is not None
    assert (ip_address(found.source), ip_address(found.destination)) == (ip_address(packet.src), ip_address(packet.dst))
    assert (found.source_port, found.destination_port) == (packet[UDP].sport, packet[UDP].dport)
    assert bytes(found.payload) == bytes(packet[UDP].payload)


@given(packets)
def test_five_tuple_is_the_one_scapy_sees(packet):
    found = five_tuple(view(packet))
    assert (ip_address(found.source), ip_address(found.destination)) == (ip_address(packet.src), ip_address(packet.dst))
    transport = next((packet[kind] for kind in PROTOCOLS if kind in packet), None)
    if is_first(packet) and transport is not None:
        assert (found.source_port, found.destination_port) == (transport.sport, transport.dport)
        assert found.protocol == PROTOCOLS[type(transport)]
    else:
        assert (found.source_port, found.destination_port) == (None, None)


def mutated(data: bytes, changes, size) -> memoryview:
    changed = bytearray(data)
    for position, value in changes:
        changed[position % len(changed)] = value
    return memoryview(bytes(changed[:size]))


changes = st.lists(st.tuples(st.integers(0, 90), st.integers(0, 255)), max_size=6)
hostile = st.one_of(
    st.binary(max_size=120).map(memoryview),
    st.builds(mutated, packets.map(bytes), changes, st.integers(0, 160)),
)


def fields_of(found: UdpDatagram | None) -> tuple | None:
    if found is None:
        return None
    ends = (found.source, found.source_port, found.destination, found.destination_port)
    return found.version, *ends, bytes(found.payload)


@given(hostile)
def test_both_ways_of_reading_agree_on_any_bytes(packet):
    assert fields_of(udp_datagram(packet)) == fields_of(_udp_datagram_slowly(packet))
    try:
        slow = _five_tuple_slowly(read_ip(packet))
    except PacketError:
        with pytest.raises(PacketError):
            five_tuple(packet)
    else:
        assert five_tuple(packet) == slow


@given(hostile)
def test_no_bytes_make_a_reader_raise_anything_but_packet_error(packet):
    for reader in (read_ip, read_udp, read_tcp, udp_datagram, five_tuple):
        try:
            found = reader(packet)
        except PacketError:
            continue
        for part in (getattr(found, name, None) for name in ("transport", "payload", "options")):
            assert part is None or len(part) <= len(packet)


@given(hostile, contents)
def test_what_follows_the_packet_in_memory_is_never_read(packet, beyond):
    """The same bytes at the end of an allocation and in the middle of one read the same."""
    inside = memoryview(bytes(packet) + beyond)[: len(packet)]
    assert fields_of(udp_datagram(inside)) == fields_of(udp_datagram(packet))


def test_padding_behind_a_short_packet_is_no_payload():
    found = udp_datagram(memoryview(bytes(udp4(b"ab")) + b"\0" * 18))
    assert found is not None
    assert bytes(found.payload) == b"ab"


def test_udp_length_decides_where_the_payload_ends():
    packet = bytearray(bytes(udp4(b"abcdef")))
    packet[25] = 8 + 3
    assert bytes(udp_datagram(memoryview(packet)).payload) == b"abc"
    packet[25] = 8 + 7
    assert udp_datagram(memoryview(packet)) is None
    packet[25] = 7
    assert udp_datagram(memoryview(packet)) is None


def test_cut_packet_has_a_flow_but_no_datagram():
    packet = view(udp4(b"x" * 200))[:40]
    assert udp_datagram(packet) is None
    assert five_tuple(packet)[-2:] == (53, 40000)
    assert read_ip(packet).is_cut


def test_packet_cut_inside_the_ports_has_none():
    assert five_tuple(view(udp4())[:22])[-2:] == (None, None)


@pytest.mark.parametrize("fields", [{"flags": "MF"}, {"frag": 3}])
def test_fragment_is_no_datagram(fields):
    assert udp_datagram(view(udp4(**fields))) is None


def test_dont_fragment_bit_is_no_fragment():
    assert udp_datagram(view(udp4(flags="DF"))) is not None


def test_atomic_fragment_is_a_whole_datagram():
    found = udp_datagram(view(udp6(IPv6ExtHdrFragment(offset=0, m=0))))
    assert found is not None
    assert bytes(found.payload) == b"hello"


def test_datagram_is_found_behind_options_and_extension_headers():
    found = udp_datagram(view(udp6(IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt())))
    assert found is not None
    assert (found.source_port, bytes(found.payload)) == (53, b"hello")


def test_endless_chain_of_extension_headers_is_refused():
    with pytest.raises(PacketError, match="more than 15"):
        five_tuple(view(udp6(*[IPv6ExtHdrDestOpt() for _ in range(16)])))
    assert five_tuple(view(udp6(*[IPv6ExtHdrDestOpt() for _ in range(15)]))).source_port == 53


def test_authentication_header_is_counted_in_words():
    inner = bytes(UDP(sport=53, dport=40000) / b"hello")
    header = bytes([17, 4, 0, 0]) + bytes(20)
    packet = bytes(IPv6(src="fd00::1", dst="fd00::2", nh=51, plen=len(header + inner))) + header + inner
    assert bytes(udp_datagram(memoryview(packet)).payload) == b"hello"


@pytest.mark.parametrize("data", [b"", b"\x45", b"\x60" * 39, b"\x00" * 60, b"\x44" + b"\xff" * 40, b"\x4f" * 30])
def test_unreadable_header_says_so(data):
    with pytest.raises(PacketError, match="cannot read"):
        read_ip(memoryview(data))


def test_header_is_a_value():
    header = read_ip(view(udp4()))
    assert isinstance(header, IpHeader)
    assert header == read_ip(view(udp4()))


@pytest.mark.parametrize("cut", [41, 47, 48, 55])
def test_extension_header_that_runs_past_the_packet_is_refused(cut):
    packet = bytearray(bytes(udp6(IPv6ExtHdrDestOpt(options=[]))))
    packet[41] = 1
    packet[4:6] = (cut - 40).to_bytes(2, "big")
    with pytest.raises(PacketError, match="the packet ends"):
        read_ip(memoryview(packet)[:cut])
