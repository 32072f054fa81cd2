"""One ordered transaction from a difference between tables: what to make, fill, empty and delete, as nft text.

The kernel runs the commands of a transaction in order and commits all or none, so nothing may name what a later command
makes, or delete what still is named:

    chains emptied -> verdicts deleted -> what is replaced deleted -> sets and maps made -> chains made empty
    -> elements deleted -> chains filled -> elements and verdicts added -> dead maps, chains and sets deleted

Elements are deleted only where the caller knows they are there: a failed transaction costs 8 ms and holds up every
other writer of the namespace. Base chains are made and filled, not deleted (but `rehung_chains`); learned sets keep
their elements. Chains with a `Queue` are made empty here and filled by netlink. Linear in what changes.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from nft import expr, text
from nft.model import Chain, Key, Set, Table, VerdictMapping

ELEMENTS_PER_COMMAND = 2000
"""A command's elements travel as netlink attributes of at most 64 KiB; libnftables splits, slowly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What separates the kernel's table from the wanted one. By name; whatever is not named stays."""

    new_sets: Sequence[Set] = ()
    new_maps: Sequence[VerdictMapping] = ()
    new_chains: Sequence[Chain] = ()
    """Not there yet: made, then filled."""
    changed_chains: Sequence[Chain] = ()
    """There with other rules, or a base chain with another policy: emptied, then filled."""
    replaced_sets: Sequence[Set] = ()
    """There with another shape: deleted, then made. All chains that look into them must be among the changed ones."""
    replaced_maps: Sequence[VerdictMapping] = ()
    rehung_chains: Sequence[Chain] = ()
    """There under another hook: deleted, then made and filled. Packets held in any queue of the host die of it."""
    emptied_sets: Collection[str] = ()
    """There with elements that nobody has keys for: emptied, before elements are added."""
    emptied_maps: Collection[str] = ()
    deleted_elements: Mapping[Set, Collection[Key]] = field(default_factory=dict)
    """Known to be there."""
    added_elements: Mapping[Set, Collection[Key]] = field(default_factory=dict)
    deleted_verdicts: Mapping[VerdictMapping, Collection[Key]] = field(default_factory=dict)
    added_verdicts: Mapping[VerdictMapping, Mapping[Key, expr.Verdict]] = field(default_factory=dict)
    dead_chains: Collection[str] = ()
    """Regular chains that nothing wanted names."""
    dead_maps: Collection[str] = ()
    dead_sets: Collection[str] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return any(getattr(self, name) for name in self.__slots__)

    @property
    def replaced(self) -> frozenset[str]:
        """Names of the sets and maps that are deleted and made again."""
        return frozenset([each.name for each in self.replaced_sets] + [each.name for each in self.replaced_maps])

    @property
    def made(self) -> frozenset[str]:
        """Names of the sets and maps that will be there empty before elements are added."""
        return self.replaced | {each.name for each in self.new_sets} | {each.name for each in self.new_maps}

    @property
    def queue_chains(self) -> list[Chain]:
        """The chains that netlink has to fill after the transaction."""
        return [
            chain for chain in (*self.new_chains, *self.rehung_chains, *self.changed_chains) if text.has_queue(chain)
        ]


def script(table: str, difference: Difference) -> str:
    """The transaction as nft commands, one a line; equal differences give equal text.

    Raises:
        ValueError: nft has no words for it: a name that is a keyword, a queue rule that does not stand alone.
    """
    return "\n".join(_commands(table, difference)) + "\n"


def from_nothing(table: Table) -> Difference:
    """Everything, for a kernel that has no such table."""
    return Difference(
        new_sets=tuple(table.sets.values()),
        new_maps=tuple(table.maps.values()),
        new_chains=tuple(table.chains.values()),
        added_elements={table.sets[name]: keys for name, keys in table.elements.items() if keys},
        added_verdicts={table.maps[name]: verdicts for name, verdicts in table.verdicts.items() if verdicts},
    )


def _commands(table: str, difference: Difference) -> Iterator[str]:
    where = f"inet {table}"
    yield f"add table {where}"
    yield from _teardown(where, difference)
    for item in (*difference.replaced_sets, *difference.new_sets):
        yield _made(where, "set", item.name, text.set_body(item))
    for mapping in (*difference.replaced_maps, *difference.new_maps):
        yield _made(where, "map", mapping.name, text.map_body(mapping))
    made = (*difference.rehung_chains, *difference.new_chains)
    for chain in (*made, *(chain for chain in difference.changed_chains if chain.hook)):
        yield _made(where, "chain", chain.name, text.chain_body(Chain(chain.name, hook=chain.hook)))
    for name in difference.emptied_sets:
        yield f"flush set {where} {name}"
    for item, keys in difference.deleted_elements.items():
        yield from _elements("delete", where, item.name, [text.key(key, item.key) for key in keys])
    for chain in (*made, *difference.changed_chains):
        yield from _fill(where, chain)
    for item, keys in difference.added_elements.items():
        yield from _elements("add", where, item.name, [text.key(key, item.key) for key in keys])
    for mapping, verdicts in difference.added_verdicts.items():
        pairs = [f"{text.key(key, mapping.key)} : {text.verdict(verdict)}" for key, verdict in verdicts.items()]
        yield from _elements("add", where, mapping.name, pairs)
    yield from _deletions(where, difference)


def _teardown(where: str, difference: Difference) -> Iterator[str]:
    """First everything that points at what is about to go or to be replaced, then what is replaced."""
    flushed = (*difference.changed_chains, *difference.rehung_chains)
    for name in (*(chain.name for chain in flushed), *difference.dead_chains):
        yield f"flush chain {where} {name}"
    for name in difference.emptied_maps:
        yield f"flush map {where} {name}"
    for mapping, keys in difference.deleted_verdicts.items():
        yield from _elements("delete", where, mapping.name, [text.key(key, mapping.key) for key in keys])
    for kind, replaced in (
        ("map", difference.replaced_maps),
        ("chain", difference.rehung_chains),
        ("set", difference.replaced_sets),
    ):
        for item in replaced:
            yield f"delete {kind} {where} {item.name}"


def _fill(where: str, chain: Chain) -> Iterator[str]:
    # A command for each rule: blocks `table { chain { ... } }` for 2,400 chains take libnftables ten times as long.
    return (f"add rule {where} {chain.name} {line}" for line in text.rule_lines(chain))


def _deletions(where: str, difference: Difference) -> Iterator[str]:
    for name in difference.dead_maps:  # first, because their entries lead to chains
        yield f"delete map {where} {name}"
    for name in difference.dead_chains:
        yield f"delete chain {where} {name}"
    for name in difference.dead_sets:
        yield f"delete set {where} {name}"


def _elements(verb: str, where: str, name: str, items: Iterable[str]) -> Iterator[str]:
    rest = iter(sorted(items))  # sets have no order, and equal differences shall give equal text
    while chunk := list(islice(rest, ELEMENTS_PER_COMMAND)):
        yield f"{verb} element {where} {name} {{ {', '.join(chunk)} }}"


def _made(where: str, kind: str, name: str, body: Sequence[str]) -> str:
    text.check_name(name)
    return f"add {kind} {where} {name} {{ {' '.join(body)} }}" if body else f"add {kind} {where} {name}"
