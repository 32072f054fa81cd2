"""The resources of a moment, sorted into what the walk asks for. No indexes: answers are found by looking at all.

>>> world = World(resources)
>>> world.endpoint_at(ip_address("10.0.0.1"))
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network

from policy import labels, profiles, staged, tiers
from policy.auto_hosts import host_endpoints
from policy.domains import DomainPattern
from policy.endpoints import endpoint_id, workload_endpoints
from policy.resources.kube import Namespace, ServiceAccount
from policy.resources.kube_node import Node
from policy.resources.kube_service import EndpointSlice
from policy.resources.metadata import Resource
from policy.resources.policies import GlobalNetworkPolicy, NetworkPolicy, Tier
from policy.resources.profile import Profile
from policy.resources.sets import GlobalNetworkSet, NetworkSet
from policy.resources.workload import EndpointPort, HostEndpoint, HostEndpointPort, WorkloadEndpoint
from policy.rules import EndpointID, HostEndpointID, IPAddress, IPNetwork
from policy.selectors import Selector, parse
from policy.tiers import Policy, TierOrder

Links = Mapping[str, Mapping[str, frozenset[IPAddress]]]
"""Addresses by node and interface."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Somebody to whom addresses belong: a workload, a host endpoint or a network set."""

    labels: Mapping[str, str]
    nets: tuple[IPNetwork, ...]
    endpoint: EndpointID | None = None
    """Of a workload."""
    host: HostEndpointID | None = None
    """Of a host endpoint."""
    node: str = ""
    interface_name: str = ""
    """Of a host endpoint."""
    ports: tuple[EndpointPort | HostEndpointPort, ...] = ()
    domains: tuple[DomainPattern, ...] = ()
    profiles: tuple[str, ...] = ()

    def holds(self, address: IPAddress) -> bool:
        """Whether the address is one of its."""
        return any(address in net for net in self.nets)


class World:
    """Answers questions about a set of resources; remembers nothing but parsed selectors."""

    def __init__(self, resources: Iterable[Resource], links: Links | None = None, *, is_pending: bool = False) -> None:
        """Sorts the resources.

        Args:
            resources: all there are.
            links: the interfaces of the nodes, as far as they are known.
            is_pending: staged policies act as if they were enforced.
        """
        given = tuple(resources)
        everything = tuple(staged.pending(given)) if is_pending else given
        self.is_pending = is_pending
        has_staged = not is_pending and any(isinstance(item, staged.StagedResource) for item in given)
        self.pending: World | None = World(given, links, is_pending=True) if has_staged else None
        """The world as it would be; None where nothing is staged."""
        self.links = links or {}
        self._selectors: dict[str, Selector] = {}
        self.profiles = _profiles(everything)
        self.endpoints = tuple(self._endpoint(endpoint) for endpoint in workload_endpoints(everything))
        sets = [self._set(item) for item in everything if isinstance(item, NetworkSet | GlobalNetworkSet)]
        self.hosts = tuple(map(self._host, host_endpoints(everything, self.links)))
        nodes = [item for item in everything if isinstance(item, Node)]
        self.node_addresses = frozenset(address for node in nodes for address in node.addresses)
        self.holders = (*self.endpoints, *self.hosts, *sets)
        self.nodes = tuple(item for item in everything if isinstance(item, Node))
        self.slices = tuple(item for item in everything if isinstance(item, EndpointSlice))
        self.policies = _policies_in_order(everything)
        self.tiers = _tiers_in_order(everything, self.policies)

    def selector(self, text: str) -> Selector:
        """The parsed selector."""
        if text not in self._selectors:
            self._selectors[text] = parse(text)
        return self._selectors[text]

    def endpoint(self, identity: EndpointID) -> Holder | None:
        """The endpoint of this id."""
        return next((holder for holder in self.endpoints if holder.endpoint == identity), None)

    def endpoint_at(self, address: IPAddress) -> Holder | None:
        """The first endpoint, by id, that has this address."""
        return next((holder for holder in self.endpoints if holder.holds(address)), None)

    def holders_of(self, address: IPAddress) -> list[Holder]:
        """Everybody who has this address."""
        return [holder for holder in self.holders if holder.holds(address)]

    def _endpoint(self, endpoint: WorkloadEndpoint) -> Holder:
        return Holder(
            labels=self._labels(labels.endpoint_labels(endpoint), endpoint.spec.profiles),
            nets=endpoint.spec.ip_networks,
            endpoint=endpoint_id(endpoint),
            node=endpoint.spec.node,
            ports=endpoint.spec.ports,
            profiles=endpoint.spec.profiles,
        )

    def _host(self, endpoint: HostEndpoint) -> Holder:
        return Holder(
            labels=self._labels(labels.host_endpoint_labels(endpoint), endpoint.spec.profiles),
            nets=tuple(map(ip_network, endpoint.spec.expected_ips)),
            host=HostEndpointID(endpoint.metadata.name),
            node=endpoint.spec.node,
            interface_name=endpoint.spec.interface_name,
            ports=endpoint.spec.ports,
            profiles=endpoint.spec.profiles,
        )

    def _set(self, network_set: NetworkSet | GlobalNetworkSet) -> Holder:
        own = labels.network_set_labels(network_set)
        return Holder(
            labels=self._labels(own, labels.network_set_profiles(network_set)),
            nets=network_set.spec.nets,
            domains=network_set.spec.allowed_egress_domains,
        )

    def _labels(self, own: Mapping[str, str], profile_names: Iterable[str]) -> Mapping[str, str]:
        known = [self.profiles[name] for name in profile_names if name in self.profiles]
        return labels.inherited(own, [profile.spec.labels_to_apply for profile in known])


def _profiles(resources: tuple[Resource, ...]) -> dict[str, Profile]:
    """Every profile by name; one that somebody wrote stands before one that is generated."""
    found = [profiles.default_allow()]
    found += [profiles.of_namespace(item) for item in resources if isinstance(item, Namespace)]
    found += [profiles.of_service_account(item) for item in resources if isinstance(item, ServiceAccount)]
    found += [item for item in resources if isinstance(item, Profile)]
    return {profile.metadata.name: profile for profile in found}


def _policies_in_order(resources: tuple[Resource, ...]) -> tuple[Policy, ...]:
    policies = [item for item in resources if isinstance(item, NetworkPolicy | GlobalNetworkPolicy)]
    return tuple(sorted(policies, key=lambda item: tiers.policy_sort_key(tiers.policy_id(item), item.spec.order)))


def _tiers_in_order(resources: tuple[Resource, ...], policies: tuple[Policy, ...]) -> tuple[TierOrder, ...]:
    made = {item.metadata.name: item for item in resources if isinstance(item, Tier)}
    names = {policy.spec.tier for policy in policies}
    return tuple(sorted((tiers.tier_order(name, made.get(name)) for name in names), key=lambda tier: tier.sort_key))
