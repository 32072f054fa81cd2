"""One look at the connection table after policy changed: finds what is denied now, and ends it. Blocks.

    the connection table, read as it comes: entries in the scope, some thousands at a time
      -> hearing: the rules in force, the names learned and remembered
      -> the far ends of the denied ones are remembered in the kernel, then their entries are deleted

The interpreter's lock is given back every few hundred entries: the apply loop and the API go on meanwhile.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, final

from nfq.connection import Connection, Listed
from nfq.conntrack import Conntrack
from policy.rules import EndpointID, NodeState
from tidegate.revoke.hearing import Elements, Hearing
from tidegate.revoke.names import Fact
from tidegate.revoke.scope import Wanted
from tidegate.revoke.way import Surroundings, Way, way_of

BATCH = 8192
"""Entries in memory at a time, a kilobyte each."""
_PIECE = 256
"""Entries heard between two pauses: some milliseconds' work."""
_PAUSE_SECONDS = 0.0005
_PASSES = 3
"""A table that changes while it is listed may hide entries; it is read until nothing is found, or so often."""

Ask = Callable[[EndpointID | None], Iterable[Fact]]
"""What the packet process remembers that it told a workload; None stands for all of them."""


class Sets(Protocol):
    """The kernel's sets: learned addresses, and the memory of far ends."""

    def learned(self, part: NodeState) -> Elements:
        """The elements of the learned sets of the part, by name.

        Raises:
            NftError: a set is not there, or the kernel refused.
        """

    def remember(self, doomed: Iterable[Connection]) -> int:
        """Writes the directions from which nothing may come any more; how many there was no room for.

        Raises:
            NftError: the kernel refused.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A connection that was ended, and by which rule."""

    entry: Listed
    way: Way
    reason: str


@final
@dataclass(slots=True)
class Look:
    """One look. Counts what it found."""

    hearing: Hearing
    around: Surroundings
    sets: Sets
    ask: Ask
    note: Callable[[Ended], None]
    """Is told of each connection that was ended."""
    judged: int = 0
    ended: int = 0
    excused: int = 0
    unguarded: int = 0
    _facts: dict[EndpointID | None, list[Fact]] = field(default_factory=dict)

    def run(self) -> None:
        """Looks until there is nothing left to end.

        Raises:
            QueueError: the connection table cannot be read or written.
            NftError: the sets cannot.
            OSError: the packet process cannot be asked what it remembers.
        """
        learned = self.sets.learned(self.hearing.part)
        wanted = Wanted(self.hearing.scope, self.hearing.now)
        with Conntrack() as reader, Conntrack() as writer:
            seen: set[bytes] = set()
            for _ in range(_PASSES):
                before = self.ended
                for batch in _batches(entry for entry in reader.scan(wanted) if entry.key not in seen):
                    self._batch(batch, learned, writer)
                    seen.update(entry.key for entry in batch)
                if self.ended == before:
                    break

    def _batch(self, entries: list[Listed], learned: Elements, writer: Conntrack) -> None:
        ways: dict[Way, list[Listed]] = {}
        for entry in entries:
            way = way_of(entry, self.around)
            if way is not None:
                ways.setdefault(way, []).append(entry)
        self.judged += len(entries)
        denied = self._denied(list(ways), learned)
        if denied:
            doomed = [entry.whole() for way in denied for entry in ways[way]]
            self.unguarded += self.sets.remember(doomed)
            self.ended += writer.delete(doomed)
            for way, reason in denied.items():
                for entry in ways[way]:
                    self.note(Ended(entry=entry, way=way, reason=reason))

    def _denied(self, ways: list[Way], learned: Elements) -> Mapping[Way, str]:
        doubtful: dict[Way, str] = {}
        for start in range(0, len(ways), _PIECE):
            doubtful |= self.hearing.doubtful(ways[start : start + _PIECE], learned)
            time.sleep(_PAUSE_SECONDS)  # noqa: TID251 - a thread of its own, which gives way to the others
        forgetful = self.hearing.needs_memory(doubtful)
        if not forgetful:
            return doubtful
        # What one workload was told may open a name for all of the node's.
        asked = (None,) if self.hearing.shares_names else forgetful
        denied = self.hearing.denied(doubtful, [fact for one in asked for fact in self._told(one)])
        self.excused += len(doubtful) - len(denied)
        return denied

    def _told(self, endpoint: EndpointID | None) -> list[Fact]:
        if endpoint not in self._facts:
            self._facts[endpoint] = list(self.ask(endpoint))
        return self._facts[endpoint]


def _batches(entries: Iterable[Listed]) -> Iterator[list[Listed]]:
    rest = iter(entries)
    while batch := list(islice(rest, BATCH)):
        yield batch
