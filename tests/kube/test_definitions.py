"""The definitions on a real API server: what is refused, in whose words, and what kubectl shows."""

import json

import pytest

from policy.errors import Faults
from policy.resources.decode import decode

pytestmark = [pytest.mark.kernel, pytest.mark.kube, pytest.mark.timeout(240)]

GNP = {"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": "case"}}
NP = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "NetworkPolicy",
    "metadata": {"name": "case", "namespace": "default"},
}


def egress(**fields):
    return {**GNP, "spec": {"egress": [{"action": "Allow", **fields}]}}


def ingress(**fields):
    return {**GNP, "spec": {"ingress": [{"action": "Allow", **fields}]}}


def to(**fields):
    return egress(destination=fields)


def of(kind, name="case", **spec):
    return {"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": {"name": name}, "spec": spec}


BAD = {
    "a_name_in_a_denying_rule": egress(action="Deny", destination={"domains": ["a.example"]}),
    "a_name_in_an_ingress_rule": ingress(destination={"domains": ["a.example"]}),
    "a_name_on_the_source_side": egress(source={"domains": ["a.example"]}),
    "a_port_without_a_protocol": to(ports=[80]),
    "a_port_without_a_protocol_on_the_source_side": egress(source={"ports": [80]}),
    "icmp_without_its_protocol": egress(icmp={"type": 8}),
    "icmp_with_another_protocol": egress(protocol="TCP", icmp={"type": 8}),
    "a_code_without_a_type": egress(protocol="ICMP", icmp={"code": 1}),
    "names_beside_networks": to(domains=["a.example"], nets=["10.0.0.0/8"]),
    "services_beside_a_selector": to(services={"name": "web", "namespace": "prod"}, selector="all()"),
    "a_service_on_the_wrong_side": egress(source={"services": {"name": "web", "namespace": "prod"}}),
    "a_service_without_a_namespace": to(services={"name": "web"}),
    "a_service_with_ports": egress(
        protocol="TCP", destination={"services": {"name": "w", "namespace": "p"}, "ports": [1]}
    ),
    "http_in_an_egress_rule": egress(protocol="TCP", http={"methods": ["GET"]}),
    "http_in_a_denying_rule": ingress(action="Deny", http={"methods": ["GET"]}),
    "a_path_that_is_two_things": ingress(http={"paths": [{"exact": "/a", "prefix": "/b"}]}),
    "no_types_at_all": {**GNP, "spec": {"types": []}},
    "untracked_and_pre_dnat": {**GNP, "spec": {"doNotTrack": True, "preDNAT": True, "applyOnForward": True}},
    "untracked_not_on_forward": {**GNP, "spec": {"doNotTrack": True}},
    "pre_dnat_with_egress": {**GNP, "spec": {"preDNAT": True, "applyOnForward": True, "egress": [{"action": "Allow"}]}},
    "the_default_tier_elsewhere": of("Tier", "default", order=3),
    "a_reserved_tier_that_denies": of("Tier", "kube-admin", defaultAction="Deny"),
    "a_deletion_with_rules": of("StagedGlobalNetworkPolicy", stagedAction="Delete", egress=[{"action": "Allow"}]),
    "two_encapsulations": of("IPPool", cidr="10.0.0.0/16", ipipMode="Always", vxlanMode="Always"),
    "a_host_endpoint_of_nothing": of("HostEndpoint", node="n"),
}
"""Refused with the very message of `decode`."""
UNLIKE = {
    "an_unknown_action": egress(action="Maybe"),
    "an_unknown_field": to(domain=["a.example"]),
    "an_order_in_words": {**GNP, "spec": {"order": "first"}},
    "a_type_twice": {**GNP, "spec": {"types": ["Egress", "Egress"]}},
    "an_unknown_version": egress(ipVersion=5),
    "an_icmp_type_too_large": egress(protocol="ICMP", icmp={"type": 255}),
    "a_selector_too_long": {**GNP, "spec": {"selector": "a == '" + "x" * 1100 + "'"}},
    "a_rule_without_an_action": {**GNP, "spec": {"egress": [{"protocol": "TCP"}]}},
    "a_pool_without_addresses": of("IPPool", natOutgoing=True),
}
"""Refused in the API server's words for schemas."""
GOOD = {
    "names": to(domains=["a.example", "*.b.example"]),
    "ports_of_all_kinds": egress(protocol="TCP", destination={"ports": [80, "8000:9000", "http"]}),
    "a_named_port_without_a_protocol": to(ports=["http"]),
    "icmp_by_number": egress(protocol=1, icmp={"type": 8, "code": 0}),
    "a_service_of_the_own_namespace": {
        **NP,
        "spec": {"egress": [{"action": "Allow", "destination": {"services": {"name": "w"}}}]},
    },
    "a_reserved_tier_as_it_is": of("Tier", "kube-baseline", order=10000000, defaultAction="Pass"),
    "everything_about_nothing": {**GNP, "spec": {}},
    "settings_that_are_not_known_here": of("FelixConfiguration", "default", bpfEnabled=True, logPrefix="x"),
    "a_deletion": of("StagedGlobalNetworkPolicy", stagedAction="Delete"),
    "a_set": of("GlobalNetworkSet", nets=["10.0.0.1", "fd00::/8"], allowedEgressDomains=["*.example.com"]),
    "a_capture": {
        **of("PacketCapture", selector="all()", startTime="2026-01-31T12:00:00Z"),
        "metadata": {"name": "case", "namespace": "default"},
    },
}


