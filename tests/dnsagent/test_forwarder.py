"""What becomes of questions, message by message; time stands where the test puts it."""

import pytest

from dnsagent.forward import forwarder as module
from dnsagent.forward.forwarder import ATTEMPT_SECONDS, STREAM_SECONDS, Group
from dnsagent.forward.messages import Rcode
from tests.dnsagent.forward_stage import SOA, Bench
from tests.dnsagent.stage import answer, record, service

A = "a.test. 60 A 192.0.2.1"


def rcodes(replies) -> list[int]:
    return [reply.data[3] & 15 for reply in replies]


def test_a_question_goes_upstream_and_its_answer_comes_back_under_the_askers_number():
    bench = Bench()
    replies, [send] = bench.ask("a.test", identifier=77)
    assert replies == []
    [reply], sends = bench.answer(send, A)
    assert reply.data[:2] == b"\0\x4d"
    assert sends == []
    assert len(bench.forwarder) == 0


def test_a_kept_reply_is_told_until_its_time_is_over():
    bench = Bench()
    _, [send] = bench.ask("a.test")
    bench.answer(send, A)
    bench.now += 59
    [reply], sends = bench.ask("A.test")
    assert (sends, reply.data[-10:-6]) == ([], (1).to_bytes(4, "big"))
    bench.now += 1
    replies, sends = bench.ask("a.test")
    assert (replies, len(sends)) == ([], 1)


def test_a_negative_reply_is_kept_by_its_soa():
    bench = Bench()
    _, [send] = bench.ask("no.test")
    bench.answer(send, rcode="NXDOMAIN", authority=(SOA,))
    [reply], _ = bench.ask("no.test")
    assert rcodes([reply]) == [Rcode.NXDOMAIN]


def test_the_same_question_under_way_is_asked_once_and_all_are_told():
    bench = Bench()
    _, [send] = bench.ask("a.test", port=1, identifier=1)
    assert bench.ask("a.test", port=2, identifier=2) == ([], [])
    assert bench.ask("A.TEST", port=3, identifier=3) == ([], [])
    replies, _ = bench.answer(send, A)
    assert [int.from_bytes(reply.data[:2], "big") for reply in replies] == [1, 2, 3]
    assert bench.counters["proxy-joined"] == 2


@pytest.mark.parametrize("what", ["id", "name", "upstream", "query"])
def test_a_forged_answer_changes_nothing(what):
    bench = Bench()
    _, [send] = bench.ask("a.test")
    forged = bytearray(
        answer("a.test", record("a.test", 1, 60, "192.0.2.66"), identifier=int.from_bytes(send.data[:2], "big"))
    )
    upstream = send.upstream
    if what == "id":
        forged[0] ^= 1
    elif what == "name":
        forged[13] ^= 1
    elif what == "query":
        forged[2] &= 0x7F
    else:
        upstream += 1
    assert bench.forwarder.answer(upstream, bytes(forged), bench.now) == ([], [])
    [reply], _ = bench.answer(send, A)
    assert b"\xc0\x00\x02\x01" in reply.data


def test_a_silent_server_is_followed_by_the_next_and_in_the_end_by_servfail():
    bench = Bench()
    _, [first] = bench.ask("a.test")
    _, [second] = bench.expire(ATTEMPT_SECONDS[0])
    _, [third] = bench.expire(ATTEMPT_SECONDS[1])
    assert [first.upstream, second.upstream, third.upstream] == [0, 1, 0]
    assert len({send.data[:2] for send in (first, second, third)}) == 3
    replies, sends = bench.expire(ATTEMPT_SECONDS[2])
    assert (rcodes(replies), sends) == ([Rcode.SERVFAIL], [])
    assert (len(bench.forwarder), bench.forwarder.next_deadline()) == (0, None)


def test_the_server_that_answered_is_asked_first_from_then_on():
    bench = Bench()
    bench.ask("a.test")
    _, [second] = bench.expire(ATTEMPT_SECONDS[0])
    bench.answer(second, A)
    _, [send] = bench.ask("b.test")
    assert send.upstream == 1


def test_a_late_answer_to_an_earlier_attempt_is_nobodys():
    bench = Bench()
    _, [first] = bench.ask("a.test")
    bench.expire(ATTEMPT_SECONDS[0])
    assert bench.answer(first, A) == ([], [])
    assert bench.counters["proxy-unexpected"] == 1


def test_a_server_that_will_not_answer_is_followed_by_the_next_and_the_last_is_believed():
    bench = Bench()
    _, [first] = bench.ask("a.test")
    replies, [second] = bench.answer(first, rcode="SERVFAIL")
    assert (replies, second.upstream) == ([], 1)
    replies, _ = bench.answer(second, rcode="REFUSED")
    assert rcodes(replies) == [Rcode.REFUSED]


