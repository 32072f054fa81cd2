"""Held packets: whatever happens, each gets exactly one verdict, and the right one."""

import gc
import itertools

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from nfq.counters import QueueCounters
from nfq.held import (
    ACCEPT,
    DROP,
    Action,
    AlreadyDecidedError,
    Arrival,
    HeldBatch,
    HeldPacket,
    Ledger,
    Verdict,
)
from nfq.holder import Holder
from reconcile.instant import Instant


class Kernel:
    """Holds packets, and takes verdicts as nfnetlink_queue does: a batch verdict hits every id up to its own."""

    def __init__(self) -> None:
        self.held: set[int] = set()
        self.outcome: dict[int, Verdict] = {}
        self.refused: list[int] = []
        self.batches = 0
        self.alive = True

    def give(self, single, rest) -> bool:
        if not self.alive:
            return False
        for packet_id, verdict in single:
            self._one(packet_id, verdict)
        if rest is not None:
            self.batches += 1
            for packet_id in sorted(self.held):
                if packet_id <= rest[0]:
                    self._one(packet_id, rest[1])
        return True

    def _one(self, packet_id: int, verdict: Verdict) -> None:
        if packet_id not in self.held:
            self.refused.append(packet_id)
        self.held.discard(packet_id)
        assert packet_id not in self.outcome, "a second verdict reached the kernel"
        self.outcome[packet_id] = verdict


class Bench:
    """A kernel, its ledger, and batches of packets from it."""

    def __init__(self, default: Verdict = ACCEPT) -> None:
        self.kernel = Kernel()
        self.counters = QueueCounters()
        self.ledger = Ledger(self.kernel, default, self.counters)
        self._ids = itertools.count(1)

    def batch(self, count: int) -> HeldBatch:
        packets: list[HeldPacket] = []
        batch = HeldBatch(packets, self.ledger)
        packets.extend(
            HeldPacket(batch, packet_id, memoryview(b"packet"), Arrival())
            for packet_id in itertools.islice(self._ids, count)
        )
        self.kernel.held.update(packet.id for packet in packets)
        return batch


def at(seconds: float) -> Instant:
    return Instant(float(seconds))


def test_undecided_packets_get_the_default_in_one_message():
    bench = Bench()
    with bench.batch(64):
        pass
    assert bench.kernel.outcome == dict.fromkeys(range(1, 65), ACCEPT)
    assert bench.kernel.batches == 1
    assert bench.counters.accepted == 64


def test_a_batch_that_is_over_keeps_nothing():
    """Packets know their batch; where nobody collects cycles, both must go by their count."""
    bench = Bench()
    gc.collect()
    gc.disable()
    try:
        for _ in range(100):
            with bench.batch(10) as batch:
                next(iter(batch)).drop()
        assert len(batch) == 0
        del batch
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_differing_verdicts_are_not_hit_by_the_batch_verdict():
    bench = Bench()
    with bench.batch(5) as batch:
        packets = list(batch)
        packets[0].drop()
        packets[2].repeat(0x20000)
        packets[4].accept(mark=7)
    assert bench.kernel.outcome == {
        1: DROP,
        2: ACCEPT,
        3: Verdict(Action.REPEAT, 0x20000),
        4: ACCEPT,
        5: Verdict(Action.ACCEPT, 7),
    }
    assert (bench.counters.accepted, bench.counters.dropped, bench.counters.repeated) == (3, 1, 1)


def test_rewritten_payload_is_counted_beside_its_action():
    bench = Bench()
    with bench.batch(1) as batch:
        next(iter(batch)).accept(payload=b"other")
    assert bench.kernel.outcome == {1: Verdict(Action.ACCEPT, None, b"other")}
    assert (bench.counters.accepted, bench.counters.rewritten) == (1, 1)


def test_default_may_be_drop():
    bench = Bench(default=DROP)
    with bench.batch(3) as batch:
        list(batch)[1].accept()
    assert bench.kernel.outcome == {1: DROP, 2: ACCEPT, 3: DROP}


@pytest.mark.parametrize("decided", [0, 1, 3])
def test_exception_in_the_block_leaves_no_packet_without_verdict(decided):
    bench = Bench()

    def interrupted():
        with bench.batch(3) as batch:
            for packet in itertools.islice(batch, decided):
                packet.drop()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert bench.kernel.outcome == {i: DROP if i <= decided else ACCEPT for i in (1, 2, 3)}


def test_second_verdict_is_an_error_and_changes_nothing():
    bench = Bench()
    with bench.batch(1) as batch:
        packet = next(iter(batch))
        packet.drop()
        for again in (packet.drop, packet.accept, lambda: packet.repeat(1)):
            with pytest.raises(AlreadyDecidedError, match="it has DROP"):
                again()
    assert bench.kernel.outcome == {1: DROP}


