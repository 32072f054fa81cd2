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

from netlink.transport import NetlinkSocket
from nft.generation import Account, Finding, Look, read_generation
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
_LOOKS = 20
"""Looks in a row while our own commits come between them; each takes half a millisecond."""

_BEGINNING = Instant(0.0)

OwnCommits = Callable[[], int | None]
"""How many commits were ours; None where nobody can tell. Called in the kernel's thread, which then commits nothing."""


class Step(Enum):
    """What to do after a look."""

    STAY = "stay"
    PAUSE = "pause"
    """Stop listening: the account is open."""
    LISTEN = "listen"
    """It is calm: listen, look once more, and `settle`."""
    SUSPECT = "suspect"
    """Somebody else committed, or may have: listen, and read the table."""


@final
@dataclass(slots=True)
class Quiet:
    """Decides between listening and counting. Touches nothing, is told the time."""

    account: Account | None = None
    """None: we listen."""
    _listen_until: Instant = _BEGINNING
    _own: int = 0
    _own_at: Instant = _BEGINNING

    def take(self, look: Look | None, now: Instant) -> Step:
        """Takes a look; None where nobody could tell what was ours."""
        rate = self._rate(look, now)
        if self.account is not None:
            step = self.settle(look, now)
            if step is Step.STAY and rate < CALM_COMMITS_PER_SECOND:
                return Step.LISTEN
            return step
        if look is not None and rate > BUSY_COMMITS_PER_SECOND and now >= self._listen_until:
            self.account = Account.opened(look)
        return Step.STAY if self.account is None else Step.PAUSE

    def settle(self, look: Look | None, now: Instant) -> Step:
        """Compares a look with the account, and closes it where they do not agree."""
        if self.account is not None and look is not None and self.account.judge(look) is Finding.OURS:
            return Step.STAY
        self.account = None
        self._listen_until = Instant(now + LISTEN_SECONDS)
        return Step.SUSPECT

    def _rate(self, look: Look | None, now: Instant) -> float:
        own = self._own if look is None else look.own
        rate = (own - self._own) / max(1e-3, now - self._own_at)
        self._own, self._own_at = own, now
        return rate


@final
class CommitFeed:
    """Owns the monitor and a netlink socket to ask for the generation."""

    def __init__(self, loop: ApplyLoop, monitor: Monitor, own: OwnCommits, thread: Executor, clock: Clock) -> None:
        """Listens from the start.

        Raises:
            OSError: there is no netfilter netlink.
        """
        self._loop = loop
        self._monitor = monitor
        self._own = own
        self._thread = thread
        self._clock = clock
        self._link = NetlinkSocket()
        self.quiet = Quiet()

    def close(self) -> None:
        """Closes both; safe to call twice."""
        self._monitor.close()
        self._link.close()

    async def run(self) -> None:
        """Feeds until cancelled; closes what it owns."""
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
        step = self.quiet.take(await self._look(), self._clock.now())
        if step is Step.PAUSE:
            self._monitor.pause()
            return
        if step is Step.LISTEN:
            # First listen, then look: what others commit between the two is seen by one or the other.
            self._monitor.listen()
            step = self.quiet.settle(await self._look(), self._clock.now())
            self.quiet.account = None
        if step is Step.SUSPECT:
            self._monitor.listen()
            self._loop.on_commits([LOST])

    async def _look(self) -> Look | None:
        """A look between whose numbers nothing happened, if there is one in a few milliseconds."""
        events, found = asyncio.get_running_loop(), None
        for _ in range(_LOOKS):
            found = await events.run_in_executor(self._thread, self._look_once)
            if found is None or found.before == found.after:
                break
        return found

    def _look_once(self) -> Look | None:
        before = read_generation(self._link)
        own = self._own()
        return None if own is None else Look(before, own, read_generation(self._link))
