"""The decoder by hand: equal to two libraries on what all accept, and nothing but `DecodeError` for any bytes."""

import struct
import time

import dns.exception
import dns.message
import dns.rdataclass
import dns.rdatatype
import dnslib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsagent.codec import MAX_LABEL_STEPS, MAX_RECORDS, DecodeError, decode_answer, decode_question
from tests.dnsagent.stage import (
    AAAA,
    ANSWER,
    CNAME,
    DNAME,
    HTTPS,
    POINTER,
    A,
    answer,
    header,
    key,
    packed,
    query,
    record,
    service,
    wire,
)

TAME = st.sampled_from([b"a", b"B", b"www", b"Example", b"x.y", b"_dns", b"l" * 63])
"""Labels that all three read."""
ANY = st.one_of(TAME, st.binary(min_size=1, max_size=63))


def messages(labels):
    """(id, name, type, records), each record (owner, type, TTL, address or name or other data)."""
    names = st.lists(labels, min_size=1, max_size=3).map(tuple)
    ttls = st.integers(0, 2**31 - 1)
    records = st.one_of(
        st.tuples(names, st.just(A), ttls, st.binary(min_size=4, max_size=4)),
        st.tuples(names, st.just(AAAA), ttls, st.binary(min_size=16, max_size=16)),
        st.tuples(names, st.sampled_from([CNAME, DNAME]), ttls, names),
        st.tuples(names, st.just(16), ttls, st.just(b"\x04text")),
    )
    types = st.sampled_from([A, AAAA, HTTPS])
    return st.tuples(st.integers(0, 0xFFFF), names, types, st.lists(records, max_size=12))


MESSAGES = messages(ANY)


def folded(labels) -> bytes:
    return b"".join(bytes([len(label)]) + label.lower() for label in labels)


def expected(message):
    identifier, name, qtype, records = message
    kinds = {(A, AAAA): [], (CNAME,): [], (DNAME,): []}
    for owner, rtype, ttl, data in records:
        for types, found in kinds.items():
            if rtype in types:
                found.append((folded(owner), ttl, data if rtype in (A, AAAA) else folded(data)))
    return (identifier, folded(name), qtype, *kinds.values())


def ours(data: bytes):
    found = decode_answer(data)
    return (found.id, found.name, found.type, found.addresses, found.aliases, found.delegations)


def with_dnslib(message) -> bytes:
    identifier, name, qtype, records = message
    packet = dnslib.DNSRecord(
        dnslib.DNSHeader(id=identifier, bitmap=ANSWER), q=dnslib.DNSQuestion(dnslib.DNSLabel(name), qtype)
    )
    for owner, rtype, ttl, data in records:
        rdata = dnslib.CNAME(dnslib.DNSLabel(data)) if rtype in (CNAME, DNAME) else dnslib.RD(data)
        packet.add_answer(dnslib.RR(dnslib.DNSLabel(owner), rtype, ttl=ttl, rdata=rdata))
    return bytes(packet.pack())


def with_dnspython(message) -> bytes:
    identifier, name, qtype, records = message
    lines = dns.message.Message(identifier)
    lines.flags = ANSWER
    lines.question.append(dns.rrset.RRset(dns.name.Name((*name, b"")), 1, qtype))
    for owner, rtype, ttl, data in records:
        raw = b"".join(bytes([len(x)]) + x for x in data) + b"\0" if rtype in (CNAME, DNAME) else data
        rrset = dns.rrset.RRset(dns.name.Name((*owner, b"")), 1, rtype)
        rrset.add(dns.rdata.from_wire(1, rtype, raw, 0, len(raw)), ttl)
        lines.answer.append(rrset)
    return lines.to_wire(max_size=65535)


@given(MESSAGES)
def test_reads_what_two_libraries_write(message):
    assert ours(with_dnslib(message)) == expected(message)
    assert ours(with_dnspython(message)) == expected(message)


def read_by_dnslib(data: bytes):
    packet = dnslib.DNSRecord.parse(data)
    found = {A: [], CNAME: [], DNAME: []}
    for rr in packet.rr:
        if rr.rclass != 1:
            continue
        owner, ttl = folded(rr.rname.label), rr.ttl if rr.ttl < 2**31 else 0
        if rr.rtype in (A, AAAA):
            found[A].append((owner, ttl, packed(str(rr.rdata))))
        elif rr.rtype == CNAME:
            found[CNAME].append((owner, ttl, folded(rr.rdata.label.label)))
    return (packet.header.id, folded(packet.q.qname.label), packet.q.qtype, found[A], found[CNAME])


def read_by_dnspython(data: bytes):
    packet = dns.message.from_wire(data, one_rr_per_rrset=True, ignore_trailing=True)
    found = {A: [], CNAME: [], DNAME: []}
    for rrset in packet.answer:
        if rrset.rdclass != 1:
            continue
        owner = folded(rrset.name.labels[:-1])
        for rdata in rrset:
            if rrset.rdtype in (A, AAAA):
                found[A].append((owner, rrset.ttl, packed(rdata.address)))
            elif rrset.rdtype in (CNAME, DNAME):
                found[rrset.rdtype].append((owner, rrset.ttl, folded(rdata.target.labels[:-1])))
    question = packet.question[0]
    return (
        packet.id,
        folded(question.name.labels[:-1]),
        question.rdtype,
        found[A],
        found[CNAME],
        found[DNAME],
    )


