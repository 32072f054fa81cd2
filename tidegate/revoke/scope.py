"""Where to look after a change: the connections that may have lost their permission. Pure.

An endpoint whose policies changed: all of its connections. A set whose members changed: connections from and to the
addresses that came or went, for no other address has another answer than before. Names: a set of other patterns is
another set, so it is the policy that changed; that learned addresses expire is no change of policy at all.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from policy.rules import (
    AddressPort,
    CompiledPolicy,
    DomainSetID,
    EndpointID,
    EndpointPolicy,
    EntityMatch,
    HostEndpointPolicy,
    IPSetID,
    IPSetKind,
    NodeState,
    PolicyID,
    SetMember,
)

K = TypeVar("K")

_NO_MEMBERS: tuple[IPSetKind, frozenset[SetMember]] = (IPSetKind.NETS, frozenset())
MAX_MEMBERS = 65_536
"""Members that came or went, kept one by one. What is beyond widens the look to everything, and is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose connections are to be looked at. Scopes add up until somebody looks."""

    is_everything: bool = False
    endpoints: frozenset[EndpointID] = frozenset()
    """All connections of these."""
    members: frozenset[SetMember] = frozenset()
    """Connections from and to these addresses."""
    users: frozenset[EndpointID] = frozenset()
    """Endpoints whose rules look into the sets of `members`: they are asked, too."""
    is_widened: bool = False
    """More addresses changed than are kept one by one."""
    standing: frozenset[DomainSetID] | None = None
    """Learned sets that were in force before, and still are. None: nothing changed since that could have ended one."""

    def __bool__(self) -> bool:
        return bool(self.is_everything or self.endpoints or self.members)

    def __or__(self, later: "Scope") -> "Scope":
        """Both, in the order in which they happened."""
        members = self.members | later.members
        is_wide = len(members) > MAX_MEMBERS
        return Scope(
            is_everything=self.is_everything or later.is_everything or is_wide,
            endpoints=self.endpoints | later.endpoints,
            members=frozenset() if is_wide else members,
            users=self.users | later.users,
            is_widened=self.is_widened or later.is_widened or is_wide,
            standing=_both(self.standing, later.standing),
        )


def _both(one: frozenset[DomainSetID] | None, other: frozenset[DomainSetID] | None) -> frozenset[DomainSetID] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


BEGINNING = Scope(is_everything=True, standing=frozenset())
"""Nothing is known of what was in force before."""


def changed(before: NodeState, after: NodeState) -> Scope:
    """What may have lost its permission by going from one state to the other.

    What did not change is the same object in both: comparing costs the number of things in the state, and the members
    of the sets that changed. A host endpoint has its say about all that passes the host, so where the policy of one
    changes everything is looked at.
    """
    policies = _changed_keys(before.policies, after.policies)
    names = _changed_keys(before.domain_sets, after.domain_sets)
    policies |= {identity for identity, policy in after.policies.items() if not names.isdisjoint(domain_sets(policy))}
    sets = _changed_keys(before.ip_sets, after.ip_sets)
    users = {identity for identity, policy in after.policies.items() if not sets.isdisjoint(ip_sets(policy))}
    members = _moved(before, after, sets) if users else frozenset()
    is_wide = len(members) > MAX_MEMBERS
    return Scope(
        is_everything=is_wide or _is_host_changed(before, after, policies),
        endpoints=frozenset(
            identity
            for identity, item in after.endpoints.items()
            if before.endpoints.get(identity) is not item or not policies.isdisjoint(governing(item))
        ),
        members=frozenset() if is_wide else members,
        users=frozenset(
            identity for identity, item in after.endpoints.items() if not users.isdisjoint(governing(item))
        ),
        is_widened=is_wide,
        standing=frozenset(after.domain_sets) - names,
    )


def _changed_keys(before: Mapping[K, object], after: Mapping[K, object]) -> set[K]:
    """Those that came, went, or are another object now."""
    came = {key for key, value in after.items() if before.get(key) is not value}
    return came | (before.keys() - after.keys())


def _moved(before: NodeState, after: NodeState, sets: Iterable[IPSetID]) -> frozenset[SetMember]:
    """The members that came to one of the sets or left it."""
    moved: set[SetMember] = set()
    for identity in sets:
        (_, old), (_, new) = before.ip_sets.get(identity, _NO_MEMBERS), after.ip_sets.get(identity, _NO_MEMBERS)
        moved |= old ^ new
    return frozenset(moved)


def _is_host_changed(before: NodeState, after: NodeState, policies: Collection[PolicyID]) -> bool:
    if _changed_keys(before.host_endpoints, after.host_endpoints):
        return True
    if after.host_endpoints and before.node_addresses != after.node_addresses:
        return True  # what passes between nodes is not asked about
    return any(not governing(host).isdisjoint(policies) for host in after.host_endpoints.values())


def governing(item: EndpointPolicy | HostEndpointPolicy) -> frozenset[PolicyID]:
    """The policies and profiles that decide about an endpoint."""
    tiers = item.tiers if isinstance(item, EndpointPolicy) else (
        *item.untracked, *item.pre_dnat, *item.normal, *item.forward)  # fmt: skip
    return frozenset(policy for tier in tiers for policy in (*tier.ingress, *tier.egress)).union(item.profiles)


def ip_sets(policy: CompiledPolicy) -> frozenset[IPSetID]:
    """The address sets that its rules look into."""
    sides = (side for rule in (*policy.ingress, *policy.egress) for side in (rule.source, rule.destination))
    return frozenset(each for side in sides for each in _sets_of(side))


def _sets_of(side: EntityMatch) -> tuple[IPSetID, ...]:
    service = () if side.service_set is None else (side.service_set,)
    return (*side.sets, *side.not_sets, *side.port_sets, *side.not_port_sets, *service)


def domain_sets(policy: CompiledPolicy) -> frozenset[DomainSetID]:
    """The learned sets that its rules look into."""
    named = (rule.destination.domain_set for rule in policy.egress)
    return frozenset(each for each in named if each is not None)


class Wanted:
    """Which entries are in a scope, by their packed addresses. Asked of every entry there is."""

    def __init__(self, scope: Scope, state: NodeState) -> None:
        """`state` says which addresses the endpoints have."""
        self._is_everything = scope.is_everything
        self._whole = {
            address.packed
            for identity in scope.endpoints
            if identity in state.endpoints
            for address in state.endpoints[identity].endpoint.addresses
        }
        self._networks: dict[tuple[int, int], set[int]] = {}
        for member in scope.members:
            self._add(member)

    def __call__(self, source: bytes, destination: bytes, replies_from: bytes) -> bool:
        """Whether an entry with these addresses may have lost its permission."""
        if self._is_everything:
            return True
        whole = self._whole
        if source in whole or replies_from in whole or destination in whole:
            return True
        return bool(self._networks) and any(map(self._has_moved, {source, destination, replies_from}))

    def _add(self, member: SetMember) -> None:
        if isinstance(member, AddressPort):
            self._whole.add(member.address.packed)
        elif member.prefixlen == member.max_prefixlen:
            self._whole.add(member.network_address.packed)
        else:
            shift = member.max_prefixlen - member.prefixlen
            numbers = self._networks.setdefault((member.max_prefixlen // 8, shift), set())
            numbers.add(int(member.network_address) >> shift)

    def _has_moved(self, packed: bytes) -> bool:
        number, size = int.from_bytes(packed, "big"), len(packed)
        return any(length == size and number >> shift in numbers for (length, shift), numbers in self._networks.items())
