"""Messages as the forwarder handles them: dnslib reads what we write, and every byte sequence is a message or a DecodeError."""

import random
import struct

import dnslib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsagent.codec import DecodeError
from dnsagent.forward import messages
from dnsagent.forward.messages import ExtendedError, Rcode
from tests.dnsagent.forward_stage import SOA, asked, question, reply_to
from tests.dnsagent.stage import answer, query, record, service


def parsed(data: bytes) -> dnslib.DNSRecord:
    return dnslib.DNSRecord.parse(data)


# --- queries ---


def test_a_query_is_read_with_its_spelling():
    read = messages.read_query(question("WwW.a.test", 28, 9, 4096, dnssec=True))
    assert (read.id, read.type, read.name, read.udp_bytes) == (9, 28, b"\3www\1a\4test", 1232)
    assert b"WwW" in read.question
    assert (read.has_edns, read.dnssec_ok) == (True, True)


@pytest.mark.parametrize(
    "data",
    [
        b"", query("a.test")[:-1], query("a.test", flags=0x8100), query("a.test", flags=0x2900), answer("a.test"),
        query("a.test")[:12] + b"\xc0\x0c" + b"\0\1\0\1", question("a.test", edns=512)[:-3],
    ],
)  # fmt: skip
def test_what_is_no_query_is_refused(data):
    if data == answer("a.test"):
        data = answer("a.test", record("a.test", 1, 1, "192.0.2.1"), flags=0x0100)
    with pytest.raises(DecodeError):
        messages.read_query(data)


