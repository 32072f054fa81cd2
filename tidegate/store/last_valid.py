"""What a directory of files means, given what it meant before (docs/adr/0011-last-valid-meaning.md).

    a valid document                                  in force
    a document that was never valid                   not in force, InvalidResource
      and is an administrator's policy                in force with its bad rules closed, InvalidResource (ADR 25)
    a document that was valid and is not any more     its last valid meaning stays in force, StaleResource
    a second document about the same resource         not in force, InvalidResource; the first place counts
    a pool that overlaps one of an earlier place      not in force, InvalidResource
    a document or file that is gone                   not in force

Pure: takes entries, gives updates and problems. Places are compared as `file#index`, files in the order of their names.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from policy.errors import Fault
from policy.resources.ip_pool import IPPool
from policy.resources.metadata import Resource, ResourceKey
from tidegate.store.entries import Entry
from tidegate.store.pools import Pools

OVERLAP_PATH = "spec.cidr"
"""Where a pool says which addresses it has."""


class ProblemKind(StrEnum):
    """What becomes of a faulty document; the words of the conditions in status."""

    INVALID = "InvalidResource"
    """It has no effect."""
    STALE = "StaleResource"
    """What it said when it was last valid is still in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One field of one document that is wrong, and what that leads to."""

    kind: ProblemKind
    file: str
    index: int
    line: int
    path: str
    """The field; "" for the whole document."""
    message: str
    """Whom it is about, what is wrong, what is in force."""

    @property
    def subject(self) -> str:
        """The place, as `file#index`."""
        return f"{self.file}#{self.index}"


@dataclass(frozen=True, slots=True)
class Update:
    """A resource is in force from now on, or (None) not any more."""

    key: ResourceKey
    resource: Resource | None


@dataclass(frozen=True, slots=True)
class Changes:
    """What follows from a change of files."""

    updates: tuple[Update, ...]
    """Only real changes, by key."""
    problems: tuple[Problem, ...]
    """Everything that is wrong now, by place; not only what changed."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the meaning of a key comes from."""

    file: str
    entry: Entry
    resource: Resource
    is_closed: bool = False
    """What a faulty document means whose bad rules deny: kept only where the document says nothing of its own."""