@st.composite
def mutated(draw):
    data = bytearray(draw(st.sampled_from([with_dnslib, with_dnspython]))(draw(messages(TAME))))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(2, len(data) - 1))
        data[at] = draw(st.one_of(st.integers(0, 255), st.sampled_from([0xC0, 0x0C, 0, 1])))
    return bytes(data[: draw(st.integers(12, len(data)))] if draw(st.integers(0, 9)) == 0 else data)


@settings(max_examples=300)
@given(mutated())
def test_agrees_with_two_libraries_on_what_all_accept(data):
    try:
        mine = ours(data)
    except DecodeError:
        return
    try:
        first, second = read_by_dnslib(data), read_by_dnspython(data)
    except (dnslib.DNSError, dns.exception.DNSException, ValueError, IndexError, struct.error):
        return
    assert mine[:5] == first
    assert mine == second


@given(st.one_of(st.binary(max_size=200), mutated(), mutated().map(lambda data: header(1, 0, 1, 400, 0, 0) + data)))
def test_raises_nothing_but_its_own_error(data):
    for decode in (decode_answer, decode_question):
        try:
            decode(data)
        except DecodeError as error:
            where = error.offset
        else:
            continue
        assert 0 <= where <= len(data)


@given(MESSAGES, st.data())
def test_a_message_cut_anywhere_in_its_answers_is_refused(message, data):
    whole = with_dnspython(message)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(DecodeError):
        decode_answer(whole[:cut])


def test_letters_are_folded_and_nothing_else_is():
    found = decode_answer(answer("WwW.A.tEsT", record("WWW.a.TEST", A, 1, "192.0.2.1")))
    assert found.name == key("www.a.test")
    assert found.addresses[0][0] == found.name
    raw = header(1, ANSWER, 1, 0, 0, 0) + b"\x03\xc4\xd6\xdc\x00" + struct.pack("!HH", 1, 1)
    assert decode_answer(raw).name == b"\x03\xc4\xd6\xdc"
    assert decode_question(raw).name == b"\x03\xc4\xd6\xdc"


def test_a_dot_inside_a_label_is_no_separator():
    assert decode_question(query("evil\0a.test")).name == b"\x06evil.a\x04test"


def test_authority_and_additional_sections_are_not_read():
    glue = record("v.test", A, 60, "192.0.2.9")
    found = decode_answer(answer("a.test", authority=(glue,), additional=(glue, b"garbage")))
    assert found.addresses == []


def test_records_of_other_classes_are_left_out():
    assert decode_answer(answer("a.test", record(POINTER, A, 60, "192.0.2.1", class_=3))).addresses == []


@pytest.mark.parametrize("ttl", [2**31, 2**31 + 5, 2**32 - 1])
def test_a_ttl_with_the_top_bit_is_zero(ttl):
    assert decode_answer(answer("a.test", record(POINTER, A, ttl, "192.0.2.1"))).addresses[0][1] == 0


def test_the_longest_ttl_is_kept():
    assert decode_answer(answer("a.test", record(POINTER, A, 2**31 - 1, "192.0.2.1"))).addresses[0][1] == 2**31 - 1


def test_service_records_give_targets_and_hints():
    data = service(1, "", (1, b"\x02h2"), (4, packed("192.0.2.1") + packed("192.0.2.2")), (6, packed("2001:db8::1")))
    found = decode_answer(answer("a.test", record(POINTER, HTTPS, 30, data), qtype=HTTPS))
    assert found.hints == [(key("a.test"), 30, packed(each)) for each in ("192.0.2.1", "192.0.2.2", "2001:db8::1")]
    alias = decode_answer(answer("a.test", record(POINTER, HTTPS, 30, service(0, "b.test"))))
    assert alias.aliases == [(key("a.test"), 30, key("b.test"))]
    assert decode_answer(answer("a.test", record(POINTER, HTTPS, 30, service(0, "")))).aliases == []


LONG = ".".join("a" * 120)