def test_queries_with_the_same_reply_have_the_same_key_and_no_others():
    keys = [
        asked("a.test").key, asked("b.test").key, asked("a.test", 28).key, asked("a.test", edns=1232).key,
        asked("a.test", edns=1232, dnssec=True).key,
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert asked("A.TEST", identifier=9).key == asked("a.test").key
    assert asked("a.test", edns=4096).key == asked("a.test", edns=600).key


def test_nothing_of_the_client_goes_upstream_but_the_question():
    cookie = b"\0\x0a\0\x08" + bytes(8)
    data = question("a.test", edns=4096)[:-2] + struct.pack("!H", len(cookie)) + cookie
    sent = parsed(messages.upstream_query(messages.read_query(data), 4711))
    assert (sent.header.id, str(sent.q.qname), sent.header.rd) == (4711, "a.test.", 1)
    assert [(each.rtype, each.rclass, list(each.rdata)) for each in sent.ar] == [(41, 1232, [])]
    assert parsed(messages.upstream_query(asked("a.test"), 1)).ar == []


# --- replies ---


@pytest.mark.parametrize(
    ("lines", "authority", "rcode", "kept"),
    [
        (("a.test. 60 A 192.0.2.1", "a.test. 30 A 192.0.2.2"), (), "NOERROR", 30),
        (("a.test. 60 CNAME b.test.", "b.test. 5 A 192.0.2.2"), (), "NOERROR", 5),
        ((), (SOA,), "NXDOMAIN", 60),
        ((), (SOA,), "NOERROR", 60),
        (("a.test. 20 CNAME b.test.",), (SOA,), "NXDOMAIN", 20),
        ((), (), "NXDOMAIN", 0),
        (("a.test. 60 A 192.0.2.1",), (), "SERVFAIL", 0),
        (("a.test. 999999 A 192.0.2.1",), (), "NOERROR", 86_400),
        ((), ("test. 99999 IN SOA ns.test. root.test. 1 2 3 4 88888",), "NXDOMAIN", 10_800),
    ],
)
def test_how_long_a_reply_is_kept(lines, authority, rcode, kept):
    """RFC 2308: negative ones by the SOA record's TTL and minimum, none without."""
    data = reply_to(query("a.test"), *lines, authority=authority, rcode=rcode)
    assert messages.read_reply(data, asked("a.test")).kept_seconds == kept


def test_a_reply_to_another_question_is_none():
    with pytest.raises(DecodeError):
        messages.read_reply(reply_to(query("b.test"), "b.test. 60 A 192.0.2.1"), asked("a.test"))
    with pytest.raises(DecodeError):
        messages.read_reply(query("a.test"), asked("a.test"))


def test_a_reply_is_told_in_the_askers_words():
    data = reply_to(query("a.test", identifier=1), "a.test. 60 A 192.0.2.1")
    told = parsed(messages.addressed(data, asked("A.tEsT", identifier=99)))
    assert (told.header.id, str(told.q.qname), str(told.rr[0].rdata)) == (99, "A.tEsT.", "192.0.2.1")


def test_ttls_run_down_but_not_below_nothing():
    data = reply_to(question("a.test", edns=1232), "a.test. 60 A 192.0.2.1", "a.test. 5 A 192.0.2.2")
    layout = messages.read_reply(data, asked("a.test"))
    assert [each.ttl for each in parsed(messages.aged(data, layout.ttls, 10)).rr] == [50, 0]
    assert [each.ttl for each in parsed(messages.with_ttl(data, layout.ttls, 30)).rr] == [30, 30]


def test_a_reply_that_does_not_fit_says_so_and_nothing_else():
    lines = [f"a.test. 60 A 192.0.2.{number}" for number in range(60)]
    data = reply_to(query("a.test"), *lines)
    cut = parsed(messages.fitting(data, asked("a.test")))
    assert (cut.header.tc, cut.rr) == (1, [])
    assert messages.fitting(data, asked("a.test", edns=1232)) == data


@pytest.mark.parametrize("edns", [None, 1232])
@pytest.mark.parametrize("ttl", [0, 60])
def test_our_own_refusals_are_whole_messages(edns, ttl):
    said = parsed(messages.refusal(asked("a.test", edns=edns), Rcode.NXDOMAIN, ExtendedError.BLOCKED, ttl))
    assert (said.header.rcode, str(said.q.qname), bool(said.auth)) == (3, "a.test.", bool(ttl))
    assert bool(said.ar) == (edns is not None)
    if ttl:
        assert said.auth[0].rtype == 6
        assert (
            messages.read_reply(
                messages.refusal(asked("a.test"), Rcode.NXDOMAIN, None, ttl), asked("a.test")
            ).kept_seconds
            == 60
        )


def test_a_malformed_query_is_told_so_but_a_reply_is_not_answered():
    said = parsed(messages.malformed_reply(query("a.test")[:14]))
    assert said.header.rcode == dnslib.RCODE.FORMERR
    assert messages.malformed_reply(answer("a.test")) is None
    assert messages.malformed_reply(b"short") is None
    assert messages.malformed_reply(query("a.test", flags=0x2800))[3] & 15 == Rcode.NOTIMP


# --- ech ---

ALPN, HINT4, ECH, HINT6 = (1, b"\2h3"), (4, bytes([192, 0, 2, 1])), (5, b"\xfe\x0dsecret"), (6, bytes(16))


@pytest.mark.parametrize("parameters", [(ECH,), (ALPN, ECH), (ALPN, HINT4, ECH, HINT6), (ECH, HINT6), (ALPN, HINT4)])
def test_ech_is_cut_out_and_all_else_stays(parameters):
    data = answer(
        "a.test", *(record("a.test", 65, 60, service(number, "", *parameters)) for number in (1, 2)), qtype=65
    )
    clean = messages.without_ech(data, messages.read_reply(data, asked("a.test", 65)))
    rest = tuple(each for each in parameters if each is not ECH)
    assert clean == answer(
        "a.test", *(record("a.test", 65, 60, service(number, "", *rest)) for number in (1, 2)), qtype=65
    )


def test_a_reply_whose_names_point_behind_the_cut_is_given_up():
    first = record("a.test", 65, 60, service(1, "", ECH))
    second = record("b.test", 1, 60, "192.0.2.1")
    start = len(answer("a.test", first, qtype=65))
    third = struct.pack("!H", 0xC000 | start) + struct.pack("!HHIH", 1, 1, 60, 4) + bytes(4)
    data = answer("a.test", first, second, third, qtype=65)
    assert messages.without_ech(data, messages.read_reply(data, asked("a.test", 65))) is None


# --- any bytes ---


@given(st.binary(max_size=200))
def test_any_bytes_are_a_query_or_a_decode_error(data):
    try:
        read = messages.read_query(data)
    except DecodeError:
        return
    assert messages.upstream_query(read, 7)[12 : 12 + len(read.question)] == read.question


@given(st.integers(0, 2**32), st.integers(1, 8))
def test_any_damage_to_a_reply_is_survived(seed, count):
    dice = random.Random(seed)
    data = bytearray(
        answer(
            "a.test", record("a.test", 5, 60, "b.test"), record("b.test", 65, 60, service(1, "", ALPN, ECH)),
            authority=(record("test", 6, 60, b"\1a\0\1b\0" + bytes(20)),), qtype=65,
        )
    )  # fmt: skip
    for _ in range(count):
        data[dice.randrange(2, len(data))] = dice.randrange(256)
    damaged, wanted = bytes(data[: dice.randint(12, len(data))]), asked("a.test", 65)
    try:
        layout = messages.read_reply(damaged, wanted)
        clean = messages.without_ech(damaged, layout)
    except DecodeError:
        return
    assert 0 <= layout.kept_seconds <= 86_400
    assert len(messages.aged(damaged, layout.ttls, 5)) == len(damaged)
    assert clean is None or len(clean) <= len(damaged)
