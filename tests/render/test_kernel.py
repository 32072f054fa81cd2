"""The frame around policy on real packets: spoofed sources, unknown interfaces, the host, tunnels, invalid packets."""

import socket
from contextlib import ExitStack
from ipaddress import ip_address, ip_network

import pytest

from policy.evaluate import Packet, Party
from tests.oracles.replay import NODE_ADDRESSES, OUTSIDE, Node
from tests.render.states import endpoint, profile, state
from tidegate.config.packets import HostAction, SourceCheck
from tidegate.render import RenderSettings, render_table

pytestmark = pytest.mark.kernel

WEB = {"calia": [ip_address("10.65.0.2"), ip_address("fd00:65::2")]}
OTHER = {"calib": [ip_address("10.65.0.3"), ip_address("fd00:65::3")]}
STRANGER = {"calix": [ip_address("10.65.0.9")]}
OPEN = profile("open", ingress=({},), egress=({},))


@pytest.fixture
def node():
    """Makes a node with two workloads that may do everything, and an interface without an endpoint."""
    with ExitStack() as stack:

        def make(prefixes=(), *, is_active=True, policies=(OPEN,), **settings):
            made = Node(stack, WEB | OTHER | STRANGER)
            ends = [
                endpoint("a", addresses=map(str, WEB["calia"]), profiles=("open",), allowed_source_prefixes=prefixes),
                endpoint("b", addresses=map(str, OTHER["calib"]), profiles=("open",), is_active=is_active),
            ]
            made.load(render_table(state(endpoints=ends, policies=policies), RenderSettings(**settings)))
            return made

        yield make


def packet(source, destination, protocol=17, **fields):
    ports = {} if protocol in (1, 58, 4) else {"source_port": 1234, "destination_port": 8080}
    return Packet(
        source=Party(address=ip_address(source)),
        destination=Party(address=ip_address(destination)),
        protocol=protocol,
        **(ports | fields),
    )


@pytest.mark.parametrize("check", [SourceCheck.STRICT, SourceCheck.LOOSE])
def test_a_workload_sends_from_its_own_addresses_only(node, check):
    made = node(source_check=check)
    assert made.play(packet("10.65.0.2", "192.0.2.1"), "calia").arrived_at == OUTSIDE
    assert made.play(packet("fd00:65::2", "2001:db8::1"), "calia").arrived_at == OUTSIDE
    for source, destination in (("10.65.0.3", "192.0.2.1"), ("192.0.2.7", "192.0.2.1"), ("fd00:65::3", "2001:db8::1")):
        seen = made.play(packet(source, destination), "calia")
        assert (seen.arrived_at, "spoofed source" in seen.counted) == (None, True)


def test_a_node_without_a_source_check_lets_them_pass(node):
    made = node(source_check=SourceCheck.OFF)
    assert made.play(packet("192.0.2.7", "192.0.2.1"), "calia").arrived_at == OUTSIDE


@pytest.mark.parametrize("check", [SourceCheck.STRICT, SourceCheck.LOOSE])
def test_an_endpoint_may_have_further_sources_where_the_node_honours_them(node, check):
    prefixes = (ip_network("203.0.113.0/24"),)
    made = node(prefixes, source_check=check, honours_source_prefixes=True)
    assert made.play(packet("203.0.113.7", "192.0.2.1"), "calia").arrived_at == OUTSIDE
    assert made.play(packet("203.0.114.7", "192.0.2.1"), "calia").arrived_at is None
    assert made.play(packet("203.0.113.7", "192.0.2.1"), "calib").arrived_at is None


def test_an_interface_without_an_endpoint_passes_nothing(node):
    made = node()
    for source, destination, interface in (
        ("10.65.0.9", "192.0.2.1", "calix"),
        ("192.0.2.1", "10.65.0.9", OUTSIDE),
        ("10.65.0.9", "10.65.0.2", "calix"),
        ("10.65.0.2", "10.65.0.9", "calia"),
    ):
        seen = made.play(packet(source, destination), interface)
        assert (seen.arrived_at, "no endpoint" in seen.counted) == (None, True)


def test_an_endpoint_that_is_not_active_passes_nothing(node):
    made = node(is_active=False)
    assert made.play(packet("10.65.0.3", "192.0.2.1"), "calib", 0.1).arrived_at is None
    assert made.play(packet("192.0.2.1", "10.65.0.3"), OUTSIDE, 0.1).arrived_at is None


def test_traffic_that_is_not_about_workloads_is_nobodys_business(node):
    assert node().play(packet("192.0.2.1", "198.51.100.1"), OUTSIDE).arrived_at == OUTSIDE


def test_replies_pass_whatever_the_policy_says(node):
    made = node(policies=(profile("open", egress=({},)),))
    there = packet("10.65.0.2", "192.0.2.1")
    back = packet("192.0.2.1", "10.65.0.2", source_port=8080, destination_port=1234)
    assert made.play(back, OUTSIDE).arrived_at is None
    assert made.play(there, "calia").arrived_at == OUTSIDE
    assert made.play(back, OUTSIDE).arrived_at == "calia"


def test_invalid_packets_of_workloads_are_dropped_unless_the_node_lets_them(node):
    unrelated = packet("10.65.0.2", "192.0.2.1", protocol=1, icmp_type=3, icmp_code=1)
    seen = node().play(unrelated, "calia")
    assert (seen.arrived_at, "invalid" in seen.counted) == (None, True)
    assert node(drops_invalid=False).play(unrelated, "calia").arrived_at == OUTSIDE


def test_workloads_do_not_encapsulate_unless_the_node_lets_them(node):
    vxlan = packet("10.65.0.2", "192.0.2.1", destination_port=4789)
    ipip = packet("10.65.0.2", "192.0.2.1", protocol=4)
    made, lax = node(), node(allows_vxlan=True, allows_ipip=True)
    for item in (vxlan, ipip):
        assert made.play(item, "calia").arrived_at is None
        assert lax.play(item, "calia").arrived_at == OUTSIDE


@pytest.mark.parametrize(
    ("action", "arrives"), [(HostAction.DROP, False), (HostAction.RETURN, True), (HostAction.ACCEPT, True)]
)
def test_what_a_workload_may_reach_of_its_host(node, action, arrives):
    made = node(endpoint_to_host=action)
    for version, source in ((4, "10.65.0.2"), (6, "fd00:65::2")):
        with made.namespace.entered():
            host = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
        with host:
            host.bind((NODE_ADDRESSES[version], 8080))
            host.settimeout(0.3)
            made.play(packet(source, NODE_ADDRESSES[version]), "calia", patience_seconds=0.05)
            assert received(host) == arrives


def received(sock):
    try:
        return bool(sock.recv(100))
    except TimeoutError:
        return False


def test_neighbour_discovery_reaches_the_host_and_echo_does_not(node):
    made = node()
    for kind, passes in ((135, True), (128, False)):
        seen = made.play(
            packet("fd00:65::2", NODE_ADDRESSES[6], protocol=58, icmp_type=kind, icmp_code=0), "calia", 0.1
        )
        assert ("workload to its own host" in seen.counted) == (not passes)
