"""Host endpoints in `eval` and `explain`: as the sender, as the receiver, and on the way."""

import json
from ipaddress import ip_address

import pytest

from policy.evaluate import Frame
from policy.graph import CalcGraph, applied
from policy.rules import HostEndpointID, NodeState
from tests.policy.documents import automatic_hosts, endpoint, host_endpoint, node, policy
from tidegate.api.explain import Facts, explain
from tidegate.api.question import QuestionError, parse_question
from tidegate.judge.errors import ProbeError
from tidegate.judge.probe import parse_probe
from tidegate.judge.roster import Roster
from tidegate.judge.session import Oracle, Session, disagree

ETH0 = host_endpoint("n1-eth0", "172.18.0.1 fd00::1", node="n1", interfaceName="eth0", labels={"role": "host"})
ETH1 = host_endpoint("n1-eth1", "172.19.0.1", node="n1", labels={"role": "back"})
ALLOW_WEB = policy(
    "web",
    namespace="",
    selector="role == 'host'",
    applyOnForward=True,
    types=["Ingress", "Egress"],
    ingress=[{"action": "Allow", "protocol": "TCP", "destination": {"ports": [80]}}],
    egress=[{"action": "Allow", "destination": {"nets": ["192.0.2.0/24"]}}],
)
POD = endpoint("w", "10.65.0.2", node="n1", profiles=["projectcalico-default-allow"])
RESOURCES = [ETH0, ETH1, ALLOW_WEB, POD]


def verdict(source, destination, port=80, resources=RESOURCES, **fields):
    """Both oracles', which must agree."""
    roster = Roster(resources)
    session = Session(resources, roster, (), Oracle.BOTH)
    probe = {"from": source, "to": destination, "protocol": "TCP", "port": port, **fields}
    answers = session.answers(parse_probe(json.dumps(probe)))
    assert not disagree(answers), answers
    return answers[Oracle.EVALUATE].document(0)


def short(document):
    sides = [document[side] and document[side]["verdict"] for side in ("egress", "ingress")]
    return [document["verdict"], *sides]


WORLD = {"ip": "203.0.113.5"}


@pytest.mark.parametrize(
    ("source", "destination", "port", "wanted"),
    [
        (WORLD, {"host": "n1"}, 80, ["allow", None, "allow"]),
        (WORLD, {"host": "n1"}, 81, ["deny", None, "deny"]),
        (WORLD, {"host": "n1"}, 22, ["allow", None, "allow"]),
        (WORLD, {"host": "n1", "interface": "eth9"}, 81, ["allow", None, None]),
        (WORLD, {"host": "n1", "ip": "172.19.0.1"}, 80, ["deny", None, "deny"]),
        (WORLD, {"endpoint": "n1-eth0"}, 80, ["allow", None, "allow"]),
        (WORLD, {"endpoint": "n1-eth1"}, 80, ["deny", None, "deny"]),
        (WORLD, {"ip": "172.18.0.1"}, 81, ["deny", None, "deny"]),
        ({"host": "n1"}, {"ip": "192.0.2.9"}, 9, ["allow", "allow", None]),
        ({"host": "n1"}, {"ip": "203.0.113.5"}, 9, ["deny", "deny", None]),
        ({"host": "n1"}, {"ip": "203.0.113.5"}, 6443, ["allow", "allow", None]),
        ({"host": "n1"}, {"host": "n1"}, 9, ["allow", None, None]),
        ({"host": "n2"}, {"host": "n1"}, 81, ["deny", None, "deny"]),
        ({"host": "n1"}, {"pod": "ns/w"}, 81, ["allow", None, None]),
        (WORLD, {"pod": "ns/w"}, 80, ["allow", None, "allow"]),
        (WORLD, {"pod": "ns/w"}, 81, ["deny", None, "deny"]),
        ({"pod": "ns/w"}, {"ip": "192.0.2.9"}, 81, ["allow", "allow", None]),
        ({"pod": "ns/w"}, {"ip": "203.0.113.5"}, 81, ["deny", "deny", None]),
        ({"pod": "ns/w", "interface": "eth1"}, {"ip": "203.0.113.5"}, 81, ["allow", "allow", None]),
        ({"pod": "ns/w"}, {"host": "n1"}, 81, ["deny", "deny", None]),
    ],
)
def test_both_oracles_say(source, destination, port, wanted):
    assert short(verdict(source, destination, port)) == wanted


def test_the_answer_says_which_host_endpoint_was_asked_where():
    side = verdict(WORLD, {"pod": "ns/w"}, 81)["ingress"]
    assert (side["tier"], side["policy"], side["rule"]) == ("default", "web", -1)
    assert side["trace"][-1]["at"] == "forward ingress of host endpoint n1-eth0"


def test_a_node_has_the_address_that_its_node_document_says():
    resources = [
        node("n7", "172.18.0.7"),
        automatic_hosts(),
        policy("deny", namespace="", ingress=[{"action": "Deny"}]),
    ]
    assert short(verdict(WORLD, {"ip": "172.18.0.7"}, 80, resources)) == ["deny", None, "deny"]
    assert short(verdict(WORLD, {"endpoint": "n7-auto-hep"}, 80, resources)) == ["deny", None, "deny"]
    packet = Roster(resources).packet(
        parse_probe(json.dumps({"from": WORLD, "to": {"host": "n7"}, "protocol": "TCP", "port": 1}))
    )
    assert packet.destination.address == ip_address("172.18.0.7")


@pytest.mark.parametrize(
    ("party", "path"),
    [({"endpoint": "nobody"}, "to.endpoint"), ({"endpoint": "n1-eth1"}, "to"), ({"endpoint": "a", "ip": "::1"}, "to")],
)
def test_a_host_endpoint_that_cannot_be_meant_is_refused(party, path):
    with pytest.raises(ProbeError) as caught:
        verdict({"ip": "2001:db8::1"}, party)
    assert caught.value.path == path


# --- explain ---


def facts(**links):
    graph = CalcGraph("n1")
    for item in RESOURCES:
        graph.on_update(item.key, item)
    graph.in_sync()
    known = {name: frozenset(map(ip_address, addresses)) for name, addresses in links.items()}
    return Facts(
        resources=RESOURCES,
        state=applied(NodeState(), graph.flush()),
        frame=Frame(),
        ask=lambda **_: {"told": (), "refusal": None},
        links={"n1": known},
    )


def test_a_host_is_explained_by_name_and_by_address():
    known = facts(eth0=["172.18.0.1"], eth1=["172.19.0.1"])
    for source, destination, wanted in (
        ("n1-eth0", "192.0.2.9:443", "allow"),
        ("172.18.0.1", "203.0.113.5:443", "deny"),
        ("203.0.113.5", "172.18.0.1:80", "allow"),
        ("203.0.113.5", "n1-eth0:81", "deny"),
        ("203.0.113.5", "172.19.0.1:80", "deny"),
        ("ns/w", "172.18.0.1:80", "deny"),
    ):
        assert explain(source, destination, known)["verdict"] == wanted, (source, destination)


def test_a_name_that_no_host_endpoint_has_is_refused():
    assert parse_question("n9", "192.0.2.9:443").source == HostEndpointID("n9")
    with pytest.raises(QuestionError, match="cannot find the host endpoint n9"):
        explain("n9", "192.0.2.9:443", facts())
