"""Links, rules and routes on the real kernel: applied once, then nothing to do; strangers' lines go; nothing is left."""

import errno
import json
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from tests.wg import lab
from tidegate.demo.namespace import Namespace
from wg.errors import WireGuardError
from wg.host import Host
from wg.routing import Route, RouteKind, Routing

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]

NETWORKS = {4: ("10.0.1.0/26", "10.0.2.0/26", "10.0.0.0/26"), 6: ("fd00:1::/64", "fd00:2::/64", "fd00::/64")}
OWN = {4: "10.0.0.1", 6: "fd00::1"}


@pytest.fixture(scope="module")
def place():
    """A namespace with a tun device: what is routed into is of no account here."""
    namespace = Namespace.create("wghost")
    try:
        namespace.ip("link", "add", "wgt0", "type", "veth", "peer", "name", "wgt1")
        namespace.ip("link", "set", "wgt1", "up")
        with namespace.entered():
            host = Host()
        with host:
            yield namespace, host
    finally:
        namespace.delete()


def routing(version, *, strict=False, **other):
    first, second, own = map(ip_network, NETWORKS[version])
    routes = {Route(first, RouteKind.TUNNEL), Route(second, RouteKind.THROW), Route(own, RouteKind.THROW)}
    if strict:
        routes |= {Route(first, RouteKind.UNREACHABLE)}
    given = {
        "interface": "wgt0",
        "version": version,
        "mtu": 1400,
        "table": 5180 + version,
        "fwmark": 0x100000,
        "priority": 99,
        "address": ip_address(OWN[version]),
        "routes": frozenset(routes),
    }
    return Routing(**(given | other))


def shown(namespace, version, *words):
    return json.loads(namespace.command("ip", f"-{version}", "-j", *words))


def table(namespace, wanted):
    """(destination, type, metric) as ip(8) shows them."""
    found = shown(namespace, wanted.version, "route", "show", "table", str(wanted.table))
    return {(line["dst"], line.get("type", "unicast"), line["metric"]) for line in found}


def rules(namespace, version):
    return [
        line for line in shown(namespace, version, "rule", "show") if line["table"] not in ("local", "main", "default")
    ]


@pytest.mark.parametrize("version", [4, 6])
def test_what_is_wanted_is_there_and_then_there_is_nothing_to_do(place, version):
    namespace, host = place
    wanted = routing(version, strict=True)
    assert host.apply(wanted) > 0
    assert host.apply(wanted) == 0
    first, second, own = NETWORKS[version]
    assert table(namespace, wanted) == {
        (first, "unicast", 512), (first, "unreachable", 4096), (second, "throw", 1024), (own, "throw", 1024)
    }  # fmt: skip
    (rule,) = rules(namespace, version)
    assert (rule["priority"], rule["fwmark"], rule["table"], "not" in rule) == (99, "0x100000", str(wanted.table), True)
    (link,) = shown(namespace, version, "addr", "show", "dev", "wgt0")
    assert link["mtu"] == 1400
    assert "UP" in link["flags"]
    assert OWN[version] in [each["local"] for each in link["addr_info"]]
    host.remove(wanted)
    assert table(namespace, wanted) == set()
    assert rules(namespace, version) == []


@pytest.mark.parametrize("version", [4, 6])
def test_another_wish_changes_only_what_differs(place, version):
    namespace, host = place
    before = routing(version)
    host.apply(before)
    first, second, own = map(ip_network, NETWORKS[version])
    after = replace(
        before,
        priority=97,
        address=None,
        routes=frozenset({Route(first, RouteKind.THROW), Route(second, RouteKind.TUNNEL), Route(own, RouteKind.THROW)}),
    )
    # Two routes of another kind, in and out each; a rule, in and out; an address, out. With the last IPv4 address the
    # kernel takes the device's routes away itself (fib_disable_ip), so one is not ours to remove.
    assert host.apply(after) == {4: 6, 6: 7}[version]
    assert host.routes(after) == after.routes
    assert [rule["priority"] for rule in rules(namespace, version)] == [97]
    host.remove(after)


def test_a_device_that_goes_takes_its_routes_and_strict_ones_stay(place):
    namespace, host = place
    wanted = routing(4, strict=True, interface="wgt2")
    namespace.ip("link", "add", "wgt2", "type", "veth", "peer", "name", "wgt3")
    host.apply(wanted)
    host.delete_link("wgt2")
    host.delete_link("wgt2")
    assert ip_network(NETWORKS[4][0]) in {route.network for route in host.routes(wanted)}
    with pytest.raises(WireGuardError) as refused:
        host.apply(wanted)
    assert refused.value.errno == errno.ENODEV
    host.remove(wanted)
    assert table(namespace, wanted) == set()
    assert rules(namespace, 4) == []


@pytest.mark.parametrize("version", [4, 6])
def test_ways_are_closed_before_there_is_a_device(place, version):
    namespace, host = place
    wanted = routing(version, strict=True, interface="wgt8")
    host.close_ways(wanted)
    assert table(namespace, wanted) >= {(NETWORKS[version][0], "unreachable", 4096)}
    assert len(rules(namespace, version)) == 1
    host.remove(wanted)
    assert table(namespace, wanted) == set()


def test_hundreds_of_routes_come_and_go(place):
    _, host = place
    networks = [ip_network(((10 << 24) + (number << 8), 24)) for number in range(500)]
    wanted = routing(4, routes=frozenset(Route(network, RouteKind.TUNNEL) for network in networks))
    assert host.apply(wanted) >= 500
    assert host.apply(wanted) == 0
    host.remove(wanted)
    assert host.routes(wanted) == frozenset()


def test_whether_the_kernel_makes_devices_is_told_as_it_is(place):
    namespace, host = place
    made = host.create_link("wgt9")
    assert made is not bool(lab.kernel_lacks())
    assert (host.link("wgt9") is not None) is made
    if made:
        assert host.create_link("wgt9")
        namespace.ip("link", "del", "wgt9")
