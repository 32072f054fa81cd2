"""Policies of administrators: what is accepted, what it means, and what becomes of rules that nobody understands."""

from ipaddress import ip_network

import pytest

from policy.errors import Faults
from policy.resources.decode import decode, fallback
from policy.resources.policies import GlobalNetworkPolicy, PolicyType
from policy.resources.rule import NodePeer
from policy.rules import Action, PortRange
from tests.policy import documents
from tests.policy.documents import verdict

GROUP = "policy.networking.k8s.io"
PODS = "projectcalico.org/orchestrator == 'k8s'"
ANY = {"namespaces": {}}


def cluster(name="p", **spec):
    base = {"tier": "Admin", "priority": 5, "subject": ANY}
    return {
        "apiVersion": f"{GROUP}/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": name},
        "spec": base | spec,
    }


def admin(**spec):
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "AdminNetworkPolicy",
        "metadata": {"name": "p"},
        "spec": {"priority": 5, "subject": ANY} | spec,
    }


def baseline(name="default", **spec):
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "BaselineAdminNetworkPolicy",
        "metadata": {"name": name},
        "spec": {"subject": ANY} | spec,
    }


def read(document):
    decoded = decode(document)
    assert not isinstance(decoded, Faults), str(decoded)
    return decoded


def faults(document):
    decoded = decode(document)
    return {fault.path: fault.message for fault in decoded.faults} if isinstance(decoded, Faults) else {}


# --- Meaning ---


@pytest.mark.parametrize(
    ("document", "kind", "tier", "order"),
    [
        (cluster(), "KubernetesClusterNetworkPolicy", "kube-admin", 5),
        (cluster(tier="Baseline", priority=1000), "KubernetesClusterNetworkPolicy", "kube-baseline", 1000),
        (admin(), "KubernetesAdminNetworkPolicy", "kube-admin", 5),
        (baseline(), "KubernetesBaselineAdminNetworkPolicy", "kube-baseline", 0),
    ],
)
def test_each_kind_is_a_global_policy_of_its_own_name_in_a_reserved_tier(document, kind, tier, order):
    policy = read(document)
    assert isinstance(policy, GlobalNetworkPolicy)
    assert (policy.key.kind, policy.spec.tier, policy.spec.order) == (kind, tier, order)


