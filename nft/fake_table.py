"""A table in memory, and what a transaction does to it: the rules by which nf_tables takes or refuses commands.

Pure. Refusals carry the errno that the kernel gives: ENOENT for what is not there, EBUSY for what is in use, EEXIST for
what is there otherwise, ENFILE for a full set.
"""

import errno
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from nft import text
from nft.desired import references
from nft.difference import is_rehung
from nft.errors import CommitError
from nft.expr import Goto, Jump, Verdict
from nft.keys import Packed, packed
from nft.model import Chain, Key, Set, Table, VerdictMapping
from nft.transaction import Difference

V = TypeVar("V")


@dataclass(slots=True)
class FakeTable:
    """A table as the kernel has it."""

    chains: dict[str, Chain] = field(default_factory=dict)
    comments: dict[str, list[str]] = field(default_factory=dict)
    """Of the rules, by chain: others may write rules without our tags."""
    sets: dict[str, Set] = field(default_factory=dict)
    elements: dict[str, dict[Packed, Key]] = field(default_factory=dict)
    timed: dict[str, dict[bytes, tuple[int, float | None]]] = field(default_factory=dict)
    """Learned elements: timeout in milliseconds, and the instant at which they go."""
    maps: dict[str, VerdictMapping] = field(default_factory=dict)
    verdicts: dict[str, dict[Packed, tuple[Key, Verdict]]] = field(default_factory=dict)

    def copy(self) -> "FakeTable":
        """Another table that says the same."""
        return FakeTable(
            dict(self.chains),
            {name: list(comments) for name, comments in self.comments.items()},
            dict(self.sets),
            {name: dict(elements) for name, elements in self.elements.items()},
            {name: dict(elements) for name, elements in self.timed.items()},
            dict(self.maps),
            {name: dict(entries) for name, entries in self.verdicts.items()},
        )

    def model(self, name: str) -> Table:
        """As a value, which `nft.simulate` can run."""
        return Table(
            name=name,
            chains=dict(self.chains),
            sets=dict(self.sets),
            elements={name: frozenset(keys.values()) for name, keys in self.elements.items()},
            maps=dict(self.maps),
            verdicts={name: dict(entries.values()) for name, entries in self.verdicts.items()},
        )

    def put_rules(self, chain: Chain, comments: list[str] | None = None) -> None:
        """Gives a chain these rules, with the comments that `text` would write."""
        self.chains[chain.name] = chain
        tags = [f"{rule.comment} #{text.tag(chain, number)}" for number, rule in enumerate(chain.rules)]
        self.comments[chain.name] = tags if comments is None else comments

    def leads_to(self, chain: str) -> bool:
        """Whether a rule or an entry of a map leads to the chain."""
        verdicts = (verdict for entries in self.verdicts.values() for _, verdict in entries.values())
        return any(chain in references(each).chains for each in self.chains.values()) or any(
            isinstance(verdict, Jump | Goto) and verdict.chain == chain for verdict in verdicts
        )

    def looks_into(self, name: str) -> bool:
        """Whether a rule looks into the set or map."""
        return any(name in references(each).sets for each in self.chains.values())


def commit(table: FakeTable, difference: Difference, name: str) -> None:
    """Runs the commands in the order in which `nft.transaction` writes them. If it raises, the table is spoilt.

    Raises:
        CommitError: the kernel would refuse, with this errno and these culprits.
    """
    _Run(table, name).run(difference)


