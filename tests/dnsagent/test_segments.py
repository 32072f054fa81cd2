"""Streams of DNS put together from segments that pass by."""

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsagent.framing import frame
from dnsagent.segments import MAX_BYTES, MAX_EARLY_SEGMENTS, MAX_SIDES, LostStreamError, PassingStreams, Side
from tests.dnsagent.packets import tcp
from tests.dnsagent.stage import CLIENT, SERVER, A, answer, packed, query, record

SERVERS = {(packed(SERVER), 53)}
FIN, SYN, RST, ACK = 1, 2, 4, 16
ANSWERS = [answer(f"n{each}.test", record(f"n{each}.test", A, 60, f"198.51.100.{each}")) for each in range(4)]
MESSAGE = st.binary(min_size=12, max_size=300)


def streams():
    return PassingStreams(Counter())


def said(heard):
    return [each.payload for each in heard.packets]


class Server:
    """What a server sends to the client's port."""

    def __init__(self, reader, start=0xFFFFFF00, port=40_000):
        self.reader, self.next, self.port = reader, start, port

    def send(self, payload=b"", flags=ACK, sequence=None):
        at = self.next if sequence is None else sequence
        packet = tcp(SERVER, 53, CLIENT, self.port, payload, sequence=at, flags=flags)
        self.next = (at + len(payload) + bool(flags & SYN)) % 2**32
        return self.reader.hear(memoryview(packet), SERVERS)


@st.composite
def arrivals(draw):
    """A stream of messages, cut anywhere, in an order that windows allow, with copies that are cut otherwise."""
    messages = draw(st.lists(MESSAGE, min_size=1, max_size=6))
    stream = b"".join(map(frame, messages))
    cuts = sorted({0, len(stream), *draw(st.lists(st.integers(0, len(stream)), max_size=8))})
    pieces = [(first, last) for first, last in itertools.pairwise(cuts)]
    again = draw(st.lists(st.tuples(st.integers(0, len(stream)), st.integers(0, len(stream))), max_size=4))
    pieces += [(min(each), max(each)) for each in again]
    return messages, stream, draw(st.permutations(pieces))


@given(arrivals(), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_a_message_is_given_once_with_the_segment_that_completes_it(arrival, start):
    messages, stream, pieces = arrival
    side, found, known = Side(start), [], set()
    for first, last in pieces:
        found += side.add((start + first) % 2**32, stream[first:last])
        known |= set(range(first, last))
        whole, end = 0, 0
        for message in messages:
            end += len(frame(message))
            whole += known.issuperset(range(end))
        assert found == messages[:whole]
    assert len(side) == 0


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 31), st.binary(max_size=40)), max_size=40))
def test_no_segments_break_it_and_what_it_keeps_is_counted(segments):
    reader = streams()
    server = Server(reader)
    for sequence, flags, payload in segments:
        server.send(payload, flags, sequence)
        assert reader.kept_bytes == sum(len(side) for side in reader.sides())


def test_a_conversation_is_read_from_its_syn():
    server = Server(streams())
    assert said(server.send(flags=SYN | ACK)) == []
    data = frame(ANSWERS[0]) + frame(ANSWERS[1])
    assert said(server.send(data[:1])) == []
    assert said(server.send(data[1:-1])) == ANSWERS[:1]
    assert said(server.send(data[-1:])) == ANSWERS[1:2]


def test_questions_and_answers_tell_client_and_server_alike():
    reader = streams()
    question = query("n0.test")
    packet = tcp(CLIENT, 40_000, SERVER, 53, frame(question), sequence=7)
    asked = reader.hear(memoryview(packet), SERVERS)
    told = Server(reader).send(frame(ANSWERS[0]))
    assert (asked.is_answer, told.is_answer) == (False, True)
    for each in (asked.packets[0], told.packets[0]):
        assert (each.client, each.client_port, each.server, each.server_port, each.is_stream) == (
            packed(CLIENT), 40_000, packed(SERVER), 53, True,
        )  # fmt: skip


def test_a_stream_whose_beginning_was_not_seen_is_read_from_its_next_message():
    server = Server(streams())
    assert said(server.send(ANSWERS[0][5:])) == []
    assert said(server.send(frame(ANSWERS[1])[:20])) == []
    assert said(server.send(frame(ANSWERS[1])[20:])) == [ANSWERS[1]]


def test_the_same_syn_again_changes_nothing_and_another_begins_anew():
    reader = streams()
    server = Server(reader)
    server.send(flags=SYN | ACK)
    assert said(server.send(frame(ANSWERS[0]))) == [ANSWERS[0]]
    after = server.next
    server.send(flags=SYN | ACK, sequence=0xFFFFFF00)
    assert said(server.send(frame(ANSWERS[1]), sequence=after)) == [ANSWERS[1]]
    server.send(frame(ANSWERS[2])[:9])
    server.send(flags=SYN | ACK, sequence=1)
    assert said(server.send(frame(ANSWERS[3]))) == [ANSWERS[3]]


@pytest.mark.parametrize("flags", [FIN | ACK, RST])
def test_an_ended_conversation_keeps_no_place(flags):
    reader = streams()
    server = Server(reader)
    server.send(flags=SYN | ACK)
    server.send(b"\0")
    server.send(flags=flags)
    assert (len(reader), reader.kept_bytes) == (0, 0)


def test_an_end_that_came_early_waits_for_what_is_before_it():
    reader = streams()
    server = Server(reader, start=10)
    server.send(flags=SYN | ACK)
    data = frame(ANSWERS[0])
    server.send(data[20:], FIN | ACK, sequence=31)
    assert said(server.send(data[:20], sequence=11)) == [ANSWERS[0]]


def test_what_is_no_dns_is_left_and_counted():
    reader = streams()
    server = Server(reader)
    server.send(flags=SYN | ACK)
    assert said(server.send(b"\0\1\2")) == []
    assert (len(reader), reader.counters["tcp-framing"]) == (0, 1)


def test_too_much_behind_a_gap_is_given_up():
    side = Side(0)
    for number in range(MAX_EARLY_SEGMENTS):
        side.add(10 + 2 * number, b"x")
    with pytest.raises(LostStreamError):
        side.add(9_000, b"x")
    with pytest.raises(LostStreamError):
        Side(0).add(1, bytes((1 << 16) + 1))


def test_conversations_are_bounded_and_the_longest_silent_go():
    reader = streams()
    for port in range(MAX_SIDES + 1):
        Server(reader, port=1_000 + port).send(flags=SYN | ACK)
    assert (len(reader), reader.counters["tcp-cap"]) == (MAX_SIDES, 1)


def test_what_all_keep_together_is_bounded():
    reader = streams()
    for port in range(2 * MAX_BYTES // 60_000):
        server = Server(reader, port=1_000 + port)
        server.send(flags=SYN | ACK)
        server.send(b"\xff\xff" + bytes(59_000))
    assert MAX_BYTES - 60_000 < reader.kept_bytes <= MAX_BYTES
    assert reader.counters["tcp-cap"] > 0


def test_an_acknowledgement_begins_nothing():
    reader = streams()
    assert said(Server(reader).send()) == []
    assert len(reader) == 0


@pytest.mark.parametrize("packet", [b"", b"\x45", tcp(SERVER, 53, CLIENT, 1, b"abc")[:-1]])
def test_what_is_no_whole_segment_is_none(packet):
    assert streams().hear(memoryview(packet), SERVERS) is None
