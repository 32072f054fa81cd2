"""Which collections of objects are followed, and under which paths they stand."""

from dataclasses import dataclass

from policy.resources.registry import ADMINISTRATORS, CALICO, CALICO_STORED

SERVED = CALICO
"""Where Calico's kinds are served: by our own CRDs, or by Calico's API server."""
STORED = CALICO_STORED
"""Where Calico keeps them itself."""


@dataclass(frozen=True, slots=True)
class Collection:
    """All objects of a kind."""

    api_version: str
    kind: str
    resource: str
    """The plural, as paths and roles have it."""
    is_custom: bool = False
    """Need not be there: its definition is installed, or is not yet."""

    @property
    def path(self) -> str:
        """Of the whole collection, in all namespaces."""
        return f"/{'api' if '/' not in self.api_version else 'apis'}/{self.api_version}/{self.resource}"

    @property
    def name(self) -> str:
        """As roles and kubectl name it: `networkpolicies.projectcalico.org`."""
        group, slash, _ = self.api_version.partition("/")
        return f"{self.resource}.{group}" if slash else self.resource


def _custom(api_version: str, *kinds: str) -> tuple[Collection, ...]:
    return tuple(Collection(api_version, kind, plural(kind), is_custom=True) for kind in kinds)


def plural(kind: str) -> str:
    """As Kubernetes makes it of a kind."""
    word = kind.lower()
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


_CALICO_KINDS = (
    *("Tier", "NetworkPolicy", "GlobalNetworkPolicy", "NetworkSet", "GlobalNetworkSet", "HostEndpoint"),
    *("StagedNetworkPolicy", "StagedGlobalNetworkPolicy", "StagedKubernetesNetworkPolicy"),
    *("FelixConfiguration", "KubeControllersConfiguration", "IPPool", "PacketCapture"),
)
"""Not WorkloadEndpoint, Profile and Calico's Node: in a cluster these are made from pods, namespaces and nodes."""

_KUBERNETES = (
    Collection("v1", "Namespace", "namespaces"),
    Collection("v1", "ServiceAccount", "serviceaccounts"),
    Collection("v1", "Pod", "pods"),
    Collection("v1", "Node", "nodes"),
    Collection("v1", "Service", "services"),
    Collection("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
    Collection("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
)


def collections(calico_version: str) -> tuple[Collection, ...]:
    """Everything that an agent follows, with Calico's kinds under this group and version."""
    return (
        *_KUBERNETES,
        *_custom(f"{ADMINISTRATORS}/v1alpha2", "ClusterNetworkPolicy"),
        *_custom(f"{ADMINISTRATORS}/v1alpha1", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy"),
        *_custom(calico_version, *_CALICO_KINDS),
    )
