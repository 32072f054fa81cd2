"""What is fuzzed: everything that reads bytes or text which others write. Each target raises only what is a finding."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from dnsagent.codec import MAX_NAME_BYTES, MAX_RECORDS, DecodeError, decode_answer, decode_question
from dnsagent.desk import text_of
from dnsagent.forward.messages import (
    Rcode,
    addressed,
    aged,
    fitting,
    read_query,
    read_reply,
    refusal,
    upstream_query,
    without_ech,
)
from dnsagent.framing import FramingError, frame
from dnsagent.learn import MAX_ADDRESSES_PER_ANSWER, Learner, Packet
from dnsagent.named.quic import QuicGreeting
from dnsagent.named.spoken import Spoken, UnspokenError, checked_name
from dnsagent.named.stream import FirstBytes, read_spoken
from dnsagent.plan import make_plan
from dnsagent.relay import MAX_OPEN_QUESTIONS, Relay
from dnsagent.snapshot import Snapshot, SnapshotEndpoint, SnapshotRule, TrustedServer
from nfq.errors import PacketError
from nfq.headers import read_ip, read_tcp, read_udp
from nfq.packet import five_tuple, udp_datagram
from policy.selectors import SelectorError, parse
from reconcile.instant import Instant
from tests.dnsagent.greetings import ech, handshake, hello, records, request, server_name
from tests.dnsagent.quic_client import crypto, datagram, initial
from tests.fuzz import fuzz_resources as resources


@dataclass(frozen=True, slots=True)
class Target:
    """A function that takes any bytes, the inputs from which others are bred, and words worth trying."""

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()
    max_bytes: int = 4096


# --- DNS messages, through the whole pipeline ---

_CLIENT, _SERVER = ip_address("10.0.1.2"), ip_address("10.0.53.53")
_RULE = SnapshotRule(
    id="r",
    patterns=("a.test", "*.test", "*.a"),
    set4="d4",
    set6="d6",
    ttl_floor_seconds=10.0,
    ttl_ceiling_seconds=86_400.0,
    extra_ttl_seconds=5.0,
)
_PLAN = make_plan(
    Snapshot(
        generation=1,
        table="tidegate",
        trusted_servers=(TrustedServer(address=_SERVER),),
        endpoints={
            "ep": SnapshotEndpoint(
                id="ep", interface_name="cali1", addresses=(_CLIENT, ip_address("fd00::2")), rules=("r",)
            )
        },
        rules={"r": _RULE},
    )
)
_NOW = 1000.0


def fuzz_dns(data: bytes) -> None:
    """Bytes from a trusted server: nothing but `DecodeError`, and what is learned was in the message and is allowed."""
    try:
        question = decode_question(data)
        answer = decode_answer(data)
    except DecodeError as error:
        assert str(error).startswith("cannot read")  # noqa: PT017 - no test function: a finding is any exception
    else:
        _check_answer(answer, question)
    learner = Learner(_PLAN)
    # The endpoint has asked just this, so that the message is judged to the end.
    learner.note_query(_packet(data[:2] + struct.pack("!HHHHH", 0x100, 1, 0, 0, 0) + data[12:]), _NOW)
    elements = learner.judge(_packet(data), _NOW)
    assert len(elements) <= 2 * MAX_ADDRESSES_PER_ANSWER
    for element in elements:
        set_name, key = element.key
        half = len(key) // 2
        address = ip_address(key[half:])
        assert (set_name, half) in {("d4", 4), ("d6", 16)}
        assert key[half:] in data
        assert address.is_global or address in _NOT_GLOBAL_BUT_PUBLIC, address
        assert _NOW + 15 <= element.deadline <= _NOW + 86_405
    learner.commit(elements)
    for _, name, _, known in learner.names.entries():
        assert text_of(name)
        assert all(text_of(each) for each in known.chain)
    assert learner.counters["answers"] == 1


class _Documentation:
    """Addresses that the standard library calls private, and that are no inside of anybody's: they may be learned."""

    def __contains__(self, address: object) -> bool:
        return _PLAN.guard.judge(ip_address(address).packed) is None


_NOT_GLOBAL_BUT_PUBLIC = _Documentation()


def _packet(payload: bytes) -> Packet:
    return Packet(_CLIENT.packed, 40_000, _SERVER.packed, 53, payload)


