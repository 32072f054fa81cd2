"""The part of a node's state that a scope is about: what need not be rendered to judge its connections. Pure."""

from collections.abc import Iterable
from dataclasses import replace

from policy.rules import EndpointID, NodeState, host_learner
from tidegate.render.places import governing_own
from tidegate.revoke.scope import Scope, domain_sets, governing, ip_sets
from tidegate.revoke.way import Routes, Surroundings


def part_of(state: NodeState, scope: Scope) -> NodeState:
    """The state with only those endpoints that are asked, and what decides about them.

    The others' side of a connection has not changed: it let the connection in, so it is not asked again. Host
    endpoints must know whose interface is whose, so where there are any nothing is left out.
    """
    if scope.is_everything or state.host_endpoints:
        return state
    endpoints = {
        identity: item
        for identity, item in state.endpoints.items()
        if identity in scope.endpoints or identity in scope.users
    }
    deciding = frozenset().union(*map(governing, endpoints.values()))
    policies = {identity: policy for identity, policy in state.policies.items() if identity in deciding}
    used = frozenset().union(*map(ip_sets, policies.values()))
    named = frozenset().union(*map(domain_sets, policies.values()))
    return replace(
        state,
        endpoints=endpoints,
        policies=policies,
        ip_sets={identity: item for identity, item in state.ip_sets.items() if identity in used},
        domain_sets={identity: item for identity, item in state.domain_sets.items() if identity in named},
    )


def surroundings(part: NodeState, own: Iterable[bytes], routes: Routes) -> Surroundings:
    """Who is where, for the endpoints that are asked. One without an interface is enforced nowhere."""
    return Surroundings(
        workloads={
            address.packed: item.endpoint.interface_name
            for item in part.endpoints.values()
            for address in item.endpoint.addresses
            if item.endpoint.interface_name
        },
        own=frozenset(own),
        routes=routes,
        has_hosts=bool(part.host_endpoints),
    )


def owners(part: NodeState) -> dict[bytes, EndpointID]:
    """The workload of each address, and who learns for the host of its own."""
    hosts = {host_learner(host.endpoint.node) for host in part.host_endpoints.values()}
    own = {address.packed: host for host in hosts for address in part.own_addresses}
    return own | {
        address.packed: identity for identity, item in part.endpoints.items() for address in item.endpoint.addresses
    }


def askers(part: NodeState) -> frozenset[EndpointID]:
    """The workloads whose rules name names, and the host."""
    naming = {identity for identity, policy in part.policies.items() if domain_sets(policy)}
    found = frozenset(identity for identity, item in part.endpoints.items() if not naming.isdisjoint(governing(item)))
    hosts = (host for host in part.host_endpoints.values() if not naming.isdisjoint(governing_own(host)))
    return found.union(host_learner(host.endpoint.node) for host in hosts)
