"""How fields go together: rules, policies, tiers, sets, endpoints; and that all faults are told at once."""

import pytest

from policy.errors import Faults
from policy.resources.decode import Identity, decode, identify
from policy.resources.policies import GlobalNetworkPolicy, NetworkPolicy, PolicyType
from policy.rules import Action

CALICO = "projectcalico.org/v3"


def document(kind, spec=None, api_version=CALICO, **metadata):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", **metadata}, "spec": spec or {}}


def paths(doc):
    decoded = decode(doc)
    return [fault.path for fault in decoded.faults] if isinstance(decoded, Faults) else []


def in_egress(rule, kind="NetworkPolicy"):
    return [
        path.removeprefix("spec.egress[0].")
        for path in paths(document(kind, {"egress": [{"action": "Allow", **rule}]}))
    ]


def in_ingress(rule, kind="NetworkPolicy"):
    return [
        path.removeprefix("spec.ingress[0].")
        for path in paths(document(kind, {"ingress": [{"action": "Allow", **rule}]}))
    ]


# --- Rules ---


@pytest.mark.parametrize("action", ["Allow", "Deny", "Log", "Pass"])
def test_actions_accepted(action):
    assert in_egress({"action": action}) == []


@pytest.mark.parametrize("action", ["allow", "ALLOW", "Accept", "", 1, None])
def test_actions_refused(action):
    assert in_egress({"action": action}) == ["action"]


@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP", 6, "17", 132])
@pytest.mark.parametrize("field", ["ports", "notPorts"])
def test_protocols_that_have_ports(protocol, field):
    for side in ("source", "destination"):
        assert in_egress({"protocol": protocol, side: {field: [80, "90:91", "http"]}}) == []


@pytest.mark.parametrize("protocol", ["ICMP", "ICMPv6", "UDPLite", 1, 47])
@pytest.mark.parametrize("side", ["source", "destination"])
@pytest.mark.parametrize("field", ["ports", "notPorts"])
def test_protocols_that_have_no_ports(protocol, side, field):
    assert in_egress({"protocol": protocol, side: {field: [80, "http"]}}) == [
        f"{side}.{field}[0]",
        f"{side}.{field}[1]",
    ]


@pytest.mark.parametrize("side", ["source", "destination"])
@pytest.mark.parametrize("field", ["ports", "notPorts"])
def test_without_a_protocol_ports_have_names_only(side, field):
    assert in_egress({side: {field: ["http", "dns"]}}) == []
    assert in_egress({side: {field: ["http", 80, "90:91"]}}) == [f"{side}.{field}[1]", f"{side}.{field}[2]"]
    assert in_egress({"notProtocol": "UDP", side: {field: [80]}}) == [f"{side}.{field}[0]"]


@pytest.mark.parametrize("field", ["icmp", "notICMP"])
def test_icmp_needs_its_protocol(field):
    for protocol in ("ICMP", "ICMPv6", 1, 58, "1"):
        assert in_egress({"protocol": protocol, field: {"type": 8}}) == []
    for rule in ({}, {"protocol": "TCP"}, {"notProtocol": "ICMP"}, {"protocol": 2}):
        assert in_egress({**rule, field: {"type": 8}}) == [field]


@pytest.mark.parametrize("field", ["protocol", "notProtocol"])
def test_icmp_agrees_with_the_version(field):
    for version, protocol in ((4, "ICMP"), (4, 1), (6, "ICMPv6"), (6, "58"), (4, "TCP"), (6, "TCP")):
        assert in_egress({"ipVersion": version, field: protocol}) == []
    for version, protocol in ((6, "ICMP"), (6, 1), (4, "ICMPv6"), (4, "58")):
        assert in_egress({"ipVersion": version, field: protocol}) == ["ipVersion"]


@pytest.mark.parametrize("version", [5, 0, "4", True, 4.5])
def test_versions_refused(version):
    assert in_egress({"ipVersion": version}) == ["ipVersion"]


