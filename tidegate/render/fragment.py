"""A piece of the table, and the difference between two tables: what travels from policy to the kernel."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from nft import expr
from nft.model import Chain, Key, Set, Table

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """What one policy, endpoint or interface puts into the table.

    Fragments may name the same chain, set or element if they mean the same by it: shared things are counted, and go
    with the last fragment that names them.
    """

    chains: Mapping[str, Chain] = field(default_factory=dict)
    sets: Mapping[str, Set] = field(default_factory=dict)
    elements: Mapping[str, frozenset[Key]] = field(default_factory=dict)
    verdicts: Mapping[str, Mapping[Key, expr.Verdict]] = field(default_factory=dict)


EMPTY = Fragment()


@dataclass(frozen=True, slots=True)
class ElementChange:
    """Elements of one set to add and to remove. Removals first: an interval set refuses overlap."""

    added: frozenset[Key] = frozenset()
    removed: frozenset[Key] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableChange:
    """What to set (a value) and what to remove (None), by name. Whatever is not named stays.

    A set that is removed takes its elements along; they are not listed again.
    """

    chains: Mapping[str, Chain | None] = field(default_factory=dict)
    sets: Mapping[str, Set | None] = field(default_factory=dict)
    elements: Mapping[str, ElementChange] = field(default_factory=dict)
    verdicts: Mapping[str, Mapping[Key, expr.Verdict | None]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything changes."""
        return bool(self.chains or self.sets or self.elements or self.verdicts)


def changed(table: Table, change: TableChange) -> Table:
    """The table after the change. Copies what it touches: for tests and for whole-table users, not for every event."""
    sets = _merged(table.sets, change.sets)
    elements = {name: keys for name, keys in table.elements.items() if name in sets}
    for name, item in change.elements.items():
        elements[name] = (elements.get(name, frozenset()) - item.removed) | item.added
    for name, wanted in change.sets.items():
        if wanted is not None and has_elements(wanted):
            elements.setdefault(name, frozenset())
    verdicts = dict(table.verdicts)
    for name, entries in change.verdicts.items():
        verdicts[name] = _merged(verdicts.get(name, {}), entries)
    chains = _merged(table.chains, change.chains)
    return replace(table, chains=chains, sets=sets, elements=elements, verdicts=verdicts)


def has_elements(wanted: Set) -> bool:
    """Whether the renderer says what is in the set, rather than the packet process or the kernel's own rules."""
    return not (wanted.is_learned or wanted.is_dynamic)


def _merged(have: Mapping[K, V], change: Mapping[K, V | None]) -> dict[K, V]:
    result = dict(have)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result
