"""Whether a queue or log group does its work, as a value for `status` and for metrics."""

from dataclasses import dataclass

from reconcile.instant import Instant

QUIET_SECONDS = 60.0
"""How long nothing must be lost before a reader is called healthy again: long enough for an operator's scrape to see
a loss, short enough that an old burst does not look like a standing fault."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A claim about a reader, why, and since when."""

    is_healthy: bool
    reason: str
    """For people; empty when healthy."""
    since: Instant


class LossWatch:
    """Tells a stretch of losses from a quiet time, by counters that only grow."""

    def __init__(self, now: Instant) -> None:
        self._known: dict[str, int] = {}
        self._losing_since: Instant | None = None
        self._last_loss_at = now
        self._quiet_since = now
        self._stretch: dict[str, int] = {}

    def observe(self, losses: dict[str, int], now: Instant) -> None:
        """Looks at the counters, each under the words that follow its number ("packets dropped: queue full")."""
        new = {words: count - self._known.get(words, 0) for words, count in losses.items()}
        self._known = dict(losses)
        if any(count > 0 for count in new.values()):
            if self._losing_since is None:
                self._losing_since = now
            self._last_loss_at = now
            self._stretch = {words: self._stretch.get(words, 0) + max(0, count) for words, count in new.items()}
        elif self._losing_since is not None and now - self._last_loss_at >= QUIET_SECONDS:
            self._losing_since, self._stretch = None, {}
            self._quiet_since = now

    def condition(self) -> Condition:
        """Degraded from the first loss of a stretch until a quiet time has gone by."""
        if self._losing_since is None:
            return Condition(is_healthy=True, reason="", since=self._quiet_since)
        lost = ", ".join(f"{count} {words}" for words, count in self._stretch.items() if count)
        return Condition(is_healthy=False, reason=lost, since=self._losing_since)