# Each is a message that a hostile server might send, to make the reader fail or to keep it busy.
REFUSED = {
    "pointer-to-self": answer("a.test", record(struct.pack("!H", 0xC000 | 24), A, 1, "192.0.2.1")),
    "pointer-forward": answer("a.test", record(b"\xc0\xff", A, 1, "192.0.2.1") + bytes(300)),
    "pointer-loop": header(1, ANSWER, 1, 1, 0, 0) + b"\xc0\x0e\xc0\x0c" + bytes(20),
    "pointer-into-header": answer("a.test", record(b"\xc0\x02", A, 1, "192.0.2.1")),
    "pointer-cut": header(1, ANSWER, 1, 0, 0, 0) + b"\xc0",
    "pointer-chain": header(1, ANSWER, 1, 300, 0, 0)
    + wire("a.test")
    + struct.pack("!HH", 1, 1)
    + b"".join(
        struct.pack("!H", 0xC000 | (24 + 16 * number if number else 12)) + struct.pack("!HHIH", 1, 1, 60, 4) + bytes(4)
        for number in range(300)
    )
    + b"\xff",
    "label-64": answer("a.test", record(b"\x40" + b"a" * 64 + b"\0", A, 1, "192.0.2.1")),
    "label-type-2": answer("a.test", record(b"\x80a\0", A, 1, "192.0.2.1")),
    "name-256": answer("a.test", record(b"\x3f" + b"a" * 63 + POINTER, A, 1, "192.0.2.1"))[:40]
    + (b"\x3f" + b"b" * 63) * 4
    + bytes(20),
    "address-of-3": answer("a.test", record(POINTER, A, 1, b"\1\2\3")),
    "address-of-15": answer("a.test", record(POINTER, AAAA, 1, bytes(15))),
    "alias-longer-than-its-name": answer("a.test", record(POINTER, CNAME, 1, wire("b.test") + b"x")),
    "alias-shorter-than-its-name": answer("a.test", record(POINTER, CNAME, 1, wire("b.test")[:-2]) + bytes(4)),
    "no-question": header(1, ANSWER, 0, 1, 0, 0) + record("a.test", A, 1, "192.0.2.1"),
    "two-questions": header(1, ANSWER, 2, 0, 0, 0) + (wire("a.test") + struct.pack("!HH", 1, 1)) * 2,
    "header-only": header(1, ANSWER, 1, 1, 0, 0),
    "header-cut": header(1, ANSWER, 1, 1, 0, 0)[:11],
    "empty": b"",
    "65535-records": header(1, ANSWER, 1, 65_535, 0, 0) + wire("a.test") + struct.pack("!HH", 1, 1),
    "4000-records": answer("a.test", *[record(POINTER, A, 1, "192.0.2.1")] * 4000),
    "230-long-names": answer(
        "a.test", *(record(f"{'b' * (number % 9 + 1)}.{LONG}", A, 1, "192.0.2.1") for number in range(230))
    ),
    "230-long-names-by-pointers": answer(
        LONG,
        *(
            record(bytes([1, 97 + i % 26]) + struct.pack("!H", 0xC000 | 14 + 2 * (i % 50)), A, 1, bytes(4))
            for i in range(230)
        ),
    ),
    "64-KiB-of-labels": header(1, ANSWER, 1, 500, 0, 0) + (b"\x01a" * 126 + b"\0" + struct.pack("!HH", 1, 1)) * 250,
    "64-KiB-of-parameters": answer("a.test", record(POINTER, HTTPS, 1, b"\0\1\0" + b"\0\7\0\0" * 16_000)),
    "64-KiB-of-hints": answer("a.test", record(POINTER, HTTPS, 1, service(1, "", (4, bytes(60_000))))),
    "hint-of-5-bytes": answer("a.test", record(POINTER, HTTPS, 1, service(1, "", (4, bytes(5))))),
    "hint-of-no-bytes": answer("a.test", record(POINTER, HTTPS, 1, service(1, "", (6, b"")))),
    "parameter-past-its-record": answer("a.test", record(POINTER, HTTPS, 1, b"\0\1\0\0\4\0\x08" + bytes(4))),
    "service-target-past-its-record": answer("a.test", record(POINTER, HTTPS, 1, b"\0\1\3abc"[:5]) + bytes(9)),
    "service-cut": answer("a.test", record(POINTER, HTTPS, 1, b"\0\1")),
}
HEAVY = REFUSED | {
    "512-addresses": answer("a.test", *[record(POINTER, A, 1, "192.0.2.1")] * MAX_RECORDS),
    "900-hints": answer("a.test", record(POINTER, HTTPS, 1, service(1, "", (4, bytes(3600))))),
    "300-aliases": answer("a.test", *(record(f"x{i}.test", CNAME, 1, POINTER) for i in range(300))),
    "64-KiB-of-text": answer("a.test", *[record(POINTER, 16, 1, b"\xff" + bytes(255))] * 240),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_hostile_messages_are_refused(kind):
    with pytest.raises(DecodeError):
        decode_answer(REFUSED[kind])


@pytest.mark.parametrize("kind", HEAVY)
def test_no_message_costs_a_millisecond(kind):
    assert best_seconds(lambda: attempt(HEAVY[kind])) < 0.001


def attempt(data):
    try:
        decode_answer(data)
    except DecodeError:
        return


def best_seconds(call, rounds=15):
    best = 1.0
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def test_the_largest_honest_answers_are_read():
    names = [f"host-{number}.pool.example.com" for number in range(100)]
    found = decode_answer(answer("example.com", *(record(name, A, 60, "192.0.2.1") for name in names)))
    assert len(found.addresses) == 100
    assert MAX_LABEL_STEPS > 100 * 5
