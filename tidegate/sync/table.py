"""The table that the apply loop keeps: the renderer's changes, said to `nft.sync`."""

from collections.abc import Collection, Sequence

from nft.model import Table
from nft.monitor import Commit
from nft.sync import Report, TableSync
from tidegate.render import TableChange


class SyncedTable:
    """Implements `sync.parts.KernelTable`. Holds no state of its own."""

    def __init__(self, sync: TableSync, beginning: Table) -> None:
        """`beginning` is the table of a node without endpoints, to which all changes are added."""
        self._sync = sync
        sync.want(beginning)

    def stage(self, change: TableChange) -> None:
        """Notes what is wanted now."""
        wanted = self._sync.desired
        for name, shape in change.sets.items():
            if shape is None:
                wanted.remove_set(name)
            else:
                wanted.set_set(shape)
        for name, elements in change.elements.items():
            wanted.change_elements(name, added=elements.added, removed=elements.removed)
        for name, chain in change.chains.items():
            if chain is None:
                wanted.remove_chain(name)
            else:
                wanted.set_chain(chain)
        for name, verdicts in change.verdicts.items():
            wanted.change_verdicts(name, verdicts)

    def look(self, commits: Sequence[Commit]) -> bool:
        """Takes what the monitor announced; whether others touched the table."""
        return self._sync.on_commits(commits)

    def add_sets(self, names: Collection[str]) -> frozenset[str]:
        """Makes sets that are wanted and not there.

        Raises:
            NftError: the kernel refused.
        """
        return self._sync.add_sets(names)

    def keep_sets(self, names: Collection[str]) -> frozenset[str]:
        """Wants what nobody wants any more and the kernel still has.

        Raises:
            NftError: the kernel could not be read.
        """
        return self._sync.keep_sets(names)

    def resync(self) -> None:
        """Reads the kernel anew.

        Raises:
            NftError: it cannot be read.
        """
        self._sync.resync()

    def apply(self) -> Report:
        """Makes the kernel what is wanted."""
        return self._sync.apply()
