"""A supervised queue or log comes back whatever happens to its socket, and says how it fares."""

import errno

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nfq.binding import FIRST_WAIT_SECONDS, LAST_WAIT_SECONDS
from nfq.fake import FakeKernel, FakeQueue
from nfq.fake_log import FakeLog
from nfq.health import QUIET_SECONDS, LossWatch
from nfq.nflog import LogSettings
from nfq.queue import QueueSettings
from nfq.queue_table import parse_queues, read_queues
from nfq.supervise import SupervisedLog, SupervisedQueue
from reconcile.instant import Instant

NUMBER = 101
SETTINGS = QueueSettings(number=NUMBER, max_length=4)


def at(seconds: float) -> Instant:
    return Instant(float(seconds))


@pytest.fixture
def kernel():
    return FakeKernel()


@pytest.fixture
def queue(kernel):
    supervised = SupervisedQueue(NUMBER, lambda counters: FakeQueue(kernel, SETTINGS, counters), at(0))
    yield supervised
    supervised.close()


def bound(queue, seconds=0.0):
    queue.receive(at(seconds)).close()
    assert queue.fileno() is not None


def test_first_read_binds(kernel, queue):
    assert (queue.fileno(), queue.next_attempt_at(), queue.generation) == (None, 0.0, 0)
    assert not queue.condition().is_healthy
    bound(queue)
    kernel.queue_packet(NUMBER, b"packet")
    with queue.receive(at(1)) as batch:
        assert [bytes(packet.payload) for packet in batch] == [b"packet"]
    assert (queue.next_attempt_at(), queue.generation) == (None, 1)
    assert queue.condition().is_healthy


def test_lost_queue_is_bound_at_once_if_it_was_good(kernel, queue):
    bound(queue)
    kernel.queue(NUMBER).lose()
    with queue.receive(at(50)) as batch:
        assert len(batch) == 0
    assert queue.next_attempt_at() == 50.0
    assert queue.condition().reason == "queue 101 is unbound: cannot read queue 101: [Errno 9] Bad file descriptor"
    assert queue.condition().since == 50.0
    bound(queue, 50.0)
    assert (queue.generation, queue.counters.rebinds) == (2, 1)


def test_queue_that_dies_at_every_read_is_not_opened_in_a_loop(kernel, queue):
    now = 0.0
    for _ in range(20):
        bound(queue, now)
        kernel.queue(NUMBER).lose()
        queue.receive(at(now))
        now = queue.next_attempt_at()
    assert queue.counters.rebinds == 19
    assert 10 < now < 20


def test_refused_queue_is_tried_with_growing_pauses(kernel, queue):
    kernel.refuse(12)
    now, waits = 0.0, []
    while queue.fileno() is None:
        queue.receive(at(now)).close()
        if (due := queue.next_attempt_at()) is not None:
            waits.append(due - now)
            queue.receive(at((now + due) / 2)).close()
            assert queue.counters.failed_binds == len(waits)
            now = due
    assert waits[0] == pytest.approx(FIRST_WAIT_SECONDS)
    assert waits[:7] == pytest.approx([0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64])
    assert waits[7:] == pytest.approx([LAST_WAIT_SECONDS] * 5)
    assert queue.counters.rebinds == 0


def test_condition_names_the_refusal(kernel, queue):
    kernel.refuse(1, errno.EACCES)
    queue.receive(at(0)).close()
    assert queue.condition().reason == "queue 101 is unbound: cannot bind queue 101: EACCES"
    assert queue.condition().since == 0.0


def test_verdicts_that_cannot_be_sent_end_the_binding(kernel, queue):
    bound(queue)
    kernel.queue_packet(NUMBER, b"packet")
    with queue.receive(at(1)) as batch:
        assert len(batch) == 1
        kernel.queue(NUMBER).refuse_to_send()
    assert queue.counters.lost_verdicts == 1
    assert kernel.dropped == [b"packet"]
    queue.receive(at(2)).close()
    bound(queue, 2)
    assert queue.counters.rebinds == 1


def test_binding_that_died_in_silence_is_noticed_by_the_kernels_table(kernel, queue):
    bound(queue)
    queue.observe(kernel.table(), at(1))
    assert queue.condition().is_healthy
    kernel.unbind_queue(NUMBER)
    queue.observe(kernel.table(), at(2))
    assert queue.fileno() is None
    bound(queue, 2)
    queue.observe(kernel.table(), at(3))
    assert queue.fileno() is not None


def test_without_a_table_the_binding_is_trusted(kernel, queue):
    bound(queue)
    queue.observe(None, at(1))
    assert queue.fileno() is not None


def test_losses_degrade_until_it_has_been_quiet(kernel, queue):
    bound(queue)
    for index in range(6):
        kernel.queue_packet(NUMBER, b"%d" % index)
    queue.observe(kernel.table(), at(10))
    assert queue.waiting == 4
    assert queue.condition().reason == "2 packets found the queue full"
    assert queue.condition().since == 10.0
    kernel.queue(NUMBER).overrun([b"a"])
    queue.receive(at(11)).close()
    queue.observe(kernel.table(), at(11))
    assert queue.condition().reason == "2 packets found the queue full, 1 packets found the socket full"
    assert queue.condition().since == 10.0
    queue.observe(kernel.table(), at(11 + QUIET_SECONDS - 1))
    assert not queue.condition().is_healthy
    queue.observe(kernel.table(), at(11 + QUIET_SECONDS))
    assert queue.condition().is_healthy
    assert queue.condition().since == 11 + QUIET_SECONDS
    assert (queue.counters.kernel_dropped, queue.counters.kernel_undelivered, queue.counters.overruns) == (2, 1, 1)


