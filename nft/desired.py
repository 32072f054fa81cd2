"""What the table should be: a table that changes piece by piece, as policy does.

Pure, holds state; nothing here touches the kernel.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from nft import text
from nft.expr import Goto, Jump, Lookup, RateLimitPer, Remember, Statement, Verdict, VerdictMap
from nft.model import Chain, Key, Set, Table, VerdictMapping


@dataclass(frozen=True, slots=True)
class References:
    """Names of what rules lead to and look into."""

    chains: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()
    """Sets and verdict maps: they share one space of names."""


@dataclass(frozen=True, slots=True)
class DesiredChain:
    """A chain with what is asked of it at every difference, computed once."""

    chain: Chain
    digest: str
    is_queue: bool
    references: References

    @classmethod
    def of(cls, chain: Chain) -> Self:
        """Looks at the chain."""
        return cls(chain, text.chain_hash(chain), text.has_queue(chain), references(chain))


def references(chain: Chain) -> References:
    """What the rules of the chain need."""
    statements = [statement for rule in chain.rules for statement in rule.statements]
    return References(
        frozenset(statement.chain for statement in statements if isinstance(statement, Jump | Goto)),
        frozenset(name for name in map(_set_of, statements) if name is not None),
    )


def _set_of(statement: Statement) -> str | None:
    match statement:
        case Lookup(set_name=name) | RateLimitPer(set_name=name) | Remember(set_name=name) | VerdictMap(map_name=name):
            return name
        case _:
            return None


@dataclass(slots=True)
class Desired:
    """What the table should be. Elements are there for every set but learned and dynamic ones."""

    chains: dict[str, DesiredChain] = field(default_factory=dict)
    sets: dict[str, Set] = field(default_factory=dict)
    elements: dict[str, frozenset[Key]] = field(default_factory=dict)
    maps: dict[str, VerdictMapping] = field(default_factory=dict)
    verdicts: dict[str, Mapping[Key, Verdict]] = field(default_factory=dict)

    @classmethod
    def of(cls, table: Table) -> Self:
        """All of a table."""
        desired = cls(maps=dict(table.maps), verdicts={name: table.verdicts.get(name, {}) for name in table.maps})
        for chain in table.chains.values():
            desired.chains[chain.name] = DesiredChain.of(chain)
        for shape in table.sets.values():
            desired.set_set(shape)
            if shape.name in desired.elements:
                desired.elements[shape.name] = table.elements.get(shape.name, frozenset())
        return desired

    def set_chain(self, chain: Chain) -> None:
        """Adds or replaces a chain."""
        self.chains[chain.name] = DesiredChain.of(chain)

    def remove_chain(self, name: str) -> None:
        """The chain is not desired any more; nothing happens if it was not."""
        self.chains.pop(name, None)

    def set_set(self, shape: Set) -> None:
        """Adds a set, or gives it another shape. Its elements stay as desired."""
        self.sets[shape.name] = shape
        if shape.is_learned or shape.is_dynamic:
            self.elements.pop(shape.name, None)
        else:
            self.elements.setdefault(shape.name, frozenset())

    def remove_set(self, name: str) -> None:
        """The set and its elements are not desired any more."""
        self.sets.pop(name, None)
        self.elements.pop(name, None)

    def set_elements(self, name: str, keys: frozenset[Key]) -> None:
        """Says all elements of a set.

        Raises:
            KeyError: there is no such set, or it is learned or dynamic, so that its elements are somebody else's.
        """
        _ = self.elements[name]
        self.elements[name] = keys

    def change_elements(
        self, name: str, *, added: frozenset[Key] = frozenset(), removed: frozenset[Key] = frozenset()
    ) -> None:
        """Adds and removes elements of a set.

        Raises:
            KeyError: as `set_elements`.
        """
        self.elements[name] = (self.elements[name] - removed) | added

    def set_map(self, shape: VerdictMapping) -> None:
        """Adds a verdict map, or gives it another shape."""
        self.maps[shape.name] = shape
        self.verdicts.setdefault(shape.name, {})

    def remove_map(self, name: str) -> None:
        """The map and its entries are not desired any more."""
        self.maps.pop(name, None)
        self.verdicts.pop(name, None)

    def set_verdicts(self, name: str, verdicts: Mapping[Key, Verdict]) -> None:
        """Says all entries of a map.

        Raises:
            KeyError: there is no such map.
        """
        _ = self.verdicts[name]
        self.verdicts[name] = dict(verdicts)

    def change_verdicts(self, name: str, changes: Mapping[Key, Verdict | None]) -> None:
        """Sets entries of a map, or removes those whose verdict is None.

        Raises:
            KeyError: there is no such map.
        """
        merged = {**self.verdicts[name], **changes}
        self.verdicts[name] = {key: verdict for key, verdict in merged.items() if verdict is not None}