class LastValid:
    """Holds state: the entries of each file, and what is in force."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[Entry, ...]] = {}
        self._in_force: dict[ResourceKey, _Place] = {}
        self._claims: Counter[ResourceKey] = Counter()
        """How many documents say, rightly or wrongly, that they are about a resource."""
        self.problems: tuple[Problem, ...] = ()
        """Everything that was wrong when last asked."""

    def take(self, changed: Mapping[str, tuple[Entry, ...] | None]) -> Changes:
        """What follows from these files having these entries now; None for a file that is gone.

        Linear in all files; in those that changed where each holds one document, valid before and after, about a
        resource that no other document is about. So it is with nearly all objects of a cluster.
        """
        keys = [entries[0].key for entries in changed.values() if entries]
        if len(set(keys)) == len(keys) and all(self._is_alone(file, entries) for file, entries in changed.items()):
            return Changes(tuple(self._quick(changed)), self.problems)
        for file, entries in changed.items():
            if entries is None:
                self._files.pop(file, None)
            else:
                self._files[file] = entries
        wanted, duplicates = self._valid()
        faulty = [(file, entry) for file, entry in self._all() if entry.faults]
        kept = self._kept(wanted, faulty)
        closed = _closed(wanted, faulty)
        updates = tuple(self._updates(wanted))
        self._in_force = wanted
        self._claims = Counter(key for _, entry in self._all() for key in _claimed(entry))
        problems = [*duplicates, *_problems(faulty, kept, closed)]
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.file, problem.index, problem.path)))
        return Changes(updates, self.problems)

    def _is_alone(self, file: str, entries: tuple[Entry, ...] | None) -> bool:
        """Whether the change of a file concerns nothing but the one resource in it."""
        before, after = self._files.get(file) or (), entries or ()
        documents = (*before, *after)
        keys = {entry.key for entry in documents}
        if len(before) > 1 or len(after) > 1 or len(keys) > 1 or not all(map(_is_plain, documents)):
            return False
        key = next(iter(keys), None)
        if key is None:
            return True
        place = self._in_force.get(key)
        stands = place is not None and bool(before) and place.entry is before[0]
        return stands and self._claims[key] == 1 if before else place is None and not self._claims[key]

    def _quick(self, changed: Mapping[str, tuple[Entry, ...] | None]) -> Iterator[Update]:
        """Takes over files that are alone; by key."""
        told: dict[ResourceKey, Resource | None] = {}
        for file, entries in changed.items():
            before = self._files.pop(file, ())
            if entries is not None:
                self._files[file] = entries
            if not entries:
                for entry in before:
                    told[self._forget(entry)] = None
            for entry in entries or ():
                if entry.resource is not None and self._is_news(file, entry, entry.resource):
                    told[entry.resource.key] = entry.resource
        return (Update(key, told[key]) for key in sorted(told))

    def _forget(self, entry: Entry) -> ResourceKey:
        assert entry.key is not None, "a valid document has a key"
        del self._in_force[entry.key], self._claims[entry.key]
        return entry.key

    def _is_news(self, file: str, entry: Entry, resource: Resource) -> bool:
        known = self._in_force.get(resource.key)
        self._in_force[resource.key] = _Place(file, entry, resource)
        self._claims[resource.key] = 1
        return known is None or known.resource != resource

    def _all(self) -> Iterator[tuple[str, Entry]]:
        return ((file, entry) for file in sorted(self._files) for entry in self._files[file])

    def _valid(self) -> tuple[dict[ResourceKey, _Place], list[Problem]]:
        wanted: dict[ResourceKey, _Place] = {}
        duplicates = []
        pools = Pools()
        for file, entry in self._all():
            if entry.resource is None:
                continue
            if entry.resource.key not in wanted and (reason := pools.refused(entry.resource)) is not None:
                duplicates.append(_overlap(file, entry, reason))
                continue
            first = wanted.setdefault(entry.resource.key, _Place(file, entry, entry.resource))
            if first.entry is not entry:
                duplicates.append(_duplicate(file, entry, first))
        return wanted, duplicates

    def _kept(
        self, wanted: dict[ResourceKey, _Place], faulty: list[tuple[str, Entry]]
    ) -> Mapping[int, list[ResourceKey]]:
        """Keeps in force what faulty documents meant before; which keys, by the identity of the entry."""
        kept: dict[int, list[ResourceKey]] = {}
        superseded = {entry.fallback.key for _, entry in faulty if entry.fallback is not None}
        for key, place in self._in_force.items():
            if place.is_closed and key in superseded:
                continue
            if key not in wanted and (entry := _successor(key, place.file, faulty)) is not None:
                wanted[key] = place
                kept.setdefault(id(entry), []).append(key)
        return kept

    def _updates(self, wanted: Mapping[ResourceKey, _Place]) -> Iterator[Update]:
        for key in sorted(self._in_force.keys() | wanted.keys()):
            old, new = self._in_force.get(key), wanted.get(key)
            if new is None:
                yield Update(key, None)
            elif old is None or (old.resource is not new.resource and old.resource != new.resource):
                yield Update(key, new.resource)


def _is_plain(entry: Entry) -> bool:
    """Valid, and no pool: whether one counts depends on the others."""
    return entry.resource is not None and not isinstance(entry.resource, IPPool)


def _claimed(entry: Entry) -> frozenset[ResourceKey]:
    """Every resource that a document may be about."""
    fallback = None if entry.fallback is None else entry.fallback.key
    return frozenset(key for key in (entry.key, fallback) if key is not None)


def _closed(wanted: dict[ResourceKey, _Place], faulty: Iterable[tuple[str, Entry]]) -> frozenset[int]:
    """Puts in force what faulty documents mean that have no last valid meaning; the identities of their entries."""
    closed = set()
    for file, entry in faulty:
        if entry.fallback is not None and entry.fallback.key not in wanted:
            wanted[entry.fallback.key] = _Place(file, entry, entry.fallback, is_closed=True)
            closed.add(id(entry))
    return frozenset(closed)


def _successor(key: ResourceKey, file: str, faulty: Iterable[tuple[str, Entry]]) -> Entry | None:
    """The faulty document that was meant to be this resource: it says so, or cannot say and stands in the same file."""
    candidates = [entry for where, entry in faulty if entry.key == key or (entry.key is None and where == file)]
    return next((entry for entry in candidates if entry.key == key), candidates[0] if candidates else None)


def _duplicate(file: str, entry: Entry, first: _Place) -> Problem:
    return Problem(
        kind=ProblemKind.INVALID,
        file=file,
        index=entry.index,
        line=entry.line,
        path="metadata.name",
        message=duplicate_message(entry.resource.key if entry.resource else None, first.file, first.entry.line),
    )


def _overlap(file: str, entry: Entry, reason: str) -> Problem:
    return Problem(
        kind=ProblemKind.INVALID, file=file, index=entry.index, line=entry.line, path=OVERLAP_PATH,
        message=f"{_who(entry)}{reason}",
    )  # fmt: skip


def duplicate_message(key: ResourceKey | None, file: str, line: int) -> str:
    """What is said of the second document about a resource."""
    return f"cannot define {key} again: {file}, line {line}, already does, and counts"


def _problems(
    faulty: Iterable[tuple[str, Entry]], kept: Mapping[int, list[ResourceKey]], closed: frozenset[int]
) -> Iterator[Problem]:
    for file, entry in faulty:
        keys = kept.get(id(entry), [])
        for path, (line, message) in _by_path(entry).items():
            yield Problem(
                kind=ProblemKind.STALE if keys else ProblemKind.INVALID,
                file=file,
                index=entry.index,
                line=line,
                path=path,
                message=f"{_who(entry)}{message}{_CLOSED if id(entry) in closed else _consequence(keys)}",
            )


def _by_path(entry: Entry) -> Mapping[str, tuple[int, str]]:
    """Line and text for each faulty field."""
    found: dict[str, tuple[int, list[Fault]]] = {}
    for fault, line in zip(entry.faults, entry.fault_lines, strict=True):
        found.setdefault(fault.path, (line, []))[1].append(fault)
    return {path: (line, "; ".join(fault.message for fault in faults)) for path, (line, faults) in found.items()}


def _who(entry: Entry) -> str:
    return f"{entry.key}: " if entry.key else ""


_CLOSED = " (in force, but the faulty rules: those that deny or pass deny everything, those that accept are left out)"


def _consequence(keys: list[ResourceKey]) -> str:
    if not keys:
        return ""
    shown = ", ".join(map(str, keys[:10])) + (f" and {len(keys) - 10} more" if len(keys) > 10 else "")
    return f" (still in force as last valid: {shown})"
