"""Random sequences of changes, and random worlds: the graph against a fresh graph, and its output against `evaluate`."""

from collections import Counter
from ipaddress import ip_address
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.domains import DomainName
from policy.evaluate import Happened, LearnedName, Packet, Party, World, judge
from policy.resources.decode import decode
from policy.rules import Direction, EndpointID
from tests.oracles.worlds import Probe, make_world
from tests.policy.graph.checks import CheckedGraph, fresh, leftovers
from tests.policy.graph.interpreter import Interpreter
from tests.policy.graph.states import SEQUENCES

PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132, "ICMP": 1, "ICMPv6": 58, "UDPLite": 136}
VERSIONS = sorted(
    {
        (key, repr(resource)): (key, resource)
        for states in SEQUENCES.values()
        for state in states
        for key, resource in state.items()
    }.items()
)
CHANGES = st.tuples(
    st.sampled_from([change for _, change in VERSIONS]), st.sampled_from(["put", "put", "put", "drop", "flush"])
)


@given(st.lists(CHANGES, max_size=40))
@settings(deadline=None, max_examples=200)
def test_any_sequence_of_changes_ends_as_a_fresh_graph_and_leaves_nothing(changes):
    graph = CheckedGraph()
    nothing = leftovers(graph.graph)
    for (key, resource), what in changes:
        if what == "flush":
            graph.flush()
        else:
            graph.update(key, resource if what == "put" else None)
    graph.flush()
    for key in list(graph.told):
        graph.update(key, None)
    graph.flush()
    assert leftovers(graph.graph) == nothing


@pytest.mark.parametrize("batch", range(4))
def test_random_worlds_grow_and_shrink_as_fresh_graphs(batch):
    for seed in range(batch * 8, batch * 8 + 8):
        chance = Random(seed)
        graph = CheckedGraph("node1")
        resources = resources_of(seed) + resources_of(seed + 1000)
        for _ in range(30):
            for resource in chance.choices(resources, k=chance.choice([1, 1, 4, 12])):
                graph.update(resource.key, resource if chance.random() < 0.7 else None)
            graph.flush()


# --- Against the oracle ---


@pytest.mark.parametrize("batch", range(6))
def test_compiled_rules_decide_as_the_reference_semantics(batch):
    seen: Counter[object] = Counter()
    for seed in range(batch * 25, batch * 25 + 25):
        made = make_world(seed, probes=30)
        names = [
            LearnedName(EndpointID(n["endpoint"]), DomainName.parse(n["name"]), ip_address(n["ip"])) for n in made.names
        ]
        resources = resources_of(seed)
        world = World(resources)
        nodes = {node: Interpreter(fresh({r.key: r for r in resources}, node), names) for node in ("node1", "node2")}
        for probe in made.probes:
            if "host" in probe["from"] or "host" in probe["to"]:
                continue
            packet = packet_of(world, probe)
            verdict = judge(world, packet, names)
            pending = verdict.pending or verdict
            is_staged = verdict.pending is not None
            sides = [(verdict.egress, Direction.EGRESS, False), (verdict.ingress, Direction.INGRESS, False)]
            sides += [(pending.egress, Direction.EGRESS, is_staged), (pending.ingress, Direction.INGRESS, is_staged)]
            for side, direction, would_be in sides:
                if side is None or side.deciding.happened is Happened.ENCAPSULATION_DENIED:
                    continue
                if any(step.at for step in side.trace):
                    continue  # host endpoints have their say, too: `tests.oracles`
                party = packet.source if direction is Direction.EGRESS else packet.destination
                holder = world.endpoint_at(party.address)
                found = nodes[holder.node].decide(holder.endpoint, direction, packet, is_pending=would_be)
                step = side.deciding
                assert found == (side.is_allowed, step.tier, step.policy.name if step.policy else "", step.rule), (
                    made.text()
                )
                seen[step.happened] += 1
    assert len(seen) >= 4, seen  # the worlds are not so dull that everything ends in the same way
    assert sum(seen.values()) > 300


def resources_of(seed: int):
    return [decode(document) for document in make_world(seed, probes=0).documents]


def packet_of(world: World, probe: Probe) -> Packet:
    return Packet(
        source=party_of(world, probe["from"], probe["family"]),
        destination=party_of(world, probe["to"], probe["family"]),
        protocol=PROTOCOLS.get(probe["protocol"], probe["protocol"]),
        source_port=probe.get("sourcePort"),
        destination_port=probe.get("port"),
        icmp_type=probe.get("icmpType"),
        icmp_code=probe.get("icmpCode"),
    )


def party_of(world: World, party: dict[str, str], family: int) -> Party:
    if "pod" not in party:
        return Party(address=ip_address(party["ip"]))
    holder = world.endpoint(EndpointID(party["pod"]))
    return Party(address=next(net.network_address for net in holder.nets if net.version == family))
