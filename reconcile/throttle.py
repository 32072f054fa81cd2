"""When to act on changes: soon after the first, not for each, and later after failures.

    throttle.note_change(now)                    something is dirty
    throttle.next_at()                           when to act; None if there is nothing to do
    throttle.note_success(now) / note_failure(now)

Changes that come together are acted on together: the first waits `settle_seconds` for others, each further one moves
the moment on, but never beyond `patience_seconds` after the first. Two actions are at least `interval_seconds` apart.
After a failure the action is due again, at first after `retry_seconds`, then twice as late each time.
"""

from dataclasses import dataclass

from reconcile.instant import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleSettings:
    """Seconds. The defaults make one change visible in 5 ms and a storm of them ten times a second."""

    settle_seconds: float = 0.005
    patience_seconds: float = 0.1
    interval_seconds: float = 0.0
    retry_seconds: float = 0.1
    longest_retry_seconds: float = 10.0


class Throttle:
    """Holds when things became dirty and how often acting failed. Told the time, keeps no clock."""

    def __init__(self, settings: ThrottleSettings | None = None) -> None:
        self._settings = settings or ThrottleSettings()
        self._first_change_at: Instant | None = None
        self._last_change_at: Instant | None = None
        self._acted_at: Instant | None = None
        self._failures = 0

    @property
    def failures(self) -> int:
        """How many times in a row acting has failed."""
        return self._failures

    @property
    def is_dirty(self) -> bool:
        """Whether there is something to act on."""
        return self._first_change_at is not None

    def note_change(self, now: Instant) -> None:
        """Something is dirty."""
        if self._first_change_at is None:
            self._first_change_at = now
        self._last_change_at = now

    def next_at(self) -> Instant | None:
        """When to act."""
        if self._first_change_at is None or self._last_change_at is None:
            return None
        settings = self._settings
        settled = min(self._last_change_at + settings.settle_seconds, self._first_change_at + settings.patience_seconds)
        apart = settled if self._acted_at is None else self._acted_at + max(settings.interval_seconds, self._back_off())
        return Instant(max(settled, apart))

    def is_due(self, now: Instant) -> bool:
        """Whether to act now."""
        due = self.next_at()
        return due is not None and due <= now

    def note_success(self, now: Instant) -> None:
        """Everything that was dirty when acting began is done. Changes since then must be noted again."""
        self._first_change_at = self._last_change_at = None
        self._acted_at = now
        self._failures = 0

    def note_failure(self, now: Instant) -> None:
        """Acting failed: all stays dirty."""
        self._failures += 1
        self._acted_at = now
        if self._first_change_at is None:
            self._first_change_at = self._last_change_at = now

    def _back_off(self) -> float:
        if not self._failures:
            return 0.0
        longest = self._settings.longest_retry_seconds
        # The exponent is bounded, or a night of failures would overflow a float.
        return min(longest, self._settings.retry_seconds * 2.0 ** min(self._failures - 1, 32))
