"""The sets of rates when they are full: what happens then is what was promised, and it is counted."""

from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_address

import pytest

from dnsagent.snapshot import TrustedServer
from policy.evaluate import Packet, Party
from tests.oracles.replay import OUTSIDE, Node
from tests.render.states import endpoint, policy, state, tier, to
from tidegate.render import RenderSettings, names, render_table

pytestmark = pytest.mark.kernel

ADDRESSES = {"a": "10.65.0.2", "b": "10.65.0.3"}
SERVER = "192.0.2.53"
NAMED = policy("named", egress=({"destination": to(domain_set="d")}, {"protocol": 6}))
SETTINGS = RenderSettings(trusted_servers=(TrustedServer(address=ip_address(SERVER), port=53),))


@pytest.fixture
def node():
    """A node with two workloads whose sets of rates hold one interface."""
    ends = [endpoint(name, addresses=(own,), tiers=(tier(egress=(NAMED.id,)),)) for name, own in ADDRESSES.items()]
    table = render_table(state(endpoints=ends, policies=(NAMED,), domains={"d": ("a.example",)}), SETTINGS)
    small = {name: replace(table.sets[name], size=1) for name in (names.HELD_RATE, names.TCP_RATE)}
    with ExitStack() as stack:
        made = Node(stack, {f"cali{name}": [ip_address(own)] for name, own in ADDRESSES.items()})
        made.load(replace(table, sets={**table.sets, **small}))
        yield made


def packet(source, destination, protocol, port):
    return Packet(
        source=Party(address=ip_address(source)),
        destination=Party(address=ip_address(destination)),
        protocol=protocol,
        source_port=1234,
        destination_port=port,
    )


def test_a_workload_that_finds_no_bucket_is_denied_at_once_and_counted(node):
    first = node.play(packet(ADDRESSES["a"], "198.51.100.1", 17, 80), "calia", 0.2)
    assert (first.arrived_at, first.counted & {"denied", names.HELD_RATE_FULL}) == (None, set())  # waits for a name
    second = node.play(packet(ADDRESSES["b"], "198.51.100.1", 17, 80), "calib")
    assert (second.arrived_at, second.counted & {"denied", names.HELD_RATE_FULL}) == (
        None,
        {"denied", names.HELD_RATE_FULL},
    )


def test_a_workload_that_finds_no_bucket_has_its_dns_over_tcp_pass_unread_and_counted(node):
    first = node.play(packet(ADDRESSES["a"], SERVER, 6, 53), "calia")
    assert (first.arrived_at, names.TCP_RATE_FULL in first.counted) == (OUTSIDE, False)  # nobody listens here
    second = node.play(packet(ADDRESSES["b"], SERVER, 6, 53), "calib")
    assert (second.arrived_at, names.TCP_RATE_FULL in second.counted) == (OUTSIDE, True)
