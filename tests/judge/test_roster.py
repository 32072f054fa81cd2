"""Who is who in a probe."""

import json
from ipaddress import ip_address

import pytest

from policy.resources.decode import decode
from policy.resources.metadata import Resource
from policy.rules import EndpointID
from tidegate.judge.errors import ProbeError
from tidegate.judge.probe import parse_probe
from tidegate.judge.roster import Roster


def pod(name, *addresses):
    made = decode(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "prod"},
            "spec": {"nodeName": "node1", "containers": []},
            "status": {"phase": "Running", "podIPs": [{"ip": address} for address in addresses]},
        }
    )
    assert isinstance(made, Resource)
    return made


ROSTER = Roster([pod("both", "10.65.0.2", "fd00:65::2"), pod("four", "10.65.0.3"), pod("six", "fd00:65::4")])


def packet(source, destination, **fields):
    probe = {"from": source, "to": destination, "protocol": "TCP", "port": 80} | fields
    return ROSTER.packet(parse_probe(json.dumps(probe)))


def test_the_family_is_the_first_one_that_both_have():
    assert packet({"pod": "prod/both"}, {"pod": "prod/four"}).version == 4
    assert packet({"pod": "prod/six"}, {"pod": "prod/both"}).version == 6
    assert packet({"pod": "prod/both"}, {"pod": "prod/both"}).version == 4


def test_the_family_may_be_asked_for():
    assert packet({"pod": "prod/both"}, {"pod": "prod/both"}, family=6).source.address == ip_address("fd00:65::2")
    assert packet({"pod": "prod/both"}, {"host": "node1"}, protocol="ICMPv6").version == 6


def test_an_address_of_an_endpoint_is_the_endpoint():
    made = packet({"ip": "10.65.0.3"}, {"ip": "192.0.2.1"})
    assert (made.source.endpoint, made.destination.endpoint) == (EndpointID("prod/four"), None)


def test_a_host_without_a_given_address_has_one_that_is_in_no_network():
    made = packet({"host": "node2"}, {"pod": "prod/four"})
    assert (made.source.host, made.source.address) == ("node2", ip_address("192.0.0.8"))


@pytest.mark.parametrize(
    ("source", "destination", "fields", "path"),
    [
        ({"pod": "prod/none"}, {"pod": "prod/four"}, {}, "from"),
        ({"pod": "prod/four"}, {"endpoint": "prod/none"}, {}, "to"),
        ({"pod": "prod/four"}, {"pod": "prod/six"}, {}, ""),
        ({"pod": "prod/four"}, {"pod": "prod/both"}, {"family": 6}, "from"),
        ({"pod": "prod/both"}, {"ip": "192.0.2.1"}, {"family": 6}, ""),
        ({"ip": "2001:db8::1"}, {"ip": "192.0.2.1"}, {}, ""),
        ({"pod": "prod/four"}, {"ip": "2001:db8::1"}, {}, "from"),
    ],
)
def test_what_cannot_be_is_located(source, destination, fields, path):
    with pytest.raises(ProbeError) as caught:
        packet(source, destination, **fields)
    assert caught.value.path == path
