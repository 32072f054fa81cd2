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


# --- Services ---


def object_of(kind, name, **fields):
    version = "v1" if kind == "Service" else "discovery.k8s.io/v1"
    labels = {"kubernetes.io/service-name": "web"}
    metadata = {"name": name, "namespace": "prod", "labels": labels}
    made = decode({"apiVersion": version, "kind": kind, "metadata": metadata} | fields)
    assert isinstance(made, Resource), made
    return made


def slice_of(name, *addresses, port=8080, port_name="http", ready=True):
    endpoints = [{"addresses": [address], "conditions": {"ready": ready}} for address in addresses]
    family = "IPv6" if ":" in addresses[0] else "IPv4"
    ports = [{"name": port_name, "protocol": "TCP", "port": port}]
    return object_of("EndpointSlice", name, addressType=family, endpoints=endpoints, ports=ports)


SERVED = Roster(
    [
        pod("both", "10.65.0.2", "fd00:65::2"),
        pod("six", "fd00:65::4"),
        object_of("Service", "web", spec={"ports": [{"name": "http", "port": 80}, {"name": "dead", "port": 81}]}),
        slice_of("down", "10.65.0.1", ready=False),
        slice_of("other-port", "10.65.0.1", port_name="metrics"),
        slice_of("four", "192.0.2.9", "10.65.0.2"),
        slice_of("six", "2001:db8::9", port=8086),
    ]
)


def through(source, **fields):
    probe = {"from": {"pod": source}, "service": "prod/web", "protocol": "TCP", "port": 80} | fields
    made = SERVED.packet(parse_probe(json.dumps(probe)))
    return str(made.destination.address), made.destination_port


def test_a_service_is_its_first_ready_endpoint_on_the_port_behind():
    assert through("prod/both") == ("10.65.0.2", 8080)
    assert through("prod/both", family=6) == ("2001:db8::9", 8086)
    assert through("prod/six") == ("2001:db8::9", 8086)


def test_an_endpoint_of_a_service_may_be_asked_for():
    assert through("prod/both", to={"ip": "192.0.2.9"}) == ("192.0.2.9", 8080)
    assert through("prod/both", to={"pod": "prod/both"}) == ("10.65.0.2", 8080)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"service": "prod/db"}, "service"),
        ({"port": 82}, "port"),
        ({"protocol": "UDP"}, "port"),
        ({"port": 81}, "service"),
        ({"to": {"ip": "192.0.2.8"}}, "to"),
    ],
)
def test_a_service_without_an_answer_is_located(fields, path):
    with pytest.raises(ProbeError) as caught:
        through("prod/both", **fields)
    assert caught.value.path == path