@pytest.mark.parametrize(
    ("subject", "selector", "namespaces"),
    [
        (ANY, PODS, "all()"),
        ({"namespaces": {"matchLabels": {"a": "b"}}}, PODS, "a == 'b'"),
        (
            {"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"a": "b"}}}},
            f"{PODS} && a == 'b'",
            "all()",
        ),
    ],
)
def test_the_subject_is_pods_only(subject, selector, namespaces):
    spec = read(cluster(subject=subject)).spec
    assert (spec.selector, spec.namespace_selector) == (selector, namespaces)


def test_only_directions_with_rules_are_governed():
    rule = {"action": "Deny", "from": [ANY]}
    assert read(cluster()).spec.types == ()
    assert read(cluster(ingress=[rule])).spec.types == (PolicyType.INGRESS,)
    assert read(cluster(egress=[{"action": "Pass", "to": [ANY]}])).spec.types == (PolicyType.EGRESS,)


@pytest.mark.parametrize(("said", "meant"), [("Accept", Action.ALLOW), ("Deny", Action.DENY), ("Pass", Action.PASS)])
def test_actions_have_other_names(said, meant):
    [rule] = read(cluster(ingress=[{"name": "mine", "action": said, "from": [ANY]}])).spec.ingress
    assert rule.action is meant
    assert rule.metadata.annotations == {"name": "mine"}


def test_a_rule_becomes_one_for_each_protocol_peer_and_family():
    rule = {
        "action": "Accept",
        "to": [{"networks": ["10.0.0.0/8", "fd00::/8"]}, ANY],
        "protocols": [
            {"udp": {"destinationPort": {"number": 53}}},
            {"tcp": {"destinationPort": {"range": {"start": 80, "end": 90}}}},
            {"tcp": {"destinationPort": {"number": 443}}},
            {"destinationNamedPort": "web"},
        ],
    }
    made = read(cluster(egress=[rule])).spec.egress
    assert [(r.protocol, r.destination.ports) for r in made[::3]] == [
        (6, (PortRange(80, 90), PortRange(443, 443))),
        (17, (PortRange(53, 53),)),
        (None, ("web",)),
    ]
    assert [r.destination.nets for r in made[:3]] == [(ip_network("10.0.0.0/8"),), (ip_network("fd00::/8"),), ()]


def test_a_protocol_without_a_port_is_all_of_it():
    rule = {
        "action": "Accept",
        "from": [ANY],
        "protocols": [{"sctp": {}}, {"sctp": {"destinationPort": {"number": 1}}}],
    }
    [made] = read(cluster(ingress=[rule])).spec.ingress
    assert (made.protocol, made.destination.ports) == (132, ())


def test_the_older_kinds_ports_mean_the_same():
    ports = [
        {"portNumber": {"protocol": "TCP", "port": 80}},
        {"portRange": {"protocol": "TCP", "start": 1, "end": 2}},
        {"namedPort": "web"},
    ]
    made = read(admin(ingress=[{"action": "Allow", "from": [ANY], "ports": ports}])).spec.ingress
    assert [(rule.protocol, rule.destination.ports) for rule in made] == [
        (6, (PortRange(80, 80), PortRange(1, 2))),
        (None, ("web",)),
    ]


def test_a_peer_by_namespaces_is_not_pods_only():
    peers = [ANY, {"pods": {"namespaceSelector": {}, "podSelector": {}}}]
    of_namespaces, of_pods = read(cluster(ingress=[{"action": "Deny", "from": peers}])).spec.ingress
    assert (of_namespaces.source.selector, of_namespaces.source.namespace_selector) == ("", "all()")
    assert (of_pods.source.selector, of_pods.source.namespace_selector) == (PODS, "all()")


# --- Validation ---

ACCEPT = {"action": "Accept", "to": [ANY]}


@pytest.mark.parametrize(
    ("document", "path", "advice"),
    [
        (cluster(tier="admin"), "spec.tier", "Admin or Baseline"),
        (cluster(tier=None), "spec.tier", "cannot be left out"),
        (cluster(priority=None), "spec.priority", "cannot be left out"),
        (cluster(priority=-1), "spec.priority", "from 0 to 1000"),
        (cluster(priority=1001), "spec.priority", "from 0 to 1000"),
        (cluster(subject=None), "spec.subject", "cannot be left out"),
        (cluster(subject={}), "spec.subject", "exactly one of namespaces, pods"),
        (
            cluster(subject={**ANY, "pods": {"namespaceSelector": {}, "podSelector": {}}}),
            "spec.subject",
            "namespaces and pods",
        ),
        (cluster(subject={"pods": {"podSelector": {}}}), "spec.subject.pods.namespaceSelector", "cannot be left out"),
        (cluster(subject={"nodes": {}}), "spec.subject.nodes", "cannot be a field here"),
        (cluster(ingress=[{"action": "Allow", "from": [ANY]}]), "spec.ingress[0].action", "Accept, Deny or Pass"),
        (cluster(ingress=[{"action": "Deny"}]), "spec.ingress[0].from", "cannot be left out"),
        (cluster(ingress=[{"action": "Deny", "from": []}]), "spec.ingress[0].from", "cannot be empty"),
        (cluster(egress=[{"action": "Deny", "to": []}]), "spec.egress[0].to", "cannot be empty"),
        (cluster(ingress=[{"action": "Deny", "from": [{}]}]), "spec.ingress[0].from[0]", "exactly one of"),
        (
            cluster(ingress=[{"action": "Deny", "from": [{"networks": ["10.0.0.0/8"]}]}]),
            "spec.ingress[0].from[0].networks",
            "cannot be a field here",
        ),
        (
            cluster(egress=[{"action": "Accept", "to": [{"networks": ["10.0.0.1"]}]}]),
            "spec.egress[0].to[0].networks[0]",
            "write its length too",
        ),
        (cluster(egress=[{"action": "Accept", "to": [{"networks": []}]}]), "spec.egress[0].to[0].networks", "empty"),
        (
            cluster(egress=[{"action": "Deny", "to": [{"domainNames": ["example.com"]}]}]),
            "spec.egress[0].to[0].domainNames",
            "names can only be accepted",
        ),
        (
            cluster(egress=[{"action": "Accept", "to": [{"domainNames": ["a.*.com"]}]}]),
            "spec.egress[0].to[0].domainNames[0]",
            "'*.example.com'",
        ),
        (
            cluster(egress=[{"action": "Accept", "to": [{"domainNames": ["com"]}]}]),
            "spec.egress[0].to[0].domainNames[0]",
            "'*.example.com'",
        ),
        (cluster(egress=[ACCEPT | {"protocols": [{}]}]), "spec.egress[0].protocols[0]", "exactly one of tcp, udp"),
        (
            cluster(egress=[ACCEPT | {"protocols": [{"tcp": {"destinationPort": {}}}]}]),
            "spec.egress[0].protocols[0].tcp.destinationPort",
            "exactly one of number, range",
        ),
        (
            cluster(egress=[ACCEPT | {"protocols": [{"tcp": {"destinationPort": {"range": {"start": 9, "end": 1}}}}]}]),
            "spec.egress[0].protocols[0].tcp.destinationPort.range.end",
            "cannot be less than start, 9",
        ),
        (
            cluster(egress=[ACCEPT | {"protocols": [{"destinationNamedPort": 80}]}]),
            "spec.egress[0].protocols[0].destinationNamedPort",
            "a port's name",
        ),
        (
            cluster(ingress=[{"action": "Deny", "from": [ANY], "name": "x" * 101}]),
            "spec.ingress[0].name",
            "at most 100",
        ),
        (admin(tier="Admin"), "spec.tier", "cannot be a field here"),
        (admin(ingress=[{"action": "Accept", "from": [ANY]}]), "spec.ingress[0].action", "Allow, Deny or Pass"),
        (
            admin(ingress=[{"action": "Deny", "from": [ANY], "ports": [{"portNumber": {"port": 1}}]}]),
            "spec.ingress[0].ports[0].portNumber.protocol",
            "cannot be left out",
        ),
        (baseline(name="mine"), "metadata.name", "cannot be another than 'default'"),
        (baseline(priority=1), "spec.priority", "cannot be a field here"),
        (baseline(ingress=[{"action": "Pass", "from": [ANY]}]), "spec.ingress[0].action", "no policy stands behind"),
        (
            baseline(egress=[{"action": "Allow", "to": [{"domainNames": ["a.example"]}]}]),
            "spec.egress[0].to[0].domainNames",
            "only AdminNetworkPolicy",
        ),
    ],
)
def test_faults_are_told_with_their_path_and_how_to_mend_them(document, path, advice):
    assert advice in faults(document)[path]


def test_all_faults_are_told_at_once():
    document = cluster(priority=-1, ingress=[{"action": "Deny", "from": [{}]}], egress=[{"action": "Nope", "to": []}])
    assert set(faults(document)) == {
        "spec.priority",
        "spec.ingress[0].from[0]",
        "spec.egress[0].action",
        "spec.egress[0].to",
    }


# --- Rules that nobody understands ---

UNKNOWN = {"to": [{"services": {"name": "x"}}]}


@pytest.mark.parametrize(("action", "left"), [("Accept", []), ("Deny", [Action.DENY]), ("Pass", [Action.DENY])])
def test_a_rule_that_nobody_understands_fails_closed(action, left):
    document = cluster(egress=[{"action": action, **UNKNOWN}, {"action": "Accept", "to": [ANY]}])
    assert isinstance(decode(document), Faults)
    policy = fallback(document)
    assert policy.key.kind == "KubernetesClusterNetworkPolicy"
    assert [rule.action for rule in policy.spec.egress] == [*left, Action.ALLOW]
    assert policy.spec.types == (PolicyType.EGRESS,)


def test_a_closed_rule_is_about_everything():
    policy = fallback(cluster(ingress=[{"action": "Pass", "from": [{}]}]))
    world = [documents.namespace(), documents.pod("a", "10.0.0.1"), policy]
    assert not verdict(world, "192.0.2.1", "10.0.0.1").is_allowed
    assert verdict(world, "10.0.0.1", "192.0.2.1").is_allowed


@pytest.mark.parametrize(
    "document",
    [
        cluster(),
        cluster(tier="?", egress=[{"action": "Deny", **UNKNOWN}]),
        cluster(subject={}, egress=[{"action": "Deny", **UNKNOWN}]),
        cluster(egress=[{"action": "Allow", "to": [ANY]}]),
        cluster(egress=[{"action": "Nope", **UNKNOWN}]),
        cluster(egress={"action": "Deny"}),
        {"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": "x"}, "spec": {"order": "?"}},
        None,
        [],
    ],
)
def test_nothing_is_left_of_a_document_whose_other_parts_are_wrong(document):
    assert fallback(document) is None


