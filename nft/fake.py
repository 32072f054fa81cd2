"""A kernel in memory: takes the transactions that the real one takes, refuses what it refuses, and can be made to fail.

For the tests of everything above this room, and for examples without root. One suite of tests holds both kernels to
the same behaviour (`tests/nft/test_contract.py`).

    kernel = FakeKernel("tidegate")
    TableSync(kernel, clock).apply()
    kernel.by_another(None)                         somebody flushed the ruleset; kernel.announced() tells of it
    kernel.refuse = lambda difference: error        the next commits fail
    kernel.crash_after = 3                          the third commit is done, and then raises CrashError
"""

import errno
from collections.abc import Callable, Collection, Sequence

from nft import text
from nft.elements import Change, Element, Operation
from nft.errors import ElementError, NftError
from nft.fake_table import FakeTable, commit
from nft.listing import ListedChain, Listing, digest
from nft.model import Chain
from nft.monitor import Commit
from nft.transaction import Difference
from reconcile.clock import Clock

OUR_TASK = 1
OTHER_TASK = 2


class CrashError(Exception):
    """Here the process that used the kernel dies. No `NftError`: nobody recovers from it but by a restart."""


class FakeKernel:
    """One table of a kernel in memory; a `TableKernel`."""

    def __init__(self, table: str) -> None:
        self.table = table
        self.state: FakeTable | None = None
        """None: there is no such table."""
        self.generation = 0
        """Rises by one with each commit, by whomever."""
        self.reads = 0
        self.refuse: Callable[[Difference], NftError | None] = lambda _: None
        """Asked before each commit; what it returns is raised."""
        self.crash_after: int | None = None
        """So many commits from now, queue rules included, `CrashError` is raised: what was committed stays."""
        self._announced: list[Commit] = []

    def commit(self, difference: Difference) -> None:
        """Makes all changes or none; see `TableKernel`."""
        error = self.refuse(difference)
        if error is not None:
            raise error
        after = self.state.copy() if self.state is not None else FakeTable()
        commit(after, difference, self.table)
        self.state = after
        self._committed()

    def write_queue(self, chain: Chain) -> None:
        """Makes the chain hold its queue rule; see `TableKernel`."""
        if self.state is None or chain.name not in self.state.chains:
            raise NftError(errno.ENOENT, "write the queue rule of", f"chain {chain.name} of table {self.table}")
        self.state = self.state.copy()
        self.state.chains[chain.name] = chain
        self.state.comments[chain.name] = [f"#{text.tag(chain, 0)}"]
        self._committed()

    def read(self, *, without_elements: Collection[str] = ()) -> Listing | None:
        """The table as it is; see `TableKernel`."""
        self.reads += 1
        if self.state is None:
            return None
        comments = self.state.comments
        return Listing(
            chains={
                name: ListedChain(chain.hook, digest(comments[name]), len(comments[name]))
                for name, chain in self.state.chains.items()
            },
            sets=dict(self.state.sets),
            maps=dict(self.state.maps),
            elements={
                name: frozenset(keys) for name, keys in self.state.elements.items() if name not in without_elements
            },
            verdicts={
                name: {key: verdict for key, (_, verdict) in entries.items()}
                for name, entries in self.state.verdicts.items()
            },
        )

    def task(self) -> int:
        """What our commits are announced with; see `TableKernel`."""
        return OUR_TASK

    def announced(self) -> list[Commit]:
        """The commits since the last call, as `Monitor.read` gives them."""
        commits, self._announced = self._announced, []
        return commits

    def by_another(
        self,
        edit: Callable[[FakeTable], None] | None,
        *,
        rule_chains: Collection[str] = (),
        element_sets: Collection[str] = (),
    ) -> None:
        """Another program edits the table, and the kernel announces it. None: the whole table goes."""
        if edit is None:
            self.state = None
        elif self.state is not None:
            self.state = self.state.copy()
            edit(self.state)
        self._announce(
            Commit(
                task=OTHER_TASK,
                program="nft",
                touches_objects=not (element_sets or rule_chains),
                rule_chains=frozenset(rule_chains),
                element_sets=frozenset(element_sets),
                shrunk_sets=frozenset(element_sets),
            )
        )

    def _committed(self) -> None:
        self._announce(Commit(task=OUR_TASK, program="tidegate", touches_objects=True))
        if self.crash_after is not None:
            self.crash_after -= 1
            if self.crash_after <= 0:
                self.crash_after = None
                raise CrashError

    def _announce(self, commit: Commit) -> None:
        self.generation += 1
        self._announced.append(commit)


class FakeElements:
    """The element writer on a kernel in memory. Elements live by the clock."""

    def __init__(self, kernel: FakeKernel, clock: Clock) -> None:
        self._kernel = kernel
        self._clock = clock

    def write(self, changes: Sequence[Change]) -> None:
        """One transaction; see `ElementWriter.write`."""
        failures = {position: code for position, change in enumerate(changes) if (code := self._fault(change))}
        if failures:
            raise ElementError(next(iter(failures.values())), f"table {self._kernel.table}", failures)
        for change in changes:
            self._write(change)

    def read(self, set_name: str) -> list[Element]:
        """All elements with the time left to them; see `ElementWriter.read`."""
        state = self._kernel.state
        if state is None or set_name not in state.sets:
            raise NftError(errno.ENOENT, "read", f"set {set_name} of table {self._kernel.table}")
        return [
            Element(key, timeout_ms, round((deadline - self._clock.now()) * 1000) if deadline is not None else 0)
            for key, (timeout_ms, deadline) in state.timed.get(set_name, {}).items()
            if deadline is None or deadline > self._clock.now()
        ]

    def _fault(self, change: Change) -> int:
        """The errno with which the kernel would refuse the change, 0 if it would not."""
        state = self._kernel.state
        if state is None or change.set_name not in state.sets:
            return errno.ENOENT
        there = {element.key for element in self.read(change.set_name)}
        if change.operation is Operation.DELETE:
            return 0 if change.key in there else errno.ENOENT
        size = state.sets[change.set_name].size
        return errno.ENFILE if size is not None and change.key not in there and len(there) >= size else 0

    def _write(self, change: Change) -> None:
        assert self._kernel.state is not None
        elements = self._kernel.state.timed.setdefault(change.set_name, {})
        if change.operation is Operation.DELETE:
            del elements[change.key]
        elif change.operation is Operation.REFRESH or change.key not in {e.key for e in self.read(change.set_name)}:
            left_ms = change.remaining_ms or change.timeout_ms
            deadline = self._clock.now() + left_ms / 1000 if left_ms else None
            elements[change.key] = (change.timeout_ms, deadline)
