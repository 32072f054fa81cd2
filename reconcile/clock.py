"""The one place where clocks are read. Cores are told the time; shells hold a `Clock`."""

import time
from typing import Protocol, final

from reconcile.instant import Instant, WallInstant


class Clock(Protocol):
    """Tells the time, both ways."""

    def now(self) -> Instant:
        """Seconds on a clock that never goes back and goes on while the machine sleeps."""

    def wall(self) -> WallInstant:
        """Seconds since the epoch."""


@final
class SystemClock:
    """The machine's clocks."""

    def now(self) -> Instant:
        """CLOCK_BOOTTIME: set timeouts in the kernel pass while the machine sleeps, and so must ours."""
        return Instant(time.clock_gettime(time.CLOCK_BOOTTIME))

    def wall(self) -> WallInstant:
        """CLOCK_REALTIME."""
        return WallInstant(time.time())  # noqa: TID251 - this is the place


@final
class ManualClock:
    """A clock that stands until it is moved: for tests, and for programs that replay the past."""

    def __init__(self, now: float = 1000.0, wall: float = 1_700_000_000.0) -> None:
        self._now = now
        self._wall = wall

    def now(self) -> Instant:
        """What it was last set to."""
        return Instant(self._now)

    def wall(self) -> WallInstant:
        """What it was last set to."""
        return WallInstant(self._wall)

    def advance(self, seconds: float) -> Instant:
        """Moves both clocks; the new time.

        Raises:
            ValueError: the time would go back.
        """
        if seconds < 0:
            raise ValueError(f"cannot move a clock back by {-seconds} s")
        self._now += seconds
        self._wall += seconds
        return self.now()
