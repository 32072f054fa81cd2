"""Host endpoints on the interfaces of the moment, and what status says of those that are in force nowhere."""

from dataclasses import replace
from ipaddress import ip_address

from policy.rules import HostEndpointRemoved, HostEndpointUpdated, NodeState
from tests.render.states import host, policy, state, tier, to
from tidegate.sync.host_conditions import host_conditions
from tidegate.sync.host_interfaces import HostInterfaces
from tidegate.sync.links import Links

A = ip_address("172.18.0.1")
ETH0 = Links(interfaces=frozenset(("eth0", "lo")), addresses={"eth0": frozenset((A,))})
ETH1 = Links(interfaces=frozenset(("eth1", "lo")), addresses={"eth1": frozenset((A,))})


def said(name, interface="", *addresses, **places):
    made = host(name, **places)
    return replace(made, endpoint=replace(made.endpoint, interface_name=interface, expected_ips=addresses))


def told(events):
    return {event.endpoint.endpoint.id: event.endpoint.endpoint.interfaces for event in events}


def test_an_address_that_moves_takes_the_endpoint_along():
    hosts = HostInterfaces()
    assert told(hosts.on_events([HostEndpointUpdated(said("a", "", A))])) == {"a": ()}
    assert told(hosts.on_links(ETH0)) == {"a": ("eth0",)}
    assert told(hosts.on_links(ETH0)) == {}
    assert told(hosts.on_links(ETH1)) == {"a": ("eth1",)}


def test_an_endpoint_that_comes_takes_the_interface_of_another_and_gives_it_back():
    hosts = HostInterfaces()
    list(hosts.on_links(ETH0))
    assert told(hosts.on_events([HostEndpointUpdated(said("b", "eth0"))])) == {"b": ("eth0",)}
    assert told(hosts.on_events([HostEndpointUpdated(said("a", "", A))])) == {"a": ("eth0",), "b": ()}
    gone, back = hosts.on_events([HostEndpointRemoved(said("a").endpoint.id)])
    assert gone == HostEndpointRemoved(said("a").endpoint.id)
    assert told([back]) == {"b": ("eth0",)}


def reasons(*hosts, links=ETH0, policies=()):
    known = HostInterfaces()
    list(known.on_links(links))
    events = [event.endpoint for event in known.on_events(map(HostEndpointUpdated, hosts))]
    found = host_conditions(state(hosts=events, policies=policies, domains={"d": ("a.test",)}), links)
    assert not any(condition.is_normal for condition in found)
    return [(condition.subject, condition.reason) for condition in found]


def test_an_endpoint_in_force_is_not_spoken_of():
    assert reasons(said("a", "eth0"), said("b", "*")) == []
    assert host_conditions(NodeState(), ETH0) == []


def test_an_endpoint_that_protects_nothing_is_named_with_the_reason():
    assert reasons(said("a", "", ip_address("192.0.2.1"))) == [("HostEndpoint a", "NoInterface")]
    assert reasons(said("a", "eth0"), said("b", "eth0")) == [("HostEndpoint b", "NoInterface")]
    assert reasons(said("a", "eth9")) == [("HostEndpoint a", "InterfaceAbsent")]


def test_rules_about_names_that_a_host_cannot_learn_are_named():
    names = policy("names", egress=({"destination": to(domain_set="d")},))
    asked = said("a", "eth0", normal=(tier(egress=(names.id,)),))
    assert reasons(asked, policies=[names]) == [("HostEndpoint a", "NamesNotLearned")]
