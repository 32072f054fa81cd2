"""What the apply loop works with: the seams between it and the kernel, the packet process and the connection table."""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from dnsagent.snapshot import Snapshot
from nft.monitor import Commit
from nft.sync import Report
from policy.rules import IPAddress, NodeState
from reconcile.clock import Clock
from tidegate.render import TableChange
from tidegate.sync.conditions import Conditions
from tidegate.sync.desired import Desired


class KernelTable(Protocol):
    """The table in the kernel, as the loop wants it kept. Blocks; called from one thread."""

    def stage(self, change: TableChange) -> None:
        """Notes what is wanted now; touches nothing."""

    def look(self, commits: Sequence[Commit]) -> bool:
        """Takes what the monitor announced; whether others touched the table, so that `apply` is due."""

    def add_sets(self, names: Collection[str]) -> frozenset[str]:
        """Makes those of these wanted sets that the kernel lacks, and nothing else; their names.

        Raises:
            NftError: the kernel refused.
        """

    def keep_sets(self, names: Collection[str]) -> frozenset[str]:
        """Of these learned sets, wants those as they are that the kernel has and nobody wants; their names.

        Raises:
            NftError: the kernel could not be read.
        """

    def resync(self) -> None:
        """Reads the kernel anew.

        Raises:
            NftError: it cannot be read.
        """

    def apply(self) -> Report:
        """Makes the kernel what is wanted; the report says what it refused. That stays wanted."""


class PacketSide(Protocol):
    """The packet process, alive or not. Blocks."""

    @property
    def is_alive(self) -> bool:
        """Whether one has been found and can be told. Does not block."""

    def load(self, snapshot: Snapshot) -> bool:
        """Puts the snapshot where it finds it, and tells it; False where none is alive to be told.

        Raises:
            OSError: the file cannot be written, or the process does not take it.
        """

    def restore(self, sets: Collection[str]) -> bool:
        """Has it write what it knows into these sets. False and errors as with `load`."""

    def forget(self, addresses: Collection[IPAddress]) -> bool:
        """Has it forget what these addresses have learned. False and errors as with `load`."""


class Connections(Protocol):
    """The connection table. Blocks."""

    def cut(self, addresses: Collection[IPAddress]) -> int:
        """Deletes the connections from and to these addresses; how many.

        Raises:
            QueueError: the kernel refused.
        """


class Revocation(Protocol):
    """Ends open connections that policy denies. Does not block."""

    def note(self, generation: int, state: NodeState) -> None:
        """This state is in force now, in the kernel and in the packet process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the loop works with."""

    desired: Desired
    table: KernelTable
    packets: PacketSide
    connections: Connections
    revocation: Revocation
    conditions: Conditions
    clock: Clock
    thread: ThreadPoolExecutor
    """One worker, in which everything that blocks is done: the kernel's sockets belong to it."""
    before: Snapshot | None = None
    """What the packet process was told last in an earlier life of ours, if it may still be at work by that."""
