"""Want, have, to do: one data structure for everything that is kept in agreement with a plan.

    tracker.want(key, value)      tracker.unwant(key)          what the plan says
    tracker.found(all)            a fresh look at the world: replaces what was believed
    for key, value in tracker.updates(): do(...); tracker.did_update(key, value)
    for key in tracker.deletions():      do(...); tracker.did_delete(key)

What is to do is kept up to date with each change, so looking at it costs what it contains. A step that failed is
simply not reported as done: it stays to do. What was done is reported with the value that was really written, because
the plan may have moved on meanwhile.
"""

from collections.abc import Hashable, Iterator, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class DeltaTracker(Generic[K, V]):
    """Holds what is desired and what is believed to be actual; values are compared by `==`.

    Invariant: `updates` are the keys whose desired value is not the actual one, `deletions` the actual keys that are
    not desired. The iterators walk a copy, so the caller may report steps as done while it walks.
    """

    def __init__(self) -> None:
        self._desired: dict[K, V] = {}
        self._actual: dict[K, V] = {}
        self._updates: dict[K, None] = {}
        """Keys in the order in which they became pending: what has waited longest goes first."""
        self._deletions: dict[K, None] = {}

    # --- the plan ---

    def want(self, key: K, value: V) -> None:
        """The plan has this value for the key."""
        self._desired[key] = value
        self._review(key)

    def unwant(self, key: K) -> None:
        """The plan does not have the key; nothing if it never did."""
        self._desired.pop(key, None)
        self._review(key)

    def want_exactly(self, desired: Mapping[K, V]) -> None:
        """The plan has these and no others."""
        for key in self._desired.keys() - desired.keys():
            self.unwant(key)
        for key, value in desired.items():
            self.want(key, value)

    # --- the world ---

    def found(self, actual: Mapping[K, V]) -> None:
        """All that is really there, by a fresh look."""
        gone = self._actual.keys() - actual.keys()
        self._actual = dict(actual)
        for key in (*gone, *actual):
            self._review(key)
        for key in self._desired.keys() - actual.keys():
            self._review(key)

    def did_update(self, key: K, value: V) -> None:
        """The key now has this value in the world."""
        self._actual[key] = value
        self._review(key)

    def did_delete(self, key: K) -> None:
        """The key is no longer in the world, by us or by somebody else."""
        self._actual.pop(key, None)
        self._review(key)

    # --- what to do ---

    def updates(self) -> Iterator[tuple[K, V]]:
        """Keys to write and their values, longest pending first."""
        for key in tuple(self._updates):
            if key in self._updates:
                yield key, self._desired[key]

    def deletions(self) -> Iterator[K]:
        """Keys to delete, longest pending first."""
        for key in tuple(self._deletions):
            if key in self._deletions:
                yield key

    @property
    def is_in_agreement(self) -> bool:
        """Whether there is nothing to do."""
        return not self._updates and not self._deletions

    @property
    def pending(self) -> int:
        """How many keys there are to write or delete."""
        return len(self._updates) + len(self._deletions)

    def desired(self) -> Mapping[K, V]:
        """What the plan says. A live view: do not keep it."""
        return self._desired

    def actual(self) -> Mapping[K, V]:
        """What is believed to be there. A live view: do not keep it."""
        return self._actual

    def _review(self, key: K) -> None:
        is_desired, is_actual = key in self._desired, key in self._actual
        if is_desired and not (is_actual and self._actual[key] == self._desired[key]):
            self._updates.setdefault(key)
        else:
            self._updates.pop(key, None)
        if is_actual and not is_desired:
            self._deletions.setdefault(key)
        else:
            self._deletions.pop(key, None)
