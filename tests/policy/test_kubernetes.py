"""Kubernetes' own documents: what of them is read, and what pods and NetworkPolicies become in Calico's terms."""

import pytest

from policy.errors import Faults
from policy.graph import CalcGraph, applied
from policy.resources.conversion import endpoint_of_pod
from policy.resources.decode import decode
from policy.resources.metadata import ResourceKey
from policy.resources.policies import NetworkPolicy
from policy.rules import Action, NodeState, PortRange
from policy.tiers import policy_id

PODS = "projectcalico.org/orchestrator == 'k8s'"


def paths(doc):
    decoded = decode(doc)
    return [fault.path for fault in decoded.faults] if isinstance(decoded, Faults) else []


def pod(spec=None, status=None, **metadata):
    return decode(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web-1", "namespace": "shop", **metadata},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}], **(spec or {})},
            "status": status
            if status is not None
            else {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]},
        }
    )


def networks(endpoint):
    return [str(network) for network in endpoint.spec.ip_networks]


# --- Pods ---


def test_a_pod_becomes_an_endpoint():
    endpoint = endpoint_of_pod(
        pod({"serviceAccountName": "robot"}, labels={"app": "web", "pcns.team": "x", "pcsa.y": "z"})
    )
    assert endpoint.key == ResourceKey("WorkloadEndpoint", "shop", "web-1")
    assert endpoint.metadata.labels == {
        "app": "web",
        "projectcalico.org/namespace": "shop",
        "projectcalico.org/orchestrator": "k8s",
        "projectcalico.org/serviceaccount": "robot",
    }
    assert (endpoint.spec.node, endpoint.spec.pod, endpoint.spec.interface_name) == ("n1", "web-1", "")
    assert endpoint.spec.profiles == ("kns.shop", "ksa.shop.robot")
    assert networks(endpoint) == ["10.0.0.1/32", "fd00::1/128"]


def test_a_pod_without_an_account_has_one_profile():
    endpoint = endpoint_of_pod(pod())
    assert endpoint.spec.profiles == ("kns.shop",)
    assert "projectcalico.org/serviceaccount" not in endpoint.metadata.labels


def test_the_name_of_an_account_is_a_label_only_if_it_is_short_enough():
    for length, is_label in ((62, True), (63, False)):
        endpoint = endpoint_of_pod(pod({"serviceAccountName": "a" * length}))
        assert ("projectcalico.org/serviceaccount" in endpoint.metadata.labels) == is_label
        assert endpoint.spec.service_account_name == "a" * length


@pytest.mark.parametrize(
    ("status", "annotations", "expected"),
    [
        ({"podIPs": [{"ip": "10.0.0.1"}], "podIP": "10.0.0.9"}, {}, ["10.0.0.1/32"]),
        ({"podIP": "10.0.0.9"}, {"podIPs": "10.0.0.1/32"}, ["10.0.0.9/32"]),
        ({}, {"podIPs": "10.0.0.1/32, fd00::1/128", "podIP": "10.0.0.9/32"}, ["10.0.0.1/32", "fd00::1/128"]),
        ({}, {"podIP": "10.0.0.9/32"}, ["10.0.0.9/32"]),
        ({}, {"podIP": "nonsense"}, []),
        ({}, {}, []),
        ({"phase": "Succeeded", "podIP": "10.0.0.9"}, {}, []),
        ({"phase": "Failed", "podIPs": [{"ip": "10.0.0.9"}]}, {}, []),
        ({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}]}, {}, ["10.0.0.1/32"]),
    ],
)
def test_where_a_pods_addresses_come_from(status, annotations, expected):
    annotations = {f"cni.projectcalico.org/{key}": value for key, value in annotations.items()}
    assert networks(endpoint_of_pod(pod(status=status, annotations=annotations))) == expected


def test_a_pod_in_the_hosts_network_is_no_endpoint():
    assert endpoint_of_pod(pod({"hostNetwork": True})) is None


def test_ports_are_those_with_a_name_or_a_host_port():
    ports = [
        {"name": "http", "containerPort": 80},
        {"name": "dns", "containerPort": 53, "protocol": "UDP"},
        {"containerPort": 81},
        {"containerPort": 82, "hostPort": 8082, "protocol": "SCTP"},
        {"name": "odd", "containerPort": 83, "protocol": "ICMP"},
    ]
    endpoint = endpoint_of_pod(
        pod({"containers": [{"ports": ports}], "initContainers": [{"ports": [{"name": "i", "containerPort": 1}]}]})
    )
    assert [(port.name, port.protocol, port.port, port.host_port) for port in endpoint.spec.ports] == [
        ("i", 6, 1, 0),
        ("http", 6, 80, 0),
        ("dns", 17, 53, 0),
        ("", 132, 82, 8082),
    ]


