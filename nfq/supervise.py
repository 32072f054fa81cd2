"""Keeps a queue or a log group bound, whatever happens to its socket; counts and tells what was lost.

queue = SupervisedQueue(101, lambda counters: RawQueue(settings, counters), now)
...
with queue.receive(now) as batch: ...           # empty while it is unbound
queue.observe(read_queues(), now)               # once a second
selector: register queue.fileno() anew whenever queue.generation has changed
timer:    receive() at queue.next_attempt_at()
"""

from collections.abc import Callable, Mapping
from typing import final

from nfq.binding import Binding
from nfq.counters import LogCounters, QueueCounters
from nfq.errors import QueueLostError
from nfq.health import LossWatch
from nfq.held import ACCEPT, HeldBatch, Ledger
from nfq.log_messages import LoggedPacket
from nfq.nflog import LOG_LIMIT, PacketLog
from nfq.queue import BATCH_LIMIT, PacketQueue
from nfq.queue_table import KernelQueue
from reconcile.instant import Instant


class _NoSink:
    """Takes the verdicts of empty batches: none."""

    def give(self, single: object, rest: object) -> bool:  # noqa: ARG002
        return True


@final
class SupervisedQueue(Binding[PacketQueue]):
    """A queue that is bound, or about to be; its counters and its condition outlive each binding."""

    def __init__(self, number: int, opener: Callable[[QueueCounters], PacketQueue], now: Instant) -> None:
        """The opener raises `QueueRefusedError` where it cannot bind, and gives its counters to the queue."""
        self.counters = counters = QueueCounters()
        super().__init__(f"queue {number}", lambda: opener(counters), counters, LossWatch(now), now)
        self.waiting = 0
        """Packets in the kernel's hands at the last look."""
        self._number = number
        self._nothing = HeldBatch([], Ledger(_NoSink(), ACCEPT, counters))
        self._row: KernelQueue | None = None
        """The last look at the present binding."""

    def receive(self, now: Instant, limit: int = BATCH_LIMIT) -> HeldBatch:
        """The packets that wait, none while the queue is unbound; binds it if that is due. Raises nothing."""
        reader = self._open_if_due(now)
        if reader is None:
            return self._nothing
        try:
            return reader.receive(limit)
        except QueueLostError as error:
            self._lose(str(error), now)
            return self._nothing

    def observe(self, table: Mapping[int, KernelQueue] | None, now: Instant) -> None:
        """Compares with the kernel's table of queues: counts losses, and notices a binding that died in silence.

        Without a table (`None`) only what the queue itself noticed is looked at.
        """
        if table is not None and self._reader is not None:
            row = table.get(self._number)
            if row is not None and row.port == self._reader.port:
                self._count(row)
            else:
                self._lose("the kernel names another reader, or none", now)
        counters = self.counters
        losses = {
            "packets found the queue full": counters.kernel_dropped,
            "packets found the socket full": max(counters.missed, counters.kernel_undelivered),
            "packets were gone before their verdict": counters.refused_verdicts + counters.lost_verdicts,
            "messages could not be read": counters.malformed,
        }
        self._losses.observe(losses, now)

    def _count(self, row: KernelQueue) -> None:
        before = self._row
        if before is None or before.port != row.port:
            before = KernelQueue(number=row.number, port=row.port, waiting=0, dropped=0, undelivered=0, last_id=0)
        self.counters.kernel_dropped += row.dropped - before.dropped
        self.counters.kernel_undelivered += row.undelivered - before.undelivered
        self.waiting = row.waiting
        self._row = row


@final
class SupervisedLog(Binding[PacketLog]):
    """A log group that is bound, or about to be; its counters and its condition outlive each binding."""

    def __init__(self, group: int, opener: Callable[[LogCounters], PacketLog], now: Instant) -> None:
        """The opener raises `QueueRefusedError` where it cannot bind, and gives its counters to the log."""
        self.counters = counters = LogCounters()
        super().__init__(f"log group {group}", lambda: opener(counters), counters, LossWatch(now), now)

    def receive(self, now: Instant, limit: int = LOG_LIMIT) -> list[LoggedPacket]:
        """The copies that wait, none while the group is unbound; binds it if that is due. Raises nothing."""
        reader = self._open_if_due(now)
        if reader is None:
            return []
        try:
            return reader.receive(limit)
        except QueueLostError as error:
            self._lose(str(error), now)
            return []

    def lost(self) -> int:
        """Copies that were lost so far, those the next copy will tell of included where the kernel gathers none."""
        if self._reader is not None:
            self._reader.undelivered()
        return max(self.counters.lost, self.counters.undelivered)

    def observe(self, now: Instant) -> None:
        """Looks at the counters; to be called once a second."""
        losses = {"copies were lost": self.counters.lost, "messages could not be read": self.counters.malformed}
        self._losses.observe(losses, now)
