"""Rules that name a service: where its ready endpoints are, and nothing else, for both judges."""

import json

import pytest

from policy.evaluate import World
from tests.policy.documents import endpoint_slice, pod, policy
from tidegate.judge.probe import parse_probe
from tidegate.judge.roster import Roster
from tidegate.judge.session import Oracle, Session, disagree

A = pod("a", "10.0.0.1 fd00::1", labels={"app": "a"})
TO_WEB = policy(
    "to-web", selector="app == 'a'", egress=[{"action": "Allow", "destination": {"services": {"name": "web"}}}]
)
FROM_WEB = policy(
    "from-web",
    namespace="",
    selector="app == 'a'",
    ingress=[
        {
            "action": "Allow",
            "protocol": "TCP",
            "source": {"services": {"name": "web", "namespace": "ns"}},
            "destination": {"ports": [80]},
        }
    ],
)
PORTS = [("http", "TCP", 80), ("dns", "UDP", 53), ("", "SCTP", 9)]
SLICES = [
    endpoint_slice("one", "192.0.2.1", ports=PORTS),
    endpoint_slice("two", "192.0.2.2", ports=[("http", "TCP", 8080)]),
    endpoint_slice("six", "2001:db8::1", ports=PORTS),
    endpoint_slice("down", "192.0.2.3", ports=PORTS, ready=False),
    endpoint_slice("other", "192.0.2.4", service="db", ports=PORTS),
    endpoint_slice("elsewhere", "192.0.2.5", namespace="other", ports=PORTS),
]
POD = {"pod": "ns/a"}


def is_allowed(source, destination, protocol="TCP", port=80):
    """The verdict, on which the two judges agree."""
    resources = [A, TO_WEB, FROM_WEB, *SLICES]
    session = Session(resources, Roster(resources), [], Oracle.BOTH)
    probe = parse_probe(json.dumps({"from": source, "to": destination, "protocol": protocol, "port": port}))
    answers = session.answers(probe)
    assert not disagree(answers)
    return answers[Oracle.EVALUATE].is_allowed


@pytest.mark.parametrize(
    ("address", "protocol", "port", "wanted"),
    [
        ("192.0.2.1", "TCP", 80, True),
        ("192.0.2.1", "UDP", 53, True),
        ("192.0.2.1", "SCTP", 9, True),
        ("2001:db8::1", "TCP", 80, True),
        ("192.0.2.2", "TCP", 8080, True),
        ("192.0.2.2", "TCP", 80, False),
        ("192.0.2.1", "UDP", 80, False),
        ("192.0.2.1", "TCP", 81, False),
        ("192.0.2.1", "ICMP", None, False),
        ("192.0.2.3", "TCP", 80, True),
        ("192.0.2.4", "TCP", 80, False),
        ("192.0.2.5", "TCP", 80, False),
        ("192.0.2.9", "TCP", 80, False),
    ],
)
def test_a_destination_is_an_address_protocol_and_port_of_an_endpoint_ready_or_not(address, protocol, port, wanted):
    assert is_allowed(POD, {"ip": address}, protocol, port) is wanted


@pytest.mark.parametrize(
    ("address", "port", "wanted"),
    [
        ("192.0.2.1", 80, True),
        ("192.0.2.2", 80, True),
        ("2001:db8::1", 80, True),
        ("192.0.2.1", 81, False),
        ("192.0.2.3", 80, True),
        ("192.0.2.4", 80, False),
        ("192.0.2.5", 80, False),
    ],
)
def test_a_source_is_an_address_of_an_endpoint_and_has_any_port(address, port, wanted):
    assert is_allowed({"ip": address}, POD, port=port) is wanted


def test_a_service_without_slices_matches_nobody():
    resources = [A, TO_WEB]
    assert World(resources).slices == ()
    session = Session(resources, Roster(resources), [], Oracle.BOTH)
    probe = parse_probe(json.dumps({"from": POD, "to": {"ip": "192.0.2.1"}, "protocol": "TCP", "port": 80}))
    answers = session.answers(probe)
    assert [answer.is_allowed for answer in answers.values()] == [False, False]
