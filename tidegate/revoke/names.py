"""Connections that names have opened: what was told to an endpoint counts beyond its lifetime. Pure.

an address is in a learned set                  -> the rules say so themselves
it was told, and its time is over               -> opens what the names it was told for open now: expiry ends nothing
no name is remembered, and the policy of before
  would not have let it through without one     -> a name that nobody remembers has opened it: it stays, as long as a
                                                   learned set that could have been it stands unchanged
everything else                                 -> as the rules say
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from nft.model import Key
from policy.rules import DomainSetID, EndpointID, IPAddress, NodeState
from tidegate.render import names
from tidegate.revoke.way import Way

Standing = Callable[[EndpointID, Way], frozenset[DomainSetID]]
"""Learned sets that stand unchanged, one of which must have let the workload's connection through before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """An endpoint was told an address."""

    endpoint: EndpointID
    address: IPAddress
    sets: frozenset[DomainSetID]
    """Which select a name that it was told for, by the present patterns."""


class Memory:
    """What is remembered, and which sets an address that nobody remembers may have been in."""

    def __init__(self, facts: Iterable[Fact], part: NodeState, standing: Standing) -> None:
        self._told: dict[tuple[EndpointID, bytes], frozenset[DomainSetID]] = {}
        self._shared: dict[bytes, frozenset[DomainSetID]] = {}
        shared = {identity for identity, item in part.domain_sets.items() if item.options.scope == "node"}
        nothing: frozenset[DomainSetID] = frozenset()
        for fact in facts:
            key, packed = (fact.endpoint, fact.address.packed), fact.address.packed
            # Sets of rules that the scope is not about: nothing that is asked here looks into them.
            sets = fact.sets & part.domain_sets.keys()
            self._told[key] = self._told.get(key, nothing) | sets
            self._shared[packed] = self._shared.get(packed, nothing) | (sets & shared)
        self._standing = standing

    def elements(self, ways: Iterable[Way], owners: Mapping[bytes, EndpointID]) -> dict[str, set[Key]]:
        """The elements of learned sets that memory adds, for these ways. `owners`: the workloads by packed address."""
        added: dict[str, set[Key]] = {}
        for way in ways:
            owner = owners.get(way.source)
            if owner is None:
                continue
            source, destination = ip_address(way.source), ip_address(way.destination)
            for identity in self._sets(owner, way):
                added.setdefault(names.domain_set(identity, source.version), set()).add((source, destination))
        return added

    def _sets(self, owner: EndpointID, way: Way) -> frozenset[DomainSetID]:
        told, shared = self._told.get((owner, way.destination)), self._shared.get(way.destination)
        if told is None and not shared:
            return self._standing(owner, way)
        return (told or frozenset()) | (shared or frozenset())
