"""The host endpoints of this node.

host endpoint: is it of this node? ---> labels -----------> ActivePolicies
                                   +--> profiles ---------> ActiveProfiles
                                   +--> what is said of it -> Resolver
"""

from policy.graph.active import ActivePolicies, ActiveProfiles, profile_id
from policy.graph.matching import Labels
from policy.graph.resolver import LocalHostEndpoint, Resolver
from policy.resources.workload import HostEndpoint as HostEndpointDocument
from policy.rules import HostEndpoint, HostEndpointID


class LocalHostEndpoints:
    """Knows which host endpoints are local; passes on what concerns them, and nothing else."""

    def __init__(self, node_name: str, policies: ActivePolicies, profiles: ActiveProfiles, resolver: Resolver) -> None:
        self._node_name = node_name
        self._policies = policies
        self._profiles = profiles
        self._resolver = resolver
        self._known: set[HostEndpointID] = set()

    def on_endpoint(
        self, identity: HostEndpointID, endpoint: HostEndpointDocument | None, labels: Labels | None
    ) -> None:
        """A host endpoint, here or elsewhere, came, changed or went (None, and then it has no labels)."""
        if endpoint is not None and endpoint.spec.node == self._node_name:
            self._known.add(identity)
            self._profiles.on_endpoint(identity, frozenset(endpoint.spec.profiles))
            self._policies.on_labels(identity, labels)
            self._resolver.on_host_endpoint(identity, described(identity, endpoint))
        elif identity in self._known:
            self._known.discard(identity)
            self._profiles.on_endpoint(identity, frozenset())
            self._policies.on_labels(identity, None)
            self._resolver.on_host_endpoint(identity, None)

    def on_labels(self, identity: HostEndpointID, labels: Labels | None) -> None:
        """The labels of a host endpoint, here or elsewhere, changed."""
        if identity in self._known:
            self._policies.on_labels(identity, labels)


def described(identity: HostEndpointID, endpoint: HostEndpointDocument) -> LocalHostEndpoint:
    """What the document says, without the interfaces: those depend on the node's links."""
    spec = endpoint.spec
    said = HostEndpoint(
        id=identity, node=spec.node, interface_name=spec.interface_name, expected_ips=tuple(spec.expected_ips)
    )
    return LocalHostEndpoint(said, tuple(map(profile_id, spec.profiles)))
