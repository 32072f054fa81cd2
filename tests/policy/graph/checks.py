"""A graph that is checked at every flush: events in order, none for nothing, and the state as a fresh graph has it."""

from collections.abc import Mapping

from policy.graph import CalcGraph, applied
from policy.resources.metadata import Resource, ResourceKey
from policy.rules import (
    CompiledPolicy,
    DomainSetRemoved,
    DomainSetUpdated,
    EndpointPolicy,
    EndpointRemoved,
    EndpointUpdated,
    GraphEvent,
    HostEndpointPolicy,
    HostEndpointRemoved,
    HostEndpointUpdated,
    IPSetRemoved,
    IPSetUpdated,
    NodeAddressesUpdated,
    NodeState,
    PolicyRemoved,
    PolicyUpdated,
)

NODE = "node-1"
State = Mapping[ResourceKey, Resource]
ORDER = [
    NodeAddressesUpdated,
    IPSetUpdated,
    DomainSetUpdated,
    PolicyUpdated,
    EndpointUpdated,
    HostEndpointUpdated,
    HostEndpointRemoved,
    EndpointRemoved,
    PolicyRemoved,
    DomainSetRemoved,
    IPSetRemoved,
]


def state_of(*resources: Resource) -> State:
    return {resource.key: resource for resource in resources}


def fresh(state: State, node: str = NODE) -> NodeState:
    """What a new graph says about these resources."""
    graph = CalcGraph(node)
    for key, resource in state.items():
        graph.on_update(key, resource)
    graph.in_sync()
    return applied(NodeState(), graph.flush())


class CheckedGraph:
    """Keeps the resources it was told, to compare with."""

    def __init__(self, node: str = NODE):
        self.node = node
        self.graph = CalcGraph(node)
        self.graph.in_sync()
        self.told: dict[ResourceKey, Resource] = {}
        self.state = NodeState()

    def update(self, key: ResourceKey, resource: Resource | None) -> None:
        self.graph.on_update(key, resource)
        self.told.pop(key, None)
        if resource is not None:
            self.told[key] = resource

    def flush(self) -> list[GraphEvent]:
        events = self.graph.flush()
        places = [ORDER.index(type(event)) for event in events]
        assert places == sorted(places), "events out of order"
        for event in events:
            before = self.state
            self.state = applied(self.state, [event])
            assert self.state != before, f"an event for nothing: {event}"
        assert_complete(self.state)
        assert self.state == fresh(self.told, self.node)
        return events


def assert_complete(state: NodeState) -> None:
    """Everything referred to is there, and nothing else is."""
    governed = (*state.endpoints.values(), *state.host_endpoints.values())
    policies = {identity for endpoint in governed for identity in policies_of(endpoint)}
    missing = policies - state.policies.keys()
    assert {identity.kind for identity in missing} <= {"Profile"}
    assert state.policies.keys() <= policies
    sets = [identity for policy in state.policies.values() for identity in ip_sets_of(policy)]
    assert state.ip_sets.keys() == set(sets)
    domain_sets = {rule.destination.domain_set for policy in state.policies.values() for rule in policy.egress}
    assert state.domain_sets.keys() == domain_sets - {None}


def policies_of(endpoint: EndpointPolicy | HostEndpointPolicy):
    yield from endpoint.profiles
    if isinstance(endpoint, HostEndpointPolicy):
        tiers = (*endpoint.untracked, *endpoint.pre_dnat, *endpoint.normal, *endpoint.forward)
    else:
        tiers = endpoint.tiers
    for tier in tiers:
        yield from (*tier.ingress, *tier.egress)


def ip_sets_of(policy: CompiledPolicy):
    for rule in (*policy.ingress, *policy.egress):
        for side in (rule.source, rule.destination):
            yield from (*side.sets, *side.not_sets, *side.port_sets, *side.not_port_sets)
            if side.service_set is not None:
                yield side.service_set


def leftovers(thing: object, path: str = "graph", seen: set[int] | None = None) -> list[str]:
    """Collections inside a graph that are not empty: what it still remembers."""
    seen = set() if seen is None else seen
    if id(thing) in seen or not type(thing).__module__.startswith(("policy.graph", "builtins", "collections")):
        return []
    seen.add(id(thing))
    if isinstance(thing, dict | list | set | frozenset):
        return [path] if thing else []
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    fields = {**getattr(thing, "__dict__", {}), **{name: getattr(thing, name) for name in slots}}
    return [found for name, value in fields.items() for found in leftovers(value, f"{path}.{name}", seen)]
