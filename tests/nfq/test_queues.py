"""The promises of a `PacketQueue`, kept by all its readers: raw netlink, the library, the fake."""

import errno
import select
from collections.abc import Iterator

import pytest

from nfq.counters import QueueCounters
from nfq.errors import QueueLostError, QueueRefusedError
from nfq.held import ACCEPT, DROP
from nfq.holder import Holder
from nfq.library import LibraryQueue
from nfq.queue import PacketQueue, QueueSettings
from nfq.raw import RawQueue
from reconcile.instant import Instant
from tests.nfq.benches import Bench, FakeBench, KernelBench, open_descriptors
from tests.nfq.wire import REPEATED, Wire, udp_packet, wire

NUMBER = 5
LATER = Instant(1e9)


@pytest.fixture(scope="module")
def kernel_wire() -> Iterator[Wire]:
    with wire() as own:
        yield own


@pytest.fixture(
    params=[
        pytest.param("raw", marks=pytest.mark.kernel),
        pytest.param("library", marks=pytest.mark.kernel),
        "fake",
    ]
)
def bench(request) -> Iterator[Bench]:
    if request.param == "fake":
        yield FakeBench()
        return
    own = request.getfixturevalue("kernel_wire")
    own.arrived()
    yield KernelBench(own, RawQueue if request.param == "raw" else LibraryQueue)


@pytest.fixture
def opened(bench):
    """Opens queues that are closed when the test ends."""
    queues: list[PacketQueue] = []

    def open_queue(**fields) -> PacketQueue:
        queues.append(bench.open(QueueSettings(number=NUMBER, **fields)))
        return queues[-1]

    yield open_queue
    for queue in queues:
        queue.close()


def contents(packet) -> bytes:
    return bytes(packet.payload[28:])


def arrived(bench) -> list[bytes]:
    return [data for data, _ in bench.arrived()]


def send(bench, count: int) -> list[bytes]:
    sent = [b"packet %d" % index for index in range(count)]
    for data in sent:
        bench.send(data)
    return sent


def is_readable(queue) -> bool:
    return bool(select.select([queue], [], [], 0)[0])


def test_packets_come_in_order_with_what_is_known_of_them(bench, opened):
    queue = opened()
    sent = send(bench, 3)
    with queue.receive() as batch:
        assert [contents(packet) for packet in batch] == sent
        assert [packet.id for packet in batch] == [1, 2, 3]
        for packet in batch:
            assert (packet.arrival.hook, packet.arrival.mark) == (3, 0)
            assert (packet.arrival.in_index, packet.arrival.out_index) == (None, 1)
            assert packet.length == len(packet.payload) == 28 + len(b"packet 0")
    assert arrived(bench) == sent
    assert queue.counters == QueueCounters(received=3, accepted=3)


def test_nothing_waiting_is_an_empty_batch(opened):
    queue = opened()
    with queue.receive() as batch:
        assert len(batch) == 0


def test_descriptor_is_readable_while_packets_wait(bench, opened):
    queue = opened()
    assert not is_readable(queue)
    send(bench, 2)
    assert is_readable(queue)
    queue.receive(limit=1).close()
    assert is_readable(queue)
    queue.receive().close()
    assert not is_readable(queue)


@pytest.mark.parametrize(("default", "count"), [(ACCEPT, 3), (DROP, 0)])
def test_undecided_packets_get_the_default(bench, opened, default, count):
    queue = opened(default=default)
    send(bench, 3)
    with queue.receive():
        pass
    assert len(arrived(bench)) == count
    assert bench.table()[NUMBER].waiting == 0


def test_each_verdict_does_what_it_says(bench, opened):
    queue = opened()
    send(bench, 6)
    with queue.receive() as batch:
        packets = list(batch)
        packets[0].drop()
        packets[1].repeat(REPEATED)
        packets[2].accept(mark=0x77)
        packets[3].accept(payload=udp_packet(b"other"))
        packets[4].accept()
    assert sorted(bench.arrived()) == [
        (b"other", 0),
        (b"packet 1", REPEATED),
        (b"packet 2", 0x77),
        (b"packet 4", 0),
        (b"packet 5", 0),
    ]
    counters = queue.counters
    assert (counters.accepted, counters.dropped, counters.repeated, counters.rewritten) == (4, 1, 1, 1)
    assert bench.table()[NUMBER].waiting == 0


def test_verdicts_wait_for_the_end_of_the_batch(bench, opened):
    queue = opened()
    send(bench, 1)
    with queue.receive() as batch:
        next(iter(batch)).accept()
        assert arrived(bench) == []
    assert len(arrived(bench)) == 1


def test_repeated_packet_comes_again_and_says_so_by_its_mark(bench, opened):
    queue = opened()
    send(bench, 1)
    with queue.receive() as batch:
        next(iter(batch)).repeat(0x10)
    assert arrived(bench) == []
    with queue.receive() as batch:
        (packet,) = batch
        assert (packet.id, packet.arrival.mark) == (2, 0x10)
        packet.repeat(REPEATED | 0x10)
    assert bench.arrived() == [(b"packet 0", REPEATED | 0x10)]


def test_batch_takes_no_more_than_its_limit(bench, opened):
    queue = opened()
    sent = send(bench, 5)
    with queue.receive(limit=2) as batch:
        assert len(batch) == 2
        next(iter(batch)).drop()
    assert arrived(bench) == sent[1:2]
    assert bench.table()[NUMBER].waiting == 3
    with queue.receive() as batch:
        assert [contents(packet) for packet in batch] == sent[2:]


def test_exception_gives_the_default(bench, opened):
    queue = opened()
    sent = send(bench, 3)

    def failing():
        with queue.receive() as batch:
            next(iter(batch)).drop()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing()
    assert arrived(bench) == sent[1:]


