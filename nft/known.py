"""What we know the table is: what a listing said, and what our commits did since.

Pure, holds state. It may be wrong, because others may write to the table: then a commit is refused, or an announcement
comes, and the kernel is read again.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from nft.desired import Desired
from nft.expr import Verdict
from nft.keys import Packed, packed
from nft.listing import ListedChain, Listing
from nft.model import Key, Set, VerdictMapping


@dataclass(slots=True)
class Known:
    """What we believe is in the kernel."""

    exists: bool = False
    """The table is there."""
    chains: dict[str, ListedChain] = field(default_factory=dict)
    sets: dict[str, Set | None] = field(default_factory=dict)
    elements: dict[str, frozenset[Key]] = field(default_factory=dict)
    maps: dict[str, VerdictMapping | None] = field(default_factory=dict)
    verdicts: dict[str, Mapping[Key, Verdict]] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)
    """Sets and maps with elements that are not desired and for which we have no keys: they are to be filled anew."""
    listed_elements: dict[str, frozenset[Packed]] = field(default_factory=dict)
    """Elements as they were read back, until `settle`."""
    listed_verdicts: dict[str, Mapping[Packed, Verdict | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, listing: Listing | None) -> Self:
        """What a listing says."""
        if listing is None:
            return cls()
        return cls(
            exists=True,
            chains=dict(listing.chains),
            sets=dict(listing.sets),
            maps=dict(listing.maps),
            listed_elements=dict(listing.elements),
            listed_verdicts=dict(listing.verdicts),
        )

    def settle(self, desired: Desired) -> None:
        """Turns what was read back into keys, for the sets and maps that are desired. Costs 3 us per element, once."""
        for name in self.listed_elements.keys() & desired.elements.keys():
            listed = self.listed_elements.pop(name)
            wanted = {packed(key, desired.sets[name].key): key for key in desired.elements[name]}
            self.elements[name] = frozenset(wanted[key] for key in listed if key in wanted)
            if len(self.elements[name]) != len(listed):
                self.foreign.add(name)
        for name in self.listed_verdicts.keys() & desired.verdicts.keys():
            verdicts = self.listed_verdicts.pop(name)
            wanted = {packed(key, desired.maps[name].key): key for key in desired.verdicts[name]}
            known = {wanted[key]: verdict for key, verdict in verdicts.items() if key in wanted and verdict is not None}
            self.verdicts[name] = known
            if len(known) != len(verdicts):
                self.foreign.add(name)

    def forget_rules(self, chains: Collection[str]) -> None:
        """Takes the rules of these chains for wrong, whatever their tags say."""
        for name in self.chains.keys() & set(chains):
            self.chains[name] = replace(self.chains[name], digest=None, rule_count=max(1, self.chains[name].rule_count))

    def forget_contents(self, names: Collection[str]) -> None:
        """Takes the elements of these sets and maps for wrong: they are to be filled anew."""
        self.foreign |= set(names) & (self.sets.keys() | self.maps.keys())

    def forget_elements(self, name: str) -> None:
        """The set or map is empty or gone."""
        self.foreign.discard(name)
        mappings: tuple[dict[str, Any], ...] = (
            self.elements,
            self.verdicts,
            self.listed_elements,
            self.listed_verdicts,
        )
        for each in mappings:
            each.pop(name, None)
