"""What lies between the table that is known and the one that is desired, as a transaction.

Pure. Compares by value: what the transaction says depends on the two states, not on how they came about.
"""

from dataclasses import replace

from nft.desired import Desired, DesiredChain
from nft.expr import Verdict
from nft.known import Known
from nft.listing import ListedChain
from nft.model import Chain, Hook, Key, Set, VerdictMapping
from nft.transaction import Difference


def difference(desired: Desired, known: Known) -> Difference:
    """The transaction that is due; false if there is none. Some 2 ms for 2,500 chains: their hashes are at hand."""
    due = Difference(
        dead_chains=sorted(known.chains.keys() - desired.chains.keys()),
        dead_maps=sorted(known.maps.keys() - desired.maps.keys()),
        dead_sets=sorted(known.sets.keys() - desired.sets.keys()),
    )
    due = _shapes(due, desired, known)
    due = _chains(due, desired, known)
    due = _elements(due, desired, known)
    return _verdicts(due, desired, known)


def _shapes(due: Difference, desired: Desired, known: Known) -> Difference:
    sets = [shape for name, shape in desired.sets.items() if not _is_same_set(shape, known.sets.get(name))]
    maps = [shape for name, shape in desired.maps.items() if known.maps.get(name) != shape]
    return replace(
        due,
        new_sets=[shape for shape in sets if shape.name not in known.sets],
        replaced_sets=[shape for shape in sets if shape.name in known.sets],
        new_maps=[shape for shape in maps if shape.name not in known.maps],
        replaced_maps=[shape for shape in maps if shape.name in known.maps],
    )


def _is_same_set(desired: Set, known: Set | None) -> bool:
    """Compares shapes; a size or interval that is not asked for may be anything.

    The JSON of libnftables 1.0.6 does not tell that a set is dynamic, so nobody is asked for it.
    """
    if known is None:
        return False
    size = known.size if desired.size is None else desired.size
    interval = known.gc_interval_seconds if desired.gc_interval_seconds is None else desired.gc_interval_seconds
    untold = replace(desired, is_learned=known.is_learned, is_dynamic=known.is_dynamic)
    return known == replace(untold, size=size, gc_interval_seconds=interval)


def _chains(due: Difference, desired: Desired, known: Known) -> Difference:
    replaced = due.replaced
    new: list[Chain] = []
    changed: list[Chain] = []
    rehung: list[Chain] = []
    for name, wanted in desired.chains.items():
        there = known.chains.get(name)
        if there is None:
            new.append(wanted.chain)
        elif is_rehung(there.hook, wanted.chain.hook):
            rehung.append(wanted.chain)
        elif not wanted.is_queue and (
            there.hook != wanted.chain.hook or not has_rules(wanted, there) or wanted.references.sets & replaced
        ):
            changed.append(wanted.chain)
    return replace(due, new_chains=new, changed_chains=changed, rehung_chains=rehung)


def is_rehung(before: Hook | None, after: Hook | None) -> bool:
    """Whether a chain must be deleted and made again to get its hook.

    The policy of a base chain can be changed in place, all else cannot (kernel: nf_tables_updchain).
    """
    if before is None or after is None:
        return before is not after
    return replace(before, policy=after.policy) != after


def has_rules(desired: DesiredChain, known: ListedChain | None) -> bool:
    """Whether the chain's rules are what they should be."""
    if known is None or known.rule_count != len(desired.chain.rules):
        return False
    return known.rule_count == 0 or known.digest == desired.digest


def _elements(due: Difference, desired: Desired, known: Known) -> Difference:
    emptied: list[str] = []
    deleted: dict[Set, frozenset[Key]] = {}
    added: dict[Set, frozenset[Key]] = {}
    for name, wanted in desired.elements.items():
        is_foreign = name in known.foreign and name not in due.made
        before = frozenset[Key]() if is_foreign or name in due.made else known.elements.get(name, frozenset())
        if is_foreign:
            emptied.append(name)
        if before is wanted:
            continue
        if gone := before - wanted:
            deleted[desired.sets[name]] = gone
        if missing := wanted - before:
            added[desired.sets[name]] = missing
    return replace(due, emptied_sets=emptied, deleted_elements=deleted, added_elements=added)


def _verdicts(due: Difference, desired: Desired, known: Known) -> Difference:
    emptied: list[str] = []
    deleted: dict[VerdictMapping, frozenset[Key]] = {}
    added: dict[VerdictMapping, dict[Key, Verdict]] = {}
    for name, wanted in desired.verdicts.items():
        is_foreign = name in known.foreign and name not in due.made
        before = {} if is_foreign or name in due.made else known.verdicts.get(name, {})
        if is_foreign:
            emptied.append(name)
        if gone := frozenset(key for key, verdict in before.items() if wanted.get(key) != verdict):
            deleted[desired.maps[name]] = gone
        if missing := {key: verdict for key, verdict in wanted.items() if before.get(key) != verdict}:
            added[desired.maps[name]] = missing
    return replace(due, emptied_maps=emptied, deleted_verdicts=deleted, added_verdicts=added)


def note(done: Difference, desired: Desired, known: Known) -> None:
    """Makes `known` what the kernel is, now that the transaction is committed."""
    known.exists = True
    _note_removals(done, known)
    for chain in (*done.new_chains, *done.changed_chains, *done.rehung_chains):
        known.chains[chain.name] = _written(desired.chains[chain.name])
    known.sets.update((shape.name, shape) for shape in (*done.new_sets, *done.replaced_sets))
    known.maps.update((shape.name, shape) for shape in (*done.new_maps, *done.replaced_maps))
    known.foreign.difference_update(done.emptied_sets, done.emptied_maps)
    for shape in done.deleted_elements.keys() | done.added_elements.keys():
        known.elements[shape.name] = desired.elements[shape.name]
    for mapping, keys in done.deleted_verdicts.items():
        known.verdicts[mapping.name] = {
            key: verdict for key, verdict in known.verdicts[mapping.name].items() if key not in keys
        }
    for mapping, verdicts in done.added_verdicts.items():
        known.verdicts[mapping.name] = {**known.verdicts.get(mapping.name, {}), **verdicts}


def _note_removals(done: Difference, known: Known) -> None:
    for name in done.dead_chains:
        del known.chains[name]
    for name in done.dead_sets:
        del known.sets[name]
    for name in done.dead_maps:
        del known.maps[name]
    for name in (*done.dead_sets, *done.dead_maps, *done.emptied_sets, *done.emptied_maps, *done.replaced):
        known.forget_elements(name)


def _written(chain: DesiredChain) -> ListedChain:
    if chain.is_queue:  # made empty; netlink fills it
        return ListedChain(chain.chain.hook, None, 0)
    return ListedChain(chain.chain.hook, chain.digest, len(chain.chain.rules))
