"""The deadlines of the kernel's elements: what need not be written again, and what to restore after a flush.

    deadline 107.3 s  ->  waits in the list of second 107  ->  looked at once, when second 107 is over

A refresh changes the deadline only; the element moves to its new second when the old one is over. Bounded by the
learner. The kernel expires its elements by itself, on its own clock.
"""

from collections.abc import Iterator
from typing import Final, final

from reconcile.instant import Instant

ElementKey = tuple[str, bytes]
"""(set name, packed key: endpoint address then learned address)."""

LINGER_SECONDS: Final = 1.0
"""How long an element is remembered after its deadline at least, at most a second longer: the kernel's clock ticks
coarser than ours, and an element that it may still have must be refreshed, not added (an addition would leave it to
die)."""
_MAX_STALE: Final = 1024
WALK_STEP: Final = 4096
"""Elements looked at between two chances for packets: 2 ms."""


def owner_of(key: ElementKey) -> bytes:
    """The endpoint's address in an element's key: the first half."""
    packed = key[1]
    return packed[: len(packed) // 2]


@final
class ElementTable:
    """Deadlines of the elements that the kernel has, as far as we wrote or read them."""

    def __init__(self) -> None:
        self._deadlines: dict[ElementKey, Instant] = {}
        self._due: dict[int, list[ElementKey]] = {}
        """By the second of the deadline that the element had when it was put there, or later looked at."""
        self._waiting = 0
        """Entries in `_due`: one for each element, and those of elements that were dropped and put again."""
        self._second = 0
        """No list of an earlier second is left."""
        self.per_owner: dict[bytes, int] = {}
        """Elements by the endpoint address in their key; none is 0."""

    def __len__(self) -> int:
        return len(self._deadlines)

    @property
    def waiting(self) -> int:
        """Entries in the lists of seconds; at most twice the elements, and a few."""
        return self._waiting

    def deadline(self, key: ElementKey) -> Instant | None:
        """When the kernel will expire it, or did a moment ago; None where it never had it, or expired it long ago."""
        return self._deadlines.get(key)

    def put(self, key: ElementKey, deadline: Instant) -> None:
        """The kernel has acknowledged it."""
        if key not in self._deadlines:
            owner = owner_of(key)
            self.per_owner[owner] = self.per_owner.get(owner, 0) + 1
            self._wait(key, deadline)
        self._deadlines[key] = deadline

    def drop(self, key: ElementKey) -> None:
        """It is no longer there."""
        self._forget(key)
        if self._waiting > 2 * len(self._deadlines) + _MAX_STALE:
            self._due.clear()
            self._waiting = 0
            for each, deadline in self._deadlines.items():
                self._wait(each, deadline)

    def expire(self, now: Instant, limit: int = 4096) -> None:
        """Drops what the kernel has expired; looks at no more than `limit` elements."""
        over = int(now - LINGER_SECONDS)
        while self._second < over and self._due:
            bucket = self._due.get(self._second)
            while bucket:
                if limit <= 0:
                    return
                limit -= 1
                self._look_at(bucket.pop())
            self._due.pop(self._second, None)
            self._second += 1
        if not self._due:
            self._second = max(self._second, over)

    def items(self) -> Iterator[tuple[ElementKey, Instant]]:
        """All of them. Not to be changed meanwhile."""
        return iter(self._deadlines.items())

    def all_keys(self) -> list[ElementKey]:
        """Of all of them, for a walk in pieces while the table changes."""
        return list(self._deadlines)

    def of_owners(self, owners: frozenset[bytes]) -> list[ElementKey]:
        """The elements of these endpoint addresses. Walks the table if they have any: for endpoints that go."""
        if self.per_owner.keys().isdisjoint(owners):
            return []
        return [key for key in self._deadlines if owner_of(key) in owners]

    def withdrawn(
        self, permissions: frozenset[tuple[str, bytes]], dead_sets: frozenset[str]
    ) -> Iterator[list[ElementKey]]:
        """The elements of these owners in these sets, and all of the dead sets, in pieces of a few milliseconds' work.

        The table may change between two pieces; what comes in meanwhile is not found.
        """
        found: list[ElementKey] = []
        for count, key in enumerate(self.all_keys(), 1):
            if key[0] in dead_sets or (key[0], owner_of(key)) in permissions:
                found.append(key)
            if count % WALK_STEP == 0:
                yield found
                found = []
        yield found

    def _wait(self, key: ElementKey, deadline: Instant) -> None:
        second = max(int(deadline), self._second)
        bucket = self._due.get(second)
        if bucket is None:
            bucket = self._due[second] = []
        bucket.append(key)
        self._waiting += 1

    def _look_at(self, key: ElementKey) -> None:
        """An entry of the present second, which is over: the element goes, unless it was refreshed."""
        self._waiting -= 1
        deadline = self._deadlines.get(key)
        if deadline is None:
            return
        if deadline >= self._second + 1:
            self._wait(key, deadline)
        else:
            self._forget(key)

    def _forget(self, key: ElementKey) -> None:
        if self._deadlines.pop(key, None) is None:
            return
        owner = owner_of(key)
        left = self.per_owner[owner] - 1
        if left:
            self.per_owner[owner] = left
        else:
            del self.per_owner[owner]
