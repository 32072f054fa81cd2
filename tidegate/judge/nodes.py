"""The state of nodes from resources at rest: what the agent of each node would know, without an agent or a kernel."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from policy.auto_hosts import host_endpoints
from policy.endpoints import workload_endpoints
from policy.evaluate import Links
from policy.graph import CalcGraph, applied
from policy.hosts import Addresses, own_addresses, protected
from policy.resources.metadata import Resource
from policy.rules import EndpointID, EndpointPolicy, HostEndpointID, HostEndpointPolicy, NodeState


def node_names(resources: Iterable[Resource]) -> frozenset[str]:
    """The nodes that have workloads or host endpoints."""
    known = tuple(resources)
    hosts = frozenset(endpoint.spec.node for endpoint in host_endpoints(known, {}))
    return hosts.union(endpoint.spec.node for endpoint in workload_endpoints(known))


def node_state(resources: Iterable[Resource], node: str, links: Links | None = None) -> NodeState:
    """What the calculation graph says for the node. Pods get the interface names that Calico would give them.

    Without `links`, host endpoints that only expect addresses are in force nowhere.
    """
    graph = CalcGraph(node)
    graph.on_host_interfaces((links or {}).get(node, {}))
    for resource in resources:
        graph.on_update(resource.key, resource)
    graph.in_sync()
    state = applied(NodeState(), graph.flush())
    return replace(
        state,
        endpoints={identity: _found(known) for identity, known in state.endpoints.items()},
        host_endpoints=on_interfaces(state.host_endpoints, (links or {}).get(node, {})),
        own_addresses=own_addresses((links or {}).get(node, {})) if state.host_endpoints else frozenset(),
    )


def interface_of_pod(identity: EndpointID) -> str:
    """`cali` and 11 digits of SHA-1 over `namespace.name` (Calico: interface names under Kubernetes)."""
    return "cali" + hashlib.sha1(identity.replace("/", ".", 1).encode(), usedforsecurity=False).hexdigest()[:11]


def on_interfaces(
    hosts: Mapping[HostEndpointID, HostEndpointPolicy], addresses: Addresses
) -> Mapping[HostEndpointID, HostEndpointPolicy]:
    """The host endpoints on the interfaces that are theirs."""
    interfaces = protected((host.endpoint for host in hosts.values()), addresses)
    return {
        identity: replace(host, endpoint=replace(host.endpoint, interfaces=interfaces[identity]))
        for identity, host in hosts.items()
    }


def _found(known: EndpointPolicy) -> EndpointPolicy:
    if known.endpoint.interface_name:
        return known
    endpoint = replace(known.endpoint, interface_name=interface_of_pod(known.endpoint.id))
    return replace(known, endpoint=endpoint)
