"""What is new since the last flush, per key, in the order in which it can be put into force.

However often a thing changed, it is told once, and not at all if it is as it was: memory is bounded by the number of
things, not of changes. Sets come before the policies that use them, policies before the endpoints that name them, and
whatever goes, goes in the opposite order.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from policy.graph.members import NetMembers, PortMembers
from policy.rules import (
    CompiledPolicy,
    DomainSet,
    DomainSetID,
    DomainSetRemoved,
    DomainSetUpdated,
    EndpointID,
    EndpointPolicy,
    EndpointRemoved,
    EndpointUpdated,
    GraphEvent,
    HostEndpointID,
    HostEndpointPolicy,
    HostEndpointRemoved,
    HostEndpointUpdated,
    IPAddress,
    IPSetID,
    IPSetKind,
    IPSetRemoved,
    IPSetUpdated,
    NodeAddressesUpdated,
    PolicyID,
    PolicyRemoved,
    PolicyUpdated,
)

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


class Outbox(Generic[KeyT, ValueT]):
    """Values by key: what was sent, and what is to be said now."""

    def __init__(self) -> None:
        self._sent: dict[KeyT, ValueT] = {}
        self._pending: dict[KeyT, ValueT | None] = {}

    def put(self, key: KeyT, value: ValueT) -> None:
        """The key has this value now."""
        self._pending[key] = value

    def drop(self, key: KeyT) -> None:
        """The key has no value any more, if it ever had."""
        self._pending[key] = None

    def take(self) -> tuple[list[ValueT], list[KeyT]]:
        """New and changed values, and keys that went, each in the order of keys; they count as sent."""
        pending, self._pending = self._pending, {}
        updated: list[ValueT] = []
        removed: list[KeyT] = []
        for key in sorted(pending, key=str):
            value = pending[key]
            if value is None:
                if self._sent.pop(key, None) is not None:
                    removed.append(key)
            elif self._sent.get(key) != value:
                self._sent[key] = value
                updated.append(value)
        return updated, removed


AddressMembers = NetMembers | PortMembers


@dataclass(slots=True)
class IPSetOutbox:
    """Address sets: their members change one by one, so only differences are kept."""

    _sets: dict[IPSetID, AddressMembers] = field(default_factory=dict)
    _dirty: set[IPSetID] = field(default_factory=set)
    _sent: set[IPSetID] = field(default_factory=set)
    _dropped: set[IPSetID] = field(default_factory=set)

    def put(self, key: IPSetID, members: AddressMembers) -> None:
        """The set exists from now on; its members have changed."""
        self._sets[key] = members
        self._dirty.add(key)

    def drop(self, key: IPSetID) -> None:
        """The set is gone; it may come back only after the next `take`."""
        del self._sets[key]
        self._dirty.discard(key)
        self._dropped.add(key)

    def take(self) -> tuple[list[IPSetUpdated], list[IPSetID]]:
        """Sets that are new or changed, and those that went."""
        updated = [change for key in sorted(self._dirty) if (change := self._change(key)) is not None]
        removed = sorted(self._dropped & self._sent)
        self._sent -= self._dropped
        self._dirty.clear()
        self._dropped.clear()
        return updated, removed

    def _change(self, key: IPSetID) -> IPSetUpdated | None:
        members = self._sets[key]
        if key in self._sent and not members.difference:
            return None
        self._sent.add(key)
        added, removed = members.difference.take()
        kind = IPSetKind.NETS if isinstance(members, NetMembers) else IPSetKind.PORTS
        return IPSetUpdated(key, kind, added, removed)


@dataclass(slots=True)
class Sequencer:
    """The outboxes of the graph's kinds of output."""

    ip_sets: IPSetOutbox = field(default_factory=IPSetOutbox)
    domain_sets: Outbox[DomainSetID, DomainSet] = field(default_factory=Outbox)
    policies: Outbox[PolicyID, CompiledPolicy] = field(default_factory=Outbox)
    endpoints: Outbox[EndpointID, EndpointPolicy] = field(default_factory=Outbox)
    host_endpoints: Outbox[HostEndpointID, HostEndpointPolicy] = field(default_factory=Outbox)
    node_addresses: frozenset[IPAddress] = frozenset()
    _told_node_addresses: frozenset[IPAddress] = frozenset()

    def flush(self) -> list[GraphEvent]:
        """Everything that changed, in dependency order."""
        nodes = [NodeAddressesUpdated(self.node_addresses)] if self.node_addresses != self._told_node_addresses else []
        self._told_node_addresses = self.node_addresses
        ip_sets, lost_ip_sets = self.ip_sets.take()
        domain_sets, lost_domain_sets = self.domain_sets.take()
        policies, lost_policies = self.policies.take()
        endpoints, lost_endpoints = self.endpoints.take()
        hosts, lost_hosts = self.host_endpoints.take()
        return [
            *nodes,
            *ip_sets,
            *map(DomainSetUpdated, domain_sets),
            *map(PolicyUpdated, policies),
            *map(EndpointUpdated, endpoints),
            *map(HostEndpointUpdated, hosts),
            *map(HostEndpointRemoved, lost_hosts),
            *map(EndpointRemoved, lost_endpoints),
            *map(PolicyRemoved, lost_policies),
            *map(DomainSetRemoved, lost_domain_sets),
            *map(IPSetRemoved, lost_ip_sets),
        ]