def _check_answer(answer, question) -> None:
    assert (answer.id, answer.name, answer.type) == (question.id, question.name, question.type)
    assert len(answer.addresses) <= MAX_RECORDS
    for owner, ttl, address in answer.addresses + answer.hints:
        _check_name(owner)
        assert 0 <= ttl < 2**31
        assert len(address) in (4, 16)
    for owner, ttl, target in answer.aliases + answer.delegations:
        _check_name(owner)
        _check_name(target)
        assert 0 <= ttl < 2**31


def _check_name(name: bytes) -> None:
    assert len(name) <= MAX_NAME_BYTES
    at = 0
    while at < len(name):
        assert 1 <= name[at] <= 63
        at += name[at] + 1
    assert at == len(name)
    assert name == name.lower()


def _message(flags: int, name: bytes, qtype: int, *records: bytes) -> bytes:
    return struct.pack("!6H", 7, flags, 1, len(records), 0, 0) + name + struct.pack("!HH", qtype, 1) + b"".join(records)


def _record(owner: bytes, rtype: int, data: bytes) -> bytes:
    return owner + struct.pack("!HHIH", rtype, 1, 60, len(data)) + data


_NAME = b"\1a\4test\0"
_DNS_SEEDS = (
    _message(0x100, _NAME, 1),
    _message(0x8180, _NAME, 1, _record(b"\xc0\x0c", 1, bytes([198, 51, 100, 7]))),
    _message(
        0x8180, _NAME, 28, _record(b"\xc0\x0c", 5, b"\1b\xc0\x0e"), _record(b"\1b\xc0\x0e", 28, b"\x20\x01\x0d\xb8" + bytes(12))
    ),
    _message(0x8180, b"\1x\1d\4test\0", 1, _record(b"\1d\4test\0", 39, b"\1e\4test\0"), _record(b"\1x\1e\4test\0", 1, bytes([1, 1, 1, 1]))),
    _message(0x8180, _NAME, 65, _record(b"\xc0\x0c", 65, b"\0\1\0\0\1\0\3\2h2\0\4\0\4\1\1\1\1\0\6\0\x10" + b"\x26" + bytes(15))),
    _message(0x8180, _NAME, 65, _record(b"\xc0\x0c", 65, b"\0\0\1b\0"), _record(b"\1b\0", 1, bytes([1, 1, 1, 1]))),
)  # fmt: skip


# --- DNS over TCP ---


def fuzz_stream(data: bytes) -> None:
    """A stream in the pieces its first bytes say: whole messages in order or a `FramingError`, and bounded memory."""
    relay, stream, at, heard = Relay(Instant(_NOW)), data[8:], 0, b""
    try:
        for size in (*data[:8], len(stream)):
            piece = stream[at : at + size]
            at += size
            for message in relay.hear_client(piece, Instant(_NOW)):
                heard += frame(message)
                assert len(message) >= 12
            assert relay.open_questions <= MAX_OPEN_QUESTIONS
            relay.open_questions = 0
    except FramingError:
        pass
    assert stream.startswith(heard)


_CUTS = bytes([1, 1, 5, 200, 9, 9, 9, 9])
_STREAM_SEEDS = (
    *(_CUTS + b"".join(map(frame, _DNS_SEEDS[:count])) for count in (1, 3, 6)),
    bytes(8) + b"\0\0",
    bytes(8) + b"\0\x0b" + bytes(11),
)


# --- The forwarder's messages ---


def fuzz_forward(data: bytes) -> None:
    """Bytes from a client and from a server: `DecodeError`, or messages that the other reader takes as well."""
    try:
        asked = read_query(data)
    except DecodeError:
        asked = read_query(_DNS_SEEDS[0])
    else:
        assert decode_question(upstream_query(asked, 7)).name == asked.name
        assert decode_question(refusal(asked, Rcode.NXDOMAIN, None, 60)).name == asked.name
    try:
        layout = read_reply(data, asked)
    except DecodeError:
        return
    assert 0 <= layout.kept_seconds <= 86_400
    aged(data, layout.ttls, 10)
    told = fitting(addressed(data, asked), asked)
    assert len(told) <= max(asked.udp_bytes, 512) or told == addressed(data, asked)
    try:
        clean = without_ech(data, layout)
    except DecodeError:
        return
    if clean is not None:
        assert len(read_reply(clean, asked).ttls) == len(layout.ttls)


# --- IP packets ---


