"""Points in time as the core knows them: numbers that somebody else read from a clock."""

from typing import NewType

Instant = NewType("Instant", float)
"""Seconds on the monotonic clock (CLOCK_BOOTTIME: it goes on while the machine sleeps, as set timeouts should)."""

WallInstant = NewType("WallInstant", float)
"""Seconds since the epoch, UTC: for files and for people, never for arithmetic with `Instant`."""
