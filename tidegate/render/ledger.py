"""The policy part of the table as a sum of fragments, and what changes in it when one of them does.

Changes gather until `take`, so that an event that replaces ten fragments says each thing once, and says nothing of what
ended as it began.
"""

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field

from nft import expr
from nft.model import Chain, Key, Set
from tidegate.render.counted import Counted
from tidegate.render.fragment import EMPTY, ElementChange, Fragment, TableChange


@dataclass(slots=True)
class Ledger:
    """Holds state: each owner's fragment, and the union of all."""

    _fragments: dict[Hashable, Fragment] = field(default_factory=dict)
    _chains: Counted[str, Chain] = field(default_factory=Counted)
    _sets: Counted[str, Set] = field(default_factory=Counted)
    _elements: Counted[tuple[str, Key], bool] = field(default_factory=Counted)
    _verdicts: Counted[tuple[str, Key], expr.Verdict] = field(default_factory=Counted)

    def put(self, owner: Hashable, fragment: Fragment) -> None:
        """Replaces what the owner has in the table; the empty fragment takes it out."""
        old = self._fragments.pop(owner, EMPTY)
        if fragment != EMPTY:
            self._fragments[owner] = fragment
        self._hold(fragment)
        self._release(old)

    def take(self) -> TableChange:
        """Everything that is different from the last time."""
        sets = self._sets.take()
        return TableChange(
            chains=self._chains.take(), sets=sets, elements=self._taken_elements(sets), verdicts=self._taken_verdicts()
        )

    def whole(self) -> Fragment:
        """The union of all fragments."""
        elements: defaultdict[str, set[Key]] = defaultdict(set)
        for name, key in self._elements.values():
            elements[name].add(key)
        verdicts: defaultdict[str, dict[Key, expr.Verdict]] = defaultdict(dict)
        for (name, key), verdict in self._verdicts.values().items():
            verdicts[name][key] = verdict
        return Fragment(
            chains=dict(self._chains.values()),
            sets=dict(self._sets.values()),
            elements={name: frozenset(keys) for name, keys in elements.items()},
            verdicts=dict(verdicts),
        )

    def _hold(self, fragment: Fragment) -> None:
        for name, chain in fragment.chains.items():
            self._chains.hold(name, chain)
        for name, item in fragment.sets.items():
            self._sets.hold(name, item)
        for name, keys in fragment.elements.items():
            for key in keys:
                self._elements.hold((name, key), True)  # noqa: FBT003 - the key says it all
        for name, entries in fragment.verdicts.items():
            for key, verdict in entries.items():
                self._verdicts.hold((name, key), verdict)

    def _release(self, fragment: Fragment) -> None:
        for name in fragment.chains:
            self._chains.release(name)
        for name in fragment.sets:
            self._sets.release(name)
        for name, keys in fragment.elements.items():
            for key in keys:
                self._elements.release((name, key))
        for name, entries in fragment.verdicts.items():
            for key in entries:
                self._verdicts.release((name, key))

    def _taken_elements(self, sets: dict[str, Set | None]) -> dict[str, ElementChange]:
        added: defaultdict[str, set[Key]] = defaultdict(set)
        removed: defaultdict[str, set[Key]] = defaultdict(set)
        for (name, key), is_there in self._elements.take().items():
            if is_there:
                added[name].add(key)
            elif name not in sets:
                removed[name].add(key)
        return {name: ElementChange(frozenset(added[name]), frozenset(removed[name])) for name in [*added, *removed]}

    def _taken_verdicts(self) -> dict[str, dict[Key, expr.Verdict | None]]:
        verdicts: defaultdict[str, dict[Key, expr.Verdict | None]] = defaultdict(dict)
        for (name, key), verdict in self._verdicts.take().items():
            verdicts[name][key] = verdict
        return dict(verdicts)
