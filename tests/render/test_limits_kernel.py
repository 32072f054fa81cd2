"""Limits on real packets: both families, both directions, neighbours untouched, and counts that live as long as they should."""

import time
from contextlib import ExitStack
from ipaddress import ip_address

import pytest

from policy.evaluate import Packet, Party
from policy.limits import Limits, Rate, TrafficLimits
from tests.oracles.replay import OUTSIDE, Node
from tests.render.states import endpoint, policy, profile, state, tier
from tidegate.render import RenderSettings, render_table

pytestmark = pytest.mark.kernel

ADDRESSES = {
    "a": [ip_address("10.65.0.2"), ip_address("fd00:65::2")],
    "b": [ip_address("10.65.0.3"), ip_address("fd00:65::3")],
}
FAR = {4: ip_address("192.0.2.1"), 6: ip_address("2001:db8::1")}
OPEN = profile("open", ingress=({},), egress=({},))
WAYS = [(version, way) for version in (4, 6) for way in ("ingress", "egress")]
PATIENCE_SECONDS = 30


def table(limits, *, policies=(), tiers=()):
    ends = [
        endpoint(name, addresses=map(str, own), profiles=("open",), tiers=tiers, limits=limits[name])
        for name, own in ADDRESSES.items()
    ]
    return render_table(state(endpoints=ends, policies=(OPEN, *policies)), RenderSettings())


@pytest.fixture
def node():
    """Makes a node on which workload a is limited, and b is not."""
    with ExitStack() as stack:
        made = Node(stack, {f"cali{name}": own for name, own in ADDRESSES.items()})

        def load(way, limits, **fields):
            made.load(table({"a": TrafficLimits(**{way: limits}), "b": TrafficLimits()}, **fields))
            return made

        yield load


def packets(way, version, ports, name="a"):
    """UDP from or to the workload, one packet for each source port, and where it enters the node."""
    own = next(address for address in ADDRESSES[name] if address.version == version)
    source, destination = (own, FAR[version]) if way == "egress" else (FAR[version], own)
    made = [
        Packet(
            source=Party(address=source),
            destination=Party(address=destination),
            protocol=17,
            source_port=port,
            destination_port=8080,
        )
        for port in ports
    ]
    return made, f"cali{name}" if way == "egress" else OUTSIDE


@pytest.mark.parametrize(("version", "way"), WAYS)
def test_packets_beyond_the_rate_are_dropped_and_counted_those_of_open_connections_too(node, version, way):
    made = node(way, Limits(packets=Rate(20, 10)))
    started = time.monotonic()
    seen = made.flood(*packets(way, version, [1000] * 200))
    allowed = 10 + 20 * (time.monotonic() - started) + 1
    assert 10 <= seen.arrived <= allowed
    assert seen.counted[f"limit {way}PacketRate prod/a"] == 200 - seen.arrived
    assert made.flood(*packets(way, version, [1000] * 200, "b")).arrived == 200


@pytest.mark.parametrize(("version", "way"), WAYS)
def test_connections_beyond_the_number_are_dropped_and_open_ones_go_on(node, version, way):
    made = node(way, Limits(max_connections=5))
    assert made.flood(*packets(way, version, range(1000, 1005))).arrived == 5
    seen = made.flood(*packets(way, version, range(2000, 2010)))
    assert (seen.arrived, seen.counted[f"limit {way}MaxConnections prod/a"]) == (0, 10)
    assert made.flood(*packets(way, version, [*range(1000, 1005)] * 10)).arrived == 50
    assert made.flood(*packets(way, version, range(3000, 3030), "b")).arrived == 30


def test_a_connection_that_ended_makes_room(node):
    made = node("egress", Limits(max_connections=3))
    made.namespace.sysctl(net__netfilter__nf_conntrack_udp_timeout=1)
    assert made.flood(*packets("egress", 4, range(1000, 1004))).arrived == 3
    until = time.monotonic() + PATIENCE_SECONDS
    while not made.flood(*packets("egress", 4, [2000])).arrived:
        assert time.monotonic() < until


@pytest.mark.parametrize(("version", "way"), WAYS)
def test_connections_beyond_the_rate_are_dropped_and_open_ones_go_on(node, version, way):
    made = node(way, Limits(connections=Rate(5, 10)))
    started = time.monotonic()
    seen = made.flood(*packets(way, version, range(1000, 1100)))
    assert 10 <= seen.arrived <= 10 + 5 * (time.monotonic() - started) + 1
    assert seen.counted[f"limit {way}ConnectionRate prod/a"] == 100 - seen.arrived
    assert made.flood(*packets(way, version, [1000] * 100)).arrived == 100
    assert made.flood(*packets(way, version, range(3000, 3100), "b")).arrived == 100


def test_open_connections_stay_counted_when_policy_and_other_workloads_change(node):
    made = node("egress", Limits(max_connections=5))
    assert made.flood(*packets("egress", 4, range(1000, 1005))).arrived == 5
    more = policy("p", egress=({},), ingress=({},))
    limits = {
        "a": TrafficLimits(egress=Limits(max_connections=5, packets=Rate(10000, 10000))),
        "b": TrafficLimits(egress=Limits(max_connections=2)),
    }
    made.load(table(limits, policies=(more,), tiers=(tier(egress=(more.id,), ingress=(more.id,)),)))
    assert made.flood(*packets("egress", 4, [2000, 2001])).arrived == 0
    assert made.flood(*packets("egress", 4, range(1000, 1005))).arrived == 5
    assert made.flood(*packets("egress", 4, range(2000, 2005), "b")).arrived == 2


def test_both_families_share_one_number(node):
    made = node("egress", Limits(max_connections=5))
    assert made.flood(*packets("egress", 4, range(1000, 1003))).arrived == 3
    assert made.flood(*packets("egress", 6, range(1000, 1003))).arrived == 2