def test_verdict_after_the_batch_is_an_error():
    bench = Bench()
    with bench.batch(1) as batch:
        packet = next(iter(batch))
    with pytest.raises(AlreadyDecidedError, match="its batch has ended"):
        packet.drop()
    with pytest.raises(AlreadyDecidedError, match="its batch has ended"):
        Holder(limit=1).keep(packet, at(1))


def test_decided_packet_cannot_be_kept():
    bench = Bench()
    holder = Holder(limit=1)
    with bench.batch(1) as batch:
        packet = next(iter(batch))
        packet.accept()
        with pytest.raises(AlreadyDecidedError, match="it has ACCEPT"):
            holder.keep(packet, at(1))
    assert len(holder) == 0


def test_default_cannot_rewrite():
    with pytest.raises(ValueError, match="the same payload"):
        Bench(Verdict(Action.ACCEPT, None, b"x"))


def test_empty_batch_sends_nothing():
    bench = Bench()
    bench.batch(0).close()
    assert bench.kernel.batches == 0


def test_batch_ends_once():
    bench = Bench()
    batch = bench.batch(2)
    batch.close()
    batch.close()
    assert bench.counters.accepted == 2


def test_kept_packet_is_spared_by_the_batches_around_it():
    bench = Bench()
    holder = Holder(limit=4)
    with bench.batch(3) as batch:
        kept = list(batch)[1]
        assert holder.keep(kept, at(1))
    with bench.batch(2):
        pass
    assert set(bench.kernel.outcome) == {1, 3, 4, 5}
    kept.repeat(5)
    assert bench.kernel.outcome[2] == Verdict(Action.REPEAT, 5)
    with bench.batch(2):
        pass
    assert bench.kernel.batches == 1


def test_full_holder_leaves_the_packet_to_its_batch():
    bench = Bench(default=DROP)
    holder = Holder(limit=1)
    with bench.batch(2) as batch:
        first, second = batch
        assert holder.keep(first, at(1))
        assert not holder.keep(second, at(1))
    assert bench.kernel.outcome == {2: DROP}
    assert holder.refused == 1


def test_kept_packets_are_decided_at_their_deadline():
    bench = Bench()
    holder = Holder(limit=8, at_deadline=DROP)
    with bench.batch(3) as batch:
        for packet, until in zip(batch, (3.0, 1.0, 2.0), strict=True):
            holder.keep(packet, at(until))
    assert holder.next_deadline() == 1.0
    assert holder.expire(at(0.9)) == []
    assert [packet.id for packet in holder.expire(at(2.0))] == [2, 3]
    assert bench.kernel.outcome == {2: DROP, 3: DROP}
    assert (holder.expired, holder.next_deadline(), len(holder)) == (2, 3.0, 1)


def test_closing_the_holder_decides_what_is_left():
    bench = Bench()
    holder = Holder(limit=8, at_deadline=DROP)

    def failing():
        with holder, bench.batch(2) as batch:
            for packet in batch:
                holder.keep(packet, at(1))
            batch.close()
            raise ValueError("oops")

    with pytest.raises(ValueError, match="oops"):
        failing()
    assert bench.kernel.outcome == {1: DROP, 2: DROP}
    assert holder.next_deadline() is None


def test_kept_packet_moves_between_holders():
    bench = Bench()
    first, second = Holder(limit=1), Holder(limit=1, at_deadline=ACCEPT)
    with bench.batch(1) as batch:
        packet = next(iter(batch))
        first.keep(packet, at(1))
    assert second.keep(packet, at(2))
    assert (len(first), len(second), bench.ledger.kept) == (0, 1, 1)
    second.close()
    assert bench.kernel.outcome == {1: ACCEPT}


def test_early_decisions_do_not_pile_up_until_their_deadline():
    bench = Bench()
    holder = Holder(limit=4)
    for _ in range(100):
        with bench.batch(1) as batch:
            packet = next(iter(batch))
            holder.keep(packet, at(1000))
        packet.accept()
    assert len(holder._due) <= 8


def test_verdict_on_a_dead_binding_is_counted_and_raises_nothing():
    bench = Bench()
    holder = Holder(limit=1)
    with bench.batch(3) as batch:
        packets = list(batch)
        holder.keep(packets[0], at(1))
        packets[1].drop()
        bench.kernel.alive = False
    packets[0].repeat(1)
    assert bench.counters.lost_verdicts == 3
    assert bench.kernel.outcome == {}


verdicts = st.one_of(
    st.just(ACCEPT),
    st.just(DROP),
    st.builds(Verdict, st.sampled_from(Action), st.one_of(st.none(), st.integers(0, 2**32 - 1))),
    st.builds(lambda payload: Verdict(Action.ACCEPT, None, payload), st.binary(max_size=4)),
)


