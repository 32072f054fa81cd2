"""Probes: what is read, what is filled in, and where faults are."""

import contextlib
import json
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.rules import EndpointID
from tidegate.judge.errors import ProbeError
from tidegate.judge.names import parse_name
from tidegate.judge.probe import parse_probe

GOOD = {"id": 7, "from": {"pod": "prod/web"}, "to": {"ip": "192.0.2.1"}, "protocol": "TCP", "port": 443}


def probe(**changes):
    return parse_probe(json.dumps({key: value for key, value in (GOOD | changes).items() if value is not ...}))


def test_a_probe_says_who_sends_what_to_whom():
    made = probe()
    assert made.id == 7
    assert made.source.endpoint == EndpointID("prod/web")
    assert made.destination.address == ip_address("192.0.2.1")
    assert (made.protocol, made.port, made.source_port, made.icmp_type) == (6, 443, 49152, None)


@pytest.mark.parametrize(
    ("given", "number"), [("TCP", 6), ("udp", 17), ("ICMPv6", 58), ("UDPLite", 136), (47, 47), ("47", 47)]
)
def test_protocols_have_names_or_numbers(given, number):
    assert probe(protocol=given).protocol == number


def test_an_icmp_probe_is_an_echo_request_unless_it_says_otherwise():
    assert (probe(protocol="ICMP").icmp_type, probe(protocol="ICMPv6", to={"host": "n"}).icmp_type) == (8, 128)
    made = probe(protocol="ICMP", icmpType=3, icmpCode=4)
    assert (made.icmp_type, made.icmp_code, made.port, made.family) == (3, 4, None, 4)


def test_a_host_may_come_with_one_of_its_addresses():
    made = probe(to={"host": "node1", "ip": "172.18.0.1"}).destination
    assert (made.host, made.address) == ("node1", ip_address("172.18.0.1"))


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"from": ...}, "from"),
        ({"to": "prod/web"}, "to"),
        ({"to": {}}, "to"),
        ({"to": {"pod": "a/b", "ip": "192.0.2.1"}}, "to"),
        ({"to": {"pod": "web"}}, "to.pod"),
        ({"to": {"ip": "192.0.2.300"}}, "to.ip"),
        ({"to": {"port": 3}}, "to.port"),
        ({"protocol": ...}, "protocol"),
        ({"protocol": "TPC"}, "protocol"),
        ({"protocol": 256}, "protocol"),
        ({"protocol": True}, "protocol"),
        ({"port": ...}, "port"),
        ({"port": 65536}, "port"),
        ({"port": "443"}, "port"),
        ({"sourcePort": -1}, "sourcePort"),
        ({"family": 5}, "family"),
        ({"protocol": "ICMP", "family": 6}, "family"),
        ({"dport": 443}, "dport"),
        ({"service": "web"}, "service"),
        ({"service": "prod/web/x"}, "service"),
    ],
)
def test_a_fault_is_located(changes, path):
    with pytest.raises(ProbeError) as caught:
        probe(**changes)
    assert caught.value.path == path


@pytest.mark.parametrize("line", ["", "{", "[]", "null", '"x"', "[" * 100_000])
def test_a_line_that_is_no_object_is_refused(line):
    with pytest.raises(ProbeError):
        parse_probe(line)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*GOOD, "ip", "pod"]), inner),
    )
)
def test_no_line_does_more_than_be_refused(value):
    with contextlib.suppress(ProbeError):
        parse_probe(json.dumps(value))


def test_a_learned_name_is_folded():
    name = parse_name('{"endpoint": "prod/web", "name": "API.Example.com.", "ip": "2001:db8::1"}')
    assert (str(name.name), name.address) == ("api.example.com", ip_address("2001:db8::1"))


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('{"name": "a.example", "ip": "192.0.2.1"}', "endpoint"),
        ('{"endpoint": "a/b", "name": "a..example", "ip": "192.0.2.1"}', "name"),
        ('{"endpoint": "a/b", "name": "*.example", "ip": "192.0.2.1"}', "name"),
        ('{"endpoint": "a/b", "name": "a.example"}', "ip"),
    ],
)
def test_a_faulty_name_is_located(line, path):
    with pytest.raises(ProbeError) as caught:
        parse_name(line)
    assert caught.value.path == path
