"""First datagrams of QUIC: names are read from any order of pieces, and what servers could read differently is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsagent.named.quic import MAX_DATAGRAMS, QuicGreeting
from dnsagent.named.quic_frames import MAX_CRYPTO_BYTES
from dnsagent.named.quic_keys import VERSION_1, VERSION_2, initial_keys
from dnsagent.named.spoken import Spoken, UnspokenError
from tests.dnsagent.greetings import ech, handshake, padding, server_name
from tests.dnsagent.quic_client import DESTINATION, crypto, datagram, initial, long_header, varint, zero_rtt
from tests.lab.quic_peers import greeting

HELLO = handshake(server_name(b"a.test"))
LONG_HELLO = handshake(padding(3000), server_name(b"a.test"))

RFC_CRYPTO = bytes.fromhex(
    "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e868"
    "04fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578"
    "616d706c652e636f6dff01000100000a00080006001d00170018001000070005"
    "04616c706e000500050100000000003300260024001d00209370b2c9caa47fba"
    "baf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b000302030400"
    "0d0010000e0403050306030203080408050806002d00020101001c0002400100"
    "3900320408ffffffffffffffff05048000ffff07048000ffff08011001048000"
    "75300901100f088394c8f03e51570806048000ffff"
)
"""The frame of RFC 9001 A.2, which RFC 9369 A.2 sends as well."""


def reason(*datagrams: bytes) -> str:
    """Of the refusal of the last one; those before it are not enough."""
    greeting = QuicGreeting()
    for each in datagrams[:-1]:
        assert greeting.take(each) is None
    with pytest.raises(UnspokenError) as caught:
        greeting.take(datagrams[-1])
    return caught.value.reason


def one(each: bytes) -> Spoken | None:
    return QuicGreeting().take(each)


def test_keys_of_version_1_are_those_of_rfc_9001():
    keys = initial_keys(VERSION_1, DESTINATION)
    assert keys.key.hex() == "1f369613dd76d5467730efcbe3b1a22d"
    assert keys.iv.hex() == "fa044b2f42a3fd3b46fb255c"
    assert keys.header_key.hex() == "9f50449e04a0e810283a1e9933adedd2"
    assert keys.mask(bytes.fromhex("d1b1c98dd7689fb8ec11d242b123dc9b")).hex() == "437b9aec36"


def test_keys_of_version_2_are_those_of_rfc_9369():
    keys = initial_keys(VERSION_2, DESTINATION)
    assert keys.key.hex() == "8b1a0bc121284290a29e0971b5cd045d"
    assert keys.iv.hex() == "91f73e2351d8fa91660e909f"
    assert keys.header_key.hex() == "45b95e15235d6f45a6b19cbcb0294ba9"


@pytest.mark.parametrize("alpn", [["h3"], [f"{'x' * 200}{each}" for each in range(12)]], ids=["one", "several"])
@pytest.mark.parametrize("version", [VERSION_1, VERSION_2])
@pytest.mark.parametrize("step", [1, -1])
def test_the_first_datagrams_of_another_program_are_read_in_any_order(version, alpn, step):
    *before, last = greeting("Www.Example.com", version, alpn)[::step]
    reader = QuicGreeting()
    assert [reader.take(each) for each in before] == [None] * len(before)
    spoken = reader.take(last)
    assert spoken is not None
    assert spoken.name.lower() == b"www.example.com"


def test_the_client_packet_of_rfc_9001_is_made_and_read():
    packet = initial(RFC_CRYPTO.ljust(1162, b"\0"), 2)
    head = "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9b"
    assert packet.hex().startswith(head)
    assert packet.hex().endswith("e221af44860018ab0856972e194cd934")
    assert len(packet) == 1200
    assert one(packet) == Spoken(b"example.com")


@pytest.mark.parametrize("version", [VERSION_1, VERSION_2])
@pytest.mark.parametrize("number_bytes", [1, 2, 3, 4])
def test_a_greeting_in_one_datagram_is_read(version, number_bytes):
    packet = datagram(crypto(0, HELLO), version=version, number_bytes=number_bytes, source=b"me", token=b"t" * 70)
    assert one(packet) == Spoken(b"a.test")


def test_the_greeting_says_that_an_encrypted_one_is_inside_and_that_nobody_is_named():
    assert one(datagram(crypto(0, handshake(ech())))) == Spoken(None, has_ech=True)


@given(st.data())
def test_a_greeting_cut_anywhere_is_read_in_any_order(data):
    cuts = sorted(data.draw(st.sets(st.integers(1, len(LONG_HELLO) - 1), min_size=3, max_size=20)))
    ends = [*cuts, len(LONG_HELLO)]
    parts = [(start, LONG_HELLO[start:end]) for start, end in zip([0, *cuts], ends, strict=True)]
    greeting, told = QuicGreeting(), []
    for number, (start, part) in enumerate(data.draw(st.permutations(parts))):
        half = len(part) // 2
        frames = b"\1" + crypto(start + half, part[half:]) + b"\0\0" + crypto(start, part[:half])
        told.append(greeting.take(datagram(frames, number)))
    # Enough is known once the whole message is there, and not before: an extension could still come twice.
    assert told == [None] * (len(told) - 1) + [Spoken(b"a.test")]


def test_packets_in_one_datagram_are_read_and_early_data_and_zeros_are_passed_over():
    coalesced = initial(crypto(20, HELLO[20:]), 1) + zero_rtt() + initial(crypto(0, HELLO[:20]), 0)
    assert one(coalesced.ljust(1200, b"\0")) == Spoken(b"a.test")


def test_acknowledgements_are_passed_over():
    ack = b"\2" + varint(9) + varint(100) + varint(1) + varint(2) + varint(0) + varint(3)
    ecn = b"\3" + varint(9) + varint(100) + varint(0) + varint(2) + varint(1) + varint(1) + varint(1)
    assert one(datagram(ack + ecn + crypto(0, HELLO))) == Spoken(b"a.test")


def test_early_data_in_a_datagram_of_its_own_waits_with_the_greeting():
    greeting = QuicGreeting()
    assert greeting.take(datagram(crypto(0, HELLO[:30]), 0)) is None
    assert greeting.take(zero_rtt().ljust(1200, b"\0")) is None
    assert greeting.take(datagram(crypto(30, HELLO[30:]), 1)) == Spoken(b"a.test")


def test_the_same_datagram_again_changes_nothing():
    greeting, first = QuicGreeting(), datagram(crypto(0, HELLO[:30]), 0)
    assert greeting.take(first) is None
    assert greeting.take(first) is None
    assert greeting.take(datagram(crypto(20, HELLO[20:]), 1)) == Spoken(b"a.test")


OTHER = HELLO.replace(b"a.test", b"b.test")


@pytest.mark.parametrize(
    ("why", "datagrams"),
    [
        ("quic-version", [datagram(crypto(0, HELLO), version=0)]),
        ("quic-version", [datagram(crypto(0, HELLO), version=0xFF00001D)]),
        ("quic-short", [initial(crypto(0, HELLO))]),
        ("quic-no-initial", [zero_rtt().ljust(1200, b"\0")]),
        ("quic-no-initial", [(long_header(2, VERSION_1, DESTINATION, b"") + varint(40) + bytes(40)).ljust(1200, b"\0")]),
        ("quic-no-initial", [long_header(3, VERSION_1, DESTINATION, b"") + bytes(1200)]),
        ("quic-no-initial", [b"\x40" + bytes(1200)]),
        ("quic-no-initial", [bytes(1200)]),
        ("quic-no-initial", [datagram(crypto(0, HELLO)) + b"\x40" + bytes(30)]),
        ("quic-malformed", [b"\xc0"]),
        ("quic-malformed", [datagram(crypto(0, HELLO), destination=b"1234567")]),
        ("quic-malformed", [datagram(crypto(0, HELLO), destination=b"1" * 21)]),
        ("quic-malformed", [datagram(crypto(0, HELLO))[:-1]]),
        ("quic-malformed", [datagram(crypto(0, HELLO), reserved=1)]),
        ("quic-malformed", [datagram(b"\x1c\0\0\0")]),
        ("quic-malformed", [datagram(b"\2\0\0" + varint(2**60) + b"\0")]),
        ("quic-malformed", [datagram(b"\6\0" + varint(5000))]),
        ("quic-malformed", [initial(b"") + bytes(1200)]),
        ("quic-unreadable", [datagram(crypto(0, HELLO), keyed_by=b"another one")]),
        ("quic-unreadable", [datagram(crypto(0, HELLO))[:-1] + b"\0"]),
        ("quic-other-connection", [datagram(crypto(0, HELLO[:9])), datagram(crypto(9, HELLO[9:]), 1, destination=b"12345678")]),
        ("quic-other-connection", [datagram(crypto(0, HELLO[:9])), datagram(crypto(9, HELLO[9:]), 1, source=b"x")]),
        ("quic-overlap", [datagram(crypto(0, HELLO[:-1])), datagram(crypto(0, OTHER), 1)]),
        ("quic-overlap", [datagram(crypto(0, HELLO[:9])), datagram(crypto(9, HELLO[9:]), 0)]),
        ("quic-too-long", [datagram(crypto(MAX_CRYPTO_BYTES, b"x"))]),
        ("quic-too-long", [datagram(crypto(2**62 - 1, b"x"))]),
        ("quic-too-long", [b"".join(initial(b"\1" * 20, number) for number in range(65))]),
        ("quic-too-long", [datagram(b"\1", number) for number in range(MAX_DATAGRAMS + 1)]),
        ("no-hello", [datagram(crypto(0, b"\2" + HELLO[1:]))]),
        ("hello-too-long", [datagram(crypto(0, b"\1\xff\xff\xff"))]),
        ("malformed-hello", [datagram(crypto(0, handshake(server_name(b"a.test"), server_name(b"b.test"))))]),
        ("bad-name", [datagram(crypto(0, handshake(server_name(b"192.0.2.1"))))]),
    ],
)  # fmt: skip
def test_what_servers_could_read_differently_is_refused(why, datagrams):
    assert reason(*datagrams) == why


@given(st.integers(0, 1199), st.integers(1, 255))
def test_a_changed_byte_never_makes_another_name(at, change):
    packet = bytearray(datagram(crypto(0, HELLO)))
    packet[at] ^= change
    try:
        told = one(bytes(packet))
    except UnspokenError:
        return
    assert told is None or told.name in (None, b"a.test")
