"""Host endpoints on the interfaces of the moment, and what status says of those that are in force nowhere."""

from dataclasses import replace
from ipaddress import ip_address

from policy.rules import HostEndpointRemoved, HostEndpointUpdated, NodeState, OwnAddressesUpdated
from tests.render.states import host, state
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
    updates = (event.endpoint.endpoint for event in events if isinstance(event, HostEndpointUpdated))
    return {endpoint.id: endpoint.interfaces for endpoint in updates}


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
    gone, *_, back = hosts.on_events([HostEndpointRemoved(said("a").endpoint.id)])
    assert gone == HostEndpointRemoved(said("a").endpoint.id)
    assert told([back]) == {"b": ("eth0",)}


def reasons(*hosts, links=ETH0):
    known = HostInterfaces()
    list(known.on_links(links))
    told_of = known.on_events(map(HostEndpointUpdated, hosts))
    events = [event.endpoint for event in told_of if isinstance(event, HostEndpointUpdated)]
    found = host_conditions(state(hosts=events), links)
    assert not any(condition.is_normal for condition in found)
    return [(condition.subject, condition.reason) for condition in found]


def test_an_endpoint_in_force_is_not_spoken_of():
    assert reasons(said("a", "eth0"), said("b", "*")) == []
    assert host_conditions(NodeState(), ETH0) == []


def test_an_endpoint_that_protects_nothing_is_named_with_the_reason():
    assert reasons(said("a", "", ip_address("192.0.2.1"))) == [("HostEndpoint a", "NoInterface")]
    assert reasons(said("a", "eth0"), said("b", "eth0")) == [("HostEndpoint b", "NoInterface")]
    assert reasons(said("a", "eth9")) == [("HostEndpoint a", "InterfaceAbsent")]


def test_the_nodes_own_addresses_are_told_where_it_has_host_endpoints():
    found = {"eth0": frozenset((A,)), "lo": frozenset((ip_address("127.0.0.1"), ip_address("fe80::1")))}
    hosts = HostInterfaces()
    assert list(hosts.on_links(Links(addresses=found))) == []
    first, *_ = hosts.on_events([HostEndpointUpdated(said("a", "eth0"))])
    assert first == OwnAddressesUpdated(frozenset((A,)))
    assert list(hosts.on_links(Links(addresses={}))) == [OwnAddressesUpdated(frozenset())]
