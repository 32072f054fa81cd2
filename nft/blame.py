"""What can still be done when the kernel refuses a part of a transaction.

Pure. One faulty policy must not keep all others from being enforced: what was refused is left out, with whatever cannot
be without it, and the rest goes as one transaction. What is left out stays as it was, and is due again the next time;
whoever applies says so loudly. Nothing is removed meanwhile, because what was left out may still need it.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from nft.desired import Desired
from nft.expr import Goto, Jump, Verdict
from nft.known import Known
from nft.model import Key, VerdictMapping
from nft.transaction import Difference

_COMMAND = re.compile(r"(?:add|delete|flush) (?P<kind>chain|rule|set|map|element) inet \S+ (?P<name>\S+)")


@dataclass(slots=True)
class Culprits:
    """Names of what was refused, and of what cannot be without it."""

    chains: set[str] = field(default_factory=set)
    sets: set[str] = field(default_factory=set)
    """Sets and maps: they share one space of names."""

    def add(self, chains: Collection[str], sets: Collection[str]) -> bool:
        """Adds to them; whether any was new."""
        is_new = not (self.chains.issuperset(chains) and self.sets.issuperset(sets))
        self.chains.update(chains)
        self.sets.update(sets)
        return is_new

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, for people."""
        return (*sorted(f"chain {name}" for name in self.chains), *sorted(f"set {name}" for name in self.sets))


def culprits(script: str, lines: Collection[int]) -> Culprits:
    """The objects that these lines (from 1) of a script of `nft.transaction` are about: a line is a command."""
    found = Culprits()
    text = script.splitlines()
    for number in lines:
        command = _COMMAND.match(text[number - 1]) if 0 < number <= len(text) else None
        if command is not None:
            (found.chains if command["kind"] in ("chain", "rule") else found.sets).add(command["name"])
    return found


def without(due: Difference, out: Culprits, known: Known) -> Difference:
    """The transaction without the culprits (all of them: see `closed`), and without all removals."""
    added, deleted = _verdicts(due, out, known)
    return replace(
        due,
        new_sets=[shape for shape in due.new_sets if shape.name not in out.sets],
        replaced_sets=[shape for shape in due.replaced_sets if shape.name not in out.sets],
        new_maps=[shape for shape in due.new_maps if shape.name not in out.sets],
        replaced_maps=[shape for shape in due.replaced_maps if shape.name not in out.sets],
        new_chains=[chain for chain in due.new_chains if chain.name not in out.chains],
        changed_chains=[chain for chain in due.changed_chains if chain.name not in out.chains],
        rehung_chains=[chain for chain in due.rehung_chains if chain.name not in out.chains],
        emptied_sets=[name for name in due.emptied_sets if name not in out.sets],
        deleted_elements={shape: keys for shape, keys in due.deleted_elements.items() if shape.name not in out.sets},
        added_elements={shape: keys for shape, keys in due.added_elements.items() if shape.name not in out.sets},
        emptied_maps=[name for name in due.emptied_maps if name not in out.sets],
        deleted_verdicts=deleted,
        added_verdicts=added,
        dead_chains=(),
        dead_maps=(),
        dead_sets=(),
    )


def closed(due: Difference, blamed: Culprits, desired: Desired, known: Known) -> Culprits:
    """The culprits, and all that cannot be without them."""
    out = Culprits(set(blamed.chains), set(blamed.sets))
    written = {chain.name for chain in (*due.new_chains, *due.changed_chains, *due.rehung_chains)}
    size = -1
    while size != len(out.chains) + len(out.sets):
        size = len(out.chains) + len(out.sets)
        missing = out.chains - known.chains.keys()
        for name in written - out.chains:
            needs = desired.chains[name].references
            if needs.chains & missing or needs.sets & due.made & out.sets:
                out.chains.add(name)
        # A set can be replaced only if every chain that looks into it is written anew.
        for name in written & out.chains:
            out.sets |= desired.chains[name].references.sets & due.replaced
    return out


def _verdicts(
    due: Difference, out: Culprits, known: Known
) -> tuple[dict[VerdictMapping, dict[Key, Verdict]], dict[VerdictMapping, frozenset[Key]]]:
    """Entries to add and to delete. Those that would lead nowhere are left out one by one, and stay as they were."""
    missing = out.chains - known.chains.keys()
    added: dict[VerdictMapping, dict[Key, Verdict]] = {}
    deleted: dict[VerdictMapping, frozenset[Key]] = {}
    for mapping in due.added_verdicts.keys() | due.deleted_verdicts.keys():
        if mapping.name in out.sets:
            continue
        wanted = due.added_verdicts.get(mapping, {})
        kept = {key: verdict for key, verdict in wanted.items() if _target(verdict) not in missing}
        gone = frozenset(due.deleted_verdicts.get(mapping, ())) - (wanted.keys() - kept.keys())
        if kept:
            added[mapping] = kept
        if gone:
            deleted[mapping] = gone
    return added, deleted


def _target(verdict: Verdict) -> str | None:
    return verdict.chain if isinstance(verdict, Jump | Goto) else None
