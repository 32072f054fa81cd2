"""What the readers of the real kernel do when they are too slow, or too late."""

import threading
from contextlib import contextmanager

import pytest

from nfq.held import ACCEPT
from nfq.library import LibraryQueue
from nfq.queue import QueueSettings
from nfq.queue_table import read_queues
from nfq.raw import RawQueue
from nfq.supervise import SupervisedQueue
from reconcile.instant import Instant
from tests.nfq.benches import KernelBench
from tests.nfq.wire import wire

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def kernel_wire():
    with wire() as own:
        yield own


@pytest.fixture(params=[RawQueue, LibraryQueue])
def bench(request, kernel_wire):
    kernel_wire.arrived()
    return KernelBench(kernel_wire, request.param)


def test_packets_that_do_not_fit_the_buffer_are_missed_and_counted(bench):
    queue = bench.open(QueueSettings(number=5, receive_buffer_bytes=8192))
    try:
        for index in range(100):
            bench.send(b"packet %d" % index)
        got = 0
        while len(batch := queue.receive()):
            got += len(batch)
        # A gap shows when the next packet comes.
        bench.send(b"last")
        queue.receive().close()
        row = bench.table()[5]
        assert got < 100
        assert row.undelivered == 100 - got == queue.counters.missed
        assert queue.counters.overruns == 0
        assert len(bench.arrived()) == got + 1
    finally:
        queue.close()


def test_small_buffer_may_fail_open(bench):
    queue = bench.open(QueueSettings(number=5, receive_buffer_bytes=8192, fail_open=True))
    try:
        for index in range(100):
            bench.send(b"packet %d" % index)
        while len(queue.receive()):
            pass
        bench.send(b"last")
        queue.receive().close()
        assert len(bench.arrived()) == 101
        assert queue.counters.missed > 0
        assert bench.table()[5].undelivered == 0
    finally:
        queue.close()


def test_packets_that_come_while_the_queue_is_bound_are_not_forgotten(bench):
    """The acknowledgement of the set-up may stand behind packets in the socket."""
    for _ in range(10):
        with flood(bench):
            queue = bench.open(QueueSettings(number=5, max_length=8192))
        while len(queue.receive()):
            pass
        row = bench.table()[5]
        assert (row.waiting, row.undelivered) == (0, 0)
        assert queue.counters.received == queue.counters.accepted == row.last_id
        queue.close()
        bench.arrived()


@contextmanager
def flood(bench):
    stop = threading.Event()

    def send():
        while not stop.is_set():
            bench.send(b"x")

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        stop.set()
        sender.join()


def test_supervised_queue_is_back_within_a_second_of_losing_its_socket(kernel_wire):
    kernel_wire.queue_to(6)

    def opener(counters):
        with kernel_wire.namespace.entered():
            return RawQueue(QueueSettings(number=6, default=ACCEPT), counters)

    queue = SupervisedQueue(6, opener, Instant(0.0))
    bench = KernelBench(kernel_wire, RawQueue)
    try:
        queue.receive(Instant(0.0)).close()
        kernel_wire.send(b"one")
        with queue.receive(Instant(0.1)) as batch:
            assert len(batch) == 1
        bench.break_socket(queue)
        kernel_wire.send(b"dropped: nobody is bound")
        with queue.receive(Instant(0.2)) as batch:
            assert len(batch) == 0
        assert not queue.condition().is_healthy
        due = queue.next_attempt_at()
        assert due is not None
        assert due <= 0.3
        queue.receive(due).close()
        kernel_wire.send(b"two")
        with queue.receive(due) as batch:
            assert len(batch) == 1
        with kernel_wire.namespace.entered():
            queue.observe(read_queues(), due)
        assert queue.condition().is_healthy
        assert queue.counters.rebinds == 1
        assert [data for data, _ in kernel_wire.arrived()] == [b"one", b"two"]
    finally:
        queue.close()
