"""Questions and answers become exchanges: read as people write them, paired, timed, bounded."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsagent.desk import shown
from dnsagent.tap import ANSWER, QUESTION, Opened, Sighting
from reconcile.instant import Instant
from tests.dnsagent.stage import AAAA, CLIENT, CNAME, HTTPS, PORT, SERVER, A, answer, packed, query, record, service
from tidegate.dnslog.exchange import (
    MAX_CHARACTERS,
    MAX_RECORDS,
    UNANSWERED_SECONDS,
    Conversations,
    read_sighting,
)

TXT = 16


def sighting(kind, payload, at=1000.0, *, port=PORT, is_stream=False, reason="", opened=None):
    return Sighting(kind, Instant(at), packed(CLIENT), port, packed(SERVER), 53, payload, is_stream, reason, opened)


def asked(name="a.test", at=1000.0, **options):
    return sighting(QUESTION, query(name), at, **options)


def told(name="a.test", *records, at=1000.5, flags=0x8180, qtype=A, **options):
    return sighting(ANSWER, answer(name, *records, flags=flags, qtype=qtype), at, **options)


def test_a_question_and_its_answer_are_one_exchange_with_the_time_between():
    conversations = Conversations()
    assert conversations.note(asked()) is None
    found = conversations.note(told("a.test", record("a.test", A, 60, "198.51.100.1")))
    assert (found.qname, found.qtype, found.qclass, found.rcode) == ("a.test", "A", "IN", "NoError")
    assert found.latency_seconds == pytest.approx(0.5)
    assert (found.client, found.server, found.is_stream) == (packed(CLIENT), packed(SERVER), False)
    assert [(each.name, each.class_, each.type, each.rdata) for each in found.rrsets] == [
        ("a.test", "IN", "A", ("198.51.100.1",))
    ]


def test_records_are_grouped_by_owner_and_type_and_names_lose_their_last_dot():
    found = Conversations().note(
        told(
            "a.test",
            record("a.test", CNAME, 60, "B.test"),
            record("b.test", A, 60, "198.51.100.1"),
            record("b.test", A, 60, "198.51.100.2"),
        )
    )
    assert [(each.name, each.type, each.rdata) for each in found.rrsets] == [
        ("a.test", "CNAME", ("B.test",)),
        ("b.test", "A", ("198.51.100.1", "198.51.100.2")),
    ]


@pytest.mark.parametrize(("number", "word"), [(2, "ServFail"), (3, "NXDomain"), (5, "Refused"), (13, "RCODE13")])
def test_the_code_of_an_answer_is_a_word(number, word):
    assert Conversations().note(told(flags=0x8180 | number)).rcode == word


def test_what_was_read_at_once_has_no_time_between():
    conversations = Conversations()
    conversations.note(asked())
    assert conversations.note(told(at=1000.0)).latency_seconds is None


def test_a_question_sent_again_waits_since_it_was_first_sent():
    conversations = Conversations()
    conversations.note(asked())
    conversations.note(asked(at=1001.0))
    assert conversations.note(told(at=1003.0)).latency_seconds == pytest.approx(3.0)


def test_an_answer_of_another_port_transport_or_question_is_not_the_answer():
    conversations = Conversations()
    conversations.note(asked())
    for other in (told(port=PORT + 1), told(is_stream=True), told("b.test"), told(qtype=AAAA)):
        assert conversations.note(other).latency_seconds is None
    assert conversations.note(told()).latency_seconds is not None


def test_a_question_that_nobody_answers_is_an_exchange_without_an_answer_once():
    conversations = Conversations()
    conversations.note(asked())
    assert list(conversations.expire(Instant(1000.0 + UNANSWERED_SECONDS - 0.1))) == []
    (found,) = conversations.expire(Instant(1000.0 + UNANSWERED_SECONDS))
    assert (found.qname, found.rcode, found.rrsets, found.latency_seconds) == ("a.test", None, (), None)
    assert list(conversations.expire(Instant(2000.0))) == []


def test_what_an_answer_opened_comes_with_it_through_the_packet_process():
    opened = Opened()
    opened.note("set-1", packed("198.51.100.1"), 60.0)
    written = shown(told("a.test", opened=opened, reason="cap-endpoint"))
    found = Conversations().note(read_sighting(written))
    assert (found.rules, found.opened, found.reason) == (("set-1",), {packed("198.51.100.1"): 60.0}, "cap-endpoint")


def test_a_malformed_answer_is_told_without_its_records():
    payload = answer("a.test", record("a.test", A, 60, "198.51.100.1"))[:-2]
    found = Conversations().note(sighting(ANSWER, payload, reason="malformed"))
    assert (found.qname, found.rrsets, found.left_out, found.reason) == ("a.test", (), 1, "malformed")


def test_what_has_no_question_is_counted():
    conversations = Conversations()
    assert conversations.note(sighting(ANSWER, bytes(12))) is None
    assert conversations.unreadable == 1


def test_long_answers_are_cut_and_it_is_told_how_much():
    many = [record("a.test", A, 60, f"198.51.{number // 250}.{number % 250}") for number in range(MAX_RECORDS + 7)]
    found = Conversations().note(told("a.test", *many))
    assert (len(found.rrsets[0].rdata), found.left_out) == (MAX_RECORDS, 7)
    text = b"".join(bytes([250]) + b"x" * 250 for _ in range(8))
    found = Conversations().note(told("a.test", record("a.test", TXT, 60, text), qtype=TXT))
    assert len(found.rrsets[0].rdata[0]) == MAX_CHARACTERS + 3
    assert found.rrsets[0].rdata[0].endswith("...")


def test_types_without_a_word_are_told_by_their_number():
    found = Conversations().note(told("a.test", record("a.test", 65_280, 60, b"\1\2"), qtype=65_280))
    assert (found.qtype, found.rrsets[0].type) == ("TYPE65280", "TYPE65280")


def test_a_service_record_is_told():
    data = service(1, ".", (4, packed("198.51.100.1")))
    found = Conversations().note(told("a.test", record("a.test", HTTPS, 60, data), qtype=HTTPS))
    assert found.qtype == "HTTPS"
    assert found.rrsets[0].type == "HTTPS"


def test_at_the_bound_the_oldest_question_is_forgotten_and_counted():
    conversations = Conversations(max_pending=2)
    for port in range(3):
        conversations.note(asked(port=port))
    assert conversations.forgotten == 1
    assert len(list(conversations.expire(Instant(2000.0)))) == 2


@given(st.binary(max_size=200), st.sampled_from((QUESTION, ANSWER)))
def test_no_bytes_break_it(junk, kind):
    conversations = Conversations()
    head = struct.pack("!HHHHHH", 7, 0x8180, 1, 3, 0, 0) + b"\1a\4test\0" + struct.pack("!HH", A, 1)
    for payload in (junk, head + junk):
        conversations.note(sighting(kind, payload))
    assert len(list(conversations.expire(Instant(5000.0)))) <= 2
