"""The deadlines of the kernel's elements: what need not be written again, and what to restore after a flush.

    deadline 107.3 s  ->  waits in the list of second 107  ->  looked at once, when second 107 is over

A refresh changes the deadline only; the element moves to its new second when the old one is over. Bounded by the
learner. The kernel expires its elements by itself, on its own clock.

There may be half a million of them, so an element is one bytes object (its set's number, then its key) and shares its
deadline with others of its answer: 140 bytes in all for IPv4.
"""

from collections.abc import Iterator
from typing import Final, cast, final

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
_NUMBER_BYTES: Final = 4


def owner_of(key: ElementKey) -> bytes:
    """The endpoint's address in an element's key: the first half."""
    packed = key[1]
    return packed[: len(packed) // 2]


def _owner_at(place: bytes) -> bytes:
    return place[_NUMBER_BYTES : (_NUMBER_BYTES + len(place)) // 2]


@final
class ElementTable:
    """Deadlines of the elements that the kernel has, as far as we wrote or read them."""

    def __init__(self) -> None:
        self._deadlines: dict[bytes, object] = {}
        """By place: the set's number, then the packed key. Instants; as `object` they are not copied."""
        self._numbers: dict[str, bytes] = {}
        """Of the sets that have elements."""
        self._names: dict[bytes, str] = {}
        self._next_number = 0
        self._due: dict[int, list[bytes]] = {}
        """Places by the second of the deadline that the element had when it was put there, or later looked at."""
        self._waiting = 0
        """Entries in `_due`: one for each element, and those of elements that were dropped and put again."""
        self._second = 0
        """No list of an earlier second is left."""
        self._latest = 0.0
        self._shared: object = 0.0
        """The object of the latest deadline that was put."""
        self.per_owner: dict[bytes, int] = {}
        """Elements by the endpoint address in their key; none is 0."""
        self.per_set: dict[str, int] = {}
        """Elements by set; none is 0."""

    def __len__(self) -> int:
        return len(self._deadlines)

    @property
    def waiting(self) -> int:
        """Entries in the lists of seconds; at most twice the elements, and a few."""
        return self._waiting

    def deadline(self, key: ElementKey) -> Instant | None:
        """When the kernel will expire it, or did a moment ago; None where it never had it, or expired it long ago."""
        number = self._numbers.get(key[0])
        return None if number is None else cast("Instant | None", self._deadlines.get(number + key[1]))

    def put(self, key: ElementKey, deadline: Instant) -> None:
        """The kernel has acknowledged it."""
        number = self._numbers.get(key[0])
        if number is None:
            number = self._number(key[0])
        place = number + key[1]
        if deadline != self._latest:
            self._latest = deadline
            self._shared = deadline
        if place not in self._deadlines:
            owner = owner_of(key)
            self.per_owner[owner] = self.per_owner.get(owner, 0) + 1
            self.per_set[key[0]] = self.per_set.get(key[0], 0) + 1
            self._wait(place, deadline)
        self._deadlines[place] = self._shared

    def drop(self, key: ElementKey) -> None:
        """It is no longer there."""
        number = self._numbers.get(key[0])
        if number is None:
            return
        self._forget(number + key[1])
        if self._waiting > 2 * len(self._deadlines) + _MAX_STALE:
            self._due.clear()
            self._waiting = 0
            for each, deadline in self._deadlines.items():
                self._wait(each, cast("Instant", deadline))

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
        for place, deadline in self._deadlines.items():
            yield (self._names[place[:_NUMBER_BYTES]], place[_NUMBER_BYTES:]), cast("Instant", deadline)

    def all_keys(self) -> Iterator[ElementKey]:
        """Of all of them, for a walk in pieces while the table changes: what has gone meanwhile may be left out."""
        for place in list(self._deadlines):
            name = self._names.get(place[:_NUMBER_BYTES])
            if name is not None:
                yield name, place[_NUMBER_BYTES:]

    def of_owners(self, owners: frozenset[bytes]) -> list[ElementKey]:
        """The elements of these endpoint addresses. Walks the table if they have any: for endpoints that go."""
        if self.per_owner.keys().isdisjoint(owners):
            return []
        return [self._key(place) for place in self._deadlines if _owner_at(place) in owners]

    def withdrawn(
        self, permissions: frozenset[tuple[str, bytes]], dead_sets: frozenset[str]
    ) -> Iterator[list[ElementKey]]:
        """The elements of these owners in these sets, and all of the dead sets, in pieces of a few milliseconds' work.

        The table may change between two pieces; what comes in meanwhile is not found, and what has gone may be.
        """
        names = dict(self._names)
        numbers = self._numbers
        dead = {numbers[name] for name in dead_sets if name in numbers}
        beginnings = {numbers[name] + owner for name, owner in permissions if name in numbers}
        found: list[ElementKey] = []
        for count, place in enumerate(list(self._deadlines), 1):
            number = place[:_NUMBER_BYTES]
            if number in dead or number + _owner_at(place) in beginnings:
                found.append((names[number], place[_NUMBER_BYTES:]))
            if count % WALK_STEP == 0:
                yield found
                found = []
        yield found

    def _key(self, place: bytes) -> ElementKey:
        return self._names[place[:_NUMBER_BYTES]], place[_NUMBER_BYTES:]

    def _number(self, set_name: str) -> bytes:
        """A new one: those of sets that have lost their last element may still wait in a list."""
        self._next_number += 1
        number = self._next_number.to_bytes(_NUMBER_BYTES, "big")
        self._numbers[set_name] = number
        self._names[number] = set_name
        return number

    def _wait(self, place: bytes, deadline: Instant) -> None:
        second = max(int(deadline), self._second)
        bucket = self._due.get(second)
        if bucket is None:
            bucket = self._due[second] = []
        bucket.append(place)
        self._waiting += 1

    def _look_at(self, place: bytes) -> None:
        """An entry of the present second, which is over: the element goes, unless it was refreshed."""
        self._waiting -= 1
        deadline = cast("Instant | None", self._deadlines.get(place))
        if deadline is None:
            return
        if deadline >= self._second + 1:
            self._wait(place, deadline)
        else:
            self._forget(place)

    def _forget(self, place: bytes) -> None:
        if self._deadlines.pop(place, None) is None:
            return
        _take_one(self.per_owner, _owner_at(place))
        number = place[:_NUMBER_BYTES]
        name = self._names[number]
        left = self.per_set[name] - 1
        if left:
            self.per_set[name] = left
        else:
            del self.per_set[name], self._numbers[name], self._names[number]


def _take_one(counts: dict[bytes, int], owner: bytes) -> None:
    left = counts[owner] - 1
    if left:
        counts[owner] = left
    else:
        del counts[owner]
