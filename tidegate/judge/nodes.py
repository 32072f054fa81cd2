"""The state of nodes from resources at rest: what the agent of each node would know, without an agent or a kernel."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from policy.endpoints import workload_endpoints
from policy.graph import CalcGraph, applied
from policy.resources.metadata import Resource
from policy.rules import EndpointID, EndpointPolicy, NodeState


def node_names(resources: Iterable[Resource]) -> frozenset[str]:
    """The nodes that have workloads."""
    return frozenset(endpoint.spec.node for endpoint in workload_endpoints(resources))


def node_state(resources: Iterable[Resource], node: str) -> NodeState:
    """What the calculation graph says for the node. Pods get the interface names that Calico would give them."""
    graph = CalcGraph(node)
    for resource in resources:
        graph.on_update(resource.key, resource)
    graph.in_sync()
    state = applied(NodeState(), graph.flush())
    return replace(state, endpoints={identity: _found(known) for identity, known in state.endpoints.items()})


def interface_of_pod(identity: EndpointID) -> str:
    """`cali` and 11 digits of SHA-1 over `namespace.name` (Calico: interface names under Kubernetes)."""
    return "cali" + hashlib.sha1(identity.replace("/", ".", 1).encode(), usedforsecurity=False).hexdigest()[:11]


def _found(known: EndpointPolicy) -> EndpointPolicy:
    if known.endpoint.interface_name:
        return known
    endpoint = replace(known.endpoint, interface_name=interface_of_pod(known.endpoint.id))
    return replace(known, endpoint=endpoint)
