"""Who a workload may say it is, on real packets of both families: its addresses, its prefixes, its link, and nobody else."""

from contextlib import ExitStack
from ipaddress import ip_address, ip_network

import pytest

from policy.evaluate import Packet, Party
from tests.oracles.replay import NODE_ADDRESSES, OUTSIDE, Node
from tests.render.states import endpoint, profile, state
from tidegate.config.packets import SourceCheck
from tidegate.render import RenderSettings, render_table

pytestmark = pytest.mark.kernel

OWN = {4: "10.65.0.2", 6: "fd00:65::2"}
NEIGHBOUR = {4: "10.65.0.3", 6: "fd00:65::3"}
NEXT = {4: "10.65.0.4", 6: "fd00:65::4"}
FAR = {4: "192.0.2.1", 6: "2001:db8::1"}
PREFIXES = (ip_network("203.0.113.0/24"), ip_network("2001:db8:7::/64"))
WITHIN = {4: "203.0.113.7", 6: "2001:db8:7::7"}
BESIDE = {4: "203.0.114.7", 6: "2001:db8:8::7"}
OPEN = profile("open", ingress=({},), egress=({},))
CHECKS = [SourceCheck.STRICT, SourceCheck.LOOSE]
FAMILIES = [4, 6]


def table(addresses=OWN, prefixes=(), **settings):
    ends = [
        endpoint("a", addresses=tuple(addresses.values()), profiles=("open",), allowed_source_prefixes=prefixes),
        endpoint("b", addresses=tuple(NEIGHBOUR.values()), profiles=("open",)),
    ]
    return render_table(state(endpoints=ends, policies=(OPEN,)), RenderSettings(**settings))


@pytest.fixture(scope="module")
def node():
    """A node with routes to what workload a has, and will have."""
    with ExitStack() as stack:
        routes = {"calia": [*OWN.values(), *NEXT.values()], "calib": list(NEIGHBOUR.values())}
        yield Node(stack, {name: list(map(ip_address, found)) for name, found in routes.items()})


def packet(source, destination, protocol=17, **fields):
    ports = {} if protocol in (1, 58) else {"source_port": 1234, "destination_port": 8080}
    return Packet(
        source=Party(address=ip_address(source)),
        destination=Party(address=ip_address(destination)),
        protocol=protocol,
        **(ports | fields),
    )


def passes(node, source, destination, interface="calia", **fields):
    seen = node.play(packet(source, destination, **fields), interface)
    assert (seen.arrived_at is None) == ("spoofed source" in seen.counted)
    return seen.arrived_at is not None


@pytest.mark.parametrize("version", FAMILIES)
@pytest.mark.parametrize("check", CHECKS)
def test_a_workload_is_neither_its_neighbour_nor_its_host_nor_a_stranger(node, check, version):
    node.load(table(source_check=check))
    assert passes(node, OWN[version], FAR[version])
    for other in (NEIGHBOUR[version], NODE_ADDRESSES[version], BESIDE[version]):
        assert not passes(node, other, FAR[version])
        assert not passes(node, other, NEIGHBOUR[version])


@pytest.mark.parametrize("version", FAMILIES)
def test_what_is_routed_to_a_workload_is_its_own_under_the_loose_check_alone(node, version):
    node.load(table(source_check=SourceCheck.LOOSE))
    assert passes(node, NEXT[version], FAR[version])
    node.load(table(source_check=SourceCheck.STRICT))
    assert not passes(node, NEXT[version], FAR[version])


@pytest.mark.parametrize("version", FAMILIES)
@pytest.mark.parametrize("check", CHECKS)
def test_further_prefixes_are_its_own_where_the_node_honours_them(node, check, version):
    node.load(table(prefixes=PREFIXES, source_check=check, honours_source_prefixes=True))
    assert passes(node, WITHIN[version], FAR[version])
    assert not passes(node, BESIDE[version], FAR[version])
    assert not passes(node, WITHIN[version], FAR[version], "calib")
    node.load(table(prefixes=PREFIXES, source_check=check))
    assert not passes(node, WITHIN[version], FAR[version])


@pytest.mark.parametrize("version", FAMILIES)
@pytest.mark.parametrize("check", CHECKS)
def test_prefixes_of_everything_are_everybody(node, check, version):
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    node.load(table(prefixes=everything, source_check=check, honours_source_prefixes=True))
    assert passes(node, BESIDE[version], FAR[version])
    assert not passes(node, BESIDE[version], FAR[version], "calib")


@pytest.mark.parametrize("version", FAMILIES)
def test_an_address_that_changes_is_another_at_once_for_open_connections_too(node, version):
    node.load(table(source_check=SourceCheck.STRICT))
    back = packet(FAR[version], OWN[version], source_port=8080, destination_port=1234)
    assert passes(node, OWN[version], FAR[version])
    assert node.play(back, OUTSIDE).arrived_at == "calia"
    assert passes(node, OWN[version], FAR[version])  # open
    node.load(table(addresses=NEXT, source_check=SourceCheck.STRICT))
    assert not passes(node, OWN[version], FAR[version])
    assert passes(node, NEXT[version], FAR[version])


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("source", ["fe80::1", "::"])
def test_ipv6_finds_its_neighbours(node, check, source):
    """Solicitations come from a link's address, or from none while an address is tried out (RFC 4862, 5.4)."""
    node.load(table(source_check=check))
    solicitation = packet(source, NODE_ADDRESSES[6], protocol=58, icmp_type=135, icmp_code=0)
    seen = node.play(solicitation, "calia", 0.2, frozenset({"neighbour discovery"}))
    assert "spoofed source" not in seen.counted
    assert "workload to its own host" not in seen.counted


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("source", ["fe80::1", "::"])
def test_neither_gets_any_further_than_the_link(node, check, source):
    node.load(table(source_check=check))
    assert node.play(packet(source, FAR[6]), "calia", 0.2).arrived_at is None


@pytest.mark.parametrize("check", CHECKS)
def test_a_client_without_an_address_may_ask_for_one_and_nothing_else(node, check):
    node.load(table(source_check=check))
    assert "spoofed source" not in node.play(packet("0.0.0.0", "255.255.255.255"), "calia", 0.2).counted
    assert "spoofed source" in node.play(packet("0.0.0.0", FAR[4]), "calia", 0.2).counted


def test_the_kernels_own_strict_filter_takes_no_further_prefixes(node):
    """`rp_filter` 1 drops what has no route back, before the table is asked: a prefix needs a route there."""
    node.load(table(prefixes=PREFIXES, honours_source_prefixes=True))
    node.namespace.sysctl(net__ipv4__conf__calia__rp_filter=1)
    try:
        assert node.play(packet(WITHIN[4], FAR[4]), "calia", 0.2).arrived_at is None
        assert passes(node, OWN[4], FAR[4])
    finally:
        node.namespace.sysctl(net__ipv4__conf__calia__rp_filter=0)
    assert passes(node, WITHIN[4], FAR[4])