# --- In force ---

NS, POD, OTHER = documents.namespace(), documents.pod("a", "10.0.0.1"), documents.pod("b", "10.0.0.2")


def node(name, *addresses, **labels):
    made = {"kind": "Node", "metadata": {"name": name, "labels": labels}}
    return documents.resource(
        made | {"status": {"addresses": [{"type": "InternalIP", "address": address} for address in addresses]}}
    )


def test_nodes_are_peers_by_their_labels():
    rules = [{"action": "Deny", "to": [{"nodes": {"matchLabels": {"zone": "a"}}}]}]
    world = [
        NS,
        POD,
        node("n1", "192.0.2.1", "2001:db8::1", zone="a"),
        node("n2", "192.0.2.2"),
        read(cluster(egress=rules)),
    ]
    assert not verdict(world, "10.0.0.1", "192.0.2.1").is_allowed
    assert verdict(world, "10.0.0.1", "192.0.2.2").is_allowed
    assert verdict(world, "10.0.0.1", "192.0.2.3").is_allowed


def test_nodes_are_nobody_for_the_selectors_of_other_rules():
    everybody = documents.policy(
        "deny",
        namespace="",
        egress=[{"action": "Deny", "destination": {"selector": "zone == 'a'"}}, {"action": "Allow"}],
    )
    world = [NS, POD, node("n1", "192.0.2.1", zone="a"), everybody]
    assert verdict(world, "10.0.0.1", "192.0.2.1").is_allowed


