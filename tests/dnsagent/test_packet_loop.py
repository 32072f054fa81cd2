"""The packet process's loop with a kernel that does what tests say, faults included."""

import gc
import os

import pytest

from dnsagent.packet_loop import MAX_COPIES
from nfq.nflog import LOG_LIMIT
from tests.dnsagent.packets import dns_answer, dns_query, syn
from tests.dnsagent.process import Process
from tests.dnsagent.stage import POINTER, A, answer, query, record, rule

ADDRESS = "198.51.100.10"
ANSWER = dns_answer(answer("a.test", record(POINTER, A, 60, ADDRESS)))
QUERY = dns_query(query("a.test"))
RULE = rule("r", "a.test", "*.a.test")


@pytest.fixture
def process(tmp_path):
    made = Process(tmp_path, RULE)
    made.turn()
    yield made
    made.close()


def named(number: int) -> tuple[bytes, bytes]:
    name = f"n{number}.a.test"
    port = 1024 + number
    records = record(POINTER, A, 60, f"198.51.{number >> 8}.{number & 255}")
    return dns_query(query(name), port=port), dns_answer(answer(name, records), port=port)


def test_an_answer_is_learned_and_goes(process):
    process.log.offer(QUERY)
    process.kernel.queue_packet(101, ANSWER)
    process.turn()
    assert process.passed() == [ANSWER]
    assert len(process.sets.elements) == 1


def test_thousands_of_queries_are_read_before_their_answers_are_judged(process):
    count = 20 * LOG_LIMIT
    for number in range(count):
        process.log.offer(named(number)[0])
    for number in range(count - 50, count):
        process.kernel.queue_packet(101, named(number)[1])
    # The answers' event may come first: they find their questions all the same.
    process.loop._on_answers(0)
    assert process.learner.counters["unsolicited"] == 0
    assert len(process.sets.elements) == 50


def test_a_flood_of_queries_does_not_keep_answers_waiting_for_ever(process):
    for _ in range(MAX_COPIES + LOG_LIMIT):
        process.log.offer(QUERY)
    assert sum(1 for _ in process.loop._copies(process.clock.now())) == MAX_COPIES


def test_a_denied_packet_waits_for_the_answer_and_goes(process):
    process.kernel.queue_packet(100, syn(ADDRESS))
    process.turn()
    assert process.kernel.repeated == []
    process.log.offer(QUERY)
    process.kernel.queue_packet(101, ANSWER)
    process.turn()
    assert [packet.payload for packet in process.kernel.repeated] == [syn(ADDRESS)]


def test_a_denied_packet_that_nobody_allows_is_dropped_in_time(process):
    process.kernel.queue_packet(100, syn(ADDRESS))
    process.turn()
    before = process.clock.now()
    process.turn(10)
    assert process.kernel.dropped == [syn(ADDRESS)]
    assert process.clock.now() - before < 3


def test_time_passes_without_packets(process):
    process.log.offer(QUERY)
    process.turn()
    assert len(process.learner.queries) == 1
    process.turn(120)
    assert len(process.learner.queries) == 0


@pytest.mark.parametrize("number", [100, 101])
def test_a_lost_queue_is_bound_again_and_goes_on(process, number):
    process.clock.advance(5)
    process.kernel.queue(number).lose()
    process.turn(3)
    assert process.kernel.queue(number) is not None
    process.log.offer(QUERY)
    process.kernel.queue_packet(101, ANSWER)
    process.turn()
    assert process.passed() == [ANSWER]
    assert len(process.sets.elements) == 1


def test_packets_that_died_with_their_queue_do_not_keep_their_clients_from_trying_again(process):
    process.clock.advance(5)
    process.kernel.queue_packet(100, syn(ADDRESS))
    process.loop._on_denied(0)
    process.kernel.queue(100).lose()
    for _ in range(2):
        process.loop._on_denied(0)
    process.kernel.queue_packet(100, syn(ADDRESS))
    process.loop._on_denied(0)
    process.log.offer(QUERY)
    process.kernel.queue_packet(101, ANSWER)
    process.loop._on_answers(0)
    assert process.learner.counters["denied-duplicate"] == 0
    assert [packet.payload for packet in process.kernel.repeated] == [syn(ADDRESS)]


def test_a_lost_log_is_bound_again_and_missing_questions_are_excused(process):
    process.clock.advance(5)
    process.log.lose()
    process.turn(3)
    assert len(process.logs) == 2
    process.kernel.queue_packet(101, ANSWER)
    process.turn()
    assert process.learner.counters["excused"] == 1
    assert len(process.sets.elements) == 1


def test_the_first_binding_excuses_nothing(process):
    process.kernel.queue_packet(101, ANSWER)
    process.turn()
    assert process.learner.counters["unsolicited"] == 1