class _Run:
    """One transaction."""

    def __init__(self, table: FakeTable, name: str) -> None:
        self._table = table
        self._name = name

    def run(self, due: Difference) -> None:
        self._teardown(due)
        for shape in (*due.replaced_sets, *due.new_sets):
            self._add_set(shape)
        for mapping in (*due.replaced_maps, *due.new_maps):
            self._add_map(mapping)
        made = (*due.rehung_chains, *due.new_chains)
        for chain in (*made, *due.changed_chains):
            self._add_chain(chain)
        for name in due.emptied_sets:
            self._table.elements[self._set(name).name] = {}
        for shape, keys in due.deleted_elements.items():
            self._delete_keys(self._table.elements[self._set(shape.name).name], shape, keys)
        for chain in (*made, *due.changed_chains):
            self._fill(chain)
        for shape, keys in due.added_elements.items():
            self._add_elements(shape, keys)
        for mapping, verdicts in due.added_verdicts.items():
            self._add_verdicts(mapping, verdicts)
        self._delete_dead(due)

    def _teardown(self, due: Difference) -> None:
        flushed = [chain.name for chain in (*due.changed_chains, *due.rehung_chains)]
        for name in (*flushed, *due.dead_chains):
            self._table.put_rules(replace(self._chain(name), rules=()))
        for name in due.emptied_maps:
            self._table.verdicts[self._map(name).name] = {}
        for mapping, keys in due.deleted_verdicts.items():
            self._delete_keys(self._table.verdicts[self._map(mapping.name).name], mapping, keys)
        for name in (each.name for each in due.replaced_maps):
            self._delete_map(name)
        for name in (each.name for each in due.rehung_chains):
            self._delete_chain(name)
        for name in (each.name for each in due.replaced_sets):
            self._delete_set(name)

    def _delete_dead(self, due: Difference) -> None:
        for name in due.dead_maps:
            self._delete_map(name)
        for name in due.dead_chains:
            self._delete_chain(name)
        for name in due.dead_sets:
            self._delete_set(name)

    def _error(self, code: int, *, chain: str = "", name: str = "") -> CommitError:
        detail = f"chain {chain}" if chain else f"set {name}"
        return CommitError(code, self._name, detail, chains={chain} - {""}, sets={name} - {""})

    def _chain(self, name: str) -> Chain:
        if name not in self._table.chains:
            raise self._error(errno.ENOENT, chain=name)
        return self._table.chains[name]

    def _set(self, name: str) -> Set:
        if name not in self._table.sets:
            raise self._error(errno.ENOENT, name=name)
        return self._table.sets[name]

    def _map(self, name: str) -> VerdictMapping:
        if name not in self._table.maps:
            raise self._error(errno.ENOENT, name=name)
        return self._table.maps[name]

    def _add_set(self, shape: Set) -> None:
        unlearned = replace(shape, is_learned=False)  # the kernel does not know what is learned
        if self._table.sets.setdefault(shape.name, unlearned) != unlearned:
            raise self._error(errno.EEXIST, name=shape.name)
        self._table.elements.setdefault(shape.name, {})

    def _add_map(self, shape: VerdictMapping) -> None:
        if self._table.maps.get(shape.name, shape) != shape:
            raise self._error(errno.EEXIST, name=shape.name)
        self._table.maps[shape.name] = shape
        self._table.verdicts.setdefault(shape.name, {})

    def _add_chain(self, chain: Chain) -> None:
        there = self._table.chains.get(chain.name)
        if there is None:
            self._table.put_rules(replace(chain, rules=()))
        elif is_rehung(there.hook, chain.hook):
            raise self._error(errno.EEXIST, chain=chain.name)
        else:
            self._table.chains[chain.name] = replace(there, hook=chain.hook)

    def _fill(self, chain: Chain) -> None:
        if text.has_queue(chain):
            return
        needs = references(chain)
        known_sets = self._table.sets.keys() | self._table.maps.keys()
        if not (needs.chains <= self._table.chains.keys() and needs.sets <= known_sets):
            raise self._error(errno.ENOENT, chain=chain.name)
        self._table.put_rules(chain)

    def _delete_chain(self, name: str) -> None:
        self._chain(name)
        if self._table.leads_to(name):
            raise self._error(errno.EBUSY, chain=name)
        del self._table.chains[name]
        del self._table.comments[name]

    def _delete_set(self, name: str) -> None:
        self._set(name)
        if self._table.looks_into(name):
            raise self._error(errno.EBUSY, name=name)
        del self._table.sets[name]
        del self._table.elements[name]
        self._table.timed.pop(name, None)

    def _delete_map(self, name: str) -> None:
        self._map(name)
        if self._table.looks_into(name):
            raise self._error(errno.EBUSY, name=name)
        del self._table.maps[name]
        del self._table.verdicts[name]

    def _delete_keys(
        self,
        there: dict[Packed, Key] | dict[Packed, tuple[Key, Verdict]],
        shape: Set | VerdictMapping,
        keys: Collection[Key],
    ) -> None:
        for key in keys:
            if there.pop(packed(key, shape.key), None) is None:
                raise self._error(errno.ENOENT, name=shape.name)

    def _add_elements(self, shape: Set, keys: Collection[Key]) -> None:
        there = self._table.elements[self._set(shape.name).name]
        for key in keys:
            place = packed(key, shape.key)
            if place not in there and shape.is_interval and any(_overlap(place, other) for other in there):
                raise self._error(errno.EEXIST, name=shape.name)
            there[place] = key
        if shape.size is not None and len(there) > shape.size:
            raise self._error(errno.ENFILE, name=shape.name)

    def _add_verdicts(self, mapping: VerdictMapping, verdicts: Mapping[Key, Verdict]) -> None:
        there = self._table.verdicts[self._map(mapping.name).name]
        for key, verdict in verdicts.items():
            place = packed(key, mapping.key)
            if isinstance(verdict, Jump | Goto) and verdict.chain not in self._table.chains:
                raise self._error(errno.ENOENT, name=mapping.name)
            if there.get(place, (key, verdict))[1] != verdict:
                raise self._error(errno.EEXIST, name=mapping.name)
            there[place] = (key, verdict)


def _overlap(one: Packed, other: Packed) -> bool:
    return one.first <= other.last and other.first <= one.last