def test_names_are_accepted_once_they_are_learned():
    rules = [
        {"action": "Accept", "to": [{"domainNames": ["*.example.com"]}]},
        {"action": "Deny", "to": [{"networks": ["0.0.0.0/0"]}]},
    ]
    world = [NS, POD, read(cluster(egress=rules))]
    name = documents.learned("ns/a", "x.example.com", "192.0.2.1")
    assert not verdict(world, "10.0.0.1", "192.0.2.1").is_allowed
    assert verdict(world, "10.0.0.1", "192.0.2.1", names=[name]).is_allowed


def test_a_network_policy_is_final_for_its_pods_and_baseline_judges_the_others():
    own = documents.policy("own", selector="all()", ingress=[{"action": "Allow", "source": {"nets": ["192.0.2.1/32"]}}])
    network_policy = decode(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "own", "namespace": "ns"},
            "spec": {
                "podSelector": {},
                "ingress": [{"from": [{"ipBlock": {"cidr": "192.0.2.1/32"}}]}],
            },
        }
    )
    deny = read(cluster(tier="Baseline", ingress=[{"action": "Deny", "from": [{"namespaces": {}}]}]))
    for final in (own, network_policy):
        world = [NS, POD, OTHER, final, read(cluster(tier="Baseline", ingress=[{"action": "Accept", "from": [ANY]}]))]
        assert verdict(world, "192.0.2.1", "10.0.0.1").is_allowed
        assert not verdict(world, "10.0.0.2", "10.0.0.1").is_allowed
    assert not verdict([NS, POD, OTHER, deny], "10.0.0.2", "10.0.0.1").is_allowed
    assert verdict([NS, POD, OTHER, deny], "192.0.2.9", "10.0.0.1").is_allowed


def test_an_administrator_comes_before_everybody_and_may_pass_to_them():
    accept = {"action": "Accept", "from": [ANY]}
    deny = {"action": "Deny", "from": [ANY]}
    own = documents.policy("own", selector="all()", types=["Ingress"])
    assert not verdict([NS, POD, OTHER, own], "10.0.0.2", "10.0.0.1").is_allowed
    assert verdict([NS, POD, OTHER, own, read(cluster(ingress=[accept]))], "10.0.0.2", "10.0.0.1").is_allowed
    passing = [read(cluster(ingress=[{"action": "Pass", "from": [ANY]}, accept])), own]
    assert not verdict([NS, POD, OTHER, *passing], "10.0.0.2", "10.0.0.1").is_allowed
    first = [read(cluster("one", priority=1, ingress=[deny])), read(cluster("two", priority=2, ingress=[accept]))]
    assert not verdict([NS, POD, OTHER, *first], "10.0.0.2", "10.0.0.1").is_allowed
    older = [read(admin(priority=0, ingress=[{"action": "Allow", "from": [ANY]}])), *first]
    assert verdict([NS, POD, OTHER, *older], "10.0.0.2", "10.0.0.1").is_allowed


def test_all_fields_of_a_node_peer_are_said():
    [rule] = read(cluster(egress=[{"action": "Deny", "to": [{"nodes": {}}]}])).spec.egress
    assert isinstance(rule.destination, NodePeer)
    assert rule.destination.node_selector == ""
