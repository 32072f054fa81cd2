"""Whatever a document holds, decoding gives a resource or faults, and never raises."""

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from policy.errors import Fault, Faults
from policy.resources.decode import decode, fallback, identify
from policy.resources.metadata import Resource
from policy.resources.registry import KINDS

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["TCP", "80:90", "10.0.0.0/8", "fd00::/8", "*.a.test", "all()", "Allow", "Egress", "10.0.0.1", 80, 6]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4),
    max_leaves=20,
)

RULE = {
    "action": "Allow",
    "ipVersion": 4,
    "protocol": "TCP",
    "notProtocol": 17,
    "source": {"nets": ["10.0.0.0/8"], "notNets": ["10.1.0.0/16"], "selector": "a == 'b'", "notPorts": [80, "x"]},
    "destination": {"domains": ["*.a.test"], "ports": [80, "80:90", "http"]},
    "metadata": {"annotations": {"a": "b"}},
}
SPEC = {"tier": "t", "order": 1.5, "selector": "all()", "types": ["Egress"], "egress": [RULE, {"action": "Pass"}]}
WORKLOAD = {
    "interfaceName": "cali1",
    "ipNetworks": ["10.0.0.1/32"],
    "ipNATs": [{"internalIP": "10.0.0.1", "externalIP": "192.0.2.1"}],
    "ports": [{"name": "a", "protocol": "TCP", "port": 80}],
}
POD = {
    "nodeName": "n",
    "containers": [{"name": "c", "ports": [{"name": "a", "containerPort": 80}]}],
    "serviceAccountName": "s",
}
SPECS = {
    "NetworkPolicy": SPEC,
    "GlobalNetworkPolicy": {**SPEC, "namespaceSelector": "all()", "preDNAT": False},
    "Profile": {"egress": [RULE], "labelsToApply": {"a": "b"}},
    "Tier": {"order": 5, "defaultAction": "Pass"},
    "GlobalNetworkSet": {"nets": ["10.0.0.1"], "allowedEgressDomains": ["a.test"]},
    "WorkloadEndpoint": WORKLOAD,
    "HostEndpoint": {"node": "n", "interfaceName": "*", "expectedIPs": ["10.0.0.1"]},
    "Pod": POD,
}
KUBERNETES_SPEC = {
    "podSelector": {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]},
    "policyTypes": ["Egress"],
    "ingress": [{"ports": [{"port": 80, "endPort": 90}], "from": [{"namespaceSelector": {}}]}],
    "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}],
}


SUBJECT = {"pods": {"namespaceSelector": {"matchLabels": {"a": "b"}}, "podSelector": {}}}
CLUSTER_SPECS = {
    "FelixConfiguration": {"nodeSelector": "all()", "logPrefix": "x", "failsafeInboundHostPorts": [{"port": 22}]},
    "IPPool": {"cidr": "10.0.0.0/16", "blockSize": 26, "allowedUses": ["Workload"]},
    "ClusterNetworkPolicy": {
        "tier": "Baseline",
        "priority": 1,
        "subject": SUBJECT,
        "ingress": [{"action": "Deny", "from": [SUBJECT], "protocols": [{"tcp": {"destinationPort": {"number": 1}}}]}],
        "egress": [
            {"action": "Accept", "to": [{"domainNames": ["*.a.b"]}, {"networks": ["10.0.0.0/8"]}, {"nodes": {}}]}
        ],
    },
    "AdminNetworkPolicy": {
        "priority": 1,
        "subject": SUBJECT,
        "ingress": [{"action": "Pass", "from": [SUBJECT], "ports": [{"portNumber": {"protocol": "TCP", "port": 1}}]}],
        "egress": [{"name": "x", "action": "Allow", "to": [{"nodes": {}}], "ports": [{"namedPort": "web"}]}],
    },
    "BaselineAdminNetworkPolicy": {"subject": SUBJECT, "egress": [{"action": "Deny", "to": [{"networks": ["::/0"]}]}]},
}


def spec_of(version, kind):
    if kind in CLUSTER_SPECS:
        return CLUSTER_SPECS[kind]
    return KUBERNETES_SPEC if version == "networking.k8s.io/v1" else SPECS.get(kind, {})


DOCUMENTS = [
    {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": "default" if kind.startswith("Baseline") else "x", "labels": {"a": "b"}},
        "spec": spec_of(version, kind),
        **({"addressType": "IPv6", "endpoints": [{"addresses": ["fd00::1"]}]} if kind == "EndpointSlice" else {}),
    }
    for version, kind in KINDS
]


def places(value, path=()):
    """Every place in a document that something else could stand in."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


@st.composite
def damaged(draw):
    document = copy.deepcopy(draw(st.sampled_from(DOCUMENTS)))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from([path for path in places(document) if path]))
        parent = document
        for step in path[:-1]:
            parent = parent[step]
        if isinstance(parent, dict) and draw(st.booleans()):
            parent[
                draw(st.text(max_size=6) | st.sampled_from(["nets", "domains", "services", "icmp", "http", "ports"]))
            ] = draw(VALUES)
        else:
            parent[path[-1]] = draw(VALUES)
    return document


def check(document):
    decoded = decode(document)
    identify(document)
    closed = fallback(document)
    assert closed is None or isinstance(decoded, Faults)
    if isinstance(decoded, Faults):
        assert decoded.faults
        assert all(isinstance(fault, Fault) and fault.message for fault in decoded.faults)
        assert len(set(decoded.faults)) == len(decoded.faults)
        assert str(decoded)
    else:
        assert isinstance(decoded, Resource)
        assert decoded.key.name


def test_the_documents_to_damage_are_good():
    assert not [str(decode(document)) for document in DOCUMENTS if isinstance(decode(document), Faults)]


@given(VALUES)
def test_any_value(document):
    check(document)


@given(st.sampled_from(sorted(KINDS)), st.dictionaries(st.sampled_from(["metadata", "spec", "status", "x"]), VALUES))
def test_any_content_of_a_known_kind(kind, content):
    check({"apiVersion": kind[0], "kind": kind[1], **content})


@settings(max_examples=500)
@given(damaged())
def test_any_damage_to_a_good_document(document):
    check(document)


def test_deep_and_large_documents():
    deep = "x"
    for _ in range(50_000):
        deep = {"spec": deep}
    check({"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": "x"}, "spec": deep})
    check(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "labels": deep}, "spec": {"containers": [deep]}}
    )
    check(deep)
    selector = "(" * 500 + "a == 'b'" + ")" * 500
    check(
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": "NetworkPolicy",
            "metadata": {"name": "x"},
            "spec": {"selector": selector},
        }
    )
