"""What Cilium's policies become, part by part."""

from ipaddress import ip_network

import pytest

from policy.cilium import Effect, import_document
from policy.resources.decode import decode
from policy.resources.metadata import Resource

CLUSTER = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
TCP_443 = {"ports": [{"port": "443", "protocol": "TCP"}]}


def policy(spec, *, kind="CiliumNetworkPolicy", name="p"):
    metadata = {"name": name} | ({"namespace": "ns"} if kind == "CiliumNetworkPolicy" else {})
    whole = {"endpointSelector": {"matchLabels": {"app": "web"}}, **spec}
    return {"apiVersion": "cilium.io/v2", "kind": kind, "metadata": metadata, "spec": whole}


def imported(spec, *, cluster=CLUSTER, **options):
    """Every document that comes out is valid."""
    found = import_document(policy(spec, **options), cluster)
    assert found is not None
    for document in found.documents:
        assert isinstance(decode(document), Resource), decode(document)
    return found


def rules(spec, section="egress", **options):
    found = imported(spec, **options)
    documents = [document["spec"] for document in found.documents if document["kind"] != "Tier"]
    return [rule for document in documents for rule in document.get(section, [])]


def told(spec, **options):
    return [(remark.path, remark.effect) for remark in imported(spec, **options).remarks]


def test_names_become_domains_with_the_depth_that_they_had():
    names = [{"matchName": "A.example.com."}, {"matchPattern": "*.example.net"}, {"matchPattern": "**.example.org"}]
    found = imported({"egress": [{"toFQDNs": names, "toPorts": [TCP_443]}]})
    deep, single = (document for document in found.documents)
    to = [rule["destination"]["domains"] for rule in deep["spec"]["egress"]]
    assert to == [["a.example.com"], ["*.example.org"]]
    assert "annotations" not in deep["metadata"]
    assert single["spec"]["egress"][0]["destination"] == {"domains": ["*.example.net"], "ports": [443]}
    assert single["metadata"]["annotations"] == {"dns.tidegate.io/wildcard": "single-label"}
    assert not found.remarks


@pytest.mark.parametrize(
    "pattern", ["*", "**", "sub*.example.com", "*.*.example.com", "*example.com", "a..b", "", "*.*"]
)
def test_patterns_without_a_counterpart_are_left_out_and_told(pattern):
    names = [{"matchPattern": pattern}, {"matchName": "a.test"}]
    spec = {"egress": [{"toFQDNs": names}]}
    assert rules(spec) == [{"action": "Allow", "destination": {"domains": ["a.test"]}}]
    assert told(spec) == [("spec.egress[0].toFQDNs[0].matchPattern", Effect.NARROWER)]


def test_labels_tell_the_workload_its_namespace_and_its_account():
    labels = {
        "k8s:io.kubernetes.pod.namespace": "db",
        "io.cilium.k8s.namespace.labels.team": "x",
        "any:app": "db",
        "io.cilium.k8s.policy.serviceaccount": "admin",
    }
    (rule,) = rules({"egress": [{"toEndpoints": [{"matchLabels": labels}]}]})
    assert rule["destination"] == {
        "selector": "app == 'db' && projectcalico.org/serviceaccount == 'admin'",
        "namespaceSelector": "projectcalico.org/name == 'db' && team == 'x'",
    }


@pytest.mark.parametrize(
    ("expression", "selector"),
    [
        ({"key": "a", "operator": "In", "values": ["x", "y"]}, "a in { 'x', 'y' }"),
        ({"key": "a", "operator": "NotIn", "values": ["x"]}, "a not in { 'x' }"),
        ({"key": "k8s:a", "operator": "Exists"}, "has(a)"),
        ({"key": "a", "operator": "DoesNotExist"}, "!has(a)"),
    ],
)
def test_expressions(expression, selector):
    (rule,) = rules({"egress": [{"toEndpoints": [{"matchExpressions": [expression]}]}]})
    assert rule["destination"] == {"selector": selector}


def test_all_endpoints_are_those_of_the_namespace_or_of_all():
    spec = {"ingress": [{"fromEndpoints": [{}]}]}
    assert rules(spec, "ingress") == [{"action": "Allow", "source": {"selector": "all()"}}]
    everywhere = {"selector": "all()", "namespaceSelector": "all()"}
    kind = "CiliumClusterwideNetworkPolicy"
    assert rules(spec, "ingress", kind=kind) == [{"action": "Allow", "source": everywhere}]


