"""What the renderer remembers of the node's policies and endpoints, and which parts must be rendered anew."""

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TypeVar

from policy.rules import (
    EVERY_INTERFACE,
    CompiledPolicy,
    Direction,
    EndpointID,
    EndpointPolicy,
    HostEndpointID,
    HostEndpointPolicy,
    PolicyID,
)
from policy.staged import is_staged
from tidegate.render.outline import Outline, domain_sets, outline
from tidegate.render.places import HostPlace, asked, governing_own
from tidegate.render.tiers import PolicyList

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)


@dataclass(slots=True)
class Dirty:
    """What must be rendered anew."""

    policies: set[PolicyID] = field(default_factory=set)
    endpoints: set[EndpointID] = field(default_factory=set)
    hosts: set[HostEndpointID] = field(default_factory=set)
    interfaces: set[str] = field(default_factory=set)
    lists: set[str] = field(default_factory=set)
    outlines: set[PolicyID] = field(default_factory=set)
    """Policies that the lists must ask in another way."""


@dataclass(slots=True)
class Mirror:
    """Holds state: policies, endpoints, who shares which list, who claims which interface, and what is dirty."""

    policies: dict[PolicyID, CompiledPolicy] = field(default_factory=dict)
    endpoints: dict[EndpointID, EndpointPolicy] = field(default_factory=dict)
    hosts: dict[HostEndpointID, HostEndpointPolicy] = field(default_factory=dict)
    outlines: dict[Direction, dict[PolicyID, Outline]] = field(
        default_factory=lambda: {direction: {} for direction in Direction}
    )
    lists: dict[str, PolicyList] = field(default_factory=dict)
    lists_of: dict[EndpointID, dict[Direction, str]] = field(default_factory=dict)
    """Of the endpoints whose interface is known; nothing is rendered for the others."""
    lists_of_host: dict[HostEndpointID, dict[HostPlace, str]] = field(default_factory=dict)
    """Of the host endpoints that have an interface, where they ask anybody."""
    naming: set[PolicyID] = field(default_factory=set)
    """Policies with names to learn."""
    proxying: set[PolicyID] = field(default_factory=set)
    """Policies whose workloads are answered by the forwarder."""
    binding: set[PolicyID] = field(default_factory=set)
    """Policies whose connections must name themselves."""
    dirty: Dirty = field(default_factory=Dirty)
    _users: defaultdict[str, set[EndpointID | tuple[HostEndpointID, HostPlace]]] = field(
        default_factory=lambda: defaultdict(set)
    )
    """Endpoints by the name of a list they share."""
    _lists_with: defaultdict[PolicyID, set[str]] = field(default_factory=lambda: defaultdict(set))
    _claims: defaultdict[str, set[EndpointID]] = field(default_factory=lambda: defaultdict(set))

    def put_policy(self, policy_id: PolicyID, policy: CompiledPolicy | None) -> None:
        """Sets or removes a policy; lists and interfaces are touched only if it looks different from outside."""
        self.dirty.policies.add(policy_id)
        self.dirty.lists |= {
            name for name in self._lists_with.get(policy_id, ()) if policy_id in self.lists[name].trial.policies
        }
        if policy is None:
            self.policies.pop(policy_id, None)
        else:
            self.policies[policy_id] = policy
        self.binding.discard(policy_id)
        if policy is not None and not policy.is_staged and any(rule.is_bound for rule in policy.egress):
            self.binding.add(policy_id)
        for direction in Direction:
            self._put_outline(policy_id, direction, outline(policy, direction) if policy else None)
        self._put_trait(self.naming, policy_id, has_it=policy is not None and bool(domain_sets(policy)))
        self._put_trait(self.proxying, policy_id, has_it=policy is not None and policy.is_proxied)

    def put_endpoint(self, endpoint_id: EndpointID, endpoint: EndpointPolicy | None) -> None:
        """Sets or removes an endpoint."""
        self.dirty.endpoints.add(endpoint_id)
        old = self.endpoints.pop(endpoint_id, None)
        if old is not None:
            self._unlink(old)
        if endpoint is not None:
            self.endpoints[endpoint_id] = endpoint
            self._link(endpoint)

    def put_host(self, identity: HostEndpointID, host: HostEndpointPolicy | None) -> None:
        """Sets or removes a host endpoint."""
        self.dirty.hosts.add(identity)
        self.hosts.pop(identity, None)
        for place, name in self.lists_of_host.pop(identity, {}).items():
            self._leave(name, (identity, place))
        if host is not None:
            self.hosts[identity] = host
            if host.endpoint.interfaces:
                found = {place: asked(host, place) for place in HostPlace}
                self.lists_of_host[identity] = {
                    place: self._share((identity, place), wanted) for place, wanted in found.items() if wanted
                }

    @property
    def host_of_others(self) -> HostEndpointID | None:
        """The host endpoint for every interface that no other has: at most one (`policy.hosts.protected`)."""
        found = (one for one in self.lists_of_host if EVERY_INTERFACE in self.hosts[one].endpoint.interfaces)
        return min(found, default=None)

    @property
    def hosts_have_names(self) -> bool:
        """Whether a host endpoint's policy allows names to the host's own processes, so that their DNS must be seen."""
        asked = (policy for host in self.hosts.values() for policy in governing_own(host))
        return bool(self.naming) and not self.naming.isdisjoint(asked)

    def owner(self, interface: str) -> EndpointPolicy | None:
        """The endpoint that has the interface.

        Two may claim it for a moment, when a workload's interface name is used again before the old endpoint's end is
        known: an active one is preferred, then the first by name, so that the choice depends on nothing but the state.
        """
        claims = (self.endpoints[endpoint] for endpoint in self._claims.get(interface, ()))
        return min(claims, key=lambda claim: (not claim.endpoint.is_active, claim.endpoint.id), default=None)

    def has_names(self, endpoint: EndpointID) -> bool:
        """Whether a policy of the endpoint allows names, so that its DNS traffic must be seen."""
        return self._is_under(self.naming, endpoint)

    def has_enforced_names(self, endpoint: EndpointID) -> bool:
        """The same of enforced policies: a staged one does not change who answers the endpoint's questions."""
        return self._is_under({policy for policy in self.naming if not is_staged(policy)}, endpoint)

    def is_proxied(self, endpoint: EndpointID) -> bool:
        """Whether a policy of the endpoint wants its questions answered by the forwarder."""
        return self._is_under(self.proxying, endpoint)

    def _is_under(self, those: set[PolicyID], endpoint: EndpointID) -> bool:
        governing = self.lists[self.lists_of[endpoint][Direction.EGRESS]]
        return bool(those) and not those.isdisjoint(governing.policies)

    def _put_outline(self, policy: PolicyID, direction: Direction, new: Outline | None) -> None:
        known = self.outlines[direction]
        if known.get(policy) == new:
            return
        if new is None:
            del known[policy]
        else:
            known[policy] = new
        self.dirty.outlines.add(policy)
        self.dirty.lists |= {
            name for name in self._lists_with.get(policy, ()) if self.lists[name].direction is direction
        }

    def _put_trait(self, those: set[PolicyID], policy: PolicyID, *, has_it: bool) -> None:
        """Notes whether the policy is one of those, which the interfaces under it show."""
        if (policy in those) == has_it:
            return
        those.symmetric_difference_update({policy})
        for name in self._lists_with.get(policy, ()):
            workloads = (user for user in self._users[name] if not isinstance(user, tuple))
            self.dirty.interfaces |= {self.endpoints[user].endpoint.interface_name for user in workloads}

    def _link(self, endpoint: EndpointPolicy) -> None:
        identity, interface = endpoint.endpoint.id, endpoint.endpoint.interface_name
        if interface:
            self.lists_of[identity] = {
                direction: self._share(identity, PolicyList.of(endpoint, direction)) for direction in Direction
            }
            self._claims[interface].add(identity)
            self.dirty.interfaces.add(interface)

    def _unlink(self, endpoint: EndpointPolicy) -> None:
        identity, interface = endpoint.endpoint.id, endpoint.endpoint.interface_name
        if interface:
            for name in self.lists_of.pop(identity).values():
                self._leave(name, identity)
            _discard(self._claims, interface, identity)
            self.dirty.interfaces.add(interface)

    def _share(self, user: EndpointID | tuple[HostEndpointID, HostPlace], wanted: PolicyList) -> str:
        self._users[wanted.name].add(user)
        if wanted.name not in self.lists:
            self.lists[wanted.name] = wanted
            self.dirty.lists.add(wanted.name)
            for policy in wanted.policies:
                self._lists_with[policy].add(wanted.name)
        return wanted.name

    def _leave(self, name: str, user: EndpointID | tuple[HostEndpointID, HostPlace]) -> None:
        _discard(self._users, name, user)
        if name not in self._users:
            self.dirty.lists.add(name)
            for policy in self.lists.pop(name).policies:
                _discard(self._lists_with, policy, name)


def _discard(index: defaultdict[K, set[V]], key: K, value: V) -> None:
    """Takes a value out, and the key with the last one."""
    if key in index:
        index[key].discard(value)
        if not index[key]:
            del index[key]
