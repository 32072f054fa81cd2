"""Held answers: learned, acknowledged, then released; and answers that are only watched."""

from collections import Counter

import pytest

from dnsagent.denied import DeniedPackets
from dnsagent.framing import frame
from dnsagent.hold import AnswerPath
from dnsagent.kernel_sets import KernelSets
from dnsagent.queries import LIFE_SECONDS
from nfq.fake import FakeKernel, FakeQueue
from nfq.log_messages import LoggedPacket, LogOrigin
from nfq.queue import QueueSettings
from nft.errors import NftError
from tests.dnsagent.packets import dns_answer, dns_query, tcp, udp
from tests.dnsagent.stage import CLIENT, CLIENT6, POINTER, PORT, SERVER, A, Stage, answer, query, record, rule

ADDRESS = "198.51.100.10"
ANSWER = dns_answer(answer("a.test", record(POINTER, A, 60, ADDRESS)))
QUERY = dns_query(query("a.test"))


class Writer:
    def __init__(self) -> None:
        self.batches: list[int] = []
        self.verdicts_before: list[int] = []
        self.kernel: FakeKernel | None = None
        self.fails = False

    def write(self, changes):
        if self.fails:
            raise NftError(1, "write", "table t")
        self.batches.append(len(changes))
        self.verdicts_before.append(len(self.kernel.passed))


class Bench:
    def __init__(self, **options) -> None:
        self.stage = Stage(rule("r", "a.test", "*.a.test"), **options)
        self.counters = self.stage.learner.counters
        self.kernel, self.writer, self.learned = FakeKernel(), Writer(), []
        self.writer.kernel = self.kernel
        sets = KernelSets(self.writer, self.counters)
        denied = DeniedPackets(self.stage.learner, self.counters)
        self.path = AnswerPath(self.stage.learner, sets, denied, self.counters, self.learned.append)
        self.queue = FakeQueue(self.kernel, QueueSettings(number=101))

    def come(self, *answers: bytes, copies: tuple[bytes, ...] = ()) -> None:
        for each in answers:
            self.kernel.queue_packet(101, each)
        with self.queue.receive() as batch:
            self.path.take(batch, logged(*copies), self.stage.now)

    def wait(self, seconds: float) -> None:
        self.stage.now += seconds
        self.path.expire(self.stage.now)

    def passed(self) -> list[bytes]:
        return [packet.payload for packet in self.kernel.passed]


def logged(*packets: bytes) -> list[LoggedPacket]:
    return [LoggedPacket(memoryview(each), LogOrigin(), number) for number, each in enumerate(packets)]


@pytest.fixture
def bench():
    return Bench()


def test_the_copies_are_read_before_the_answers_are_judged(bench):
    bench.come(ANSWER, copies=(QUERY,))
    assert bench.stage.is_open(ADDRESS)
    assert bench.passed() == [ANSWER]


def test_over_tcp_the_segment_that_completes_an_answer_waits_and_no_other(bench):
    stream = frame(answer("a.test", record(POINTER, A, 60, ADDRESS)))
    first = tcp(SERVER, 53, CLIENT, PORT, stream[:30], sequence=1)
    last = tcp(SERVER, 53, CLIENT, PORT, stream[30:], sequence=31)
    asked = tcp(CLIENT, PORT, SERVER, 53, frame(query("a.test")), sequence=9)
    bench.come(first, copies=(asked,))
    assert (bench.passed(), bench.stage.is_open(ADDRESS)) == ([first], False)
    bench.come(last, copies=(asked,))
    assert bench.stage.is_open(ADDRESS)
    assert (bench.writer.batches, bench.writer.verdicts_before, bench.passed()) == ([1], [1], [first, last])


def test_over_tcp_an_answer_that_nobody_asked_for_passes_and_opens_nothing(bench):
    stream = frame(answer("a.test", record(POINTER, A, 60, ADDRESS)))
    segment = tcp(SERVER, 53, CLIENT, PORT, stream)
    bench.come(segment)
    assert (bench.passed(), bench.stage.is_open(ADDRESS)) == ([segment], False)
    assert bench.counters["unsolicited"] == 1


def test_over_tcp_copies_of_answers_teach_as_well(bench):
    asked = tcp(CLIENT, PORT, SERVER, 53, frame(query("a.test")))
    told = tcp(SERVER, 53, CLIENT, PORT, frame(answer("a.test", record(POINTER, A, 60, ADDRESS))))
    bench.come(copies=(asked, told))
    assert bench.stage.is_open(ADDRESS)


def test_the_element_is_in_the_kernel_before_the_answer_goes(bench):
    bench.come(ANSWER, copies=(QUERY,))
    assert (bench.writer.batches, bench.writer.verdicts_before) == ([1], [0])


def test_a_batch_is_one_transaction(bench):
    answers = [
        dns_answer(answer(f"n{number}.a.test", record(POINTER, A, 60, f"198.51.100.{number}"), identifier=number))
        for number in range(20)
    ]
    queries = tuple(dns_query(query(f"n{number}.a.test", identifier=number)) for number in range(20))
    bench.come(*answers, copies=queries)
    assert bench.writer.batches == [20]
    assert bench.passed() == answers
    assert len(bench.learned) == 20


