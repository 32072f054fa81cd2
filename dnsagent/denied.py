"""First packets that policy would deny, held for a moment in case the answer that allows them is on its way.

Each waits once: repeated with a mark when its address is learned, dropped at its deadline otherwise. A client sends its
SYN again while the first is held; one packet of each flow waits, the others are dropped.
"""

from collections import Counter
from collections.abc import Iterable

from dnsagent.learn import Element, Learner
from nfq.errors import PacketError
from nfq.held import DROP, HeldBatch, HeldPacket
from nfq.holder import Holder
from nfq.packet import FiveTuple, five_tuple
from reconcile.instant import Instant

MAX_HELD = 1024
MAX_HELD_PER_ENDPOINT = 64
"""A workload that scans must not take the places of the others."""


class DeniedPackets:
    """The packets that wait, by (endpoint address, destination address)."""

    def __init__(self, learner: Learner, counters: Counter[str]) -> None:
        self._learner = learner
        self._counters = counters
        self._holder = Holder(limit=MAX_HELD, at_deadline=DROP)
        self._waiting: dict[bytes, dict[FiveTuple, HeldPacket]] = {}
        self._per_endpoint: Counter[bytes] = Counter()

    def __len__(self) -> int:
        return len(self._holder)

    def take(self, batch: HeldBatch, now: Instant) -> None:
        """Decides or keeps every packet of the batch."""
        for packet in batch:
            self._counters["denied-packets"] += 1
            try:
                flow = five_tuple(packet.payload)
            except PacketError:
                packet.drop()
                continue
            self._take(packet, flow, now)

    def release(self, elements: Iterable[Element]) -> None:
        """These elements are in the kernel: the packets that waited for them go through the rules once more."""
        if not self._waiting:
            return
        for element in elements:
            for packet in self._pop(element.key[1]).values():
                self._counters["denied-released"] += 1
                self._repeat(packet)

    def expire(self, now: Instant) -> None:
        """Drops those whose time is over."""
        for packet in self._holder.expire(now):
            self._counters["denied-dropped"] += 1
            flow = five_tuple(packet.payload)
            pair = flow.source + flow.destination
            del self._waiting[pair][flow]
            if not self._waiting[pair]:
                del self._waiting[pair]
            self._leave(flow.source)

    def next_deadline(self) -> Instant | None:
        """When `expire` has something to do."""
        return self._holder.next_deadline()

    def close(self) -> None:
        """Drops all that wait, and forgets them."""
        self._holder.close()
        self._waiting.clear()
        self._per_endpoint.clear()

    def _take(self, packet: HeldPacket, flow: FiveTuple, now: Instant) -> None:
        pair = flow.source + flow.destination
        if self._learner.is_open(flow.source, flow.destination, now):
            # Learned between the rule's look at the set and ours.
            self._counters["denied-released"] += 1
            self._repeat(packet)
            return
        waiting = self._waiting.get(pair, {})
        if flow in waiting or self._per_endpoint[flow.source] >= MAX_HELD_PER_ENDPOINT:
            self._counters["denied-duplicate" if flow in waiting else "cap-held"] += 1
            packet.drop()
            return
        until = Instant(now + self._learner.plan.snapshot.max_denied_hold_seconds)
        if not self._holder.keep(packet, until):
            self._counters["cap-held"] += 1
            packet.drop()
            return
        self._waiting.setdefault(pair, {})[flow] = packet
        self._per_endpoint[flow.source] += 1

    def _pop(self, pair: bytes) -> dict[FiveTuple, HeldPacket]:
        flows = self._waiting.pop(pair, {})
        for flow in flows:
            self._leave(flow.source)
        return flows

    def _leave(self, source: bytes) -> None:
        """One packet less waits. Zeros are not kept: sources are as many as a sender likes."""
        self._per_endpoint[source] -= 1
        if not self._per_endpoint[source]:
            del self._per_endpoint[source]

    def _repeat(self, packet: HeldPacket) -> None:
        packet.repeat(packet.arrival.mark | self._learner.plan.snapshot.repeated_mark)
