"""From the graph's events to changes of the table.

    PolicyUpdated    -> the policy's chains and the sets in its rules; if its outline changed (it appeared, has rules
                        in a direction, passes, has names), the endpoints it governs
    EndpointUpdated  -> its chains, the list and tier chains it shares, the entries of its interface
    IPSetUpdated     -> elements;  DomainSetUpdated -> the learned sets, empty

After any sequence of events the table is the one that a new renderer makes of the same state: output is a function of
present state, never of history. The cost of an event is proportional to what it names, not to the rest of the node.
"""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import replace
from typing import assert_never

from nft.model import Chain, Set, Table
from policy import rules
from policy.rules import Direction, EndpointID, EndpointPolicy, IPSetID
from tidegate.render import names, sets
from tidegate.render.endpoint import render_chains, render_interface
from tidegate.render.fragment import EMPTY, Fragment, TableChange, has_elements
from tidegate.render.ledger import Ledger
from tidegate.render.members import Members
from tidegate.render.mirror import Mirror
from tidegate.render.policy import render_policy
from tidegate.render.settings import RenderSettings
from tidegate.render.table import static_table
from tidegate.render.tiers import render_lists

_SetEvent = rules.IPSetUpdated | rules.IPSetRemoved | rules.DomainSetUpdated | rules.DomainSetRemoved

_MAX_CACHED_LISTS = 1024
"""Endpoints with the same policies share the rendering of their lists. At the bound the cache starts anew."""


class Renderer:
    """Holds state: a mirror of the node's, and what each part of it has put into the table."""

    def __init__(self, settings: RenderSettings) -> None:
        self._settings = settings
        self._mirror = Mirror()
        self._ledger = Ledger()
        self._members = Members()
        self._lists: dict[Hashable, list[Chain]] = {}

    def apply(self, events: Iterable[rules.GraphEvent]) -> TableChange:
        """What the events change, all together: a thing that two of them touch is rendered once.

        The order between events about different things does not matter; of two about the same thing the later holds.
        """
        for event in events:
            self._note(event)
        self._render_dirty()
        change = self._ledger.take()
        members = {name: item for name, item in self._members.take().items() if change.sets.get(name, item) is not None}
        return replace(change, elements={**change.elements, **members})

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
            case _:
                assert_never(event)

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
                self._put_sets(event.domain_set.id, sets.learned_sets(event.domain_set.id, self._settings))
            case rules.DomainSetRemoved():
                self._put_sets(event.id, ())
            case _:
                assert_never(event)

    def _put_sets(self, owner: str, shapes: tuple[Set, ...]) -> None:
        self._ledger.put(("set", owner), Fragment(sets={shape.name: shape for shape in shapes}))

    def _render_dirty(self) -> None:
        mirror = self._mirror
        if mirror.has_new_outline:
            self._lists.clear()
        for policy in mirror.dirty_policies:
            known = mirror.policies.get(policy)
            self._ledger.put(policy, render_policy(known, self._settings) if known else EMPTY)
        for endpoint in mirror.dirty_endpoints:
            self._ledger.put(("endpoint", endpoint), self._endpoint(endpoint))
        for interface in mirror.dirty_interfaces:
            owner = mirror.owner(interface)
            fragment = render_interface(owner, mirror.policies, self._settings) if owner else EMPTY
            self._ledger.put(("interface", interface), fragment)
        mirror.clean()

    def _endpoint(self, endpoint_id: EndpointID) -> Fragment:
        endpoint = self._mirror.endpoints.get(endpoint_id)
        if endpoint is None or not endpoint.endpoint.interface_name:
            return EMPTY
        lists = {direction: self._list(endpoint, direction) for direction in Direction}
        return render_chains(endpoint.endpoint, lists, self._settings)

    def _list(self, endpoint: EndpointPolicy, direction: Direction) -> list[Chain]:
        key = (direction, endpoint.tiers, endpoint.profiles)
        if key not in self._lists:
            if len(self._lists) >= _MAX_CACHED_LISTS:
                self._lists.clear()
            self._lists[key] = render_lists(endpoint, direction, self._mirror.policies, self._settings)
        return self._lists[key]


def events_of(state: rules.NodeState) -> Iterator[rules.GraphEvent]:
    """The state as if all of it had just appeared, in dependency order."""
    for ip_set, (kind, members) in state.ip_sets.items():
        yield rules.IPSetUpdated(IPSetID(ip_set), kind, members, frozenset())
    for domain_set in state.domain_sets.values():
        yield rules.DomainSetUpdated(domain_set)
    for policy in state.policies.values():
        yield rules.PolicyUpdated(policy)
    for endpoint in state.endpoints.values():
        yield rules.EndpointUpdated(endpoint)


def render_table(state: rules.NodeState, settings: RenderSettings) -> Table:
    """The whole table of a node: what `tidegate render` prints."""
    renderer = Renderer(settings)
    renderer.apply(events_of(state))
    return renderer.table()
