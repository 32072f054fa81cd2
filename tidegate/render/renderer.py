"""From the graph's events to changes of the table.

    PolicyUpdated    -> the policy's chains and the sets in its rules; if its outline changed (it appeared, has rules
                        in a direction, passes, has names), the lists that ask it, the interfaces it governs
    EndpointUpdated  -> its chains, the lists it shares if it is their first or last, the entries of its interface
    IPSetUpdated     -> elements;  DomainSetUpdated -> the learned sets, empty

After any sequence of events the table is the one that a new renderer makes of the same state: output is a function of
present state, never of history. The cost of an event is proportional to what it names, not to the rest of the node.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import assert_never

from dnsagent.snapshot import TrustedServer
from nft.model import Set, Table
from policy import rules
from policy.rules import Direction, EndpointID, HostEndpointID, IPSetID
from tidegate.render import grace, host_dns, named, names, sets
from tidegate.render.base import limitable_chains
from tidegate.render.dns import server_elements
from tidegate.render.endpoint import render_chains, render_interface
from tidegate.render.fragment import EMPTY, ElementChange, Fragment, TableChange, has_elements
from tidegate.render.hosts import HostBase, empty_chains, render_host
from tidegate.render.ledger import Ledger
from tidegate.render.members import Members
from tidegate.render.mirror import Dirty, Mirror
from tidegate.render.policy import render_policy
from tidegate.render.settings import RenderSettings
from tidegate.render.table import static_table
from tidegate.render.tiers import ListRenderer
from tidegate.render.trial import render_trial

_SetEvent = rules.IPSetUpdated | rules.IPSetRemoved | rules.DomainSetUpdated | rules.DomainSetRemoved


class Renderer:
    """Holds state: a mirror of the node's, and what each part of it has put into the table."""

    def __init__(self, settings: RenderSettings) -> None:
        self._settings = settings
        self._mirror = Mirror()
        self._ledger = Ledger()
        self._members = Members()
        self._base = {
            chain.name: chain
            for chain in (
                *empty_chains(), *named.empty_chains(), *host_dns.empty_chains(), *limitable_chains(settings)
            )
        }  # fmt: skip
        """Base chains that parts of the node add to, without them."""
        self._limited: set[str] = set()
        """Interfaces whose packets are limited."""
        self._lists = {
            direction: ListRenderer(self._mirror.outlines[direction], direction, settings.pass_mark)
            for direction in Direction
        }

    def apply(self, events: Iterable[rules.GraphEvent]) -> TableChange:
        """What the events change, all together: a thing that two of them touch is rendered once.

        The order between events about different things does not matter; of two about the same thing the later holds.
        """
        for event in events:
            self._note(event)
        self._render_dirty()
        change = self._ledger.take()
        members = {name: item for name, item in self._members.take().items() if change.sets.get(name, item) is not None}
        # Chains of the base are never gone: without host endpoints and limits they are what they were.
        chains = {name: chain or self._base.get(name) for name, chain in change.chains.items()}
        return replace(change, chains=chains, elements={**change.elements, **members})

    def trust(self, servers: tuple[TrustedServer, ...]) -> dict[str, ElementChange]:
        """Other DNS servers are trusted from now on; what changes in the sets that have them, by name."""
        before = server_elements(self._settings)
        self._settings = replace(self._settings, trusted_servers=servers)
        after = server_elements(self._settings)
        return {
            name: ElementChange(after[name] - before[name], before[name] - after[name])
            for name in after
            if after[name] != before[name]
        }

    def table(self) -> Table:
        """The whole table as it is now. Proportional to the node: for start-up and for a resync."""
        fixed = static_table(self._settings)
        parts = self._ledger.whole()
        shapes = {**fixed.sets, **parts.sets}
        nothing: frozenset[tuple[()]] = frozenset()
        elements = {name: nothing for name, shape in shapes.items() if has_elements(shape)}
        return replace(
            fixed,
            chains={**fixed.chains, **parts.chains},
            sets=shapes,
            elements={**elements, **fixed.elements, **parts.elements, **self._members.whole()},
            verdicts={**fixed.verdicts, **parts.verdicts},
        )

    def _note(self, event: rules.GraphEvent) -> None:
        match event:
            case rules.IPSetUpdated() | rules.IPSetRemoved() | rules.DomainSetUpdated() | rules.DomainSetRemoved():
                self._note_set(event)
            case rules.PolicyUpdated():
                self._mirror.put_policy(event.policy.id, event.policy)
            case rules.PolicyRemoved():
                self._mirror.put_policy(event.id, None)
            case rules.EndpointUpdated():
                self._mirror.put_endpoint(event.endpoint.endpoint.id, event.endpoint)
            case rules.EndpointRemoved():
                self._mirror.put_endpoint(event.id, None)
            case rules.HostEndpointUpdated():
                self._mirror.put_host(event.endpoint.endpoint.id, event.endpoint)
            case rules.HostEndpointRemoved():
                self._mirror.put_host(event.id, None)
            case rules.OwnAddressesUpdated():
                pass  # for the packet process: rules ask the packet
            case rules.NodeAddressesUpdated():
                self._note_nodes(event.addresses)
            case _:
                assert_never(event)

    def _note_nodes(self, addresses: frozenset[rules.IPAddress]) -> None:
        if self._settings.tunnels.need_nodes:
            for version in (4, 6):
                wanted = frozenset((address,) for address in addresses if address.version == version)
                self._members.replace(names.nodes(version), wanted)

    def _note_set(self, event: _SetEvent) -> None:
        match event:
            case rules.IPSetUpdated():
                self._put_sets(event.id, sets.ip_sets(event.id, event.kind))
                for version in (4, 6):
                    added, removed = sets.keys(event.added, version), sets.keys(event.removed, version)
                    self._members.update(names.ip_set(event.id, version), added, removed)
            case rules.IPSetRemoved():
                self._put_sets(event.id, ())
                for version in (4, 6):
                    self._members.drop(names.ip_set(event.id, version))
            case rules.DomainSetUpdated():
                domain_set, settings = event.domain_set, self._settings
                shapes = grace.grace_sets(domain_set.id, domain_set.options, settings)
                self._put_sets(domain_set.id, (*sets.learned_sets(domain_set.id, settings), *shapes))
            case rules.DomainSetRemoved():
                self._put_sets(event.id, ())
            case _:
                assert_never(event)

    def _put_sets(self, owner: str, shapes: tuple[Set, ...]) -> None:
        self._ledger.put(("set", owner), Fragment(sets={shape.name: shape for shape in shapes}))

    def _render_dirty(self) -> None:
        mirror, dirty = self._mirror, self._mirror.dirty
        for policy in dirty.policies:
            known = mirror.policies.get(policy)
            self._ledger.put(policy, render_policy(known, self._settings) if known else EMPTY)
        for policy in dirty.outlines:
            for renderer in self._lists.values():
                renderer.forget(policy)
        for name in dirty.lists:
            self._ledger.put(("list", name), self._list(name))
        for endpoint in dirty.endpoints:
            self._ledger.put(("endpoint", endpoint), self._endpoint(endpoint))
        for host in dirty.hosts:
            self._ledger.put(("host", host), self._host(host))
        self._render_shared(mirror, dirty)
        for interface in dirty.interfaces:
            self._ledger.put(("interface", interface), self._interface(interface))
        self._ledger.put("limits", self._limits())
        mirror.dirty = Dirty()

    def _render_shared(self, mirror: Mirror, dirty: Dirty) -> None:
        """The base chains that policies and host endpoints fill."""
        if dirty.policies:
            self._ledger.put("named", named.render_named(self._settings) if mirror.binding else EMPTY)
        if dirty.hosts:
            self._ledger.put("hosts", self._host_base())
        if dirty.hosts or dirty.policies:
            has_names = mirror.hosts_have_names
            self._ledger.put("host-dns", host_dns.render_host_dns(self._settings) if has_names else EMPTY)

    def _limits(self) -> Fragment:
        """The base chains, where packets of some interface are limited."""
        if not self._limited:
            return EMPTY
        return Fragment(chains={chain.name: chain for chain in limitable_chains(self._settings, is_limited=True)})

    def _list(self, name: str) -> Fragment:
        wanted = self._mirror.lists.get(name)
        if wanted is None:
            return EMPTY
        chains = {chain.name: chain for chain in self._lists[wanted.direction].chains(wanted)}
        if not wanted.trial.tiers:
            return Fragment(chains=chains)
        beside = render_trial(wanted.trial, self._mirror.policies, self._settings)
        return replace(beside, chains={**chains, **beside.chains})

    def _endpoint(self, endpoint_id: EndpointID) -> Fragment:
        known = self._mirror.endpoints.get(endpoint_id)
        if known is None or not known.endpoint.interface_name:
            return EMPTY
        return render_chains(known.endpoint, self._mirror.lists_of[endpoint_id], self._settings)

    def _host(self, identity: HostEndpointID) -> Fragment:
        lists = self._mirror.lists_of_host.get(identity)
        return EMPTY if lists is None else render_host(self._mirror.hosts[identity], lists, self._settings)

    def _host_base(self) -> Fragment:
        lists = self._mirror.lists_of_host
        if not lists:
            return EMPTY
        deciding = {
            place for places in lists.values() for place, name in places.items() if self._mirror.lists[name].is_asked
        }
        return HostBase(lists, self._mirror.host_of_others, deciding).fragment(self._settings)

    def _interface(self, interface: str) -> Fragment:
        owner = self._mirror.owner(interface)
        self._limited.discard(interface)
        if owner is None:
            return EMPTY
        identity = owner.endpoint.id
        has_names = self._mirror.has_names(identity)
        is_proxied = self._settings.is_proxied(by_policy=self._mirror.is_proxied(identity))
        is_proxied = is_proxied and self._mirror.has_enforced_names(identity)
        found = render_interface(owner.endpoint, self._settings, has_names=has_names, is_proxied=is_proxied)
        if found.verdicts.keys() & {names.LIMITED_FROM, names.LIMITED_TO}:
            self._limited.add(interface)
        return found


def events_of(state: rules.NodeState) -> Iterator[rules.GraphEvent]:
    """The state as if all of it had just appeared, in dependency order."""
    yield rules.NodeAddressesUpdated(state.node_addresses)
    yield rules.OwnAddressesUpdated(state.own_addresses)
    for ip_set, (kind, members) in state.ip_sets.items():
        yield rules.IPSetUpdated(IPSetID(ip_set), kind, members, frozenset())
    for domain_set in state.domain_sets.values():
        yield rules.DomainSetUpdated(domain_set)
    for policy in state.policies.values():
        yield rules.PolicyUpdated(policy)
    for endpoint in state.endpoints.values():
        yield rules.EndpointUpdated(endpoint)
    for host in state.host_endpoints.values():
        yield rules.HostEndpointUpdated(host)


def render_table(state: rules.NodeState, settings: RenderSettings) -> Table:
    """The whole table of a node: what `tidegate render` prints."""
    renderer = Renderer(settings)
    renderer.apply(events_of(state))
    return renderer.table()
