"""Which kinds of document there are, and what each is read with. A new kind is a model and a line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from policy.resources import (
    capture,
    cluster_conversion,
    cluster_policy,
    felix,
    ip_pool,
    kube_node,
    kube_policy,
    kube_service,
    object_conditions,
    rule_conditions,
    staged,
    stored,
)
from policy.resources.capture import PacketCapture
from policy.resources.cluster_policy import AdminPolicy, BaselinePolicy, ClusterPolicy
from policy.resources.conditions import Checklist, Conditions, merged
from policy.resources.controllers import KubeControllersConfiguration
from policy.resources.felix import FelixConfiguration
from policy.resources.ip_pool import IPPool
from policy.resources.kube import Namespace, Pod, ServiceAccount
from policy.resources.kube_conversion import converted
from policy.resources.kube_node import CalicoNode, Node
from policy.resources.kube_policy import NetworkingPolicy
from policy.resources.kube_service import EndpointSlice, Service
from policy.resources.metadata import Resource
from policy.resources.policies import GlobalNetworkPolicy, NetworkPolicy, Tier
from policy.resources.profile import Profile
from policy.resources.sets import GlobalNetworkSet, NetworkSet
from policy.resources.staged import StagedGlobalNetworkPolicy, StagedKubernetesNetworkPolicy, StagedNetworkPolicy
from policy.resources.workload import HostEndpoint, WorkloadEndpoint

CALICO = "projectcalico.org/v3"
CALICO_STORED = stored.STORED
"""How Calico's kinds are stored in a cluster: read as `CALICO`."""
ADMINISTRATORS = "policy.networking.k8s.io"


@dataclass(frozen=True, slots=True)
class Kind:
    """How a kind of document is read."""

    model: type[Resource]
    conditions: Conditions
    convert: Callable[[Any], Resource] | None = None
    """Makes the resource of a model that is only another way to write it."""
    fails_closed: bool = False
    """Rules that cannot be understood deny, and do not take the document out of force (`cluster_fallback`)."""
    checklist: Checklist = field(init=False)
    """Asks the conditions."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "checklist", Checklist(self.conditions))


_OBJECT = object_conditions.OBJECT_CONDITIONS
_POLICY = merged(_OBJECT, rule_conditions.RULE_CONDITIONS, object_conditions.POLICY_CONDITIONS)
_CLUSTER_POLICY = merged(_POLICY, rule_conditions.CLUSTER_RULE_CONDITIONS)
_NETWORKING_POLICY = merged(_OBJECT, kube_policy.CONDITIONS, object_conditions.POLICY_CONDITIONS)
_SET = merged(_OBJECT, object_conditions.SET_CONDITIONS)
_PROFILE = merged(_OBJECT, rule_conditions.RULE_CONDITIONS, rule_conditions.CLUSTER_RULE_CONDITIONS)

_CLUSTER = merged(_OBJECT, kube_policy.CONDITIONS, cluster_policy.CONDITIONS, object_conditions.POLICY_CONDITIONS)

_CALICO_KINDS = {
    "Tier": Kind(Tier, _OBJECT),
    "NetworkPolicy": Kind(NetworkPolicy, _POLICY),
    "GlobalNetworkPolicy": Kind(GlobalNetworkPolicy, _CLUSTER_POLICY),
    "StagedNetworkPolicy": Kind(StagedNetworkPolicy, merged(_POLICY, staged.CONDITIONS)),
    "StagedGlobalNetworkPolicy": Kind(StagedGlobalNetworkPolicy, merged(_CLUSTER_POLICY, staged.CONDITIONS)),
    "StagedKubernetesNetworkPolicy": Kind(StagedKubernetesNetworkPolicy, merged(_NETWORKING_POLICY, staged.CONDITIONS)),
    "NetworkSet": Kind(NetworkSet, _SET),
    "GlobalNetworkSet": Kind(GlobalNetworkSet, _SET),
    "WorkloadEndpoint": Kind(WorkloadEndpoint, _OBJECT),
    "HostEndpoint": Kind(HostEndpoint, _OBJECT),
    "KubeControllersConfiguration": Kind(KubeControllersConfiguration, _OBJECT),
    "Profile": Kind(Profile, _PROFILE),
    "FelixConfiguration": Kind(FelixConfiguration, merged(_OBJECT, felix.CONDITIONS)),
    "IPPool": Kind(IPPool, merged(_OBJECT, ip_pool.CONDITIONS)),
    "PacketCapture": Kind(PacketCapture, merged(_OBJECT, capture.CONDITIONS)),
    "Node": Kind(CalicoNode, _OBJECT, kube_node.converted),
}

KINDS: Mapping[tuple[str, str], Kind] = {
    **{(version, name): kind for version in (CALICO, CALICO_STORED) for name, kind in _CALICO_KINDS.items()},
    ("networking.k8s.io/v1", "NetworkPolicy"): Kind(NetworkingPolicy, _NETWORKING_POLICY, converted),
    (f"{ADMINISTRATORS}/v1alpha2", "ClusterNetworkPolicy"): Kind(
        ClusterPolicy, _CLUSTER, cluster_conversion.of_cluster_policy, fails_closed=True
    ),
    (f"{ADMINISTRATORS}/v1alpha1", "AdminNetworkPolicy"): Kind(
        AdminPolicy, _CLUSTER, cluster_conversion.of_admin_policy, fails_closed=True
    ),
    (f"{ADMINISTRATORS}/v1alpha1", "BaselineAdminNetworkPolicy"): Kind(
        BaselinePolicy, _CLUSTER, cluster_conversion.of_baseline_policy, fails_closed=True
    ),
    ("v1", "Namespace"): Kind(Namespace, _OBJECT),
    ("v1", "ServiceAccount"): Kind(ServiceAccount, _OBJECT),
    ("v1", "Pod"): Kind(Pod, _OBJECT),
    ("v1", "Node"): Kind(Node, _OBJECT),
    ("v1", "Service"): Kind(Service, _OBJECT),
    ("discovery.k8s.io/v1", "EndpointSlice"): Kind(EndpointSlice, merged(_OBJECT, kube_service.CONDITIONS)),
}
"""By apiVersion and kind."""
