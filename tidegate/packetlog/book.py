"""The latest records, for those who ask and those who follow. Pure."""

from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import final

BOOK_LIMIT = 20_000
"""Records kept for `tidegate logs`, at about a kilobyte each; the oldest go first, and followers are told how many."""
PAGE_LIMIT = 2_000
"""Records in one answer: a tenth of a second of the event loop's time at most."""


@final
class LogBook:
    """Holds state: numbered records, from 1."""

    def __init__(self, limit: int = BOOK_LIMIT) -> None:
        self._records: deque[Mapping[str, object]] = deque(maxlen=limit)
        self._last = 0

    def add(self, records: Iterable[Mapping[str, object]]) -> None:
        """Writes them down."""
        for record in records:
            self._records.append(record)
            self._last += 1

    def page(self, after: int) -> Mapping[str, object]:
        """The records behind the number, as many as fit; `missed` were forgotten before they were asked for.

        A number that was never given is of another run: the page begins with the first record there is.
        """
        after = after if after <= self._last else 0
        first = self._last - len(self._records)
        missed = max(0, first - after)
        start = max(after, first) - first
        found = list(islice(self._records, start, start + PAGE_LIMIT))
        return {"records": found, "next": first + start + len(found), "missed": missed, "last": self._last}
