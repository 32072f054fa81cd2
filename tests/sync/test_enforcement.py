"""Nobody believes that a document protects him which does nothing yet."""

import pytest

from policy.resources.decode import decode
from policy.resources.metadata import ResourceKey
from policy.resources.registry import KINDS
from tests.policy import documents
from tidegate.sync.conditions import ConditionType
from tidegate.sync.enforcement import (
    NOT_ENFORCED,
    endpoints_without_effect,
    limits_without_effect,
    not_enforced,
    settings_without_effect,
)

IN_FORCE = {
    "Tier", "NetworkPolicy", "GlobalNetworkPolicy", "NetworkSet", "GlobalNetworkSet", "WorkloadEndpoint", "HostEndpoint", "KubeControllersConfiguration",
    "Profile",
    "Namespace", "ServiceAccount", "Pod", "Node", "Service", "EndpointSlice", "FelixConfiguration",
    "StagedNetworkPolicy", "StagedGlobalNetworkPolicy", "StagedKubernetesNetworkPolicy",
    "ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy", "PacketCapture",
}  # fmt: skip


def test_every_kind_is_in_force_or_said_not_to_be():
    assert {kind for _, kind in KINDS} == IN_FORCE | NOT_ENFORCED.keys()


@pytest.mark.parametrize("kind", sorted(NOT_ENFORCED))
def test_a_document_without_effect_is_named(kind):
    [condition] = not_enforced([ResourceKey(kind, "", "mine"), ResourceKey("Tier", "", "t")])
    assert condition.type is ConditionType.NOT_ENFORCED
    assert condition.subject == f"{kind} mine"
    assert not condition.is_normal


def test_settings_that_do_nothing_are_told_by_document():
    spec = {"bpfEnabled": True, "logPrefix": "x", "ipv6Support": True}
    kind = {"apiVersion": "projectcalico.org/v3", "kind": "FelixConfiguration"}
    made = [decode({**kind, "metadata": {"name": "default"}, "spec": spec}), documents.tier("t")]
    [condition] = settings_without_effect(made)
    assert (condition.subject, condition.reason) == ("FelixConfiguration default", "SettingsWithoutEffect")
    assert condition.message.endswith(": bpfEnabled, ipv6Support")
    assert (
        settings_without_effect([decode({**kind, "metadata": {"name": "default"}, "spec": {"logPrefix": "x"}})]) == []
    )


def slice_of(**fields):
    labels = {"kubernetes.io/service-name": "web"}
    metadata = {"name": "web-1", "namespace": "ns", "labels": labels}
    kind = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata}
    return decode(kind | {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], **fields})


def test_endpoints_that_no_rule_can_mean_are_named():
    assert endpoints_without_effect([slice_of(ports=[{"port": 80}])]) == []
    for fields in (
        {"ports": [{"port": 80}, {"name": "any"}]},
        {"addressType": "FQDN", "endpoints": [{"addresses": ["a.test"]}]},
    ):
        [condition] = endpoints_without_effect([slice_of(**fields)])
        assert (condition.subject, condition.is_normal) == ("EndpointSlice ns/web-1", False)


def pod(node, **annotations):
    asked = {f"qos.projectcalico.org/{name}": value for name, value in annotations.items()}
    metadata = {"name": "a", "namespace": "ns", "annotations": asked | {"other": "x"}}
    return decode({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": node}})


def workload(node, limits):
    metadata = {"name": "w", "namespace": "ns"}
    spec = {"node": node, "interfaceName": "cali1", "qosControls": limits}
    return decode(
        {"apiVersion": "projectcalico.org/v3", "kind": "WorkloadEndpoint", "metadata": metadata, "spec": spec}
    )


def test_limits_of_workloads_here_that_are_not_enforced_are_named():
    given = [pod("here", ingressBandwidth="5M"), workload("here", {"egressBandwidth": 7, "dscp": 0})]
    found = limits_without_effect(given, "here")
    assert [condition.subject for condition in found] == ["Pod ns/a", "WorkloadEndpoint ns/w"]
    assert found[0].message == "qos.projectcalico.org/ingressBandwidth is not enforced"
    assert found[1].message == "egressBandwidth is not enforced"
    assert not any(condition.is_normal for condition in found)


def test_workloads_whose_limits_are_enforced_or_of_other_nodes_are_not_named():
    limited = workload("here", {"egressMaxConnections": 7, "ingressPacketRate": 9})
    given = [pod("here", egressPacketRate="1k"), pod("there", egressBandwidth="1M"), limited]
    given += [workload("here", {}), workload("there", {"dscp": 3})]
    assert limits_without_effect(given, "here") == []


def test_limits_of_a_pod_in_its_hosts_network_are_named():
    annotations = {"qos.projectcalico.org/egressPacketRate": "5", "qos.tidegate.io/egressConnectionRate": "5"}
    metadata = {"name": "a", "namespace": "ns", "annotations": annotations}
    spec = {"nodeName": "here", "hostNetwork": True}
    [found] = limits_without_effect(
        [decode({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})], "here"
    )
    assert all(key in found.message for key in annotations)
    assert "host's network" in found.message


def test_limits_of_a_host_endpoint_are_named():
    metadata = {"name": "up", "annotations": {"qos.projectcalico.org/dscp": "EF"}}
    document = {"apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint", "metadata": metadata}
    found = limits_without_effect([decode(document | {"spec": {"node": "here", "interfaceName": "eth0"}})], "here")
    assert [condition.message for condition in found] == [
        "qos.projectcalico.org/dscp is not enforced: only workloads have limits"
    ]
    assert (
        limits_without_effect([decode(document | {"spec": {"node": "there", "interfaceName": "eth0"}})], "here") == []
    )