def said(cluster, document):
    done = cluster.kubectl("create", "--dry-run=server", "-f", "-", given=json.dumps(document), check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", BAD)
def test_the_api_server_refuses_in_our_words(cluster, name):
    faults = decode(BAD[name])
    assert isinstance(faults, Faults)
    code, text = said(cluster, BAD[name])
    assert code != 0
    assert any(fault.message in text for fault in faults.faults), (text, faults)


@pytest.mark.parametrize("name", UNLIKE)
def test_the_api_server_refuses_what_the_schema_does_not_have(cluster, name):
    assert isinstance(decode(UNLIKE[name]), Faults)
    assert said(cluster, UNLIKE[name])[0] != 0


@pytest.mark.parametrize("name", GOOD)
def test_what_is_right_is_taken(cluster, name):
    assert not isinstance(decode(GOOD[name]), Faults)
    assert said(cluster, GOOD[name]) == (0, "")


def test_what_the_api_server_writes_down_means_the_same(cluster):
    cluster.apply(egress(destination={"domains": ["a.example"]}))
    stored = json.loads(cluster.kubectl("get", "gnp", "case", "-o", "json").stdout)
    assert stored["spec"]["tier"] == "default"
    assert decode(stored).spec == decode(egress(destination={"domains": ["a.example"]})).spec
    assert "case" in cluster.kubectl("get", "gnp", "--field-selector=spec.tier=default").stdout
    cluster.kubectl("delete", "gnp", "case")


def test_kubectl_explains_fields_and_shows_columns(cluster):
    told = cluster.kubectl("explain", "globalnetworkpolicies.spec.egress.destination.domains").stdout
    assert "Names whose addresses are meant" in told
    cluster.apply(of("Tier", "shown", order=7, defaultAction="Pass"))
    head, row = cluster.kubectl("get", "tiers", "shown").stdout.splitlines()
    assert head.split() == ["NAME", "ORDER", "DEFAULT", "AGE"]
    assert row.split()[:3] == ["shown", "7", "Pass"]
    assert "shown" in cluster.kubectl("get", "tidegate").stdout
    cluster.kubectl("delete", "tier", "shown")


def test_status_is_written_apart(cluster):
    cluster.apply(of("Tier", "told", order=8))
    condition = {"type": "Accepted", "status": "True", "reason": "Valid", "message": ""}
    cluster.kubectl(
        *("patch", "tier", "told", "--subresource=status", "--type=merge"),
        *("-p", json.dumps({"status": {"conditions": [condition]}})),
    )
    stored = json.loads(cluster.kubectl("get", "tier", "told", "-o", "json").stdout)
    assert stored["status"]["conditions"] == [condition]
    assert stored["metadata"]["generation"] == 1
    cluster.kubectl("delete", "tier", "told")
