"""Resources from a directory of files: what is in force at first, and every change from then on.

    source = FileSource(Path("/etc/tidegate"))
    changes = source.load()
    async for changes in source.changes(): ...

Changed files are found by looking at their signatures: when the directory rings (`bell`), and in turn in any case.
A change counts when the directory has stood still for a moment, so that no editor is read halfway through a file.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from tidegate.store import tree
from tidegate.store.bell import Bell
from tidegate.store.entries import Entry, read_entries, unreadable
from tidegate.store.last_valid import Changes, LastValid, Problem, ProblemKind
from tidegate.store.tree import StoreError, Tree

POLL_SECONDS = 2.0
"""Between looks when nothing rings. A look costs 5 ms for 1,000 files."""
SETTLE_SECONDS = 0.05
"""How long a directory must stand still. Editors write within a few milliseconds."""
MAX_SETTLE_SECONDS = 2.0
"""When a directory that never stands still is read all the same."""


class FileSource:
    """Holds state: the directory as it was last read, what it means, and what was last told of it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._tree = Tree({})
        self._meaning = LastValid()
        self._problems: tuple[Problem, ...] = ()
        self._is_readable = True

    @property
    def counters(self) -> Mapping[str, int]:
        """None: a directory costs what `POLL_SECONDS` says."""
        return {}

    def load(self) -> Changes:
        """Everything that is in force now. May take seconds where there are thousands of resources.

        Raises:
            StoreError: The directory cannot be read.
        """
        return self._read(tree.scan(self._root))

    async def begin(self) -> Changes:
        """Likewise, in a thread: the loop need not wait for the parser.

        Raises:
            StoreError: The directory cannot be read.
        """
        return await asyncio.to_thread(self.load)

    async def changes(self) -> AsyncIterator[Changes]:
        """Yields whenever updates or problems have changed; never ends, never raises for what is on the disk."""
        bell = Bell()
        try:
            while True:
                bell.watch(self._tree.directories)
                await bell.wait(POLL_SECONDS)
                told = self._problems
                found = await self._look()
                if found.updates or found.problems != told:
                    yield found
        finally:
            bell.close()

    async def _look(self) -> Changes:
        try:
            now = await self._settled()
            if now.files == self._tree.files and self._is_readable:
                self._tree = now
                return Changes((), self._problems)
            return await asyncio.to_thread(self._read, now)
        except StoreError as error:
            self._is_readable = False
            self._problems = (_of_root(self._root, error), *self._meaning.problems)
            return Changes((), self._problems)

    async def _settled(self) -> Tree:
        """The directory when it has stood still for a moment, if it has changed at all.

        Raises:
            StoreError: It cannot be read.
        """
        now = await asyncio.to_thread(tree.scan, self._root)
        waited = 0.0
        while now.files != self._tree.files and waited < MAX_SETTLE_SECONDS:
            await asyncio.sleep(SETTLE_SECONDS)
            waited += SETTLE_SECONDS
            before, now = now, await asyncio.to_thread(tree.scan, self._root)
            if before.files == now.files:
                break
        return now

    def _read(self, now: Tree) -> Changes:
        """Reads what differs from before. In a thread: the loop need not wait for the parser."""
        changed: dict[str, tuple[Entry, ...] | None] = dict.fromkeys(self._tree.files.keys() - now.files.keys())
        for name, signature in now.files.items():
            if self._tree.files.get(name) != signature:
                changed[name] = _entries(self._root, name)
        self._tree, self._is_readable = now, True
        changes = self._meaning.take(changed)
        self._problems = changes.problems
        return changes


def _entries(root: Path, name: str) -> tuple[Entry, ...] | None:
    try:
        content = tree.content(root, name)
    except StoreError as error:
        return (unreadable(str(error)),)
    return None if content is None else read_entries(name, content)


def _of_root(root: Path, error: StoreError) -> Problem:
    message = f"{error} (still in force: what was there)"
    return Problem(kind=ProblemKind.STALE, file=str(root), index=0, line=0, path="", message=message)
