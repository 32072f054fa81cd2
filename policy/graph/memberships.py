"""Who is in each set that somebody refers to.

    items' labels ---> SelectorIndex ---> matches ---+
    items' addresses, ports, domains ----------------+--> members of sets --> Sequencer
    slices of Services (no selector is about them) --+

A set that nobody refers to any more is kept until the next flush: it is often wanted again at once, when one policy
goes and another one comes.
"""

from collections import Counter
from typing import Protocol, assert_never

from policy.graph.address_sets import AddressSet
from policy.graph.definitions import (
    Definition,
    DomainDefinition,
    NetsDefinition,
    NodesDefinition,
    PortsDefinition,
    ServiceDefinition,
)
from policy.graph.inheritance import LabelsChanged
from policy.graph.items import NOTHING, Contribution, ItemID, exchanged, is_node
from policy.graph.matching import SelectorIndex
from policy.graph.members import NetMembers, PortMembers
from policy.graph.names import Existence, NameMembers
from policy.graph.sequencer import Sequencer
from policy.graph.services import ServiceSlices
from policy.resources.kube_service import EndpointSlice
from policy.resources.metadata import ResourceKey
from policy.selectors import Selector


class GatheredSet(Protocol):
    """A set whose members come from items."""

    def add(self, contribution: Contribution) -> None:
        """An item belongs to it, with this."""

    def discard(self, contribution: Contribution) -> None:
        """An item does not belong to it any more."""

    def close(self) -> None:
        """Nobody refers to it any more."""


class Memberships:
    """Owns the sets. Cost of an item's change: the sets that it is or was in."""

    def __init__(self, existence: Existence, sequencer: Sequencer) -> None:
        self._existence = existence
        self._sequencer = sequencer
        # Nodes have an index of their own: a rule about endpoints must not see them, nor one about nodes the endpoints.
        self._indexes: dict[bool, SelectorIndex[ItemID]] = {False: SelectorIndex(), True: SelectorIndex()}
        self._contributions: dict[ItemID, Contribution] = {}
        self._services = ServiceSlices()
        self._references: Counter[Definition] = Counter()
        self._sets: dict[Definition, GatheredSet] = {}
        self._by_selector: dict[tuple[bool, Selector], dict[Definition, None]] = {}
        self._unreferenced: dict[Definition, None] = {}

    # --- Which sets are wanted ---

    def acquire(self, definition: Definition) -> None:
        """One more refers to the set."""
        self._references[definition] += 1
        self._unreferenced.pop(definition, None)
        if definition not in self._sets:
            self._create(definition)

    def release(self, definition: Definition) -> None:
        """One less refers to the set."""
        self._references[definition] -= 1
        if not self._references[definition]:
            del self._references[definition]
            self._unreferenced[definition] = None

    def flush(self) -> None:
        """Lets go of the sets that nobody refers to."""
        for definition in self._unreferenced:
            self._remove(definition)
        self._unreferenced.clear()

    # --- What items bring and which labels they have ---

    def on_contribution(self, item: ItemID, contribution: Contribution) -> None:
        """What an item brings changed."""
        before = self._contributions.get(item, NOTHING)
        if contribution == before:
            return
        self._contributions[item] = contribution
        lost, gained = exchanged(before, contribution)
        of_nodes = is_node(item)
        for selector in self._indexes[of_nodes].selectors_of(item):
            for definition in self._by_selector[of_nodes, selector]:
                self._sets[definition].discard(lost)
                self._sets[definition].add(gained)

    def on_labels(self, change: LabelsChanged) -> None:
        """An item's labels changed, or it is gone."""
        contribution = self._contributions.get(change.item, NOTHING)
        of_nodes = is_node(change.item)
        for match in self._indexes[of_nodes].on_labels(change.item, change.labels):
            for definition in self._by_selector[of_nodes, match.selector]:
                members = self._sets[definition]
                (members.add if match.is_match else members.discard)(contribution)
        if change.labels is None:
            self._contributions.pop(change.item, None)

    def on_slice(self, key: ResourceKey, endpoints: EndpointSlice | None) -> None:
        """Endpoints of a Service changed."""
        self._services.on_slice(key, endpoints)

    # --- Sets ---

    def _create(self, definition: Definition) -> None:
        members = self._sets[definition] = self._new_set(definition)
        if isinstance(definition, ServiceDefinition):
            self._services.add(definition, members)
            return
        selector = definition.selector
        if selector is None:
            return
        of_nodes = isinstance(definition, NodesDefinition)
        index = self._indexes[of_nodes]
        if (of_nodes, selector) not in self._by_selector:
            self._by_selector[of_nodes, selector] = {}
            index.add(selector)
        self._by_selector[of_nodes, selector][definition] = None
        for item in index.items_of(selector):
            members.add(self._contributions.get(item, NOTHING))

    def _new_set(self, definition: Definition) -> GatheredSet:
        match definition:
            case NetsDefinition() | NodesDefinition() | ServiceDefinition(has_ports=False):
                return AddressSet(definition.id, NetMembers(), self._sequencer)
            case PortsDefinition(_, protocol, port_name):
                return AddressSet(definition.id, PortMembers(protocol, port_name), self._sequencer)
            case ServiceDefinition():
                return AddressSet(definition.id, PortMembers(None, ""), self._sequencer)
            case DomainDefinition():
                return NameMembers(definition, self._existence, self._sequencer)
            case _:
                assert_never(definition)

    def _remove(self, definition: Definition) -> None:
        self._sets.pop(definition).close()
        if isinstance(definition, ServiceDefinition):
            self._services.discard(definition)
            return
        selector = definition.selector
        if selector is None:
            return
        of_nodes = isinstance(definition, NodesDefinition)
        del self._by_selector[of_nodes, selector][definition]
        if not self._by_selector[of_nodes, selector]:
            del self._by_selector[of_nodes, selector]
            self._indexes[of_nodes].discard(selector)