@pytest.mark.parametrize("one", ["source.nets", "source.notNets", "destination.nets", "destination.notNets"])
@pytest.mark.parametrize("other", ["source.nets", "source.notNets", "destination.nets", "destination.notNets"])
def test_families_are_not_mixed_in_a_rule(one, other):
    rule = {"source": {}, "destination": {}}
    for place, net in ((one, "10.0.0.0/8"), (other, "fd00::/8")):
        side, name = place.split(".")
        rule[side].setdefault(name, []).append(net)
    assert in_egress(rule) == ["spec.egress[0]"]


@pytest.mark.parametrize("side", ["source", "destination"])
@pytest.mark.parametrize("field", ["nets", "notNets"])
def test_networks_agree_with_the_version(side, field):
    assert in_egress({"ipVersion": 6, side: {field: ["fd00::/8"]}}) == []
    assert in_egress({"ipVersion": 4, side: {field: ["fd00::/8"]}}) == [f"{side}.{field}[0]"]


@pytest.mark.parametrize("net", ["0.0.0.0/0", "::/0"])
def test_a_rule_must_be_able_to_match(net):
    assert in_egress({"destination": {"nets": [net]}}) == []
    assert in_egress({"destination": {"notNets": [net]}}) == ["destination.notNets[0]"]


def test_networks_are_a_set_of_at_most_256():
    nets = [f"10.0.{i}.0/24" for i in range(256)]
    assert in_egress({"destination": {"nets": nets}}) == []
    assert in_egress({"destination": {"nets": [*nets, "10.1.0.0/24"]}}) == ["destination.nets"]
    assert in_egress({"destination": {"nets": ["10.0.0.0/8", "10.0.0.0/8"]}}) == ["destination.nets"]


def test_ports_are_at_most_50():
    assert in_egress({"protocol": "TCP", "destination": {"ports": list(range(1, 51))}}) == []
    assert in_egress({"protocol": "TCP", "destination": {"ports": list(range(1, 52))}}) == ["destination.ports"]


def test_service_accounts():
    assert in_egress({"destination": {"serviceAccounts": {"names": ["a", "a.b"], "selector": "x == 'y'"}}}) == []
    assert in_egress({"destination": {"serviceAccounts": {}}}) == []
    refused = {"names": ["A_b"], "selector": "global()"}
    assert in_egress({"destination": {"serviceAccounts": refused}}) == [
        "destination.serviceAccounts.names[0]",
        "destination.serviceAccounts.selector",
    ]


SERVICE = {"name": "web", "namespace": "shop"}


def test_a_service_stands_where_the_peer_is():
    assert in_egress({"destination": {"services": SERVICE}}) == []
    assert in_ingress({"source": {"services": SERVICE}}) == []
    assert in_egress({"source": {"services": SERVICE}}) == ["source.services"]
    assert in_ingress({"destination": {"services": SERVICE}}) == ["destination.services"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("selector", "all()"),
        ("notSelector", "a == 'b'"),
        ("namespaceSelector", "all()"),
        ("serviceAccounts", {"names": ["a"]}),
        ("nets", ["10.0.0.0/8"]),
        ("notNets", ["10.0.0.0/8"]),
    ],
)
def test_a_service_stands_alone_on_its_side(field, value):
    assert in_egress({"destination": {"services": SERVICE, field: value}}) == [f"destination.{field}"]
    assert in_egress({"destination": {"services": SERVICE}, "source": {field: value}}) == []


def test_a_service_has_its_own_ports_but_a_source_has_none():
    assert in_egress({"protocol": "TCP", "destination": {"services": SERVICE, "ports": [80]}}) == ["destination.ports"]
    assert in_egress({"protocol": "TCP", "destination": {"services": SERVICE, "notPorts": [80]}}) == [
        "destination.notPorts"
    ]
    assert in_ingress({"protocol": "TCP", "source": {"services": SERVICE}, "destination": {"ports": [80]}}) == []


def test_a_service_has_a_name_and_in_cluster_wide_policies_a_namespace():
    assert in_egress({"destination": {"services": {"namespace": "shop"}}}) == ["destination.services.name"]
    assert in_egress({"destination": {"services": {"name": "web"}}}) == []
    assert in_egress({"destination": {"services": {"name": "web"}}}, "GlobalNetworkPolicy") == [
        "destination.services.namespace"
    ]
    assert in_egress({"destination": {"services": {"name": "x" * 254}}}) == ["destination.services.name"]