def test_answers_that_teach_nothing_go_without_a_transaction(bench):
    bench.come(ANSWER, udp(CLIENT6, 53, CLIENT6, 1, b""), b"\x45junk")
    assert len(bench.passed()) == 3
    assert bench.writer.batches == []
    assert bench.counters["unsolicited"] == 1
    assert bench.counters["no-datagram"] == 1
    assert bench.learned == []


def test_a_late_answer_is_late_whether_or_not_copies_wait(bench):
    bench.come(copies=(QUERY,))
    bench.stage.now += LIFE_SECONDS + 1
    bench.come(ANSWER, copies=(dns_query(query("b.test", identifier=77)),))
    assert bench.counters["late"] == 1
    assert bench.counters["replay"] == 0


def test_a_question_asked_again_makes_its_late_answer_good(bench):
    bench.come(copies=(QUERY,))
    bench.stage.now += LIFE_SECONDS + 1
    bench.come(ANSWER, copies=(QUERY,))
    assert bench.stage.is_open(ADDRESS)


def test_copies_are_left_unread_where_every_question_is_known(bench):
    bench.come(copies=(QUERY,))
    copies = iter(logged(QUERY))
    bench.kernel.queue_packet(101, ANSWER)
    with bench.queue.receive() as batch:
        bench.path.take(batch, copies, bench.stage.now)
    assert bench.stage.is_open(ADDRESS)
    assert len(list(copies)) == 1


def test_copies_that_are_no_messages_are_counted(bench):
    bench.come(copies=(b"", b"\x45junk", udp("10.0.1.2", 1, "10.0.53.53", 53, b"ab")))
    assert bench.counters["no-datagram"] == 3


def test_answers_among_the_copies_are_learned_where_nobody_holds_them(bench):
    bench.come(copies=(QUERY, ANSWER))
    assert bench.stage.is_open(ADDRESS)
    assert len(bench.learned) == 1


def test_an_answer_goes_even_if_the_kernel_refuses_its_element(bench):
    bench.writer.fails = True
    bench.come(ANSWER, copies=(QUERY,))
    assert bench.passed() == [ANSWER]
    assert not bench.stage.is_open(ADDRESS)
    assert bench.counters["program-failed"] > 0


def test_an_exception_delivers_the_answers_all_the_same(bench):
    def fail(*_):
        raise RuntimeError

    bench.writer.write = fail
    with pytest.raises(RuntimeError):
        bench.come(ANSWER, ANSWER, copies=(QUERY,))
    assert bench.passed() == [ANSWER, ANSWER]


# --- Learning delayed, for tests ---


def test_delayed_learning_holds_the_answer_until_it_is_learned():
    bench = Bench(learn_delay_seconds=0.2)
    bench.come(ANSWER, copies=(QUERY,))
    assert (bench.passed(), bench.stage.is_open(ADDRESS)) == ([], False)
    assert bench.path.next_deadline() == pytest.approx(bench.stage.now + 0.2)
    bench.wait(0.1)
    assert bench.passed() == []
    bench.wait(0.11)
    assert (bench.passed(), bench.stage.is_open(ADDRESS)) == ([ANSWER], True)
    assert bench.writer.verdicts_before == [0]
    assert bench.path.next_deadline() is None
    bench.wait(10)
    assert bench.passed() == [ANSWER]


def test_no_answer_is_held_longer_than_the_bound():
    bench = Bench(learn_delay_seconds=5.0, max_hold_seconds=3.0)
    bench.come(ANSWER, copies=(QUERY,))
    bench.wait(2.9)
    assert bench.passed() == []
    bench.wait(0.2)
    assert (bench.passed(), bench.stage.is_open(ADDRESS)) == ([ANSWER], False)
    assert bench.counters["held-too-long"] == 1
    bench.wait(3)
    assert bench.passed() == [ANSWER]
    assert bench.stage.is_open(ADDRESS)


def test_delayed_copies_are_learned_later_too():
    bench = Bench(learn_delay_seconds=0.2)
    bench.come(copies=(QUERY, ANSWER))
    assert not bench.stage.is_open(ADDRESS)
    bench.wait(0.3)
    assert bench.stage.is_open(ADDRESS)


def test_closing_delivers_what_is_held():
    bench = Bench(learn_delay_seconds=5.0)
    bench.come(ANSWER, copies=(QUERY,))
    bench.path.close()
    assert bench.passed() == [ANSWER]
    assert bench.path.next_deadline() is None


def test_what_cannot_be_held_for_want_of_room_is_learned_at_once(monkeypatch):
    monkeypatch.setattr("dnsagent.hold.MAX_DELAYED", 1)
    bench = Bench(learn_delay_seconds=5.0)
    bench.come(ANSWER, copies=(QUERY,))
    other = dns_answer(answer("b.a.test", record(POINTER, A, 60, ADDRESS), identifier=8))
    bench.come(other, copies=(dns_query(query("b.a.test", identifier=8)),))
    assert bench.passed() == [other]
    assert bench.stage.is_open(ADDRESS)


def test_counters_of_the_path_are_the_learners(bench):
    assert isinstance(bench.counters, Counter)