def test_lost_copies_excuse_missing_questions(process):
    process.log.miss(7)
    process.kernel.queue_packet(101, ANSWER)
    process.turn()
    assert (process.learner.counters["query-log-lost"], process.learner.counters["excused"]) == (7, 1)


def test_all_readers_lost_at_once_may_swap_descriptors(process):
    # The kernel gives the lowest free number: the log's new descriptor may be the lost queue's old one.
    process.clock.advance(5)
    for _ in range(5):
        process.clock.advance(2)
        for reader in (process.kernel.queue(101), process.kernel.queue(100), process.log):
            reader.lose()
            reader.close()
        process.turn(4)
    process.log.offer(QUERY)
    process.kernel.queue_packet(101, ANSWER)
    process.turn()
    assert len(process.sets.elements) == 1


def test_a_descriptor_that_was_closed_may_become_a_peers_in_the_same_round(process):
    process.clock.advance(5)
    number = process.kernel.queue(101).fileno()
    knock = os.eventfd(1)

    def accept(events):
        del events
        os.eventfd_read(knock)
        os.dup2(knock, number)
        process.poller.watch(number, lambda events: None)

    process.kernel.queue(101).lose()
    process.poller.watch(knock, accept)
    process.turn(2)
    assert process.poller.handler(number) is not None
    assert process.kernel.queue(101).fileno() != number
    for each in (number, knock):
        process.poller.unwatch(each)
        os.close(each)


def test_refused_binding_is_tried_again(tmp_path):
    process = Process(tmp_path, RULE)
    process.kernel.refuse(5)
    process.turn(30)
    process.log.offer(QUERY)
    process.kernel.queue_packet(101, ANSWER)
    process.turn()
    assert process.passed() == [ANSWER]
    process.close()


def test_without_queues_the_log_teaches(tmp_path):
    process = Process(tmp_path, RULE)
    object.__setattr__(process.loop.readers, "answers", None)
    object.__setattr__(process.loop.readers, "denied", None)
    del process.loop._handlers[1:]
    process.turn()
    process.log.offer(QUERY)
    process.log.offer(ANSWER)
    process.turn()
    assert len(process.sets.elements) == 1
    process.close()


def test_a_bug_ends_the_loop_and_every_held_packet_has_its_one_verdict(tmp_path):
    def explode(changes):
        raise RuntimeError("a bug of ours")

    process = Process(tmp_path, RULE)
    process.sets.write = explode
    process.turn()
    answers = [named(number)[1] for number in range(10)]
    for number in range(10):
        process.log.offer(named(number)[0])
        process.kernel.queue_packet(101, answers[number])
    denied = [syn(f"203.0.113.{number}") for number in range(5)]
    for each in denied:
        process.kernel.queue_packet(100, each)
    process.loop._on_denied(0)
    with pytest.raises(RuntimeError, match="a bug of ours"):
        process.loop.run()
    assert sorted(process.passed()) == sorted(answers)
    assert sorted(process.kernel.dropped) == sorted(denied)
    assert process.kernel.queue(100) is None
    assert process.kernel.queue(101) is None
    process.poller.close()


def test_stopping_delivers_answers_and_drops_the_denied(tmp_path):
    process = Process(tmp_path, RULE, learn_delay_seconds=2.0)
    process.turn()
    process.log.offer(QUERY)
    process.kernel.queue_packet(101, ANSWER)
    process.kernel.queue_packet(100, syn(ADDRESS))
    process.turn()
    assert (process.passed(), process.kernel.dropped) == ([], [])
    process.close()
    assert (process.passed(), process.kernel.dropped) == ([ANSWER], [syn(ADDRESS)])


def test_what_opened_something_is_in_the_journal(process):
    process.log.offer(QUERY)
    process.kernel.queue_packet(101, ANSWER)
    process.turn()
    process.turn(3)
    assert (process.state / "names.journal").stat().st_size > len(ANSWER) - 28


def test_nothing_that_comes_and_goes_is_kept_by_a_cycle(process):
    """The collector is off here: what only it could free would stay for ever."""

    def work(first: int) -> None:
        for number in range(first, first + 200):
            query_, answer_ = named(number)
            process.kernel.queue_packet(100, syn(f"198.51.{number >> 8}.{number & 255}"))
            process.log.offer(query_)
            process.kernel.queue_packet(101, answer_)
            process.kernel.queue_packet(100, syn(f"203.0.113.{number & 255}"))
            process.turn()
        process.turn(10)

    work(0)
    gc.collect()
    gc.disable()
    try:
        work(200)
        # The fake kernel's and the test's own few; a thousand packets came.
        assert gc.collect() < 50
    finally:
        gc.enable()