def test_forgotten_batch_ends_with_the_next_one(bench, opened):
    queue = opened()
    sent = send(bench, 2)
    next(iter(queue.receive())).drop()
    assert arrived(bench) == []
    queue.receive()
    assert arrived(bench) == sent[1:]


def test_forgotten_batch_ends_when_the_queue_is_closed(bench, opened):
    queue = opened()
    sent = send(bench, 2)
    queue.receive()
    queue.close()
    assert arrived(bench) == sent


def test_kept_packet_waits_while_others_pass(bench, opened):
    queue = opened()
    sent = send(bench, 3)
    holder = Holder(limit=4)
    with queue.receive() as batch:
        kept = list(batch)[1]
        holder.keep(kept, LATER)
    assert arrived(bench) == [sent[0], sent[2]]
    more = send(bench, 40)
    with queue.receive():
        pass
    assert arrived(bench) == more
    assert bench.table()[NUMBER].waiting == 1
    assert contents(kept) == sent[1]
    kept.repeat(REPEATED)
    assert bench.arrived() == [(sent[1], REPEATED)]


def test_many_packets_all_pass(bench, opened):
    queue = opened(max_length=4096)
    sent = send(bench, 1000)
    for _ in range(40):
        with queue.receive(limit=32) as batch:
            for packet in batch:
                if packet.id % 10 == 0:
                    packet.drop()
    assert arrived(bench) == [data for index, data in enumerate(sent, 1) if index % 10]
    assert (queue.counters.received, queue.counters.accepted, queue.counters.dropped) == (1000, 900, 100)
    assert bench.table()[NUMBER].waiting == 0


def test_packet_larger_than_a_page_comes_whole(bench, opened):
    queue = opened()
    large = bytes(range(256)) * 200
    bench.send(large)
    with queue.receive() as batch:
        (packet,) = batch
        assert contents(packet) == large
    assert arrived(bench) == [large]


def test_cut_packet_knows_its_length_and_passes_whole(bench, opened):
    queue = opened(copy_bytes=64)
    large = bytes(1000)
    bench.send(large)
    bench.send(b"short")
    with queue.receive() as batch:
        cut, short = batch
        assert (len(cut.payload), cut.length) == (64, 1028)
        assert (len(short.payload), short.length) == (33, 33)
    assert arrived(bench) == [large, b"short"]


def test_full_queue_drops_and_the_table_says_so(bench, opened):
    queue = opened(max_length=5)
    sent = send(bench, 12)
    assert bench.table()[NUMBER].waiting == 5
    with queue.receive() as batch:
        assert len(batch) == 5
    assert arrived(bench) == sent[:5]
    assert bench.table()[NUMBER].dropped == 7


def test_full_queue_may_fail_open(bench, opened):
    queue = opened(max_length=5, fail_open=True)
    sent = send(bench, 12)
    assert arrived(bench) == sent[5:]
    queue.receive().close()
    assert arrived(bench) == sent[:5]
    assert bench.table()[NUMBER].dropped == 0


def test_number_has_one_reader_and_a_refused_one_leaves_nothing_open(bench, opened):
    queue = opened()
    before = open_descriptors()
    with pytest.raises(QueueRefusedError, match=f"cannot bind queue {NUMBER}: EPERM") as caught:
        opened()
    assert caught.value.errno == errno.EPERM
    assert open_descriptors() == before
    assert bench.table()[NUMBER].port == queue.port


def test_number_is_free_again_after_close(bench, opened):
    opened().close()
    queue = opened()
    sent = send(bench, 1)
    queue.receive().close()
    assert arrived(bench) == sent


def test_closing_drops_what_is_held_and_may_be_done_twice(bench, opened):
    queue = opened()
    before = open_descriptors()
    send(bench, 2)
    queue.close()
    queue.close()
    assert arrived(bench) == []
    assert queue.fileno() == -1
    assert NUMBER not in bench.table()
    assert open_descriptors() == before - 1


def test_lost_socket_is_told_and_its_verdicts_are_counted(bench, opened):
    queue = opened()
    send(bench, 3)
    holder = Holder(limit=1)
    with queue.receive() as batch:
        kept = next(iter(batch))
        holder.keep(kept, LATER)
        bench.break_socket(queue)
    kept.repeat(REPEATED)
    assert queue.counters.lost_verdicts == 3
    assert arrived(bench) == []
    with pytest.raises(QueueLostError, match=f"cannot read queue {NUMBER}"):
        queue.receive()
    queue.close()
    assert NUMBER not in bench.table()


def test_lost_queue_can_be_bound_anew_and_old_packets_do_not_harm_new_ones(bench, opened):
    lost = opened()
    send(bench, 1)
    holder = Holder(limit=1)
    with lost.receive() as batch:
        holder.keep(next(iter(batch)), LATER)
    bench.break_socket(lost)
    with pytest.raises(QueueLostError):
        lost.receive()
    lost.close()
    queue = opened()
    sent = send(bench, 1)
    with queue.receive() as batch:
        assert [packet.id for packet in batch] == [1]
        holder.close()
    assert arrived(bench) == sent


def test_packet_that_went_away_under_its_verdict_is_counted(bench, opened):
    queue = opened()
    send(bench, 3)
    with queue.receive() as batch:
        for packet in batch:
            packet.accept(mark=1)
        bench.lose_chain(queue)
    queue.receive().close()
    assert queue.counters.refused_verdicts == 3
    assert arrived(bench) == []
    sent = send(bench, 1)
    with queue.receive() as batch:
        assert [contents(packet) for packet in batch] == sent