DOMAINS = ["*.a.test"]


def test_domains_are_destinations_of_egress_allow_rules():
    assert (
        in_egress({"destination": {"domains": DOMAINS, "ports": [443], "notNets": ["10.0.0.0/8"]}, "protocol": "TCP"})
        == []
    )
    assert in_egress({"source": {"domains": DOMAINS}}) == ["source.domains"]
    assert in_ingress({"destination": {"domains": DOMAINS}}) == ["destination.domains"]
    for action in ("Deny", "Log", "Pass"):
        assert in_egress({"action": action, "destination": {"domains": DOMAINS}}) == ["destination.domains"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("selector", "all()"),
        ("notSelector", "a == 'b'"),
        ("namespaceSelector", "all()"),
        ("serviceAccounts", {}),
        ("nets", ["10.0.0.0/8"]),
    ],
)
def test_domains_stand_alone(field, value):
    assert in_egress({"destination": {"domains": DOMAINS, field: value}}) == [f"destination.{field}"]


@pytest.mark.parametrize(
    "http",
    [
        {},
        {"methods": ["GET", "PUT"]},
        {"paths": [{"exact": "/a"}, {"prefix": "/b"}]},
        {"methods": list(map(str, range(20)))},
        {"paths": [{"exact": "/" + "x" * 1023}] * 20},
    ],
)
def test_http_accepted(http):
    for protocol in ({}, {"protocol": "TCP"}, {"protocol": 6}):
        assert in_ingress({"http": http, **protocol}) == []


@pytest.mark.parametrize(
    ("http", "where"),
    [
        ({"methods": ["GET", "GET"]}, "methods"),
        ({"methods": list(map(str, range(21)))}, "methods"),
        ({"paths": [{"exact": "/"}] * 21}, "paths"),
        ({"paths": [{}]}, "paths[0]"),
        ({"paths": [{"exact": "/a", "prefix": "/a"}]}, "paths[0]"),
        ({"paths": [{"exact": "a"}]}, "paths[0].exact"),
        ({"paths": [{"prefix": ""}]}, "paths[0].prefix"),
        ({"paths": [{"prefix": "/a?b"}]}, "paths[0].prefix"),
        ({"paths": [{"exact": "/a#b"}]}, "paths[0].exact"),
        ({"paths": [{"exact": "/" + "x" * 1024}]}, "paths[0].exact"),
    ],
)
def test_http_refused(http, where):
    assert in_ingress({"http": http}) == [f"http.{where}"]


def test_http_is_for_ingress_allow_rules_of_tcp():
    assert in_egress({"http": {}}) == ["http"]
    assert in_ingress({"http": {}, "protocol": "UDP"}) == ["http"]
    for action in ("Deny", "Log", "Pass"):
        assert in_ingress({"action": action, "http": {}}) == ["http"]


def test_a_rule_has_annotations():
    assert in_egress({"metadata": {"annotations": {"why": "because"}}}) == []
    assert in_egress({"metadata": {"labels": {}}}) == ["metadata.labels"]


# --- Policies ---


@pytest.mark.parametrize(
    ("spec", "types"),
    [
        ({}, ["Ingress"]),
        ({"ingress": [{"action": "Allow"}]}, ["Ingress"]),
        ({"egress": [{"action": "Allow"}]}, ["Egress"]),
        ({"ingress": [], "egress": [{"action": "Allow"}]}, ["Egress"]),
        ({"ingress": [{"action": "Allow"}], "egress": [{"action": "Allow"}]}, ["Ingress", "Egress"]),
        ({"types": ["Egress"], "ingress": [{"action": "Allow"}]}, ["Egress"]),
        ({"types": None, "egress": None}, ["Ingress"]),
    ],
)
@pytest.mark.parametrize("kind", ["NetworkPolicy", "GlobalNetworkPolicy"])
def test_types_follow_from_the_rules(kind, spec, types):
    assert decode(document(kind, spec)).spec.types == tuple(map(PolicyType, types))


def test_a_policy_has_defaults():
    for doc in (document("NetworkPolicy"), {"apiVersion": CALICO, "kind": "NetworkPolicy", "metadata": {"name": "x"}}):
        spec = decode(doc).spec
        assert (spec.tier, spec.order, spec.selector, spec.types) == ("default", None, "", (PolicyType.INGRESS,))


