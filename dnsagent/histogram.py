"""How long things took, counted in buckets: a Prometheus histogram's numbers, a few additions for each observation."""

from bisect import bisect_left
from typing import Final, final

BOUNDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)
"""Seconds; behind them all is one bucket more."""


@final
class Histogram:
    """Counts only ever grow."""

    def __init__(self) -> None:
        self.counts: list[int] = [0] * (len(BOUNDS) + 1)
        """Not added up: each observation is in one of them."""
        self.sum = 0.0
        """Seconds."""

    def note(self, seconds: float, times: int) -> None:
        """So many took so long."""
        self.counts[bisect_left(BOUNDS, seconds)] += times
        self.sum += seconds * times

    def cumulative(self) -> list[list[float]]:
        """(upper bound, how many took at most so long), without the last, which is all of them."""
        total = 0
        found: list[list[float]] = []
        for bound, count in zip(BOUNDS, self.counts, strict=False):
            total += count
            found.append([bound, float(total)])
        return found
