"""Answers held until what they teach is in the kernel, and answers that are only watched.

    drain: the queue
    judge: all of them; where a question is not known yet the query log is read first: it was logged before its answer
    write: one transaction; acknowledged; then one verdict for all

In the modes that do not hold answers, copies of them come by the query log and are learned as fast as they come.

Over TCP only the host's own conversations come this way: the segment that completes an answer waits like a datagram.
"""

from builtins import memoryview  # noqa: A004 - mypyc looks the annotation up in the module
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from dnsagent.denied import DeniedPackets
from dnsagent.kernel_sets import KernelSets
from dnsagent.learn import Element, Learner, Packet
from dnsagent.segments import PassingStreams
from nfq.held import ACCEPT, HeldPacket
from nfq.holder import Holder
from nfq.log_messages import LoggedPacket
from nfq.packet import UdpDatagram, udp_datagram
from reconcile.instant import Instant

MAX_DELAYED = 8192
"""Answers whose learning is delayed, for tests; beyond it they are learned at once."""
_RESPONSE_BIT: Final = 0x80

Notice = Callable[[Packet], None]
"""Told of each answer that opened something."""


class _Delayed(NamedTuple):
    due: Instant
    packets: list[Packet]
    held: list[HeldPacket]


class AnswerPath:
    """From packets to elements to verdicts. Holds the answers whose learning is delayed, nothing else."""

    def __init__(
        self, learner: Learner, sets: KernelSets, denied: DeniedPackets, counters: Counter[str], on_learned: Notice
    ) -> None:
        self._learner = learner
        self._sets = sets
        self._denied = denied
        self._counters = counters
        self._on_learned = on_learned
        self._delayed: deque[_Delayed] = deque()
        self._unread: Iterable[LoggedPacket] | None = None
        """Copies that the present batch may need."""
        self._watched: list[Packet] = []
        """Answers among the copies, to be learned after those that are held."""
        self._holder = Holder(limit=MAX_DELAYED, at_deadline=ACCEPT)
        self._streams = PassingStreams(counters)

    def take(self, batch: Iterable[HeldPacket], copies: Iterable[LoggedPacket], now: Instant) -> None:
        """Judges the answers of a batch. Verdicts follow by its end.

        The copies are read before an answer whose question is not known yet, or where there is no batch, or not at all:
        then they are still there the next time.
        """
        packets: list[Packet] = []
        held: list[HeldPacket] = []
        self._unread = copies
        for packet in batch:
            datagram = udp_datagram(packet.payload)
            if datagram is not None:
                packets.append(_answer(datagram))
                held.append(packet)
            elif said := self._hear_answers(packet.payload):
                packets += said
                held.append(packet)
        is_delayed = self._learner.plan.snapshot.learn_delay_seconds > 0
        if is_delayed or not packets:
            self._catch_up(now)
            packets += self._take_watched()
        if not is_delayed or not self._delay(packets, held, now):
            self.learn(packets, now)
            self.learn(self._take_watched(), now)

    def expire(self, now: Instant) -> None:
        """Learns what was delayed long enough, and delivers unlearned what was held too long."""
        while self._delayed and self._delayed[0].due <= now:
            delayed = self._delayed.popleft()
            self.learn(delayed.packets, now)
            for packet in delayed.held:
                if packet.is_owned_by(self._holder) and packet.verdict is None:
                    packet.accept()
        self._counters["held-too-long"] += len(self._holder.expire(now))

    def next_deadline(self) -> Instant | None:
        """When `expire` has something to do."""
        deadlines = [self._holder.next_deadline(), self._delayed[0].due if self._delayed else None]
        return min((each for each in deadlines if each is not None), default=None)

    def close(self) -> None:
        """Delivers all that is held."""
        self._holder.close()
        self._delayed.clear()

    def _catch_up(self, now: Instant) -> bool:
        """Reads the copies that came before this batch, once; whether it did now."""
        copies, self._unread = self._unread, None
        if copies is None:
            return False
        self._watched += self._note_copies(copies, now)
        return True

    def _take_watched(self) -> list[Packet]:
        watched, self._watched = self._watched, []
        return watched

    def _hear_answers(self, segment: memoryview) -> list[Packet]:
        """The answers that a held segment completes; without any it need not wait."""
        heard = self._streams.hear(segment, self._learner.plan.servers)
        if heard is None:
            self._counters["no-datagram"] += 1
            return []
        return heard.packets if heard.is_answer else []

    def _note_segment(self, segment: memoryview, now: Instant) -> list[Packet]:
        """Remembers the queries that a copied segment completes, or gives back the answers."""
        heard = self._streams.hear(segment, self._learner.plan.servers)
        if heard is None:
            self._counters["no-datagram"] += 1
            return []
        if heard.is_answer:
            return heard.packets
        for question in heard.packets:
            self._learner.note_query(question, now)
        return []

    def _note_copies(self, copies: Iterable[LoggedPacket], now: Instant) -> list[Packet]:
        """Remembers queries; gives back the answers among the copies, which nobody holds."""
        answers = []
        for copy in copies:
            datagram = udp_datagram(copy.payload)
            if datagram is None:
                answers += self._note_segment(copy.payload, now)
            elif len(datagram.payload) < 3:
                self._counters["no-datagram"] += 1
            elif datagram.payload[2] & _RESPONSE_BIT:
                answers.append(_answer(datagram))
            else:
                self._learner.note_query(_query(datagram), now)
        return answers

    def learn(self, packets: Iterable[Packet], now: Instant) -> None:
        """Judges answers; what they open is in the kernel when this returns."""
        judge = self._learner.judge
        elements: list[Element] = []
        for packet in packets:
            opened = judge(packet, now, self._catch_up)
            if opened or self._learner.is_alias_only:
                elements += opened
                self._on_learned(packet)
        if elements:
            written = self._sets.write(elements, now)
            self._learner.commit(written)
            self._learner.places.note_full(self._sets.take_full(), now)
            self._denied.release(written)

    def _delay(self, packets: list[Packet], held: list[HeldPacket], now: Instant) -> bool:
        if not packets:
            return True
        snapshot = self._learner.plan.snapshot
        if len(self._holder) + len(held) > MAX_DELAYED or len(self._delayed) >= MAX_DELAYED:
            return False
        for packet in held:
            self._holder.keep(packet, Instant(now + snapshot.max_hold_seconds))
        self._delayed.append(_Delayed(Instant(now + snapshot.learn_delay_seconds), packets, held))
        return True


def _answer(datagram: UdpDatagram) -> Packet:
    return Packet(
        datagram.destination,
        datagram.destination_port,
        datagram.source,
        datagram.source_port,
        bytes(datagram.payload),
    )


def _query(datagram: UdpDatagram) -> Packet:
    return Packet(
        datagram.source,
        datagram.source_port,
        datagram.destination,
        datagram.destination_port,
        bytes(datagram.payload),
    )