@pytest.mark.parametrize(
    "types", [[], ["ingress"], ["Ingress", "Ingress"], ["Ingress", "Egress", "Ingress"], "Ingress", [None]]
)
def test_types_refused(types):
    assert [path.split("[")[0] for path in paths(document("NetworkPolicy", {"types": types}))] == ["spec.types"]


def test_rules_are_at_most_1024():
    assert paths(document("NetworkPolicy", {"ingress": [{"action": "Allow"}] * 1024})) == []
    assert paths(document("NetworkPolicy", {"ingress": [{"action": "Allow"}] * 1025})) == ["spec.ingress"]


@pytest.mark.parametrize("field", ["namespaceSelector", "doNotTrack", "preDNAT", "applyOnForward"])
def test_some_fields_are_for_cluster_wide_policies_only(field):
    value = "all()" if field == "namespaceSelector" else False
    assert paths(document("GlobalNetworkPolicy", {field: value})) == []
    assert paths(document("NetworkPolicy", {field: value})) == [f"spec.{field}"]


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"doNotTrack": True, "applyOnForward": True}, []),
        ({"preDNAT": True, "applyOnForward": True}, []),
        ({"preDNAT": True, "applyOnForward": True, "ingress": [{"action": "Deny"}]}, []),
        ({"applyOnForward": True}, []),
        ({"doNotTrack": True}, ["doNotTrack"]),
        ({"preDNAT": True}, ["preDNAT"]),
        ({"doNotTrack": True, "applyOnForward": False}, ["doNotTrack"]),
        ({"doNotTrack": True, "preDNAT": True, "applyOnForward": True}, ["preDNAT"]),
        ({"preDNAT": True, "applyOnForward": True, "egress": [{"action": "Deny"}]}, ["egress"]),
        ({"preDNAT": True, "applyOnForward": True, "types": ["Ingress", "Egress"]}, ["types"]),
        ({"doNotTrack": "yes"}, ["doNotTrack"]),
    ],
)
def test_policies_for_early_hooks(spec, found):
    assert paths(document("GlobalNetworkPolicy", spec)) == [f"spec.{field}" for field in found]


def test_performance_hints():
    assert paths(document("NetworkPolicy", {"performanceHints": ["AssumeNeededOnEveryNode"]})) == []
    assert paths(document("NetworkPolicy", {"performanceHints": ["Fast"]})) == ["spec.performanceHints[0]"]


def test_annotations_about_names_are_checked_on_policies():
    good = {"dns.tidegate.io/ttl-floor": "10s", "dns.tidegate.io/wildcard": "single-label", "example.com/x": "y"}
    assert paths(document("NetworkPolicy", annotations=good)) == []
    bad = {"dns.tidegate.io/ttl-flor": "10s", "dns.tidegate.io/scope": "world"}
    assert paths(document("GlobalNetworkPolicy", annotations=bad)) == [
        "metadata.annotations['dns.tidegate.io/ttl-flor']",
        "metadata.annotations['dns.tidegate.io/scope']",
    ]


# --- Tiers ---


def test_a_tier_has_defaults():
    spec = decode(document("Tier")).spec
    assert (spec.order, spec.default_action) == (1_000_000, Action.DENY)


@pytest.mark.parametrize(
    ("name", "order", "action"),
    [("default", 1_000_000, "Deny"), ("kube-admin", 1_000, "Pass"), ("kube-baseline", 10_000_000, "Pass")],
)
def test_reserved_tiers_keep_what_they_have(name, order, action):
    for spec in (
        {},
        {"order": order},
        {"order": None, "defaultAction": action},
        {"order": order, "defaultAction": action},
    ):
        read = decode(document("Tier", spec, name=name)).spec
        assert (read.order, read.default_action) == (order, action)
    other = "Pass" if action == "Deny" else "Deny"
    assert paths(document("Tier", {"order": order + 1, "defaultAction": other}, name=name)) == [
        "spec.order",
        "spec.defaultAction",
    ]


