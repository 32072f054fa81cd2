"""The endpoints of this node, and the interfaces on which they were found.

endpoint: is it of this node? ---> labels ------------> ActivePolicies
                              +--> profiles ----------> ActiveProfiles
interface by route ------------+-> what is said of it -> Resolver
"""

from policy.graph.active import ActivePolicies, ActiveProfiles, profile_id
from policy.graph.matching import Labels
from policy.graph.resolver import LocalEndpoint, Resolver
from policy.resources.qos import asked_limits
from policy.resources.workload import WorkloadEndpoint
from policy.rules import Endpoint, EndpointID


class LocalEndpoints:
    """Knows which endpoints are local; passes on what concerns them, and nothing else."""

    def __init__(self, node_name: str, policies: ActivePolicies, profiles: ActiveProfiles, resolver: Resolver) -> None:
        self._node_name = node_name
        self._policies = policies
        self._profiles = profiles
        self._resolver = resolver
        self._endpoints: dict[EndpointID, WorkloadEndpoint] = {}
        self._interfaces: dict[EndpointID, str] = {}

    def on_endpoint(self, identity: EndpointID, endpoint: WorkloadEndpoint | None, labels: Labels | None) -> None:
        """An endpoint, here or elsewhere, came, changed or went (None, and then it has no labels)."""
        if endpoint is not None and endpoint.spec.node == self._node_name:
            self._endpoints[identity] = endpoint
            self._profiles.on_endpoint(identity, frozenset(endpoint.spec.profiles))
            self._policies.on_labels(identity, labels)
            self._tell(identity, endpoint)
        elif self._endpoints.pop(identity, None) is not None:
            self._profiles.on_endpoint(identity, frozenset())
            self._policies.on_labels(identity, None)
            self._resolver.on_endpoint(identity, None)

    def on_labels(self, identity: EndpointID, labels: Labels | None) -> None:
        """The labels of an endpoint, here or elsewhere, changed."""
        if identity in self._endpoints:
            self._policies.on_labels(identity, labels)

    def on_interface(self, identity: EndpointID, interface_name: str | None) -> None:
        """The interface of an endpoint was found, or lost (None): it stands before the one that the document says."""
        if interface_name is None:
            self._interfaces.pop(identity, None)
        else:
            self._interfaces[identity] = interface_name
        if endpoint := self._endpoints.get(identity):
            self._tell(identity, endpoint)

    def _tell(self, identity: EndpointID, endpoint: WorkloadEndpoint) -> None:
        spec = endpoint.spec
        described = Endpoint(
            id=identity,
            namespace=endpoint.metadata.namespace,
            name=endpoint.metadata.name,
            node=spec.node,
            interface_name=self._interfaces.get(identity, spec.interface_name),
            addresses=tuple(net.network_address for net in spec.ip_networks),
            allowed_source_prefixes=spec.allow_spoofed_source_prefixes,
            limits=asked_limits(spec.qos_controls, endpoint.metadata.annotations).limits,
        )
        self._resolver.on_endpoint(identity, LocalEndpoint(described, tuple(map(profile_id, spec.profiles))))