def test_ports_of_any_protocol_are_those_of_three():
    ports = [{"port": "53", "protocol": "ANY"}, {"port": "80", "endPort": 90, "protocol": "TCP"}, {"port": "dns"}]
    found = rules({"egress": [{"toEndpoints": [{}], "toPorts": [{"ports": ports}]}]})
    assert {rule["protocol"]: rule["destination"]["ports"] for rule in found} == {
        "TCP": [53, "80:90", "dns"],
        "UDP": [53, "dns"],
        "SCTP": [53, "dns"],
    }


def test_port_zero_is_all_of_the_protocol():
    found = rules({"egress": [{"toPorts": [{"ports": [{"port": "0", "protocol": "UDP"}]}]}]})
    assert found == [{"action": "Allow", "protocol": "UDP"}]


def test_messages_of_icmp():
    fields = [{"type": 8}, {"family": "IPv6", "type": "EchoRequest"}]
    found = rules({"ingress": [{"icmps": [{"fields": fields}]}]}, "ingress")
    assert [(rule["protocol"], rule["icmp"]) for rule in found] == [("ICMP", {"type": 8}), ("ICMPv6", {"type": 128})]


def test_networks_leave_the_clusters_own_out_because_those_are_never_meant():
    spec = {"egress": [{"toCIDRSet": [{"cidr": "0.0.0.0/0", "except": ["192.0.2.0/24"]}]}]}
    (rule,) = rules(spec)
    assert rule["destination"] == {"nets": ["0.0.0.0/0"], "notNets": ["10.0.0.0/8", "192.0.2.0/24"]}
    assert told(spec) == []
    assert told(spec, cluster=()) == [("spec.egress[0].toCIDRSet[0]", Effect.WIDER)]
    inside = {"egress": [{"toCIDR": ["10.1.0.0/16", "198.51.100.0/24"]}]}
    assert rules(inside) == [{"action": "Allow", "destination": {"nets": ["198.51.100.0/24"]}}]
    assert told(inside) == [("spec.egress[0].toCIDR[0]", Effect.NARROWER)]


def test_groups_of_networks_are_sets():
    group = {"apiVersion": "cilium.io/v2alpha1", "kind": "CiliumCIDRGroup", "metadata": {"name": "partners"}}
    found = import_document(group | {"spec": {"externalCIDRs": ["192.0.2.0/24"]}})
    (made,) = found.documents
    assert (made["kind"], made["spec"]) == ("GlobalNetworkSet", {"nets": ["192.0.2.0/24"]})
    assert made["metadata"]["labels"] == {"cilium.io/cidrgroup": "partners"}
    (rule,) = rules({"egress": [{"toCIDRSet": [{"cidrGroupRef": "partners"}]}]})
    chosen = {"selector": "cilium.io/cidrgroup == 'partners'", "namespaceSelector": "global()"}
    assert rule["destination"] == chosen


def test_entities():
    def of(entity, **options):
        return [rule.get("destination") for rule in rules({"egress": [{"toEntities": [entity]}]}, **options)]

    assert of("all") == [None]
    assert of("none") == []
    assert of("cluster") == [{"nets": ["10.0.0.0/8"]}, {"nets": ["fd00::/8"]}]
    assert of("cluster", cluster=()) == [{"namespaceSelector": "all()"}]
    world4 = {"nets": ["0.0.0.0/0"], "notNets": ["10.0.0.0/8"]}
    world6 = {"nets": ["::/0"], "notNets": ["fd00::/8"]}
    assert of("world") == [world4, world6]
    assert of("world-ipv6") == [world6]
    assert of("world", cluster=()) == of("remote-node") == []
    assert of("kube-apiserver") == [{"services": {"name": "kubernetes", "namespace": "default"}}]
    assert told({"egress": [{"toEntities": ["remote-node"]}]}) == [("spec.egress[0].toEntities[0]", Effect.NARROWER)]


def test_services_have_their_own_ports():
    service = {"k8sService": {"serviceName": "db", "namespace": "data"}}
    spec = {"egress": [{"toServices": [service], "toPorts": [TCP_443]}]}
    assert rules(spec) == [{"action": "Allow", "destination": {"services": {"name": "db", "namespace": "data"}}}]
    assert told(spec) == [("spec.egress[0]", Effect.DIFFERENT)]