@pytest.mark.parametrize("action", ["Allow", "Log", "pass", "", 5])
def test_default_actions_refused(action):
    assert paths(document("Tier", {"defaultAction": action})) == ["spec.defaultAction"]


def test_default_action_pass():
    assert decode(document("Tier", {"defaultAction": "Pass", "order": -1.5})).spec.order == -1.5


# --- Sets, profiles, endpoints ---


@pytest.mark.parametrize("kind", ["NetworkSet", "GlobalNetworkSet"])
def test_a_set_does_not_claim_a_namespace(kind):
    doc = document(kind, {"nets": ["10.0.0.1", "fd00::/8"]}, labels={"projectcalico.org/namespace": "x", "a": "b"})
    assert paths(doc) == ["metadata.labels['projectcalico.org/namespace']"]


def test_a_profile_has_rules_and_labels():
    spec = {"ingress": [{"action": "Allow"}], "egress": [{"action": "Deny"}], "labelsToApply": {"pcns.x": "y"}}
    assert decode(document("Profile", spec, name="kns.x")).spec.labels_to_apply == {"pcns.x": "y"}
    assert paths(document("Profile", {"labelsToApply": {"a/b/c": ""}})) == ["spec.labelsToApply['a/b/c']"]
    assert paths(document("Profile", {"egress": [{"action": "Allow", "http": {}}]})) == ["spec.egress[0].http"]
    assert paths(document("Profile", {"ingress": [{"action": "Allow"}] * 1025})) == ["spec.ingress"]


def endpoint(**spec):
    return document("WorkloadEndpoint", {"interfaceName": "cali1", **spec})


def test_a_whole_workload_endpoint():
    spec = decode(
        endpoint(
            orchestrator="k8s",
            workload="w",
            node="n",
            pod="p",
            containerID="c",
            endpoint="eth0",
            serviceAccountName="s",
            ipNetworks=["10.0.0.1/32", "10.0.0.2", "fd00::1/128"],
            ipNATs=[{"internalIP": "10.0.0.1", "externalIP": "192.0.2.1"}],
            ipv4Gateway="10.0.0.254",
            ipv6Gateway="fd00::fe",
            profiles=["kns.x"],
            mac="0a:1b:2c:3d:4e:5f",
            ports=[{"name": "http", "protocol": "TCP", "port": 80}, {"protocol": 17, "port": 53, "hostPort": 5353}],
            allowSpoofedSourcePrefixes=["10.1.0.1/16"],
            qosControls={"ingressPacketRate": 5, "ingressBandwidth": 1, "egressPacketRate": 0, "egressBurst": None},
        )
    ).spec
    assert list(map(str, spec.ip_networks)) == ["10.0.0.1/32", "10.0.0.2/32", "fd00::1/128"]
    assert [(port.name, port.protocol, port.port) for port in spec.ports] == [("http", 6, 80), ("", 17, 53)]
    assert (spec.qos_controls.ingress_packet_rate, spec.qos_controls.ingress_bandwidth) == (5, 1)


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({"interfaceName": None}, "interfaceName"),
        ({"interfaceName": ""}, "interfaceName"),
        ({"interfaceName": "x" * 16}, "interfaceName"),
        ({"interfaceName": "a/b"}, "interfaceName"),
        ({"interfaceName": "*"}, "interfaceName"),
        ({"ipNetworks": ["10.0.0.0/24"]}, "ipNetworks[0]"),
        ({"ipNetworks": ["fd00::/64"]}, "ipNetworks[0]"),
        ({"ipNATs": [{"internalIP": "10.0.0.1", "externalIP": "192.0.2.1"}]}, "ipNATs[0].internalIP"),
        (
            {"ipNetworks": ["10.0.0.1"], "ipNATs": [{"internalIP": "10.0.0.1", "externalIP": "fd00::1"}]},
            "ipNATs[0].externalIP",
        ),
        ({"ipNATs": [{"internalIP": "10.0.0.1"}]}, "ipNATs[0].externalIP"),
        ({"ports": [{"protocol": "TCP", "port": 80}]}, "ports[0].name"),
        ({"ports": [{"name": "a", "port": 80}]}, "ports[0].protocol"),
        ({"ports": [{"name": "a", "protocol": "TCP"}]}, "ports[0].port"),
        ({"ports": [{"name": "a", "protocol": "ICMP", "port": 80}]}, "ports[0].protocol"),
        ({"ports": [{"name": "a", "protocol": "TCP", "port": 0}]}, "ports[0].port"),
        ({"ports": [{"name": "a", "protocol": "TCP", "port": "80"}]}, "ports[0].port"),
        ({"mac": "0a1b2c3d4e5f"}, "mac"),
        ({"allowSpoofedSourcePrefixes": ["10.0.0.1"]}, "allowSpoofedSourcePrefixes[0]"),
        ({"profiles": ["A b"]}, "profiles[0]"),
        ({"node": 5}, "node"),
    ],
)
def test_workload_endpoints_refused(spec, where):
    found = paths(endpoint(**spec))
    assert f"spec.{where}" in found
    assert len(found) == 1 or where == "ipNATs[0].externalIP"


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"node": "n", "interfaceName": "eth0"}, []),
        ({"node": "n", "interfaceName": "*"}, []),
        (
            {
                "node": "n",
                "expectedIPs": ["10.0.0.1", "fd00::1"],
                "ports": [{"name": "a", "protocol": "TCP", "port": 1}],
            },
            [],
        ),
        ({"interfaceName": "eth0"}, ["spec.node"]),
        ({"node": "n"}, ["spec"]),
        ({"node": "n", "interfaceName": "x" * 16}, ["spec.interfaceName"]),
        ({"node": "n", "expectedIPs": ["10.0.0.0/8"]}, ["spec.expectedIPs[0]"]),
        (
            {"node": "n", "interfaceName": "*", "ports": [{}]},
            ["spec.ports[0].name", "spec.ports[0].protocol", "spec.ports[0].port"],
        ),
    ],
)
def test_host_endpoints(spec, found):
    assert paths(document("HostEndpoint", spec)) == found


