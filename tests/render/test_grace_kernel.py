"""Grace as the kernel gives it: its own set, its own time, and no packet lost where there is no room."""

import json
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from ipaddress import ip_address

import pytest

from nft.elements import Change, ElementWriter, Operation
from policy.evaluate import Packet, Party
from policy.rules import DomainOptions
from tests.oracles.replay import OUTSIDE, Node
from tests.render.states import endpoint, policy, state, tier, to
from tidegate.render import RenderSettings, names, render_table

pytestmark = pytest.mark.kernel

OWN, FAR, SECOND = (ip_address(one) for one in ("10.65.0.2", "198.51.100.1", "198.51.100.2"))
LIVE, GRACE = names.domain_set("d", 4), names.grace_set("d", 4)
SETTINGS = RenderSettings(holds_denied_below=False)
NAMED = policy("named", egress=({"destination": to(domain_set="d"), "grace_seconds": 2.0},))


@pytest.fixture
def node():
    """A node with a workload to which two addresses are open by name, and room for one in the grace set."""
    made = state(
        endpoints=(endpoint("a", addresses=(str(OWN),), tiers=(tier(egress=(NAMED.id,)),)),),
        policies=(NAMED,),
        domains={"d": ("a.example",)},
    )
    options = DomainOptions(grace_seconds=2.0)
    domains = {key: replace(item, options=options) for key, item in made.domain_sets.items()}
    table = render_table(replace(made, domain_sets=domains), SETTINGS)
    small = {GRACE: replace(table.sets[GRACE], size=1)}
    with ExitStack() as stack:
        found = Node(stack, {"calia": [OWN]})
        found.load(replace(table, sets={**table.sets, **small}), {LIVE: frozenset({(OWN, FAR), (OWN, SECOND)})})
        yield found


def send(node, destination):
    """Where a first packet comes out; each is another connection's."""
    send.port += 1
    packet = Packet(
        source=Party(address=OWN),
        destination=Party(address=destination),
        protocol=17,
        source_port=send.port,
        destination_port=443,
    )
    return node.play(packet, "calia").arrived_at


send.port = 20_000


def graced(node):
    listed = json.loads(node.namespace.command("nft", "-j", "list", "set", "inet", "tidegate", GRACE))
    [found] = [item["set"] for item in listed["nftables"] if "set" in item]
    return {one["elem"]["val"]["concat"][1] for one in found.get("elem", ())}


def forget(node, destination):
    """The learned element's time is over."""
    with node.namespace.entered(), closing(ElementWriter("tidegate")) as writer:
        writer.write([Change(Operation.DELETE, LIVE, OWN.packed + destination.packed)])


def test_a_used_address_stays_open_for_the_grace_and_each_use_prolongs_it(node):
    assert send(node, FAR) == OUTSIDE
    forget(node, FAR)
    until = time.monotonic() + 3
    while time.monotonic() < until:  # longer than the grace, which each use gives anew
        assert send(node, FAR) == OUTSIDE
        time.sleep(0.2)
    deadline = time.monotonic() + 20
    while graced(node):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert send(node, FAR) is None


def test_an_address_that_was_not_used_has_no_grace(node):
    forget(node, FAR)
    assert send(node, FAR) is None
    assert graced(node) == set()


def test_where_the_set_is_full_what_is_learned_is_open_all_the_same(node):
    assert (send(node, FAR), send(node, SECOND)) == (OUTSIDE, OUTSIDE)
    assert graced(node) == {str(FAR)}
    forget(node, SECOND)
    assert send(node, SECOND) is None
    assert send(node, FAR) == OUTSIDE