def fuzz_packet(data: bytes) -> None:
    """Bytes of a workload's packet: the fast way says what the careful one says, and nothing reads outside."""
    view = memoryview(data)
    try:
        ip = read_ip(view)
    except PacketError:
        ip = None
    datagram = udp_datagram(view)
    if ip is None:
        assert datagram is None
    else:
        _check_transport(ip, datagram)
    try:
        flow = five_tuple(view)
    except PacketError:
        assert ip is None
    else:
        assert ip is None or (flow.version, flow.source, flow.destination) == (ip.version, ip.source, ip.destination)
        assert len(flow.source) == len(flow.destination) == (4 if flow.version == 4 else 16)


def _check_transport(ip, datagram) -> None:
    assert ip.header_bytes + len(ip.transport) <= max(ip.total_bytes, ip.header_bytes)
    whole = ip.protocol == 17 and not ip.is_fragment and not ip.is_cut
    try:
        udp = read_udp(ip.transport)
    except PacketError:
        udp = None
    if whole and udp is not None:
        assert datagram is not None
        assert (datagram.source, datagram.destination) == (ip.source, ip.destination)
        assert (datagram.source_port, datagram.destination_port) == (udp.source_port, udp.destination_port)
        assert bytes(datagram.payload) == bytes(udp.payload)
    else:
        assert datagram is None
    try:
        tcp = read_tcp(ip.transport)
    except PacketError:
        return
    assert len(tcp.options) + len(tcp.payload) + 20 == len(ip.transport)


_UDP = struct.pack("!HHHH", 40_000, 53, 8 + 12, 0) + bytes(12)
_TCP = struct.pack("!HHIIBBHHH", 40_000, 443, 1, 0, 0x60, 2, 1000, 0, 0) + b"\2\4\5\xb4"


def _ipv4(protocol: int, body: bytes, options: bytes = b"", fragment: int = 0) -> bytes:
    words = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH", 0x40 | words, 0, 4 * words + len(body), 1, fragment, 64, protocol, 0)
    return head + bytes([10, 0, 1, 2, 10, 0, 53, 53]) + options + body


def _ipv6(protocol: int, body: bytes) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(body), protocol, 64) + bytes(range(32)) + body


_PACKET_SEEDS = (
    _ipv4(17, _UDP),
    _ipv4(6, _TCP),
    _ipv4(17, _UDP, options=b"\x94\4\0\0"),
    _ipv4(17, _UDP, fragment=0x2000),
    _ipv6(17, _UDP),
    _ipv6(0, b"\x3c\0\1\4\0\0\0\0" + b"\x2c\0\1\4\0\0\0\0" + b"\x11\0\0\0\0\0\0\7" + _UDP),
    _ipv6(51, b"\6\1" + bytes(10) + _TCP),
)


# --- Selectors ---


def fuzz_selector(data: bytes) -> None:
    """Any text: a `SelectorError` that says where, or a selector that its canonical text says again."""
    text = data.decode("utf-8", "replace")
    try:
        selector = parse(text)
    except SelectorError as error:
        assert 0 <= error.offset <= len(text)  # noqa: PT017
        return
    again = parse(selector.canonical)
    assert again == selector
    assert again.canonical == selector.canonical
    for labels in _LABELS:
        assert again.matches(labels) == selector.matches(labels)


_LABELS = ({}, {"a": "b"}, {"a": "x", "team": "red", "projectcalico.org/namespace": "n"}, {"in": "in", "has": ""})
_SELECTOR_SEEDS = (
    b"all()",
    b"",
    b"has(team) && role in {'db', \"cache\"} || !(a == 'b')",
    b"a != 'b' && a not in {'x'} && team contains 'e' && team starts with 'r' && team ends with 'd'",
    b"projectcalico.org/namespace == 'n' || global()",
    b"in in {'in',}",
)
_SELECTOR_WORDS = (
    b"has(", b"all()", b"global()", b" in {", b" not in {", b"contains ", b"starts with ", b"ends with ", b"&&", b"||",
    b"!", b"==", b"!=", b"'", b'"', b"}", b"(", b")",
)  # fmt: skip
_RESOURCE_WORDS = (
    b"apiVersion: ", b"projectcalico.org/v3", b"kind: ", b"NetworkPolicy", b"GlobalNetworkSet", b"WorkloadEndpoint",
    b"Tier", b"Profile", b"metadata:", b"name: ", b"spec:", b"selector: ", b"ingress:", b"egress:", b"action: ",
    b"domains: [", b"nets: [", b"ports: [", b"&a ", b"*a", b"<<: ", b"!!", b"|-", b"---\n", b"...\n",
)  # fmt: skip


