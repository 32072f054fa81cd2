"""Packets kept beyond their batch, each for a bounded time and all of them within a bound.

A connection's first packet may wait here for the answer that allows it. The holder owes each of its packets a verdict:
the one somebody decides, else `at_deadline` when its time is over or the holder is closed.

    holder = Holder(limit=256, at_deadline=DROP)
    if not holder.keep(packet, until):
        ...                                       # full: the packet stays with its batch and gets the batch's default
    packet.repeat(mark)                           # whenever the time has come, or
    late = holder.expire(now)

It does not de-duplicate: a client sends its SYN again while the first one is held, and two copies of one connection
make conntrack insertions fail, so whoever keeps packets keeps one of each 5-tuple and drops the others.
"""

import heapq
from types import TracebackType
from typing import Self, final

from nfq.held import DROP, HeldPacket, Ledger, Verdict
from reconcile.instant import Instant


@final
class Holder:
    """Kept packets by deadline; never more than `limit`. Closing it decides them all."""

    def __init__(self, *, limit: int, at_deadline: Verdict = DROP) -> None:
        """Without the limit, a scan of closed addresses would fill memory and the kernel's queue with held packets."""
        self._limit = limit
        self._at_deadline = at_deadline
        self._kept: dict[HeldPacket, tuple[Ledger, int]] = {}
        """With the number of the entry in the heap that stands for the packet now."""
        self._due: list[tuple[Instant, int, HeldPacket]] = []
        """A heap by deadline. Entries of packets that went stay in it until they are due, or it is swept."""
        self._order = 0
        self.refused = 0
        """Packets it could not keep for want of room."""
        self.expired = 0
        """Packets that nobody decided in time."""

    def __len__(self) -> int:
        return len(self._kept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def keep(self, packet: HeldPacket, until: Instant) -> bool:
        """Takes the packet over from its batch or another holder; False if there is no room, and nothing has changed.

        A packet that is here already gets the new deadline.

        Raises:
            AlreadyDecidedError: the packet has its verdict.
        """
        if len(self._kept) >= self._limit:
            self.refused += 1
            return False
        self._order += 1
        self._kept[packet] = packet.move(self), self._order
        heapq.heappush(self._due, (until, self._order, packet))
        return True

    def next_deadline(self) -> Instant | None:
        """When `expire` has something to do at the earliest."""
        while self._due and not self._is_current(self._due[0]):
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def expire(self, now: Instant) -> list[HeldPacket]:
        """Decides the packets whose time is over, and returns them for the record."""
        late = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            late.append(heapq.heappop(self._due)[2])
            late[-1].decide(self._at_deadline)
        self.expired += len(late)
        return late

    def close(self) -> None:
        """Decides all that are left; the holder may be used again."""
        for packet in tuple(self._kept):
            packet.decide(self._at_deadline)
        self._due.clear()

    def decided(self, packet: HeldPacket, verdict: Verdict) -> None:
        """Sends the verdict at once, for `HeldPacket` alone to call."""
        self._let_go(packet).settle([(packet.id, verdict)], None, 0)

    def yielded(self, packet: HeldPacket) -> Ledger:
        """Lets a packet go to another holder, for `HeldPacket` alone to call."""
        ledger = self._let_go(packet)
        ledger.kept += 1
        return ledger

    def _let_go(self, packet: HeldPacket) -> Ledger:
        ledger, _ = self._kept.pop(packet)
        ledger.kept -= 1
        # Entries of packets that went would pile up in the heap for as long as their deadline is away.
        if len(self._due) > 2 * len(self._kept) + self._limit:
            self._due = [entry for entry in self._due if self._is_current(entry)]
            heapq.heapify(self._due)
        return ledger

    def _is_current(self, entry: tuple[Instant, int, HeldPacket]) -> bool:
        _, order, packet = entry
        kept = self._kept.get(packet)
        return kept is not None and kept[1] == order
