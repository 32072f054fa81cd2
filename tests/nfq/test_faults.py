"""Faults that the kernel does not show on demand: its answers are scripted."""

import errno

import pytest

from netlink import message
from nfq import conntrack, nflog, raw
from nfq.connection import Connection
from nfq.conntrack import Conntrack
from nfq.counters import LogCounters, QueueCounters
from nfq.errors import ConntrackError, QueueLostError, QueueRefusedError
from nfq.held import DROP
from nfq.nflog import LogSettings, RawLog
from nfq.packet import FiveTuple
from nfq.queue import QueueSettings
from nfq.raw import RawQueue
from nfq.supervise import SupervisedQueue
from reconcile.instant import Instant
from tests.nfq.scripted import ACKNOWLEDGED, ScriptedSocket, logged, queued, refused


@pytest.fixture
def play(monkeypatch):
    """Makes the next netlink socket a scripted one."""

    def play(*script):
        played = ScriptedSocket(*script)
        for module in (raw, nflog, conntrack):
            monkeypatch.setattr(module, "NetlinkSocket", lambda **_: played)
        return played

    return play


@pytest.fixture
def no_socket(monkeypatch):
    def refuse(**_):
        raise OSError(errno.EPROTONOSUPPORT, "no netlink")

    for module in (raw, nflog, conntrack):
        monkeypatch.setattr(module, "NetlinkSocket", refuse)


def verdicts(sent: bytes):
    """Kind, action and id of each message that was sent."""
    found = []
    for one in message.messages(sent):
        head = bytes(dict(message.attributes(one.body))[2])
        found.append((one.type & 0xFF, head[3], int.from_bytes(head[4:], "big")))
    return found


def test_queue_without_a_socket_is_refused(no_socket):
    with pytest.raises(QueueRefusedError, match="cannot bind queue 5: EPROTONOSUPPORT"):
        RawQueue(QueueSettings(number=5))
    with pytest.raises(QueueRefusedError, match="cannot bind log group 5: EPROTONOSUPPORT"):
        RawLog(LogSettings(group=5))
    with pytest.raises(ConntrackError, match="cannot open the connection table: EPROTONOSUPPORT"):
        Conntrack()


@pytest.mark.parametrize("answer", [refused(errno.EPERM), TimeoutError(), ConnectionRefusedError(111, "no")])
def test_refused_set_up_closes_its_socket(play, answer):
    for opener, settings in ((RawQueue, QueueSettings(number=5)), (RawLog, LogSettings(group=5))):
        played = play(answer)
        with pytest.raises(QueueRefusedError):
            opener(settings)
        assert played.is_closed


def test_packets_before_the_acknowledgement_come_first_and_within_the_limit(play):
    played = play(queued(1), queued(2), queued(3), ACKNOWLEDGED, queued(4))
    queue = RawQueue(QueueSettings(number=5))
    seen = []
    for _ in range(3):
        with queue.receive(limit=2) as batch:
            seen.append([packet.id for packet in batch])
    assert seen == [[1, 2], [3, 4], []]
    assert [verdicts(data) for data in played.sent[1:]] == [[(3, 1, 2)], [(3, 1, 4)]]


def test_overrun_is_counted_and_reading_goes_on(play):
    play(ACKNOWLEDGED, queued(1), OSError(errno.ENOBUFS, "overrun"), queued(4))
    queue = RawQueue(QueueSettings(number=5))
    with queue.receive() as batch:
        assert [packet.id for packet in batch] == [1, 4]
    assert queue.counters == QueueCounters(received=2, accepted=2, overruns=1, missed=2)


def test_messages_that_are_no_packets_are_counted_and_stepped_over(play):
    broken = queued(1)[:20] + b"\xff" * 40
    play(ACKNOWLEDGED, broken, refused(errno.ENOENT), message.message(99, 0, 0) + b"\xff" * 40, queued(1))
    queue = RawQueue(QueueSettings(number=5))
    with queue.receive() as batch:
        assert [packet.id for packet in batch] == [1]
    assert (queue.counters.malformed, queue.counters.refused_verdicts) == (2, 1)


