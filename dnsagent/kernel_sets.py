"""The learner's elements in the kernel: one transaction for all, and again without those that the kernel blames.

A refused transaction costs 8 ms and applies nothing. The kernel blames one element of each set at a time; a set that is
blamed again (it is gone, say) is left out whole, so that one endpoint's set cannot keep the others waiting. Of one that
is full the additions are left out, and whoever asks is told (`take_full`).
"""

import errno
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from dnsagent.element_table import ElementKey
from dnsagent.learn import Element
from nft.elements import Change, Operation
from nft.errors import ElementError, NftError
from nft.generation import Tally
from reconcile.instant import Instant

CHUNK: Final = 4096
"""Elements in a transaction that nobody waits for: a longer one would keep answers waiting for the commit lock."""
MAX_ATTEMPTS: Final = 4
"""Transactions for one batch: 30 ms, if all but the last are refused."""
_TOLERATED: Final = 2
"""Refusals of one set in a batch, from which on it is left out."""
_MOMENT_MS: Final = 1000
"""How long an element lives that is added only to be deleted: it never does."""


class SetWriter(Protocol):
    """What is needed of `nft.elements.ElementWriter`."""

    def write(self, changes: Sequence[Change]) -> None:
        """One transaction."""

    def generation(self) -> int:
        """The number of the ruleset's generation."""


class KernelSets:
    """Writes elements and counts what the kernel refused. Holds no elements itself."""

    def __init__(self, writer: SetWriter, counters: Counter[str]) -> None:
        self._writer = writer
        self._counters = counters
        self.commits = 0
        """Transactions that the kernel made."""
        self._full: set[str] = set()

    def take_full(self) -> frozenset[str]:
        """Sets that the kernel has called full since this was asked last."""
        full, self._full = frozenset(self._full), set()
        return full

    def tally(self) -> Tally:
        """The ruleset's generation, and how many transactions led to it that were made here.

        Raises:
            OSError: the kernel does not say.
        """
        return Tally(self._writer.generation(), self.commits)

    def write(self, elements: Sequence[Element], now: Instant) -> list[Element]:
        """Those that are in the kernel when this returns: all of them, as a rule."""
        latest = _latest(elements)
        if len(latest) > CHUNK:
            return self.restore(latest, now)
        operations = [_change(element, now) for element in latest]
        written = self._apply(operations)
        return latest if len(written) == len(latest) else [latest[position] for position in written]

    def restore(self, elements: Sequence[Element], now: Instant) -> list[Element]:
        """The same for many, in transactions short enough for answers to come between."""
        latest = _latest(elements)
        done: list[Element] = []
        for start in range(0, len(latest), CHUNK):
            done += self.write(latest[start : start + CHUNK], now)
        return done

    def delete(self, keys: Iterable[ElementKey]) -> None:
        """Deletes elements, most of which are present; set by set, so that trouble with one keeps no other's."""
        by_set: dict[str, list[Change]] = {}
        for set_name, key in keys:
            by_set.setdefault(set_name, []).append(Change(Operation.DELETE, set_name, key))
        for changes in by_set.values():
            for start in range(0, len(changes), CHUNK):
                self._delete(changes[start : start + CHUNK])

    def _delete(self, changes: Sequence[Change]) -> None:
        if self._try(changes):
            return
        # One has just expired. Added first, all of them are there to be deleted.
        additions = [Change(Operation.ADD, change.set_name, change.key, _MOMENT_MS) for change in changes]
        if not self._try([*additions, *changes]):
            self._apply_singly(changes, range(len(changes)))

    def _try(self, changes: Sequence[Change]) -> bool:
        try:
            self._writer.write(changes)
        except NftError:
            self._counters["program-failed"] += 1
            return False
        self.commits += 1
        return True

    def _apply(self, changes: Sequence[Change]) -> Sequence[int]:
        """Positions of the changes that were made, in order."""
        blamed_sets: Counter[str] = Counter()
        positions: Sequence[int] = range(len(changes))
        for _ in range(MAX_ATTEMPTS):
            if self._full or blamed_sets:
                positions = [at for at in positions if self._is_promising(changes[at], blamed_sets)]
            if not positions:
                return ()
            try:
                self._writer.write(changes if len(positions) == len(changes) else [changes[at] for at in positions])
            except NftError as error:
                self._counters["program-failed"] += 1
                failures = error.failures if isinstance(error, ElementError) else {}
                if not failures:
                    return self._apply_singly(changes, positions)
                refused = {positions[at]: code for at, code in failures.items()}
                full = {changes[at].set_name for at, code in refused.items() if code == errno.ENFILE}
                self._full |= full
                blamed_sets.update({changes[at].set_name for at in refused} - full)
                positions = [at for at in positions if at not in refused]
            else:
                self.commits += 1
                return positions
        return ()

    def _is_promising(self, change: Change, blamed_sets: Counter[str]) -> bool:
        """A set that is full takes no addition more; what it has can be refreshed."""
        has_no_room = change.set_name in self._full and change.operation is Operation.ADD
        return not has_no_room and blamed_sets[change.set_name] < _TOLERATED

    def _apply_singly(self, changes: Sequence[Change], positions: Sequence[int]) -> Sequence[int]:
        """For a refusal that blames nobody: one by one, until it is clear that the kernel takes nothing at all."""
        done: list[int] = []
        failures = 0
        for at in positions:
            if self._try([changes[at]]):
                done.append(at)
                continue
            failures += 1
            if failures >= MAX_ATTEMPTS:
                break
        return done


def _latest(elements: Sequence[Element]) -> list[Element]:
    """One element for each key, the one that lives longest: a transaction may name a key once."""
    if len(elements) < 2:
        return list(elements)
    if len({element.key for element in elements}) == len(elements):
        return list(elements)
    latest: dict[ElementKey, Element] = {}
    for element in elements:
        before = latest.get(element.key)
        if before is None or before.deadline < element.deadline:
            latest[element.key] = element
    return list(latest.values())


def _change(element: Element, now: Instant) -> Change:
    # The kernel rounds down to its tick: a deadline must not pass before ours.
    lifetime_ms = int((element.deadline - now) * 1000) + 1
    operation = Operation.REFRESH if element.is_present else Operation.ADD
    set_name, key = element.key
    return Change(operation, set_name, key, max(1, lifetime_ms))