def test_annotations_of_the_network_plugin():
    annotations = {
        "cni.projectcalico.org/allowedSourcePrefixes": '["10.9.0.0/16", "nonsense", 5]',
        "cni.projectcalico.org/floatingIPs": '["192.0.2.1", "2001:db8::1", "nonsense"]',
    }
    spec = endpoint_of_pod(pod(annotations=annotations)).spec
    assert list(map(str, spec.allow_spoofed_source_prefixes)) == ["10.9.0.0/16"]
    assert [(str(nat.internal_ip), str(nat.external_ip)) for nat in spec.ip_nats] == [
        ("10.0.0.1", "192.0.2.1"),
        ("fd00::1", "2001:db8::1"),
    ]


@pytest.mark.parametrize("text", ["", "{", "{}", "5", '"x"', "[" * 100_000])
def test_annotations_that_cannot_be_read_count_as_absent(text):
    annotations = {"cni.projectcalico.org/allowedSourcePrefixes": text, "cni.projectcalico.org/floatingIPs": text}
    spec = endpoint_of_pod(pod(annotations=annotations)).spec
    assert (spec.allow_spoofed_source_prefixes, spec.ip_nats) == ((), ())


def test_what_policy_does_not_read_of_a_pod_is_dropped():
    spec = {
        "volumes": [{"name": "v"}],
        "tolerations": [],
        "dnsPolicy": "Default",
        "containers": [{"env": [{"name": "x"}]}],
    }
    assert pod(spec, {"conditions": [], "phase": "Pending", "podIP": None}).status.pod_ip is None


def test_a_namespace_has_the_label_that_the_server_gives_it():
    namespace = decode(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}, "spec": {"finalizers": ["k"]}}
    )
    assert namespace.metadata.labels == {"kubernetes.io/metadata.name": "shop"}
    assert namespace.metadata.namespace == ""
    assert paths({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "A"}}) == ["metadata.name"]


def test_a_service_account():
    account = decode(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a", "labels": {"x": "y"}}, "secrets": []}
    )
    assert account.key == ResourceKey("ServiceAccount", "default", "a")


@pytest.mark.parametrize("kind", ["Node", "Service"])
def test_kinds_that_dumps_hold_beside_are_accepted(kind):
    assert paths({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}, "spec": {"x": [1]}, "status": {}}) == []


# --- NetworkPolicy ---


def document(spec, **metadata):
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "p", "namespace": "shop", **metadata},
        "spec": spec,
    }


def converted(spec):
    policy = decode(document({"podSelector": {}, **spec}))
    assert isinstance(policy, NetworkPolicy), str(policy)
    return policy


def test_a_policy_stands_in_the_default_tier_under_a_kind_of_its_own():
    policy = converted({})
    assert policy.key == ResourceKey("KubernetesNetworkPolicy", "shop", "p")
    assert (policy.spec.tier, policy.spec.order, policy.spec.selector) == ("default", 1000, PODS)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, PODS),
        ({"matchLabels": {"b": "2", "a": "1"}}, f"{PODS} && a == '1' && b == '2'"),
        (
            {
                "matchExpressions": [
                    {"key": "a", "operator": "In", "values": ["1", "2"]},
                    {"key": "b", "operator": "NotIn", "values": [""]},
                    {"key": "x.y/c", "operator": "Exists"},
                    {"key": "d", "operator": "DoesNotExist", "values": []},
                ]
            },
            f"{PODS} && a in {{'1', '2'}} && b not in {{''}} && has(x.y/c) && !has(d)",
        ),
    ],
)
def test_selectors(selector, expected):
    assert converted({"podSelector": selector}).spec.selector == expected


@pytest.mark.parametrize(
    ("spec", "types"),
    [
        ({}, ["Ingress"]),
        ({"egress": [{}]}, ["Ingress", "Egress"]),
        ({"egress": []}, ["Ingress"]),
        ({"policyTypes": ["Egress"]}, ["Egress"]),
        ({"policyTypes": ["Ingress"], "egress": [{}]}, ["Ingress"]),
    ],
)
def test_types(spec, types):
    assert list(converted(spec).spec.types) == types


def test_a_rule_without_anything_allows_everything():
    spec = converted({"ingress": [{}], "egress": [{}]}).spec
    for rule in (*spec.ingress, *spec.egress):
        assert rule.action is Action.ALLOW
        assert rule.protocol is None
        assert rule.source == rule.destination == type(rule.source)()


def test_ports_are_grouped_by_protocol_and_merged():
    ports = [
        {"port": 81},
        {"port": 80},
        {"port": "web"},
        {"protocol": "UDP", "port": 53},
        {"port": 90, "endPort": 99},
        {"port": 95, "endPort": 200},
        {"protocol": "SCTP", "port": 1},
        {"protocol": "SCTP"},
    ]
    for rules, side in (
        (converted({"ingress": [{"ports": ports}]}).spec.ingress, "destination"),
        (converted({"egress": [{"ports": ports}]}).spec.egress, "destination"),
    ):
        assert [(rule.protocol, getattr(rule, side).ports) for rule in rules] == [
            (6, (PortRange(80, 81), PortRange(90, 200), "web")),
            (17, (PortRange(53, 53),)),
            (132, ()),
        ]


