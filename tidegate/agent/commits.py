"""Feeds the apply loop with other programs' commits: as they are announced, or, under load, by the generation's number.

    listening  --  the packet process commits more than 200 times a second  ->  quiet
    quiet      --  the number says that somebody else committed, or calm    ->  listening

An announcement tells at once what was changed. But while anybody listens, the kernel announces each element that the
packet process writes, to be dropped by a filter: a tenth of what an answer costs. So under load nobody listens, and
four times a second the generation's number is compared with how many commits were ours. Where it does not agree, the
table is read, and for a while we listen again: whoever else writes here may do so often.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import Enum
from typing import final

from nft.generation import Tally
from nft.monitor import LOST, Monitor
from reconcile.clock import Clock
from reconcile.instant import Instant
from tidegate.sync.loop import ApplyLoop

LOOK_SECONDS = 0.25
"""With the repair of a table of 20,000 rules, which takes half a second, others' changes are undone within a second."""
BUSY_COMMITS_PER_SECOND = 200.0
CALM_COMMITS_PER_SECOND = 50.0
LISTEN_SECONDS = 30.0
"""How long we listen at least after somebody else has committed."""
_BEGINNING = Instant(0.0)

Count = Callable[[], Tally | None]
"""Counts; None where nobody can tell what was ours. Called in the kernel's thread, which commits nothing meanwhile."""


class Step(Enum):
    """What to do after a count."""

    STAY = "stay"
    PAUSE = "pause"
    """Stop listening."""
    LISTEN = "listen"
    """It is calm: listen, count once more, and `settle`."""
    SUSPECT = "suspect"
    """Somebody else committed, or may have: listen, and read the table."""


@final
@dataclass(slots=True)
class Quiet:
    """Decides between listening and counting. Touches nothing, is told the time."""

    since: Tally | None = None
    """The count at which all was ours; None while we listen."""
    _listen_until: Instant = _BEGINNING
    _own: int = 0
    _own_at: Instant = _BEGINNING

    def take(self, tally: Tally | None, now: Instant) -> Step:
        """Takes a count; None where nobody could tell."""
        rate = self._rate(tally, now)
        if self.since is not None:
            step = self.settle(tally, now)
            return Step.LISTEN if step is Step.STAY and rate < CALM_COMMITS_PER_SECOND else step
        if tally is None or rate <= BUSY_COMMITS_PER_SECOND or now < self._listen_until:
            return Step.STAY
        self.since = tally
        return Step.PAUSE

    def settle(self, tally: Tally | None, now: Instant) -> Step:
        """Compares a count with the one at which all was ours; where they do not agree the quiet is over."""
        if self.since is not None and tally is not None and not tally.foreign_since(self.since):
            return Step.STAY
        self.since = None
        self._listen_until = Instant(now + LISTEN_SECONDS)
        return Step.SUSPECT

    def _rate(self, tally: Tally | None, now: Instant) -> float:
        own = self._own if tally is None else tally.own
        rate = (own - self._own) / max(1e-3, now - self._own_at)
        self._own, self._own_at = own, now
        return rate


@final
class CommitFeed:
    """Owns the monitor."""

    def __init__(self, loop: ApplyLoop, monitor: Monitor, count: Count, thread: Executor, clock: Clock) -> None:
        """Listens from the start."""
        self._loop = loop
        self._monitor = monitor
        self._count = count
        self._thread = thread
        self._clock = clock
        self.quiet = Quiet()

    def close(self) -> None:
        """Closes the monitor; safe to call twice."""
        self._monitor.close()

    async def run(self) -> None:
        """Feeds until cancelled; closes the monitor."""
        events = asyncio.get_running_loop()
        events.add_reader(self._monitor.fileno(), lambda: self._loop.on_commits(self._monitor.read()))
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                await self._turn()
        finally:
            events.remove_reader(self._monitor.fileno())
            self.close()

    async def _turn(self) -> None:
        step = self.quiet.take(await self._tally(), self._clock.now())
        if step is Step.LISTEN:
            # First listen, then count: what others commit between the two is seen by one or the other.
            self._monitor.listen()
            step = self.quiet.settle(await self._tally(), self._clock.now())
            self.quiet.since = None
        elif step is Step.PAUSE:
            # What others committed before is announced, what they commit from now on is counted.
            self._monitor.pause()
        if step is Step.SUSPECT:
            self._monitor.listen()
            self._loop.on_commits([LOST])

    async def _tally(self) -> Tally | None:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._count)