def test_kernel_counters_add_up_over_bindings(kernel, queue):
    for _ in range(2):
        bound(queue, queue.generation * 10)
        for _ in range(6):
            kernel.queue_packet(NUMBER, b"x")
        queue.observe(kernel.table(), at(queue.generation * 10))
        kernel.queue(NUMBER).lose()
        queue.receive(at(queue.generation * 10)).close()
    assert queue.counters.kernel_dropped == 4


def test_packets_gone_before_their_verdict_degrade(kernel, queue):
    bound(queue)
    kernel.queue_packet(NUMBER, b"x")
    with queue.receive(at(1)) as batch:
        next(iter(batch)).drop()
        kernel.queue(NUMBER).forget(1)
    queue.observe(kernel.table(), at(1))
    assert queue.condition().reason == "1 packets were gone before their verdict"


def test_supervised_log_comes_back_and_tells_of_losses():
    logs = []

    def opener(counters):
        logs.append(FakeLog(LogSettings(group=3), counters))
        return logs[-1]

    log = SupervisedLog(3, opener, at(0))
    assert log.receive(at(0)) == []
    logs[0].offer(b"query")
    assert [bytes(packet.payload) for packet in log.receive(at(1))] == [b"query"]
    logs[0].lose()
    assert log.receive(at(2)) == []
    assert log.condition().reason.startswith("log group 3 is unbound: cannot read log group 3")
    assert log.receive(at(2)) == []
    assert (log.generation, log.counters.rebinds) == (2, 1)
    logs[1].miss(3)
    log.observe(at(3))
    assert log.condition().reason == "3 copies were lost"
    log.close()
    assert log.fileno() is None


class Coming(RuleBasedStateMachine):
    """Whatever is done to the socket, the queue is bound again at most a second after the kernel lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = FakeKernel()
        self.now = 0.0
        self.queue = SupervisedQueue(NUMBER, lambda c: FakeQueue(self.kernel, SETTINGS, c), at(0))
        self.sent = 0

    def teardown(self):
        self.queue.close()

    @rule(seconds=st.floats(0, 3))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def read(self):
        with self.queue.receive(at(self.now)):
            pass

    @rule()
    def lose(self):
        queue = self.kernel.queue(NUMBER)
        if queue is not None:
            queue.lose()

    @rule(times=st.integers(1, 3))
    def refuse(self, times):
        self.kernel.refuse(times)

    @rule()
    def send(self):
        self.sent += 1
        self.kernel.queue_packet(NUMBER, b"packet")

    @rule()
    def observe(self):
        self.queue.observe(self.kernel.table(), at(self.now))

    @rule()
    def recover(self):
        """From any state: a few reads at the times the queue asks for, and it is bound."""
        self.kernel._refusals.clear()
        started = self.now
        for _ in range(2):
            self.now = max(self.now, self.queue.next_attempt_at() or 0.0)
            self.queue.receive(at(self.now)).close()
        self.now = max(self.now, self.queue.next_attempt_at() or 0.0)
        self.queue.receive(at(self.now)).close()
        assert self.kernel.queue(NUMBER) is not None
        assert self.now - started <= 2 * LAST_WAIT_SECONDS

    @invariant()
    def next_attempt_is_near(self):
        due = self.queue.next_attempt_at()
        assert due is None or due <= self.now + LAST_WAIT_SECONDS

    @invariant()
    def unbound_is_never_called_healthy(self):
        assert self.queue.fileno() is not None or not self.queue.condition().is_healthy

    @invariant()
    def every_packet_is_accounted_for(self):
        held = sum(row.waiting for row in self.kernel.table().values())
        assert len(self.kernel.passed) + len(self.kernel.dropped) + held == self.sent


TestComing = Coming.TestCase


def test_new_stretch_of_losses_is_counted_anew():
    watch = LossWatch(at(0))
    watch.observe({"losses": 0}, at(1))
    assert watch.condition().is_healthy
    watch.observe({"losses": 5}, at(2))
    watch.observe({"losses": 7}, at(3))
    assert watch.condition().reason == "7 losses"
    watch.observe({"losses": 7}, at(3 + QUIET_SECONDS))
    watch.observe({"losses": 8}, at(100))
    assert watch.condition().reason == "1 losses"


def test_kernel_table_is_read_by_column():
    text = "  101 2551863337     3 2 65531     7     9       55  1\n  100  44 0 2 0 0 0 0 1\nnonsense\n1 2 3\n"
    rows = parse_queues(text)
    assert set(rows) == {101, 100}
    row = rows[101]
    assert (row.port, row.waiting, row.dropped, row.undelivered, row.last_id) == (2551863337, 3, 7, 9, 55)


def test_absent_table_is_none(tmp_path):
    assert read_queues(tmp_path / "none") is None
