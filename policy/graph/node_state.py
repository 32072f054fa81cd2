"""Adds events up: the state of a node after all that the graph has said about it.

>>> state = NodeState()
>>> state = applied(state, graph.flush())
"""

from collections.abc import Iterable
from typing import assert_never

from policy.rules import (
    DomainSetRemoved,
    DomainSetUpdated,
    EndpointRemoved,
    EndpointUpdated,
    GraphEvent,
    HostEndpointRemoved,
    HostEndpointUpdated,
    IPSetRemoved,
    IPSetUpdated,
    NodeAddressesUpdated,
    NodeState,
    OwnAddressesUpdated,
    PolicyRemoved,
    PolicyUpdated,
)


def applied(state: NodeState, events: Iterable[GraphEvent]) -> NodeState:  # noqa: C901, PLR0912 - the kinds of event
    """The state after the events; the old one stays as it was.

    Cost: the number of things in the state, and the members of the sets that changed.
    """
    endpoints, policies = dict(state.endpoints), dict(state.policies)
    ip_sets, domain_sets = dict(state.ip_sets), dict(state.domain_sets)
    hosts, node_addresses = dict(state.host_endpoints), state.node_addresses
    own_addresses = state.own_addresses
    for event in events:
        match event:
            case IPSetUpdated(identity, kind, added, removed):
                _, members = ip_sets.get(identity, (kind, frozenset()))
                ip_sets[identity] = (kind, (members - removed) | added)
            case IPSetRemoved(identity):
                del ip_sets[identity]
            case DomainSetUpdated(domain_set):
                domain_sets[domain_set.id] = domain_set
            case DomainSetRemoved(identity):
                del domain_sets[identity]
            case PolicyUpdated(policy):
                policies[policy.id] = policy
            case PolicyRemoved(identity):
                del policies[identity]
            case EndpointUpdated(endpoint):
                endpoints[endpoint.endpoint.id] = endpoint
            case EndpointRemoved(identity):
                del endpoints[identity]
            case NodeAddressesUpdated(addresses):
                node_addresses = addresses
            case OwnAddressesUpdated(addresses):
                own_addresses = addresses
            case HostEndpointUpdated(host):
                hosts[host.endpoint.id] = host
            case HostEndpointRemoved(identity):
                del hosts[identity]
            case _:
                assert_never(event)
    return NodeState(
        endpoints=endpoints,
        host_endpoints=hosts,
        policies=policies,
        ip_sets=ip_sets,
        domain_sets=domain_sets,
        node_addresses=node_addresses,
        own_addresses=own_addresses,
    )