class Holding(RuleBasedStateMachine):
    """Two bindings, two holders, batches left open or ended: the kernel always sees what the model says."""

    packets = Bundle("packets")

    def __init__(self) -> None:
        super().__init__()
        self.benches = [Bench(ACCEPT), Bench(DROP)]
        self.holders = [Holder(limit=3, at_deadline=DROP), Holder(limit=100, at_deadline=ACCEPT)]
        self.now = 0.0
        self.expected: dict[tuple[int, int], Verdict] = {}
        """By binding and packet id, the verdict that must have reached the kernel."""
        self.where: dict[HeldPacket, tuple[str, int]] = {}
        """Packets not yet settled: in which batch or holder, by kind and index."""
        self.bench_of: dict[HeldPacket, int] = {}
        self.chosen: dict[HeldPacket, Verdict] = {}
        self.until: dict[HeldPacket, float] = {}
        self.open: list[HeldBatch | None] = [None, None]

    def settle(self, packet: HeldPacket, verdict: Verdict) -> None:
        self.expected[self.bench_of[packet], packet.id] = verdict
        del self.where[packet]

    def end(self, index: int) -> None:
        """The batch's end in the model."""
        for packet, where in list(self.where.items()):
            if where == ("batch", index):
                self.settle(packet, self.chosen.get(packet, self.benches[index].ledger.default))
        self.open[index] = None

    @rule(target=packets, index=st.integers(0, 1), count=st.integers(0, 5))
    def receive(self, index, count):
        """As every queue does: the batch before is ended first."""
        before = self.open[index]
        if before is not None:
            before.close()
            self.end(index)
        batch = self.benches[index].batch(count)
        self.open[index] = batch
        for packet in batch:
            self.where[packet] = ("batch", index)
            self.bench_of[packet] = index
        return multiple(*batch)

    @rule(index=st.integers(0, 1), error=st.booleans())
    def end_batch(self, index, error):
        batch = self.open[index]
        if batch is None:
            return
        kind = KeyError if error else None
        batch.__exit__(kind, kind and kind(), None)
        self.end(index)

    @rule(packet=packets, verdict=verdicts)
    def decide(self, packet, verdict):
        if packet not in self.where or packet in self.chosen:
            with pytest.raises(AlreadyDecidedError):
                packet.decide(verdict)
            return
        packet.decide(verdict)
        self.chosen[packet] = verdict
        if self.where[packet][0] == "holder":
            self.settle(packet, verdict)

    @rule(packet=packets, index=st.integers(0, 1), seconds=st.integers(0, 5))
    def keep(self, packet, index, seconds):
        holder = self.holders[index]
        full = len(holder) >= (3, 100)[index]
        if not full and (packet not in self.where or packet in self.chosen):
            with pytest.raises(AlreadyDecidedError):
                holder.keep(packet, at(self.now + seconds))
            return
        assert holder.keep(packet, at(self.now + seconds)) is not full
        if not full:
            self.where[packet] = ("holder", index)
            self.until[packet] = self.now + seconds

    @rule(index=st.integers(0, 1), seconds=st.integers(0, 3))
    def expire(self, index, seconds):
        self.now += seconds
        due = {p for p, w in self.where.items() if w == ("holder", index) and self.until[p] <= self.now}
        late = self.holders[index].expire(at(self.now))
        assert set(late) == due
        assert len(late) == len(due)
        for packet in late:
            self.settle(packet, (DROP, ACCEPT)[index])

    @rule(index=st.integers(0, 1))
    def close_holder(self, index):
        self.holders[index].close()
        for packet, where in list(self.where.items()):
            if where == ("holder", index):
                self.settle(packet, (DROP, ACCEPT)[index])

    @invariant()
    def kernel_saw_exactly_what_was_decided(self):
        for index, bench in enumerate(self.benches):
            assert bench.kernel.outcome == {i: v for (where, i), v in self.expected.items() if where == index}
            assert not bench.kernel.refused

    @invariant()
    def every_packet_is_somewhere(self):
        for index, bench in enumerate(self.benches):
            waiting = {packet.id for packet in self.where if self.bench_of[packet] == index}
            assert bench.kernel.held == waiting
            assert bench.ledger.kept == sum(
                w[0] == "holder" and self.bench_of[p] == index for p, w in self.where.items()
            )

    @invariant()
    def deadlines_are_known(self):
        for index, holder in enumerate(self.holders):
            deadlines = [self.until[p] for p, w in self.where.items() if w == ("holder", index)]
            assert holder.next_deadline() == (min(deadlines) if deadlines else None)
            assert len(holder) == len(deadlines)

    @invariant()
    def counters_add_up(self):
        for bench in self.benches:
            counters = bench.counters
            assert counters.accepted + counters.dropped + counters.repeated == len(bench.kernel.outcome)


TestHolding = Holding.TestCase