def test_a_broken_server_gives_its_questions_to_the_next_at_once():
    bench = Bench()
    bench.ask("a.test")
    bench.ask("b.test")
    _, sends = bench.forwarder.fail(0, bench.now)
    assert [send.upstream for send in sends] == [1, 1]


def test_a_truncated_answer_is_fetched_over_a_stream():
    bench = Bench()
    _, [send] = bench.ask("a.test")
    replies, [again] = bench.answer(send, truncated=True)
    assert (replies, again.over_stream, again.upstream) == ([], True, 0)
    assert bench.expire(ATTEMPT_SECONDS[0]) == ([], [])
    replies, _ = bench.answer(again, *(f"a.test. 60 A 192.0.2.{number}" for number in range(50)))
    assert replies[0].data[2] & 2  # it does not fit this asker's datagram
    assert len(bench.store) == 1


def test_a_stream_has_its_own_patience():
    bench = Bench()
    _, [send] = bench.ask("a.test")
    bench.answer(send, truncated=True)
    _, [next_attempt] = bench.expire(STREAM_SECONDS)
    assert (next_attempt.upstream, next_attempt.over_stream) == (1, False)


def test_a_stale_reply_comes_after_one_vain_attempt_and_the_refresh_goes_on():
    bench = Bench(stale_seconds=3600)
    _, [send] = bench.ask("a.test")
    bench.answer(send, A)
    bench.now += 61
    assert bench.ask("a.test")[0] == []
    [reply], [again] = bench.expire(ATTEMPT_SECONDS[0])
    assert reply.data[-10:-6] == (30).to_bytes(4, "big")
    assert bench.answer(again, "a.test. 60 A 192.0.2.9") == ([], [])
    [fresh], _ = bench.ask("a.test")
    assert fresh.data.endswith(bytes([192, 0, 2, 9]))


def test_too_stale_is_never_told():
    bench = Bench(stale_seconds=100)
    _, [send] = bench.ask("a.test")
    bench.answer(send, A)
    bench.now += 161
    bench.ask("a.test")
    for seconds in ATTEMPT_SECONDS:
        replies, _ = bench.expire(seconds)
    assert rcodes(replies) == [Rcode.SERVFAIL]


def test_groups_do_not_share_replies():
    bench = Bench()
    _, [send] = bench.ask("a.test")
    bench.answer(send, A)
    bench.group = Group(b"\0\1", (2,))
    replies, [other] = bench.ask("a.test")
    assert (replies, other.upstream) == ([], 2)


def test_one_client_cannot_take_all_places(monkeypatch):
    monkeypatch.setattr(module, "MAX_PENDING_PER_CLIENT", 3)
    bench = Bench()
    sends = [bench.ask(f"n{number}.test", client="10.0.1.2")[1] for number in range(3)]
    replies, more = bench.ask("n9.test", client="10.0.1.2")
    assert (rcodes(replies), more) == ([Rcode.SERVFAIL], [])
    assert len(bench.ask("n9.test", client="10.0.1.3")[1]) == 1
    bench.answer(sends[0][0], "n0.test. 1 A 192.0.2.1")
    assert len(bench.ask("n8.test", client="10.0.1.2")[1]) == 1


def test_all_places_and_all_askers_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_PENDING", 2)
    monkeypatch.setattr(module, "MAX_ASKERS", 2)
    bench = Bench()
    bench.ask("a.test", port=1)
    bench.ask("b.test")
    assert rcodes(bench.ask("c.test")[0]) == [Rcode.SERVFAIL]
    assert bench.ask("a.test", port=2) == ([], [])
    assert rcodes(bench.ask("a.test", port=3)[0]) == [Rcode.SERVFAIL]
    assert (bench.counters["proxy-cap"], bench.counters["proxy-cap-askers"]) == (1, 1)


def test_ech_is_stripped_once_and_kept_so():
    bench = Bench(strips_ech=True)
    _, [send] = bench.ask("a.test", 65)
    identifier = int.from_bytes(send.data[:2], "big")
    data = answer("a.test", record("a.test", 65, 60, service(1, "", (5, b"secret"))), qtype=65, identifier=identifier)
    [reply], _ = bench.forwarder.answer(send.upstream, data, bench.now)
    [kept], _ = bench.ask("a.test", 65)
    assert b"secret" not in reply.data
    assert b"secret" not in kept.data


def test_the_store_forgets_what_was_used_longest_ago():
    bench = Bench()
    bench.store.max_bytes = 3000
    for number in range(20):
        _, [send] = bench.ask(f"n{number}.test")
        bench.answer(send, f"n{number}.test. 60 A 192.0.2.1")
    assert bench.store.used_bytes <= 3000
    assert bench.store.evicted == 20 - len(bench.store)
    assert bench.ask("n19.test")[1] == []
    assert len(bench.ask("n0.test")[1]) == 1