# --- Documents ---


@pytest.mark.parametrize(
    ("doc", "found"),
    [
        ({}, ["apiVersion", "kind"]),
        ({"kind": "Tier"}, ["apiVersion"]),
        ({"apiVersion": CALICO, "kind": "Teir"}, ["kind"]),
        ({"apiVersion": CALICO, "kind": 5}, ["kind"]),
        ({"apiVersion": CALICO, "kind": ["Tier"]}, ["kind"]),
        ({"apiVersion": "v1", "kind": "Tier"}, ["apiVersion"]),
        ({"apiVersion": CALICO, "kind": "Pod"}, ["apiVersion"]),
        ({"apiVersion": CALICO, "kind": "Tier"}, ["metadata"]),
        ({"apiVersion": CALICO, "kind": "Tier", "metadata": 5, "spec": []}, ["metadata", "spec"]),
        ({"apiVersion": CALICO, "kind": "Tier", "metadata": {"name": "x"}, "specs": {}}, ["specs"]),
        ({"apiVersion": CALICO, "kind": "Tier", "metadata": {"name": "x"}, 5: {}}, [""]),
        (None, [""]),
        ([], [""]),
        ("x", [""]),
    ],
)
def test_documents_that_are_no_resource(doc, found):
    assert paths(doc) == found


def test_a_misspelt_word_is_told_the_right_one():
    kind = decode(document("NetworkPolcy"))
    field = decode(document("NetworkPolicy", {"egres": []}))
    assert 'did you mean "NetworkPolicy"?' in str(kind)
    assert 'did you mean "egress"?' in str(field)


def test_attributes_are_not_fields_of_documents():
    assert in_egress({"not_protocol": "TCP"}) == ["not_protocol"]


def test_dumps_of_a_cluster_are_accepted():
    doc = document(
        "NetworkPolicy",
        {"selector": "all()", "ingress": None},
        "crd.projectcalico.org/v1",
        creationTimestamp=None,
        managedFields=[{"manager": "kubectl"}],
        ownerReferences=[],
        resourceVersion="1",
        generation=3,
        finalizers=["x"],
        uid="u",
        labels={"projectcalico.org/tier": "default"},
    )
    assert decode({**doc, "status": {"conditions": []}}).metadata.uid == "u"


