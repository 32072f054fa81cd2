"""A conversation over TCP: what is read, what is passed on, and when it is over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsagent.framing import FramingError, frame
from dnsagent.relay import IDLE_SECONDS, MAX_OPEN_QUESTIONS, MAX_UNSENT_BYTES, Relay
from reconcile.instant import Instant
from tests.dnsagent.stage import answer, query

NOW = Instant(100.0)
QUESTION, ANSWER = query("a.test"), answer("a.test")


def relay_with(questions: int) -> Relay:
    relay = Relay(NOW)
    for each in relay.hear_client(frame(QUESTION) * questions, NOW):
        relay.ask(each)
    return relay


def test_messages_go_on_framed():
    relay = relay_with(2)
    assert relay.to_server == frame(QUESTION) * 2
    for each in relay.hear_server(frame(ANSWER), NOW):
        relay.tell(each)
    assert relay.to_client == frame(ANSWER)
    assert relay.open_questions == 1


def test_no_more_questions_are_taken_than_may_be_open_and_the_rest_follow_the_answers():
    relay = relay_with(MAX_OPEN_QUESTIONS + 5)
    assert relay.open_questions == MAX_OPEN_QUESTIONS
    assert not relay.reads_client
    relay.hear_server(frame(ANSWER) * 3, NOW)
    assert relay.hear_client(b"", NOW) == [QUESTION] * 3


def test_a_side_that_does_not_read_stops_the_other():
    relay = relay_with(1)
    relay.to_client += bytes(MAX_UNSENT_BYTES + 1)
    assert (relay.reads_server, relay.reads_client) == (False, True)
    relay.to_server += bytes(MAX_UNSENT_BYTES)
    assert not relay.reads_client


def test_only_whole_messages_prolong_it():
    relay = Relay(NOW)
    relay.hear_client(frame(QUESTION)[:-1], Instant(NOW + 5))
    assert relay.deadline == NOW + IDLE_SECONDS
    relay.hear_client(frame(QUESTION)[-1:], Instant(NOW + 6))
    assert relay.deadline == NOW + 6 + IDLE_SECONDS
    relay.hear_server(frame(ANSWER), Instant(NOW + 7))
    assert relay.deadline == NOW + 7 + IDLE_SECONDS


def test_a_client_that_has_asked_all_still_gets_its_answers():
    relay = relay_with(1)
    relay.client_is_done = True
    assert not relay.is_over
    relay.to_server.clear()
    assert not relay.is_over
    for each in relay.hear_server(frame(ANSWER), NOW):
        relay.tell(each)
    assert not relay.is_over
    relay.to_client.clear()
    assert relay.is_over


def test_it_is_over_when_the_server_is_done_and_all_is_told():
    relay = relay_with(2)
    relay.tell(ANSWER)
    relay.server_is_done = True
    assert not relay.is_over
    relay.to_client.clear()
    assert relay.is_over


def test_a_zone_transfer_answers_with_many_messages():
    relay = relay_with(1)
    assert len(relay.hear_server(frame(ANSWER) * 5, NOW)) == 5
    assert relay.open_questions == 0


@given(st.binary(max_size=300), st.sampled_from(["client", "server"]))
def test_any_bytes_are_messages_or_a_framing_error(data, side):
    relay = Relay(NOW)
    hear = relay.hear_client if side == "client" else relay.hear_server
    try:
        found = hear(data, NOW)
    except FramingError:
        return
    assert b"".join(map(frame, found)) == data[: sum(len(each) + 2 for each in found)]


def test_neither_side_may_send_what_is_no_message():
    for hear in (Relay(NOW).hear_client, Relay(NOW).hear_server):
        with pytest.raises(FramingError):
            hear(b"\0\0", NOW)