def fuzz_spoken(data: bytes) -> None:
    """A client's first bytes, whole and in two segments: the same name, which is a name, or `UnspokenError`."""
    if not data:
        return
    try:
        whole = read_spoken(memoryview(data))
    except UnspokenError:
        whole = None
    assert whole is None or whole.name is None or checked_name(whole.name) == whole.name
    stream, cut = FirstBytes(7), data[0] % len(data)
    try:
        for at, part in ((cut, data[cut:]), (0, data[:cut])):
            if part:
                stream.add(7 + at, memoryview(part))
        joined = stream.spoken()
    except UnspokenError:
        joined = None
    assert joined == whole


# --- QUIC ---


def fuzz_quic(data: bytes) -> None:
    """A datagram, frames in one, or a greeting in two: a name or `UnspokenError`, in any order of the pieces the same."""
    way, body = data[:1], data[1:]
    if way == b"d":
        _greeted(body)
    elif way == b"f":
        _greeted(datagram(body))
    elif body:
        cut = body[0] % len(body)
        parts = datagram(crypto(0, body[:cut]), 0), datagram(crypto(cut, body[cut:]), 1)
        assert _greeted(*parts[::-1]) == _greeted(datagram(crypto(0, body)))


def _greeted(*datagrams: bytes) -> Spoken | str | None:
    """What they say, or why they are refused."""
    greeting, told = QuicGreeting(), None
    try:
        for each in datagrams:
            told = greeting.take(each)
    except UnspokenError as error:
        return error.reason
    assert told is None or told.name is None or checked_name(told.name) == told.name
    return told


_QUIC_HELLO = handshake(server_name(b"a.test"), ech())
_QUIC_SEEDS = (
    b"d" + datagram(crypto(0, _QUIC_HELLO)),
    b"d" + (initial(crypto(9, _QUIC_HELLO[9:]), 1) + initial(crypto(0, _QUIC_HELLO[:9]))).ljust(1200, b"\0"),
    b"f" + b"\2\1\1\0\1" + crypto(9, _QUIC_HELLO[9:]) + b"\0\1" + crypto(0, _QUIC_HELLO[:9]),
    b"f" + b"\3\1\1\1\1\1\1\1\1\1" + crypto(0, _QUIC_HELLO),
    b"h" + _QUIC_HELLO,
)


TARGETS = {
    "quic": Target(fuzz_quic, _QUIC_SEEDS, (b"\6\0\x40", b"\6\x40", b"\2", b"\x1c", b"\0\0", b"\xfe\x0d\0", b"\xc0\0\0\0\1")),
    "spoken": Target(
        fuzz_spoken,
        (hello("a.test"), hello(None, ech()), records(handshake(server_name(b"a.test")), 9), request("a.test")),
        (b"\0\0", b"\x16\x03\x01\0", b"\r\nHost: b.test", b"http://", b"\xfe\x0d\0"),
        8192,
    ),
    "forward": Target(
        fuzz_forward,
        (*_DNS_SEEDS, _message(0x8180, _NAME, 65, _record(b"\xc0\x0c", 65, b"\0\1\0\0\5\0\4\xfe\x0d\0\0\0\6\0\0"))),
        (b"\xc0\x0c", b"\0\5\0\4", b"\0\x29", b"\0\6\0\1", b"\0\x41\0\1"),
    ),
    "stream": Target(fuzz_stream, _STREAM_SEEDS, (b"\0\0", b"\0\x0c", b"\0\x0b", b"\xff\xff"), 2048),
    "dns": Target(fuzz_dns, _DNS_SEEDS, (b"\xc0\x0c", b"\0\1\0\1", b"\0\5\0\1", b"\0\x1c\0\1", b"\0\x41\0\1", b"\0\x27\0\1")),
    "packet": Target(fuzz_packet, _PACKET_SEEDS, (b"\x45", b"\x60", b"\x11", b"\x2c", b"\x3c"), 2048),
    "selector": Target(fuzz_selector, _SELECTOR_SEEDS, _SELECTOR_WORDS, 1024),
    "resources": Target(resources.one, resources.SEEDS, _RESOURCE_WORDS, 2048),
}  # fmt: skip
