"""Keeps one table in the kernel as it should be.

    sync = TableSync(Kernel("tidegate", features), clock)
    sync.want(table)                what should be; or piece by piece: sync.desired.set_chain(...), change_elements(...)
    sync.apply()                    reads the kernel the first time, then one transaction with the difference
    sync.on_commits(monitor.read()) True: somebody else touched the table, apply() again

What it promises:
- An apply is one transaction: packets see the old policy or the new one. Only what the kernel refuses, and what needs
  it, is left out, and reported; everything is due again with the next apply.
- Base chains are not deleted (`Difference.rehung_chains` is the exception), so packets held in queues live on.
- Learned sets keep their elements. Where they were lost, the report names the set, and its owner restores them.
- A queue rule, which needs a transaction of its own, is there before anything leads to its chain.
- What a listing shows with our tags is taken for ours after a restart, so a restart changes nothing that is right.

Not for two threads at once; an apply blocks for as long as the kernel takes (8 ms for one of 2,500 chains).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import final

from nft.blame import Culprits, closed, without
from nft.desired import Desired
from nft.difference import difference, has_rules, note
from nft.errors import CommitError, NftError
from nft.kernel import TableKernel
from nft.known import Known
from nft.listing import ListedChain
from nft.model import Table
from nft.monitor import Commit
from nft.transaction import Difference
from reconcile.clock import Clock

MAX_ATTEMPTS = 6
"""Transactions per apply. Each refusal names culprits that the next attempt leaves out; a refused one costs 8 ms and
more. What is still refused then waits for the next apply, as a whole."""

MAX_TASKS = 16
"""Threads of ours that are remembered: one applies, as a rule, but a pool may change it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an apply did."""

    commits: int = 0
    """Transactions that were made, those of queue rules included."""
    chains: int = 0
    """Chains written."""
    elements: int = 0
    """Elements and verdicts added and deleted."""
    seconds: float = 0.0
    was_read: bool = False
    """The kernel was read first: the first time, after a change by others, after a failure."""
    learned_sets_to_restore: frozenset[str] = frozenset()
    """Learned sets that were made by this apply, or that others took elements from: their owner adds what it knows."""
    left_out: tuple[str, ...] = ()
    """What was refused, and what could not be without it."""
    error: NftError | None = None
    """Why; the last refusal."""

    @property
    def is_complete(self) -> bool:
        """Whether the kernel now has all that is desired."""
        return self.error is None


@dataclass(slots=True)
class _Done:
    """A report in the making."""

    was_read: bool = False
    commits: int = 0
    chains: int = 0
    elements: int = 0
    made_learned: set[str] = field(default_factory=set)
    left_out: tuple[str, ...] = ()
    error: NftError | None = None

    def count(self, done: Difference) -> None:
        """Counts what was committed."""
        self.commits += 1
        self.chains += len(done.new_chains) + len(done.changed_chains) + len(done.rehung_chains)
        changes = (done.deleted_elements, done.added_elements, done.deleted_verdicts, done.added_verdicts)
        self.elements += sum(len(keys) for change in changes for keys in change.values())
        self.made_learned |= {shape.name for shape in (*done.new_sets, *done.replaced_sets) if shape.is_learned}


@final
class TableSync:
    """Holds state: what is desired, and what is known of the kernel."""

    def __init__(self, kernel: TableKernel, clock: Clock) -> None:
        self._kernel = kernel
        self._clock = clock
        self.desired = Desired()
        """What should be, to be changed piece by piece between applies."""
        self._known = Known()
        self._is_known = False
        self._distrusted: set[str] = set()
        """Chains in which others wrote: their rules are written anew whatever their tags say."""
        self._to_restore: set[str] = set()
        self._tasks: list[int] = []

    def want(self, table: Table) -> None:
        """Makes this all that is desired."""
        self.desired = Desired.of(table)

    def resync(self) -> None:
        """Reads the kernel. `apply` does so by itself when it must. Some 0.2 s for 20,000 rules.

        Raises:
            NftError: the kernel could not be read; what was known is not trusted any more.
        """
        self._is_known = False
        without_elements = {name for name, shape in self.desired.sets.items() if shape.is_learned or shape.is_dynamic}
        known = Known.of(self._kernel.read(without_elements=without_elements))
        known.forget_rules(self._distrusted)
        self._known = known
        self._is_known = True

    def rebuild(self) -> None:
        """The next apply reads the kernel and writes every chain anew, whatever its tags say, in one transaction."""
        self._is_known = False
        self._distrusted.update(self.desired.chains)

    def on_commits(self, commits: Iterable[Commit]) -> bool:
        """Takes what the monitor announced. True if others touched the table, so that `apply` is due.

        Elements of learned sets are not ours to compare. If others remove any, the next report names the set. (The
        packet process's own commits should not come here at all: `Monitor.ignore_ports`.)
        """
        is_due = False
        for commit in commits:
            if commit.task in self._tasks and commit.is_complete:
                continue
            learned = {name for name in commit.element_sets if self._is_learned(name)}
            self._to_restore |= learned & commit.shrunk_sets
            if not commit.is_complete:
                self._to_restore |= {name for name in self.desired.sets if self._is_learned(name)}
            self._is_known = self._is_known and not commit.touches_objects
            self._distrusted |= commit.rule_chains
            self._known.forget_rules(commit.rule_chains)
            self._known.forget_contents(commit.element_sets - learned)
            is_due |= commit.touches_objects or bool(
                commit.rule_chains or commit.element_sets - learned or learned & commit.shrunk_sets
            )
        return is_due

    def _is_learned(self, name: str) -> bool:
        shape = self.desired.sets.get(name)
        return shape is not None and shape.is_learned

    def apply(self) -> Report:
        """Makes the kernel what is desired. Never raises `NftError`: the report says what was refused, and why."""
        started = self._clock.now()
        done = _Done()
        try:
            self._remember_task()
            if self._is_known and not self._try(done):
                self._is_known = False  # what we took for known may be wrong, so once more on what is there
            if not self._is_known:
                done.was_read = True
                done.error = None
                self.resync()
                self._try(done)
        except NftError as error:
            done.error = error
        if done.error is None:
            self._distrusted.clear()
        else:
            self._is_known = False
        to_restore, self._to_restore = done.made_learned | self._to_restore, set()
        return Report(
            commits=done.commits,
            chains=done.chains,
            elements=done.elements,
            seconds=self._clock.now() - started,
            was_read=done.was_read,
            learned_sets_to_restore=frozenset(to_restore),
            left_out=done.left_out,
            error=done.error,
        )

    def add_sets(self, names: Iterable[str]) -> frozenset[str]:
        """Makes those of these desired sets that the kernel lacks, and nothing else; none where there is no table.

        For sets that must be filled before a rule asks them. Gives the names of those that were made.

        Raises:
            NftError: the kernel refused, or could not be read.
        """
        self._remember_task()
        if not self._is_known:
            self.resync()
        missing = [name for name in names if name in self.desired.sets and name not in self._known.sets]
        if not missing or not self._known.exists:
            return frozenset()
        todo = Difference(new_sets=[self.desired.sets[name] for name in missing])
        try:
            self._kernel.commit(todo)
        except NftError:
            self._is_known = False
            raise
        note(todo, self.desired, self._known)
        return frozenset(missing)

    def keep_sets(self, names: Iterable[str]) -> frozenset[str]:
        """Of these learned sets, desires those as they are that the kernel has and nobody desires. Gives their names.

        For sets of an earlier life that a packet process still fills.

        Raises:
            NftError: the kernel could not be read.
        """
        if not self._is_known:
            self.resync()
        shapes = [self._known.sets.get(name) for name in names if name not in self.desired.sets]
        kept = [replace(shape, is_learned=True) for shape in shapes if shape is not None]
        for shape in kept:
            self.desired.set_set(shape)
        return frozenset(shape.name for shape in kept)

    def _remember_task(self) -> None:
        task = self._kernel.task()
        if task not in self._tasks:
            self._tasks = [*self._tasks[1 - MAX_TASKS :], task]

    def _try(self, done: _Done) -> bool:
        """One round on what is known; whether nothing was refused. With fresh knowledge, culprits are left out."""
        self._known.settle(self.desired)
        try:
            self._write_queues(done)
            self._commit(done)
            self._write_queues(done)
        except NftError as error:
            done.error = error
            return False
        return not done.left_out

    def _write_queues(self, done: _Done) -> None:
        """Makes the queue chains that are missing, and writes the rules of those that have not theirs.

        A gap between the two would let packets fall through an empty chain, so this goes before whatever leads there.
        """
        queues = {name: chain for name, chain in self.desired.chains.items() if chain.is_queue}
        missing = [chain.chain for name, chain in queues.items() if name not in self._known.chains]
        self._do(Difference(new_chains=missing), done)
        for name, chain in queues.items():
            known = self._known.chains[name]
            if known.hook is None and not has_rules(chain, known):
                self._kernel.write_queue(chain.chain)
                self._known.chains[name] = ListedChain(None, chain.digest, len(chain.chain.rules))
                done.commits += 1

    def _commit(self, done: _Done) -> None:
        """Commits the difference; what is refused is left out of the next attempt, if the kernel said what it is."""
        due = todo = difference(self.desired, self._known)
        out = Culprits()
        for _ in range(MAX_ATTEMPTS):
            try:
                self._do(todo, done)
            except CommitError as error:
                done.error = error
                if not done.was_read or not out.add(error.chains, error.sets):
                    raise
            else:
                return
            out = closed(due, out, self.desired, self._known)
            done.left_out = out.names
            todo = without(due, out, self._known)

    def _do(self, todo: Difference, done: _Done) -> None:
        if not todo:
            return
        self._kernel.commit(todo)
        note(todo, self.desired, self._known)
        done.count(todo)