def test_all_faults_are_told_at_once_even_those_between_fields():
    rule = {
        "action": "allow",
        "icmp": {"type": 8},
        "source": {"ports": [70000, 80]},
        "destination": {
            "domains": ["a..b", "a.test"],
            "selector": "all()",
            "nets": ["10.0.0.1/8", "0.0.0.0/0"],
            "x": 1,
        },
    }
    doc = document("NetworkPolicy", {"egress": [rule, {}, 5, {"action": "Deny", "http": {}}], "order": "x"}, name="A")
    assert set(paths(doc)) == {
        "metadata.name",
        "spec.order",
        "spec.egress[0].action",
        "spec.egress[0].icmp",
        "spec.egress[0].source.ports[0]",
        "spec.egress[0].source.ports[1]",
        "spec.egress[0].destination.domains[0]",
        "spec.egress[0].destination.selector",
        "spec.egress[0].destination.nets[0]",
        "spec.egress[0].destination.nets",
        "spec.egress[0].destination.x",
        "spec.egress[1].action",
        "spec.egress[2]",
        "spec.egress[3].http",
    }


def test_nothing_is_said_of_what_only_follows_from_another_fault():
    assert in_egress({"protocol": "tcp", "destination": {"ports": [80]}}) == ["protocol"]
    assert in_egress({"action": "deny", "destination": {"domains": ["a.test"]}}) == ["action"]


def test_faults_are_bounded():
    decoded = decode(document("NetworkPolicy", {"ingress": [{}] * 1000}))
    assert len(decoded.faults) == 101
    assert "900 more" in decoded.faults[-1].message


def test_a_document_says_what_it_is_even_when_it_is_wrong():
    assert identify(document("Teir", namespace="n")) == Identity(CALICO, "Teir", "n", "x")
    assert identify({"kind": 5, "metadata": []}) == identify(None) == Identity("", "", "", "")


# --- Staged policies ---


@pytest.mark.parametrize("kind", ["StagedNetworkPolicy", "StagedGlobalNetworkPolicy"])
def test_staged_policies_are_written_like_enforced_ones(kind):
    spec = decode(document(kind, {"egress": [{"action": "Deny"}], "order": 5})).spec
    assert (spec.staged_action, spec.types, spec.tier) == ("Set", (PolicyType.EGRESS,), "default")
    assert paths(document(kind, {"egress": [{"action": "Deny", "http": {}}]}))
    assert paths(document(kind, {"types": []})) == ["spec.types"]
    assert paths(document(kind, {"types": [], "order": "x"})) == ["spec.order", "spec.types"]
    assert paths(document(kind, {"stagedAction": "set"})) == ["spec.stagedAction"]
    for action in ("Set", "Learn", "Ignore"):
        assert paths(document(kind, {"stagedAction": action})) == []


@pytest.mark.parametrize("kind", ["StagedNetworkPolicy", "StagedGlobalNetworkPolicy"])
def test_a_staged_deletion_has_a_tier_and_nothing_else(kind):
    assert decode(document(kind, {"stagedAction": "Delete", "tier": "t", "ingress": []})).spec.types == ()
    given = {"order": 0, "selector": "all()", "types": ["Egress"], "egress": [{"action": "Deny"}]}
    for field, value in given.items():
        assert paths(document(kind, {"stagedAction": "Delete", field: value})) == [f"spec.{field}"]


def test_staged_kubernetes_policies():
    kind = "StagedKubernetesNetworkPolicy"
    assert paths(document(kind, {"podSelector": {"matchLabels": {"a": "b"}}, "egress": [{}]}, name="a.b.c")) == []
    assert paths(document(kind, {"order": 5})) == ["spec.order"]
    assert paths(document(kind, {"stagedAction": "Delete", "podSelector": {}})) == []
    assert paths(document(kind, {"stagedAction": "Delete", "egress": [{}]})) == ["spec.egress"]


def test_staged_policies_are_never_taken_for_enforced_ones():
    for kind in ("StagedNetworkPolicy", "StagedGlobalNetworkPolicy", "StagedKubernetesNetworkPolicy"):
        assert not isinstance(decode(document(kind)), NetworkPolicy | GlobalNetworkPolicy)
