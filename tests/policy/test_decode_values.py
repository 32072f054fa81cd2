"""Single fields: what is accepted and what is refused, with the path of the fault."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.errors import Faults
from policy.resources.decode import decode
from policy.rules import PortRange

CALICO = "projectcalico.org/v3"


def policy(spec=None, *, kind="NetworkPolicy", **metadata):
    return {"apiVersion": CALICO, "kind": kind, "metadata": {"name": "p", **metadata}, "spec": spec or {}}


def egress(**rule):
    return policy({"egress": [{"action": "Allow", **rule}]})


def faults(document):
    decoded = decode(document)
    return {fault.path: fault.message for fault in decoded.faults} if isinstance(decoded, Faults) else {}


def first_rule(document):
    decoded = decode(document)
    assert not isinstance(decoded, Faults), str(decoded)
    return decoded.spec.egress[0]


PORT = "spec.egress[0].destination.ports[0]"


@pytest.mark.parametrize(
    ("port", "read"),
    [
        (1, PortRange(1, 1)),
        (65535, PortRange(65535, 65535)),
        ("80", PortRange(80, 80)),
        ("0080", PortRange(80, 80)),
        ("80:90", PortRange(80, 90)),
        ("80:80", PortRange(80, 80)),
        ("http", "http"),
        ("a_b.C-9", "a_b.C-9"),
        ("80-90", "80-90"),
        ("x" * 128, "x" * 128),
    ],
)
def test_ports_accepted(port, read):
    assert first_rule(egress(protocol="TCP", destination={"ports": [port]})).destination.ports == (read,)


@pytest.mark.parametrize(
    "port",
    [
        0,
        -1,
        65536,
        10**30,
        80.0,
        True,
        None,
        [80],
        {"port": 80},
        "",
        "0",
        "65536",
        "0:10",
        "10:5",
        "1:70000",
        "80:",
        ":80",
        "80:90:100",
        " 80",
        "+80",
        "a b",
        "ü",
        "٣",
        "x" * 129,
        "9" * 5000,
        "80,443",
    ],
)
def test_ports_refused(port):
    assert list(faults(egress(protocol="TCP", destination={"ports": [port]}))) == [PORT]


@given(st.integers())
def test_a_port_is_accepted_as_number_and_as_digits_alike(number):
    by_number = faults(egress(protocol="TCP", destination={"ports": [number]}))
    assert (not by_number) == (1 <= number <= 65535)
    if number >= 0:
        assert (not faults(egress(protocol="TCP", destination={"ports": [str(number)]}))) == (not by_number)


@given(st.integers(0, 70000), st.integers(0, 70000))
def test_a_range_of_ports_runs_upward_within_bounds(first, last):
    refused = faults(egress(protocol="TCP", destination={"ports": [f"{first}:{last}"]}))
    assert (not refused) == (1 <= first <= last <= 65535)


@pytest.mark.parametrize(
    ("protocol", "number"),
    [
        ("TCP", 6),
        ("UDP", 17),
        ("ICMP", 1),
        ("ICMPv6", 58),
        ("SCTP", 132),
        ("UDPLite", 136),
        (1, 1),
        (255, 255),
        ("6", 6),
        ("006", 6),
    ],
)
def test_protocols_accepted(protocol, number):
    assert first_rule(egress(protocol=protocol)).protocol == number
    assert first_rule(egress(notProtocol=protocol)).not_protocol == number


@pytest.mark.parametrize(
    "protocol", ["tcp", "Tcp", "udp", "icmpv6", "UDPlite", "IGMP", "", 0, 256, -1, "0", "256", True, 6.0, ["TCP"]]
)
def test_protocols_refused(protocol):
    assert list(faults(egress(protocol=protocol))) == ["spec.egress[0].protocol"]
    assert list(faults(egress(notProtocol=protocol))) == ["spec.egress[0].notProtocol"]


@given(st.integers())
def test_protocol_numbers_are_a_byte(number):
    assert (not faults(egress(protocol=number))) == (1 <= number <= 255)


def test_a_protocol_in_the_wrong_case_is_told_the_right_one():
    assert faults(egress(protocol="tcp")) == {"spec.egress[0].protocol": "cannot be 'tcp': write TCP"}


@pytest.mark.parametrize("net", ["10.0.0.0/8", "0.0.0.0/0", "10.1.2.3/32", "2001:db8::/32", "::/0", "fd00::1/128"])
def test_networks_of_rules_accepted(net):
    (read,) = first_rule(egress(destination={"nets": [net]})).destination.nets
    assert str(read) == net


@pytest.mark.parametrize(
    "net",
    [
        "10.0.0.1/8",
        "10.0.0.1",
        "fd00::1",
        "fd00::1/64",
        "10.0.0.0/33",
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/0.255.255.255",
        "a",
        "10.0.0/8",
        "010.0.0.0/8",
        "10.0.0.0/",
        "/8",
        "",
        "fe80::%eth0/64",
        "10.0.0.0/-1",
        "10.0.0.0/ 8",
        10,
        True,
        None,
        ["x"],
    ],
)
@pytest.mark.parametrize("field", ["nets", "notNets"])
def test_networks_of_rules_refused(net, field):
    assert list(faults(egress(destination={field: [net]}))) == [f"spec.egress[0].destination.{field}[0]"]


def test_host_bits_are_refused_with_the_network_to_write():
    (message,) = faults(egress(destination={"nets": ["10.0.0.1/8"]})).values()
    assert "10.0.0.0/8" in message


def network_set(net, kind="GlobalNetworkSet"):
    return {"apiVersion": CALICO, "kind": kind, "metadata": {"name": "s"}, "spec": {"nets": [net]}}


@pytest.mark.parametrize(
    ("net", "read"),
    [
        ("10.0.0.1", "10.0.0.1/32"),
        ("10.0.0.1/8", "10.0.0.0/8"),
        ("fd00::1", "fd00::1/128"),
        ("fd00::1/64", "fd00::/64"),
    ],
)
def test_networks_of_sets_may_have_host_bits_or_no_length(net, read):
    decoded = decode(network_set(net))
    assert [str(network) for network in decoded.spec.nets] == [read]


@pytest.mark.parametrize("net", ["10.0.0.0/33", "x", "", "fe80::1%eth0", 1, None])
def test_networks_of_sets_refused(net):
    assert list(faults(network_set(net))) == ["spec.nets[0]"]


@pytest.mark.parametrize("order", [0, -5, 1.5, 1e300, None])
def test_orders_accepted(order):
    assert decode(policy({"order": order})).spec.order == order


@pytest.mark.parametrize("order", ["1", True, float("nan"), float("inf"), 10**400, [1]])
def test_orders_refused(order):
    assert list(faults(policy({"order": order}))) == ["spec.order"]


@pytest.mark.parametrize(
    "text", ["", "  ", "all()", "a == 'b'", "has(x) && !(y in {'a'})", "a == '" + "x" * 1017 + "'"]
)
@pytest.mark.parametrize("field", ["selector", "serviceAccountSelector"])
def test_selectors_accepted(field, text):
    assert not faults(policy({field: text}))


@pytest.mark.parametrize(
    "text", ["a = 'b'", "a ==", "(", "global()", "!global() || a == 'b'", "a == '" + "x" * 1018 + "'", 5, ["a"]]
)
@pytest.mark.parametrize("field", ["selector", "serviceAccountSelector"])
def test_selectors_refused(field, text):
    assert list(faults(policy({field: text}))) == [f"spec.{field}"]


@pytest.mark.parametrize("field", ["selector", "notSelector"])
def test_global_is_refused_in_selectors_of_rules(field):
    assert list(faults(egress(source={field: "global()"}))) == [f"spec.egress[0].source.{field}"]


def test_global_is_a_whole_namespace_selector_of_a_rule_only():
    assert not faults(egress(source={"namespaceSelector": "global()"}))
    assert not faults(egress(source={"namespaceSelector": " ( global( ) ) "}))
    assert not faults(egress(source={"namespaceSelector": "a == 'global()'"}))
    assert faults(egress(source={"namespaceSelector": "global() || has(x)"}))
    assert faults(egress(source={"namespaceSelector": "!global()"}))
    assert faults(policy({"namespaceSelector": "global()"}, kind="GlobalNetworkPolicy"))


@pytest.mark.parametrize("icmp", [{"type": 0}, {"type": 254, "code": 255}, {"type": 8, "code": 0}, {}])
def test_icmp_accepted(icmp):
    assert not faults(egress(protocol="ICMP", icmp=icmp))


@pytest.mark.parametrize(
    ("icmp", "where"),
    [
        ({"type": 255}, "type"),
        ({"type": -1}, "type"),
        ({"type": 8, "code": 256}, "code"),
        ({"code": 0}, "code"),
        ({"type": "8"}, "type"),
        ({"type": True}, "type"),
        ({"typ": 8}, "typ"),
    ],
)
def test_icmp_refused(icmp, where):
    assert list(faults(egress(protocol="ICMP", icmp=icmp))) == [f"spec.egress[0].icmp.{where}"]


@pytest.mark.parametrize("key", ["a", "a/b", "A_b.c-D", "example.com/x", "x" * 63, ("y" * 63 + ".") * 3 + "z/x"])
def test_label_keys_accepted(key):
    assert not faults(policy(labels={key: "v"}))
    assert not faults(policy(annotations={key: "any text\nat all, ü"}))


@pytest.mark.parametrize("key", ["", "/", "a/", "/a", "a/b/c", "-a", "a-", "x" * 64, "a b", "A.b/x!", "ü", 5, True])
def test_label_keys_refused(key):
    assert faults(policy(labels={key: "v"}))
    assert faults(policy(annotations={key: "v"}))


def test_the_prefix_of_an_annotation_may_be_upper_case_but_not_that_of_a_label():
    assert not faults(policy(annotations={"Example.com/x": ""}))
    assert faults(policy(labels={"Example.com/x": ""}))


@pytest.mark.parametrize("value", ["", "a", "A.b_c-9", "x" * 63])
def test_label_values_accepted(value):
    assert not faults(policy(labels={"k": value}))


@pytest.mark.parametrize("value", ["-a", "a-", "a b", "a/b", "x" * 64, None, 5, True, ["a"]])
def test_label_values_refused(value):
    assert list(faults(policy(labels={"k": value}))) == ["metadata.labels.k"]


def test_annotations_are_bounded_together():
    assert not faults(policy(annotations={"a": "x" * (256 * 1024 - 1)}))
    assert list(faults(policy(annotations={"a": "x" * (256 * 1024)}))) == ["metadata.annotations"]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("Tier", ["a", "a-b", "x" * 63], ["a.b", "x" * 64, "A", "-a", "a-", "", "a_b"]),
        (
            "NetworkPolicy",
            ["a", "a.b", "default.a", "knp.default.a.b.c", "ossg.default.a", "x" * 253],
            ["a.b.c", "knp.other.a.b", "A", "a..b", "knp.default." + "a." * 121 + "a", ""],
        ),
        ("GlobalNetworkPolicy", ["a", "tier.b"], ["a.b.c", "knp.default.a", "A", "a_b", ""]),
        (
            "GlobalNetworkSet",
            ["a", "a.b.c.d", ".".join(["x" * 61] * 4)],
            ["a_b", "A", "a..b", ".".join(["x" * 63] * 4), ""],
        ),
    ],
)
def test_names(kind, good, bad):
    for name in good:
        assert not faults(policy({}, kind=kind, name=name)), name
    for name in bad:
        assert list(faults(policy({}, kind=kind, name=name))) == ["metadata.name"], name


@pytest.mark.parametrize("name", [None, 5, True, ["a"], {"a": 1}])
def test_a_name_must_be_there_and_be_text(name):
    assert list(faults(policy(name=name))) == ["metadata.name"]


def test_a_namespaced_resource_goes_to_the_default_namespace():
    assert decode(policy()).metadata.namespace == "default"
    assert decode(policy(namespace=None)).metadata.namespace == "default"
    assert decode(policy(namespace="x")).metadata.namespace == "x"
    assert list(faults(policy(namespace="a.b"))) == ["metadata.namespace"]


def test_a_cluster_wide_resource_has_no_namespace():
    assert decode(policy(kind="GlobalNetworkPolicy")).metadata.namespace == ""
    assert list(faults(policy(kind="GlobalNetworkPolicy", namespace="x"))) == ["metadata.namespace"]


@pytest.mark.parametrize(
    "domain", ["g*.test", "*.*.test", "a.*", "", "a..b", "a" * 64 + ".test", "a." * 126 + "abc", "*", 5, None, True]
)
def test_domains_refused(domain):
    assert list(faults(egress(destination={"domains": ["ok.test", domain]}))) == [
        "spec.egress[0].destination.domains[1]"
    ]
    for kind in ("NetworkSet", "GlobalNetworkSet"):
        assert list(faults(policy({"allowedEgressDomains": [domain]}, kind=kind))) == ["spec.allowedEgressDomains[0]"]


def test_domains_accepted():
    rule = first_rule(
        egress(
            destination={"domains": ["a.test.", "*.B.test", "www.*.c.test", "bücher.test"], "ports": [443]},
            protocol="TCP",
        )
    )
    assert list(map(str, rule.destination.domains)) == ["a.test", "*.b.test", "www.*.c.test", "xn--bcher-kva.test"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("nets", "10.0.0.0/8"),
        ("nets", {"a": 1}),
        ("ports", 80),
        ("domains", "a.test"),
        ("selector", ["a"]),
        ("serviceAccounts", []),
        ("services", "a"),
    ],
)
def test_fields_of_the_wrong_type_are_refused(field, value):
    assert list(faults(egress(destination={field: value}))) == [f"spec.egress[0].destination.{field}"]