def test_interrupted_read_gives_what_was_read_its_verdict(play):
    played = play(ACKNOWLEDGED, queued(1), queued(2), KeyboardInterrupt(), queued(3))
    queue = RawQueue(QueueSettings(number=5, default=DROP))
    with pytest.raises(KeyboardInterrupt):
        queue.receive()
    assert verdicts(played.sent[-1]) == [(3, 0, 2)]
    with queue.receive() as batch:
        assert [packet.id for packet in batch] == [3]
    assert (queue.counters.received, queue.counters.dropped) == (3, 3)


def test_lost_socket_gives_what_was_read_its_verdict(play):
    played = play(ACKNOWLEDGED, queued(1), OSError(errno.EBADF, "gone"))
    queue = RawQueue(QueueSettings(number=5))
    with pytest.raises(QueueLostError, match="cannot read queue 5"):
        queue.receive()
    assert verdicts(played.sent[-1]) == [(3, 1, 1)]


def test_large_verdicts_are_sent_in_parts(play):
    played = play(ACKNOWLEDGED, *[queued(index) for index in range(1, 6)])
    queue = RawQueue(QueueSettings(number=5))
    with queue.receive() as batch:
        for packet in list(batch)[:4]:
            packet.accept(payload=bytes(30000))
    assert [verdicts(data) for data in played.sent[1:]] == [
        [(1, 1, 1), (1, 1, 2)],
        [(1, 1, 3), (1, 1, 4), (3, 1, 5)],
    ]


def test_queue_that_cannot_send_closes_at_once_so_that_the_kernel_lets_go(play):
    played = play(ACKNOWLEDGED, queued(1), queued(2))
    queue = RawQueue(QueueSettings(number=5))
    with queue.receive():
        played.send_error = OSError(errno.ENOBUFS, "no memory")
    assert played.is_closed
    assert queue.counters.lost_verdicts == 2
    with pytest.raises(QueueLostError, match="no memory"):
        queue.receive()


def test_supervised_queue_that_cannot_send_asks_to_be_read_at_once_and_comes_back(play):
    first = play(ACKNOWLEDGED, queued(1))
    queue = SupervisedQueue(5, lambda counters: RawQueue(QueueSettings(number=5), counters), Instant(0.0))
    with queue.receive(Instant(10.0)):
        first.send_error = OSError(errno.ENOBUFS, "no memory")
    assert queue.fileno() is None
    assert queue.next_attempt_at() == 10.0
    queue.receive(Instant(20.0)).close()
    assert (queue.fileno(), queue.next_attempt_at()) == (None, 20.0)
    play(ACKNOWLEDGED)
    queue.receive(Instant(20.0)).close()
    assert (queue.fileno(), queue.next_attempt_at(), queue.counters.rebinds) == (99, None, 1)


def test_log_keeps_early_copies_counts_overruns_and_steps_over_what_is_broken(play):
    broken = bytes([200]) + logged(7)[1:]
    play(logged(0), ACKNOWLEDGED, OSError(errno.ENOBUFS, "overrun"), logged(3), broken, logged(4))
    log = RawLog(LogSettings(group=5))
    assert [packet.sequence for packet in log.receive()] == [0, 3, 4]
    assert log.counters == LogCounters(received=3, lost=2, overruns=1, malformed=1)


def connection() -> Connection:
    five = FiveTuple(4, 17, b"abcd", b"efgh", 1, 2)
    return Connection(original=five, reply=five, id=b"\0\0\0\1", key=message.be32(1, 1))


def test_refused_list_and_deletion_are_told_apart(play):
    played = play(OSError(errno.EPERM, "no"), refused(errno.EBUSY, 3) + refused(errno.ENOENT, 2))
    table = Conntrack()
    with pytest.raises(ConntrackError, match="cannot list connections: EPERM"):
        table.connections()
    with pytest.raises(ConntrackError, match="cannot delete connections: EBUSY") as caught:
        table.delete([connection(), connection()])
    assert caught.value.errno == errno.EBUSY
    table.close()
    assert played.is_closed


def test_answers_to_others_do_not_count(play):
    play(refused(0, 99) + message.message(1, 0, 1) + refused(0, 1))
    assert Conntrack().delete([connection()]) == 1


def test_table_that_never_empties_is_left_after_a_few_passes(monkeypatch, play):
    play()
    table = Conntrack()
    monkeypatch.setattr(Conntrack, "connections", lambda *_, **__: [connection()])
    monkeypatch.setattr(Conntrack, "delete", lambda _, found: len(list(found)))
    assert table.cut() == 3
