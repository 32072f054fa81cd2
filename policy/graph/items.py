"""What selectors select: endpoints and network sets, and what they bring into sets."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TypeVar

from policy.resources.kube_node import Node
from policy.resources.kube_service import EndpointSlice
from policy.resources.metadata import ResourceKey
from policy.resources.sets import GlobalNetworkSet, NetworkSet
from policy.resources.workload import EndpointPort, HostEndpoint, WorkloadEndpoint
from policy.rules import EndpointID, HostEndpointID, IPNetwork

PartT = TypeVar("PartT", bound=Hashable)

ItemID = EndpointID | HostEndpointID | ResourceKey
"""Endpoints by their id, network sets and nodes by their key."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What an item brings into the sets of selectors that match it."""

    nets: tuple[IPNetwork, ...] = ()
    ports: tuple[EndpointPort, ...] = ()
    """On each of the addresses in `nets`; empty for network sets."""
    domains: tuple[str, ...] = ()
    """Canonical text, `*` spanning labels; empty for endpoints."""


NOTHING = Contribution()


def exchanged(before: Contribution, after: Contribution) -> tuple[Contribution, Contribution]:
    """What is lost and what is gained: one changed network of thousands costs one, not thousands."""
    if before.ports != after.ports:
        return before, after
    lost = Contribution(_less(before.nets, after.nets), before.ports, _less(before.domains, after.domains))
    gained = Contribution(_less(after.nets, before.nets), after.ports, _less(after.domains, before.domains))
    return lost, gained


def _less(some: tuple[PartT, ...], others: tuple[PartT, ...]) -> tuple[PartT, ...]:
    unwanted = frozenset(others)
    return tuple(part for part in some if part not in unwanted)


def _once(parts: Iterable[PartT]) -> tuple[PartT, ...]:
    """Without repeats: sets count by how many items they hold a member, not how often one item names it."""
    return tuple(dict.fromkeys(parts))


def of_endpoint(endpoint: WorkloadEndpoint) -> Contribution:
    """Addresses and the ports that have names."""
    ports = (port for port in endpoint.spec.ports if port.name)
    return Contribution(_once(endpoint.spec.ip_networks), _once(ports))


def of_host_endpoint(endpoint: HostEndpoint) -> Contribution:
    """Expected addresses and named ports; one that only names its interface is a member of nothing (Calico)."""
    ports = (EndpointPort(name=port.name, protocol=port.protocol, port=port.port) for port in endpoint.spec.ports)
    return Contribution(_once(map(ip_network, endpoint.spec.expected_ips)), _once(ports))


def is_node(item: ItemID) -> bool:
    """Nodes are selected by rules about nodes, and by nothing else."""
    return isinstance(item, ResourceKey) and item.kind == Node.KIND


def of_node(node: Node) -> Contribution:
    """Addresses."""
    return Contribution(tuple(ip_network(address) for address in node.addresses))


def of_slice(endpoints: EndpointSlice) -> Contribution:
    """Addresses of the endpoints, ready or not, and on each of them the ports of the slice.

    A port without a number ("every port") is none: a set of ports cannot say it, and policy fails closed.
    """
    addresses = (
        address for endpoint in endpoints.endpoints for address in endpoint.addresses if not isinstance(address, str)
    )
    ports = (EndpointPort(protocol=port.protocol, port=port.port) for port in endpoints.ports if port.port is not None)
    return Contribution(_once(map(ip_network, addresses)), _once(ports))


def of_network_set(network_set: NetworkSet | GlobalNetworkSet) -> Contribution:
    """Networks and domains."""
    domains = map(str, network_set.spec.allowed_egress_domains)
    return Contribution(_once(network_set.spec.nets), domains=_once(domains))
