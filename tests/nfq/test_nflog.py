"""The log reader on the real kernel: copies come numbered, losses are counted."""

import errno
import select

import pytest

from nfq.counters import LogCounters
from nfq.errors import QueueLostError, QueueRefusedError
from nfq.fake_log import FakeLog
from nfq.log_messages import LogOrigin
from nfq.nflog import LogSettings, RawLog
from tests.nfq.benches import KernelBench, open_descriptors
from tests.nfq.wire import wire

GROUP = 7
LOGGED_PORT = 4001


@pytest.fixture(scope="module")
def kernel_wire():
    with wire() as own:
        yield own


class KernelLogs:
    def __init__(self, own):
        self._wire = own

    def open(self, **fields):
        with self._wire.namespace.entered():
            return RawLog(LogSettings(group=GROUP, **fields))

    def send(self, contents):
        self._wire.send(contents, LOGGED_PORT)


class FakeLogs:
    def open(self, **fields):
        self.log = FakeLog(LogSettings(group=GROUP, **fields))
        return self.log

    def send(self, contents):
        self.log.offer(bytes(28) + contents, LogOrigin(b"seen", 0, 0, 1, None))


@pytest.fixture(params=[pytest.param("kernel", marks=pytest.mark.kernel), "fake"])
def logs(request):
    return FakeLogs() if request.param == "fake" else KernelLogs(request.getfixturevalue("kernel_wire"))


@pytest.fixture
def opened(logs):
    found = []

    def open_log(**fields):
        found.append(logs.open(**fields))
        return found[-1]

    yield open_log
    for log in found:
        log.close()


def test_copies_come_in_order_with_their_origin(logs, opened):
    log = opened()
    assert log.receive() == []
    for index in range(3):
        logs.send(b"query %d" % index)
    assert select.select([log], [], [], 0)[0]
    packets = log.receive()
    assert [bytes(packet.payload[28:]) for packet in packets] == [b"query 0", b"query 1", b"query 2"]
    assert [packet.sequence for packet in packets] == [0, 1, 2]
    assert {packet.origin for packet in packets} == {LogOrigin(b"seen", 0, 0, 1, None)}
    assert log.counters == LogCounters(received=3)


def test_copies_beyond_the_limit_wait(logs, opened):
    log = opened()
    for index in range(5):
        logs.send(b"%d" % index)
    assert [len(log.receive(limit=2)) for _ in range(4)] == [2, 2, 1, 0]
    assert log.counters.lost == 0


def test_copies_are_cut_to_the_range(logs, opened):
    log = opened(copy_bytes=40)
    logs.send(bytes(500))
    assert [len(packet.payload) for packet in log.receive()] == [40]


def test_closed_log_is_free_and_may_be_closed_twice(logs, opened):
    log = opened()
    before = open_descriptors()
    log.close()
    log.close()
    assert log.fileno() == -1
    assert open_descriptors() == before - 1
    log = opened()
    logs.send(b"x")
    assert [packet.sequence for packet in log.receive()] == [0]


@pytest.mark.kernel
def test_lost_copies_are_counted(kernel_wire):
    logs = KernelLogs(kernel_wire)
    log = logs.open(receive_buffer_bytes=16384)
    try:
        for _ in range(200):
            logs.send(b"query")
        lost = log.undelivered()  # before any copy is read whose number would tell
        got = len(log.receive(limit=1000))
        logs.send(b"query")
        got += len(log.receive())
        assert got < 201
        assert lost == 201 - got
        assert log.counters == LogCounters(received=got, lost=201 - got, undelivered=lost)
    finally:
        log.close()


@pytest.mark.kernel
def test_group_has_one_reader_and_a_refused_one_leaves_nothing_open(kernel_wire):
    logs = KernelLogs(kernel_wire)
    log = logs.open()
    before = open_descriptors()
    try:
        with pytest.raises(QueueRefusedError, match="cannot bind log group 7") as caught:
            logs.open()
        assert caught.value.errno in (errno.EPERM, errno.EBUSY)
        assert open_descriptors() == before
    finally:
        log.close()


@pytest.mark.kernel
def test_gathered_copies_come_in_one_datagram(kernel_wire):
    """Where the rule asks for no threshold of its own."""
    kernel_wire.nft("add rule inet t logged udp dport 4002 log group 8 snaplen 60\n")
    with kernel_wire.namespace.entered():
        log = RawLog(LogSettings(group=8, threshold=4, flush_seconds=5.0))
    try:
        for index in range(3):
            kernel_wire.send(b"%d" % index, 4002)
        assert log.receive() == []
        kernel_wire.send(b"3", 4002)
        packets = log.receive()
        assert [bytes(packet.payload[28:]) for packet in packets] == [b"0", b"1", b"2", b"3"]
        assert [packet.sequence for packet in packets] == [0, 1, 2, 3]
    finally:
        log.close()


@pytest.mark.kernel
def test_lost_socket_is_told(kernel_wire):
    log = KernelLogs(kernel_wire).open()
    KernelBench(kernel_wire, RawLog).break_socket(log)
    with pytest.raises(QueueLostError, match="cannot read log group 7"):
        log.receive()
    log.close()