def test_denials_have_a_tier_before_all():
    found = imported(
        {"egressDeny": [{"toEntities": ["all"], "toPorts": [TCP_443]}], "egress": [{"toEntities": ["all"]}]}
    )
    tier, allowed, denied = found.documents
    assert (tier["kind"], tier["spec"]["defaultAction"]) == ("Tier", "Pass")
    assert (allowed["spec"]["tier"], denied["spec"]["tier"]) == ("default", tier["metadata"]["name"])
    assert denied["spec"]["egress"] == [{"action": "Deny", "protocol": "TCP", "destination": {"ports": [443]}}]


def test_a_rule_that_says_nothing_allows_nothing_and_closes():
    (made,) = imported({"ingress": [{}]}).documents
    assert made["spec"]["types"] == ["Ingress"]
    assert "ingress" not in made["spec"]
    assert imported({"ingress": []}).documents == ()


def test_without_a_default_deny_a_policy_opens_and_closes_nothing():
    found = imported({"enableDefaultDeny": {"egress": False}, "egress": [{"toEntities": ["all"]}]})
    tier, made = found.documents
    assert tier["spec"]["defaultAction"] == "Pass"
    assert made["spec"]["tier"] == tier["metadata"]["name"] == "cilium-open"


def test_what_is_judged_above_layer_four_is_left_out_and_names_of_questions_are_told():
    http = {**TCP_443, "rules": {"http": [{"method": "GET"}]}}
    spec = {"ingress": [{"fromEndpoints": [{}], "toPorts": [http]}]}
    assert rules(spec, "ingress") == []
    assert told(spec) == [("spec.ingress[0].toPorts[0].rules['http']", Effect.NARROWER)]
    dns = {**TCP_443, "rules": {"dns": [{"matchPattern": "*"}]}}
    assert told({"egress": [{"toPorts": [dns]}]}) == [("spec.egress[0].toPorts[0].rules['dns']", Effect.WIDER)]


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"egress": [{"toNodes": [{}]}]}, "spec.egress[0].toNodes"),
        ({"ingress": [{"fromEndpoints": [{}], "fromCIDR": ["192.0.2.0/24"]}]}, "spec.ingress[0].fromCIDR"),
        ({"ingress": [{"fromEndpoints": [{"matchLabels": {"reserved:host": ""}}]}]},
         "spec.ingress[0].fromEndpoints[0].matchLabels['reserved:host']"),
        ({"ingress": [{"fromEndpoints": [{"matchLabels": {"a": "x'y"}}]}]},
         "spec.ingress[0].fromEndpoints[0].matchLabels['a']"),
        ({"ingress": [{"fromEndpoints": "all"}]}, "spec.ingress[0].fromEndpoints"),
        ({"ingress": [7]}, "spec.ingress[0]"),
        ({"ingress": [{"authentication": {"mode": "required"}}]}, "spec.ingress[0].authentication"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_told_with_its_place(spec, path):
    section = next(iter(spec))
    assert told(spec) == [(path, Effect.NARROWER)]
    assert rules(spec, section) == []
    denied = {f"{section}Deny": spec[section]}
    assert [effect for _, effect in told(denied)] == [Effect.WIDER]


@pytest.mark.parametrize(
    "change",
    [
        {"endpointSelector": None},
        {"nodeSelector": {}},
        {"endpointSelector": {"matchLabels": {"io.kubernetes.pod.namespace": "other"}}},
        {"enableDefaultDeny": {"egress": "no"}},
    ],
)
def test_a_policy_whose_workloads_cannot_be_said_is_left_out_and_told(change):
    found = imported({"ingress": [{"fromEntities": ["all"]}], **change})
    assert found.documents == ()
    assert [remark.effect for remark in found.remarks] == [Effect.DIFFERENT]


def test_each_of_several_specs_is_a_policy():
    document = policy({}) | {"specs": [policy({"ingress": [{}]})["spec"], policy({"egress": [{}]})["spec"]]}
    found = import_document(document)
    assert [made["metadata"]["name"] for made in found.documents] == ["p-2", "p-3"]


def test_others_documents_are_none():
    for value in (None, 5, [], {}, {"apiVersion": "v1", "kind": "Pod"}, {"apiVersion": ["cilium.io/v2"], "kind": {}}):
        assert import_document(value) is None