def test_peers():
    peers = [
        {"podSelector": {"matchLabels": {"a": "b"}}},
        {"namespaceSelector": {}},
        {"namespaceSelector": {"matchLabels": {"team": "x"}}, "podSelector": {"matchLabels": {"a": "b"}}},
        {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
    ]
    spec = converted(
        {
            "ingress": [{"from": peers}],
            "egress": [{"to": peers, "ports": [{"port": 80}, {"protocol": "UDP", "port": 53}]}],
        }
    ).spec
    sources = [rule.source for rule in spec.ingress]
    assert [(source.selector, source.namespace_selector) for source in sources] == [
        (f"{PODS} && a == 'b'", ""),
        (PODS, "all()"),
        (f"{PODS} && a == 'b'", "team == 'x'"),
        ("", ""),
    ]
    assert [str(net) for net in sources[3].nets] == ["10.0.0.0/8"]
    assert [str(net) for net in sources[3].not_nets] == ["10.1.0.0/16"]
    assert [(rule.protocol, rule.destination.selector, bool(rule.destination.ports)) for rule in spec.egress] == [
        (protocol, source.selector, True) for protocol in (6, 17) for source in sources
    ]


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"podSelector": {"matchLabels": {"a": "-"}}}, ["podSelector.matchLabels.a"]),
        ({"podSelector": {"matchExpressions": [{"key": "a", "operator": "in", "values": ["b"]}]}}, ["podSelector.matchExpressions[0].operator"]),
        ({"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}, ["podSelector.matchExpressions[0].values"]),
        ({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}}, ["podSelector.matchExpressions[0].values"]),
        ({"policyTypes": ["ingress"]}, ["policyTypes[0]"]),
        ({"ingress": [{"to": []}]}, ["ingress[0].to"]),
        ({"egress": [{"from": []}]}, ["egress[0].from"]),
        ({"ingress": [{"from": [{}]}]}, ["ingress[0].from[0]"]),
        ({"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}]}, ["ingress[0].from[0].podSelector"]),
        ({"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0"}}]}]}, ["ingress[0].from[0].ipBlock.cidr"]),
        ({"ingress": [{"from": [{"ipBlock": {}}]}]}, ["ingress[0].from[0].ipBlock.cidr"]),
        ({"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/8", "10.0.0.0/8", "fd00::/8"]}}]}]},
         [f"ingress[0].from[0].ipBlock.except[{index}]" for index in range(3)]),
        ({"egress": [{"ports": [{"port": 80, "endPort": 79}]}]}, ["egress[0].ports[0].endPort"]),
        ({"egress": [{"ports": [{"port": "http", "endPort": 80}]}]}, ["egress[0].ports[0].endPort"]),
        ({"egress": [{"ports": [{"endPort": 80}]}]}, ["egress[0].ports[0].endPort"]),
        ({"egress": [{"ports": [{"port": 0}, {"port": 65536}, {"port": "80"}, {"port": "A"}, {"port": "x" * 16}, {"port": True}]}]},
         [f"egress[0].ports[{index}].port" for index in range(6)]),
        ({"egress": [{"ports": [{"protocol": "ICMP"}]}]}, ["egress[0].ports[0].protocol"]),
    ],
)  # fmt: skip
def test_policies_refused(spec, found):
    assert paths(document({"podSelector": {}, **spec})) == [f"spec.{path}" for path in found]


def test_calicos_limits_do_not_hold_for_converted_policies():
    labels = {f"label-{number}": "x" * 60 for number in range(50)}
    ports = [{"port": number} for number in range(1, 400, 2)]
    policy = converted(
        {
            "podSelector": {"matchLabels": labels},
            "ingress": [{"ports": ports, "from": [{"podSelector": {"matchLabels": labels}}]}],
        }
    )
    assert len(policy.spec.selector) > 1024
    assert len(policy.spec.ingress[0].destination.ports) == 200


def test_a_kubernetes_policy_governs_the_pods_it_selects():
    graph = CalcGraph("n1")
    policy = converted({"podSelector": {}, "policyTypes": ["Egress"]})
    for resource in (pod(), policy):
        graph.on_update(resource.key, resource)
    graph.in_sync()
    state = applied(NodeState(), graph.flush())
    (known,) = state.endpoints.values()
    assert [tier.egress for tier in known.tiers] == [(policy_id(policy),)]
    graph.on_update(policy.key, None)
    (known,) = applied(state, graph.flush()).endpoints.values()
    assert not known.tiers
