"""Packets that Log rules have copied: each waits until its copies are sure, then goes on (docs/adr/0061).

    rules:   copy, copy, ... -> log group        then the packet itself -> queue
    here:    receive packets; read copies; ask the socket how many were lost; the verdicts

The rules copy before they queue. So when a packet is received all its copies are here or in the group's socket, but
for those that the kernel could not hand over, and the socket says how many these were. Copies are kept here until the
control process has fetched them; nothing makes records of them on the verdict path.
"""

from binascii import a2b_base64, b2a_base64
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final, final

from nfq.log_messages import LoggedPacket, LogOrigin
from nfq.nflog import LOG_LIMIT
from nfq.queue import BATCH_LIMIT
from nfq.supervise import SupervisedLog, SupervisedQueue
from reconcile.clock import Clock
from reconcile.instant import Instant, WallInstant

MAX_COPIES: Final = 65_536
"""Copies kept for the control process, 40 MB at most. What comes then is lost."""
MAX_UNREAD: Final = 16_384
"""Copies that the socket's buffer of 64 MiB holds: each takes a page and more of it."""
PAGE: Final = 400
"""Copies in a reply: a millisecond's work, so that no answer waits longer for it."""


@final
class LoggedPackets:
    """Owns the copies that were read and not yet fetched, numbered from 1. Owes no packet a verdict between calls."""

    def __init__(
        self,
        queue: SupervisedQueue | None,
        log: SupervisedLog | None,
        clock: Clock,
        drops_overflow: bool,  # noqa: FBT001 - of one caller, which has no more to say
        max_copies: int = MAX_COPIES,
        max_unread: int = MAX_UNREAD,
    ) -> None:
        """Without a queue and a log nothing comes."""
        self.lost = 0
        """Copies that found no room here."""
        self.unread = 0
        """Packets that had their verdict while no copies could be read, or kept."""
        self.dropped = 0
        """Packets dropped because a copy of theirs may be lost."""
        self._queue = queue
        self._log = log
        self._clock = clock
        self._drops_overflow = drops_overflow
        self._max_copies = max_copies
        self._max_unread = max_unread
        self._copies: deque[tuple[WallInstant, LoggedPacket]] = deque()
        self._confirmed = 0
        self._losses_before = 0
        self._life = f"{clock.wall():.6f}"
        self._base = dict.fromkeys(self._own_counts(), 0)
        """What a predecessor has counted in the same life."""

    def take(self, now: Instant) -> None:
        """Gives the waiting packets, or some of them, their verdicts."""
        if self._queue is None or self._log is None:
            return
        # A packet can be queued only where somebody reads, so the group is bound before the queue is.
        if self._log.fileno() is None:
            self._keep(self._log.receive(now, 0))
        with self._queue.receive(now, BATCH_LIMIT) as batch:
            if not len(batch):
                return
            is_read = self.read(now)
            losses = self.losses
            is_whole, self._losses_before = losses == self._losses_before, losses
            if not is_read:
                self.unread += len(batch)
            if self._drops_overflow and not (is_read and is_whole):
                self.dropped += len(batch)
                for packet in batch:
                    packet.drop()

    def read(self, now: Instant) -> bool:
        """Reads copies that wait, no more than others can wait for; whether all those behind them will be kept, too."""
        log = self._log
        if log is None:
            return False
        copies = log.receive(now, LOG_LIMIT)
        self._keep(copies)
        has_room = len(copies) < LOG_LIMIT or len(self._copies) + self._max_unread <= self._max_copies
        return has_room and log.fileno() is not None

    @property
    def losses(self) -> int:
        """Copies of which there will be no record."""
        return self.lost + (0 if self._log is None else self._log.lost())

    def page(self, request: Mapping[str, Any], memory: dict[str, Any]) -> dict[str, Any]:
        """Copies behind the number `after`, which confirms those up to it; for the control process.

        A number of another life of this process confirms nothing.
        """
        del memory
        after, copies = int(request["after"]), self._copies
        if request["life"] == self._life and after <= self._confirmed + len(copies):
            while self._confirmed < after:
                copies.popleft()
                self._confirmed += 1
        found = [_shown(*each) for each in islice(copies, PAGE)]
        return {
            "copies": found,
            "life": self._life,
            "last": self._confirmed + len(found),
            "more": len(found) == PAGE,
            **self._counts(),
        }

    def left(self) -> dict[str, Any]:
        """Everything that a successor must know so that its copies go on from these, none lost and none told twice."""
        copies = [_shown(*each) for each in self._copies]
        return {"life": self._life, "confirmed": self._confirmed, "counts": self._counts(), "copies": copies}

    def take_over(self, left: Mapping[str, Any]) -> None:
        """Goes on from what a predecessor has left, before anything comes.

        Raises:
            ValueError, KeyError, TypeError: that is not what one leaves.
        """
        copies = [read_copy(each) for each in left["copies"]]
        base = {name: int(left["counts"][name]) for name in self._base}
        self._confirmed, self._life, self._base = int(left["confirmed"]), str(left["life"]), base
        self._copies.extend(copies[: self._max_copies])

    def _counts(self) -> dict[str, int]:
        return {name: count + self._base[name] for name, count in self._own_counts().items()}

    def _own_counts(self) -> dict[str, int]:
        return {
            "lost": self.losses,
            "unread": self.unread,
            "dropped": self.dropped,
            "received": 0 if self._queue is None else self._queue.counters.received,
            "malformed": 0 if self._log is None else self._log.counters.malformed,
        }

    def _keep(self, copies: list[LoggedPacket]) -> None:
        if not copies:
            return
        room = max(0, self._max_copies - len(self._copies))
        self.lost += max(0, len(copies) - room)
        at = self._clock.wall()
        self._copies.extend([(at, copy) for copy in copies[:room]])


def read_copy(copy: Sequence[Any]) -> tuple[WallInstant, LoggedPacket]:
    """A copy of a page, and when it was read.

    Raises:
        ValueError, TypeError: it is none.
    """
    at, prefix, mark, in_index, out_index, mac, payload = copy
    origin = LogOrigin(
        prefix=prefix.encode(), mark=mark, in_index=in_index, out_index=out_index, mac=bytes.fromhex(mac)
    )
    return WallInstant(at), LoggedPacket(memoryview(a2b_base64(payload)), origin, None)


def _shown(at: WallInstant, copy: LoggedPacket) -> list[Any]:
    origin = copy.origin
    return [
        at,
        origin.prefix.decode("ascii", "replace"),
        origin.mark,
        origin.in_index,
        origin.out_index,
        origin.mac.hex(),
        b2a_base64(copy.payload, newline=False).decode("ascii"),
    ]
