"""What a rule matches, row by row, for both judges: the packet that just meets the rule, and the one that just does not."""

import json

import pytest

from tests.policy.documents import account, namespace, network_set, pod, policy
from tidegate.judge.probe import parse_probe
from tidegate.judge.roster import Roster
from tidegate.judge.session import Oracle, Session, disagree

PORTS = [("web", "TCP", 80), ("dns", "UDP", 53), ("peer", "SCTP", 9)]
OTHERS = [
    namespace("ns", team="red"),
    namespace("other", team="blue"),
    account("sa", grade="gold"),
    account("sa", namespace="other", grade="tin"),
    pod("b", "192.0.2.4 2001:db8::4", labels={"app": "b"}, account="sa", ports=PORTS),
    pod("c", "192.0.2.5", namespace="other", labels={"app": "b"}, account="sa", ports=[("web", "TCP", 81)]),
    network_set("global", labels={"app": "b"}, nets=["198.51.100.0/24"]),
    network_set("local", namespace="ns", labels={"app": "b"}, nets=["203.0.113.0/24"]),
]
A = pod("a", "10.0.0.1 fd00::1", labels={"app": "a"})
B4, B6, C4, SET, LOCAL, NOBODY, NOBODY6 = (
    *("192.0.2.4", "2001:db8::4", "192.0.2.5", "198.51.100.7", "203.0.113.7", "192.0.2.99", "2001:db8::99"),
)
TCP, UDP, SCTP, ICMP, ICMP6 = "TCP", "UDP", "SCTP", "ICMP", "ICMPv6"


def matches(rule, to, protocol=TCP, owner="", **fields):
    """Whether an Allow rule of a policy in the namespace (or of none) lets the packet go; the judges agree."""
    egress = [{"action": "Allow", **rule}]
    subject = policy("p", namespace=owner, selector="app == 'a'", types=["Egress"], egress=egress)
    resources = [A, *OTHERS, subject]
    if protocol not in (ICMP, ICMP6):
        fields = {"port": 80, "sourcePort": 1234, **fields}
    probe = {"from": {"pod": "ns/a"}, "to": {"ip": to}, "protocol": protocol, **fields}
    answers = Session(resources, Roster(resources), [], Oracle.BOTH).answers(parse_probe(json.dumps(probe)))
    assert not disagree(answers)
    return answers[Oracle.EVALUATE].egress.is_allowed


def to(**entity):
    return {"destination": entity}


PING, PING6 = {"protocol": "ICMP", "ipVersion": 4}, {"protocol": 58}
MANY_PORTS = [*range(100, 140, 2), "200:210", "web"]


