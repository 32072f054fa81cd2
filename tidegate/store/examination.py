"""What is wrong with files before they are in force: faults, names that stand twice, pools that overlap."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from policy.errors import Fault
from policy.resources.metadata import ResourceKey
from tidegate.store import tree
from tidegate.store.entries import Entry, read_entries, unreadable
from tidegate.store.last_valid import OVERLAP_PATH, duplicate_message
from tidegate.store.pools import Pools
from tidegate.store.tree import StoreError


@dataclass(frozen=True, slots=True)
class Source:
    """A file to examine."""

    root: Path
    name: str
    """Below the root; the root's own name if it is a file."""
    size_bytes: int

    @property
    def shown(self) -> str:
        """The path as it follows from what the user gave."""
        return str(self.root / self.name) if self.root.is_dir() else str(self.root)


@dataclass(frozen=True, slots=True)
class Finding:
    """One resource of one file."""

    file: str
    entry: Entry
    faults: tuple[Fault, ...]
    """The entry's own, and that another place has its name or its addresses."""
    lines: tuple[int, ...]
    """Of each fault."""


def sources(paths: Iterable[Path]) -> tuple[Source, ...]:
    """The files below these paths, in order, each once however often it is named.

    Raises:
        StoreError: A path cannot be read.
    """
    found: dict[tuple[int, int], Source] = {}
    for path in paths:
        for name, signature in tree.scan(path).files.items():
            found.setdefault((signature.device, signature.inode), Source(path, name, signature.size))
    return tuple(found.values())


class Examination:
    """Holds state: which names and which pools were seen where."""

    def __init__(self) -> None:
        self._seen: dict[ResourceKey, tuple[str, int]] = {}
        self._pools = Pools()

    def examine(self, source: Source) -> Iterator[Finding]:
        """Everything in a file. Never raises for what is in it."""
        file = source.shown
        for entry in _entries(source):
            known = self._seen.setdefault(entry.resource.key, (file, entry.line)) if entry.resource else None
            if entry.resource is None or known in (None, (file, entry.line)):
                yield self._alone(file, entry)
            elif known is not None:
                fault = Fault("metadata.name", duplicate_message(entry.resource.key, *known))
                yield Finding(file, entry, (fault,), (entry.line,))

    def _alone(self, file: str, entry: Entry) -> Finding:
        """What is wrong with the only document about a resource."""
        reason = self._pools.refused(entry.resource) if entry.resource else None
        if reason is None:
            return Finding(file, entry, entry.faults, entry.fault_lines)
        return Finding(file, entry, (Fault(OVERLAP_PATH, reason),), (entry.line,))


def _entries(source: Source) -> tuple[Entry, ...]:
    try:
        return read_entries(source.name, tree.content(source.root, source.name) or b"")
    except StoreError as error:
        return (unreadable(str(error)),)
