"""The node's state as the graph's events tell it, for whoever asks about the whole: the snapshot, the API, explain.

Pure. The renderer has a mirror of its own that holds only what rendering needs.
"""

from collections.abc import Iterable
from typing import assert_never

from policy import rules
from policy.rules import (
    CompiledPolicy,
    DomainSet,
    DomainSetID,
    EndpointID,
    EndpointPolicy,
    IPAddress,
    IPSetID,
    IPSetKind,
    NodeState,
    PolicyID,
    SetMember,
)


class Node:
    """Holds state: what is wanted now. `state` is a value that later events leave alone."""

    def __init__(self) -> None:
        self._endpoints: dict[EndpointID, EndpointPolicy] = {}
        self._policies: dict[PolicyID, CompiledPolicy] = {}
        self._ip_sets: dict[IPSetID, tuple[IPSetKind, frozenset[SetMember]]] = {}
        self._domain_sets: dict[DomainSetID, DomainSet] = {}

    def apply(self, events: Iterable[rules.GraphEvent]) -> None:
        """Notes what changed."""
        for event in events:
            self._note(event)

    def state(self) -> NodeState:
        """All of it, at the cost of copying four dictionaries."""
        return NodeState(
            endpoints=dict(self._endpoints),
            policies=dict(self._policies),
            ip_sets=dict(self._ip_sets),
            domain_sets=dict(self._domain_sets),
        )

    def _note(self, event: rules.GraphEvent) -> None:
        match event:
            case rules.IPSetUpdated():
                known = self._ip_sets.get(event.id, (event.kind, frozenset[SetMember]()))[1]
                self._ip_sets[event.id] = (event.kind, (known - event.removed) | event.added)
            case rules.IPSetRemoved():
                self._ip_sets.pop(event.id, None)
            case rules.DomainSetUpdated():
                self._domain_sets[event.domain_set.id] = event.domain_set
            case rules.DomainSetRemoved():
                self._domain_sets.pop(event.id, None)
            case rules.PolicyUpdated():
                self._policies[event.policy.id] = event.policy
            case rules.PolicyRemoved():
                self._policies.pop(event.id, None)
            case rules.EndpointUpdated():
                self._endpoints[event.endpoint.endpoint.id] = event.endpoint
            case rules.EndpointRemoved():
                self._endpoints.pop(event.id, None)
            case _:
                assert_never(event)


def addresses_given_up(before: NodeState, after: NodeState) -> frozenset[IPAddress]:
    """Addresses of local endpoints that belong to another endpoint now, or to none.

    Whoever has one of them next must not inherit the connections or the learned names of its last owner.
    """
    owners = _owners(after)
    return frozenset(address for address, owner in _owners(before).items() if owners.get(address) != owner)


def _owners(state: NodeState) -> dict[IPAddress, EndpointID]:
    return {
        address: endpoint_id
        for endpoint_id, endpoint in state.endpoints.items()
        for address in endpoint.endpoint.addresses
    }