@pytest.mark.parametrize(
    ("rule", "hit", "miss"),
    [
        ({"protocol": "TCP"}, (B4, TCP), (B4, UDP)),
        ({"protocol": 132}, (B6, SCTP), (B6, TCP)),
        ({"protocol": "UDPLite"}, (B4, 136), (B4, UDP)),
        ({"protocol": 47}, (B4, 47), (B4, 46)),
        ({"notProtocol": "UDP"}, (B4, TCP), (B4, UDP)),
        ({"notProtocol": "UDPLite"}, (B6, UDP), (B6, 136)),
        ({"ipVersion": 6}, (B6, TCP), (B4, TCP)),
        (PING, (B4, ICMP), (B4, TCP)),
        (PING6, (B6, ICMP6), (B6, UDP)),
        ({**PING, "icmp": {"type": 8}}, (B4, ICMP, {"icmpType": 8, "icmpCode": 3}), (B4, ICMP, {"icmpType": 0})),
        (
            {**PING, "icmp": {"type": 3, "code": 1}},
            (B4, ICMP, {"icmpType": 3, "icmpCode": 1}),
            (B4, ICMP, {"icmpType": 3, "icmpCode": 0}),
        ),
        ({**PING6, "notICMP": {"type": 128}}, (B6, ICMP6, {"icmpType": 129}), (B6, ICMP6, {"icmpType": 128})),
        (
            {**PING6, "notICMP": {"type": 1, "code": 3}},
            (B6, ICMP6, {"icmpType": 1, "icmpCode": 4}),
            (B6, ICMP6, {"icmpType": 1, "icmpCode": 3}),
        ),
        (to(nets=["192.0.2.4/32", "192.0.2.64/26"]), ("192.0.2.64", TCP), ("192.0.2.63", TCP)),
        (to(nets=["192.0.2.64/26"]), ("192.0.2.127", TCP), ("192.0.2.128", TCP)),
        (to(nets=["2001:db8::/126"]), ("2001:db8::3", TCP), ("2001:db8::4", TCP)),
        (to(nets=["0.0.0.0/0"]), (NOBODY, TCP), (NOBODY6, TCP)),
        (to(notNets=["192.0.2.0/30"]), (B4, TCP), ("192.0.2.3", TCP)),
        (to(notNets=["192.0.2.0/30"]), (B4, TCP), (NOBODY6, TCP)),
        (to(nets=["192.0.2.0/24"], selector="app == 'b'"), (B4, TCP), (SET, TCP)),
        (to(nets=["192.0.2.0/24"], selector="app == 'b'"), (C4, TCP), (NOBODY, TCP)),
        (to(selector="app == 'b'"), (SET, UDP), (NOBODY, UDP)),
        (to(notSelector="app == 'b'"), (NOBODY, TCP), (B6, TCP)),
        (to(selector="has(app)", notSelector="projectcalico.org/namespace == 'ns'"), (C4, TCP), (B4, TCP)),
        (to(namespaceSelector="team == 'blue'"), (C4, TCP), (B4, TCP)),
        (to(namespaceSelector="all()"), (LOCAL, TCP), (SET, TCP)),
        (to(namespaceSelector="global()"), (SET, TCP), (LOCAL, TCP)),
        (to(serviceAccounts={"names": ["sa"]}), (C4, TCP), (SET, TCP)),
        (to(serviceAccounts={"names": ["sa"], "selector": "grade == 'gold'"}), (B4, TCP), (C4, TCP)),
        ({"protocol": "TCP", **to(ports=[80])}, (NOBODY, TCP), (NOBODY, TCP, {"port": 81})),
        ({"protocol": "TCP", **to(ports=["81:90"])}, (B6, TCP, {"port": 90}), (B6, TCP, {"port": 91})),
        ({"protocol": "SCTP", **to(ports=["81:90"])}, (B4, SCTP, {"port": 81}), (B4, SCTP)),
        ({"protocol": "UDP", "source": {"ports": [1234]}}, (B4, UDP), (B4, UDP, {"sourcePort": 1235})),
        ({"protocol": "TCP", "source": {"notPorts": [99]}}, (B4, TCP), (B4, TCP, {"sourcePort": 99})),
        ({"protocol": "TCP", **to(notPorts=["80:81"])}, (B4, TCP, {"port": 82}), (B4, TCP, {"port": 81})),
        ({"protocol": "TCP", **to(ports=["web"])}, (B6, TCP), (NOBODY, TCP)),
        ({"protocol": "TCP", **to(ports=["web"])}, (C4, TCP, {"port": 81}), (C4, TCP)),
        (to(ports=["dns"]), (B4, UDP, {"port": 53}), (B4, TCP, {"port": 53})),
        ({"protocol": "SCTP", **to(ports=["peer"])}, (B4, SCTP, {"port": 9}), (B4, SCTP, {"port": 10})),
        ({"protocol": "TCP", **to(ports=["web"])}, (B4, TCP), (SET, TCP)),
        ({"protocol": "TCP", **to(ports=["web", 8080])}, (B4, TCP), (B4, TCP, {"port": 81})),
        (
            {"protocol": "TCP", **to(ports=["web", 8080], selector="app == 'b'")},
            (SET, TCP, {"port": 8080}),
            (NOBODY, TCP, {"port": 8080}),
        ),
        (
            {"protocol": "TCP", **to(ports=["web"], namespaceSelector="team == 'blue'")},
            (C4, TCP, {"port": 81}),
            (B4, TCP),
        ),
        ({"protocol": "TCP", **to(notPorts=["web"])}, (NOBODY, TCP), (B4, TCP)),
        ({"protocol": "TCP", **to(ports=MANY_PORTS)}, (NOBODY, TCP, {"port": 138}), (NOBODY, TCP, {"port": 139})),
        ({"protocol": "TCP", **to(ports=MANY_PORTS)}, (NOBODY, TCP, {"port": 210}), (NOBODY, TCP, {"port": 211})),
        ({"protocol": "TCP", **to(ports=MANY_PORTS)}, (B6, TCP), (NOBODY6, TCP)),
    ],
)
def test_a_rule_matches_what_meets_every_criterion(rule, hit, miss):
    """Hit and miss are destination, protocol, and what else the packet has."""
    for (address, protocol, *more), wanted in ((hit, True), (miss, False)):
        assert matches(rule, address, protocol, **(more[0] if more else {})) is wanted


@pytest.mark.parametrize(
    ("entity", "hit", "miss"),
    [
        ({"selector": "app == 'b'"}, B4, C4),
        ({"selector": "app == 'b'"}, LOCAL, SET),
        ({"notSelector": "app == 'x'"}, B4, NOBODY),
        ({"serviceAccounts": {"names": ["sa"]}}, B4, C4),
        ({"selector": "app == 'b'", "namespaceSelector": "all()"}, C4, SET),
        ({"selector": "app == 'b'", "namespaceSelector": "global()"}, SET, B4),
    ],
)
def test_selectors_of_a_namespaced_policy_are_about_its_namespace_unless_it_says_otherwise(entity, hit, miss):
    assert matches(to(**entity), hit, owner="ns")
    assert not matches(to(**entity), miss, owner="ns")


@pytest.mark.parametrize("address", [B4, B6, C4, SET, NOBODY, NOBODY6])
@pytest.mark.parametrize("protocol", [TCP, UDP, SCTP, 136, 50])
def test_a_rule_without_criteria_matches_everything(address, protocol):
    assert matches({}, address, protocol, owner="ns")
    assert matches({"metadata": {"annotations": {"why": "because"}}}, address, protocol)


def test_a_port_name_that_nobody_has_matches_nothing_and_excludes_nothing():
    assert not matches({"protocol": "TCP", **to(ports=["nobody"])}, B4)
    assert matches({"protocol": "TCP", **to(notPorts=["nobody"])}, B4)
