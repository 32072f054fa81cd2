"""What should be in force: documents and routes in, one step after another out. Pure.

    documents ---> CalcGraph ---> Interfaces ---> Renderer ---> Step: what changes in the table
                                  HostInterfaces
    routes ------------------------^      +-----> NodeState --> Step: the snapshot for the packet process

Learned sets have an order of their own: one that a rule begins to use is in the kernel before a snapshot names it, and
one that goes leaves the kernel after a snapshot without it was loaded. So a step says apart which learned sets end.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dnsagent.snapshot import Snapshot, TrustedServer
from nft.model import Table
from policy.graph import CalcGraph, applied
from policy.resources.metadata import Resource, ResourceKey
from policy.rules import DomainSetID, EndpointID, GraphEvent, IPAddress, NodeState
from tidegate.render import Renderer, TableChange, names
from tidegate.sync.conditions import Condition
from tidegate.sync.host_conditions import host_conditions
from tidegate.sync.host_interfaces import HostInterfaces
from tidegate.sync.interfaces import Interfaces
from tidegate.sync.links import Links
from tidegate.sync.node import addresses_given_up
from tidegate.sync.snapshots import SnapshotBuilder, SnapshotSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """From what was wanted before to what is wanted now."""

    generation: int
    change: TableChange
    """Without the end of learned sets."""
    ended_sets: frozenset[str]
    """Learned sets that nothing uses any more."""
    state: NodeState
    snapshot: Snapshot
    given_up: frozenset[IPAddress]
    """Addresses of local endpoints that have another owner now, or none."""


class Desired:
    """Holds state: everything known of the documents and what was made of it."""

    def __init__(self, node_name: str, given: SnapshotSettings, first_generation: int = 1) -> None:
        self._servers = given.render.trusted_servers
        self._snapshots = SnapshotBuilder(given)
        self._graph = CalcGraph(node_name)
        self._interfaces = Interfaces()
        self._host_interfaces = HostInterfaces()
        self._renderer = Renderer(given.render)
        self._resources: dict[ResourceKey, Resource] = {}
        self._state = NodeState()
        self._next_generation = first_generation
        self._link_events: list[GraphEvent] = []
        self._is_in_sync = False
        self._has_news = False
        self._is_new = True
        """Nothing was given out yet: the first step makes the table even of a node without endpoints."""

    @property
    def is_in_sync(self) -> bool:
        """Whether all documents were told."""
        return self._is_in_sync

    @property
    def has_news(self) -> bool:
        """Whether something came since the last step. It may turn out to change nothing."""
        return self._has_news

    @property
    def missing_interfaces(self) -> tuple[EndpointID, ...]:
        """Endpoints that no route leads to."""
        return self._interfaces.missing

    @property
    def host_conditions(self) -> list[Condition]:
        """What is not in force of the node's host endpoints, as of the latest step."""
        return host_conditions(self._state, self.links)

    @property
    def links(self) -> Links:
        """The node's interfaces."""
        return self._host_interfaces.links

    @property
    def resources(self) -> Mapping[ResourceKey, Resource]:
        """The valid documents of the moment."""
        return self._resources

    def on_update(self, key: ResourceKey, resource: Resource | None) -> None:
        """A document came, changed, or went (None)."""
        self._graph.on_update(key, resource)
        self._has_news = True
        if resource is None:
            self._resources.pop(key, None)
        else:
            self._resources[key] = resource

    def in_sync(self) -> None:
        """All documents were told. Nothing is given out before."""
        self._graph.in_sync()
        self._is_in_sync = True

    def on_links(self, links: Links) -> None:
        """The kernel's routes now."""
        if links.addresses != self.links.addresses:
            self._graph.on_host_interfaces(links.addresses)
            self._has_news = True
        self._link_events += [*self._interfaces.on_links(links), *self._host_interfaces.on_links(links)]
        self._has_news = self._has_news or bool(self._link_events)

    def on_servers(self, servers: tuple[TrustedServer, ...]) -> None:
        """Other DNS servers are trusted."""
        self._servers = servers
        self._has_news = True

    def table(self) -> Table:
        """The whole table that is wanted, as of the latest step."""
        return self._renderer.table()

    def advance(self) -> Step | None:
        """What is new since the last step; None where nothing is, and before all documents were told."""
        if not self._is_in_sync:
            return None
        self._has_news = False
        told = self._host_interfaces.on_events(self._interfaces.on_events(self._graph.flush()))
        events = [*self._link_events, *told]
        self._link_events = []
        moved = self._renderer.trust(self._servers)
        if not events and not moved and not self._is_new:
            return None
        self._snapshots.trust(self._servers)
        self._is_new = False
        before, self._state = self._state, applied(self._state, events)
        generation, self._next_generation = self._next_generation, self._next_generation + 1
        ended = learned_sets(before.domain_sets.keys() - self._state.domain_sets.keys())
        change = self._renderer.apply(events)
        return Step(
            generation=generation,
            change=replace(
                change,
                sets={name: item for name, item in change.sets.items() if name not in ended},
                elements={**change.elements, **moved},
            ),
            ended_sets=ended,
            state=self._state,
            snapshot=self._snapshots.build(self._state, generation),
            given_up=addresses_given_up(before, self._state),
        )


def learned_sets(domain_sets: Iterable[DomainSetID]) -> frozenset[str]:
    """The kernel's names of these learned sets."""
    return frozenset(names.domain_set(domain_set, version) for domain_set in domain_sets for version in (4, 6))
