"""How long to wait before trying again: doubling, bounded. Pure."""

from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Holds state: how often in a row it failed."""

    first_seconds: float
    most_seconds: float
    failures: int = 0

    def next_delay(self) -> float:
        """After one more failure."""
        delay = min(self.first_seconds * 2.0**self.failures, self.most_seconds)
        self.failures += 1
        return delay

    def reset(self) -> None:
        """It worked."""
        self.failures = 0
