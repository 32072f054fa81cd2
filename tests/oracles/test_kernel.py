"""Three oracles, one truth table: real packets in network namespaces against the other two."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from policy.evaluate import Packet
from policy.rules import Direction, RuleID
from tests.oracles.cases import Case
from tests.oracles.replay import OUTSIDE, Node, Seen
from tests.oracles.worlds import Probe, make_world
from tidegate.judge.answer import PROFILE_TIER, Answer, DirectionAnswer
from tidegate.judge.learned import learned_elements
from tidegate.judge.nodes import node_state
from tidegate.render import RenderSettings, names, render_table

pytestmark = pytest.mark.kernel

WORLDS = range(16)
SETTINGS = RenderSettings(
    drops_invalid=False,  # ICMP errors and the like come out of nowhere here, and policy shall be asked about them
    holds_denied_below=False,  # nobody listens to the queue
)


def expected_comments(answer: Answer) -> list[str]:
    """The rules that must have counted the packet: the one that decided, on each side that was asked."""
    comments = []
    for direction, side in ((Direction.EGRESS, answer.egress), (Direction.INGRESS, answer.ingress)):
        if side is not None:
            comments.append(comment(side, direction))
            if not side.is_allowed:
                break
    return comments


def comment(side: DirectionAnswer, direction: Direction) -> str:
    last = side.trace[-1]
    tier = "" if last.tier == PROFILE_TIER else last.tier
    return names.comment(RuleID(tier, last.policy or names.NO_PROFILE, direction, last.rule))


def loaded(stack: ExitStack, case: Case) -> tuple[Node, dict[str, str]]:
    """The world's node with its table, and the interface of each endpoint."""
    state = node_state(case.resources, "node1")
    ends = [known.endpoint for known in state.endpoints.values()]
    node = Node(stack, {end.interface_name: list(end.addresses) for end in ends})
    node.load(render_table(state, SETTINGS), learned_elements(state, case.names))
    return node, {end.id: end.interface_name for end in ends}


def crosses(packet: Packet, interfaces: dict[str, str]) -> bool:
    """Whether the packet passes the node: from or to one of its workloads, not to the node itself."""
    parties = (packet.source, packet.destination)
    return all(party.host is None for party in parties) and any(party.endpoint in interfaces for party in parties)


def first_of_flows(packets: list[tuple[Probe, Packet]]) -> Iterator[tuple[Probe, Packet]]:
    """Leaves out what the kernel would take for a reply to an earlier packet: replies are not asked about policy."""
    flows = set()
    for probe, packet in packets:
        source = (packet.source.address, packet.source_port)
        destination = (packet.destination.address, packet.destination_port)
        if (packet.protocol, destination, source) not in flows:
            flows.add((packet.protocol, source, destination))
            yield probe, packet


@pytest.mark.parametrize("seed", WORLDS)
def test_the_kernel_does_what_evaluate_and_simulate_say(seed):
    """Verdict and deciding rule of every packet of a world; about 30 packets a world."""
    case = Case(make_world(seed, nodes=("node1",)))
    simulation = case.simulation(SETTINGS)
    played, wrong = 0, []
    with ExitStack() as stack:
        node, interfaces = loaded(stack, case)
        for probe, packet in first_of_flows(case.packets):
            if crosses(packet, interfaces):
                answer = case.evaluated(packet)
                assert simulation.judge(packet).agrees(answer)
                seen = node.play(packet, interfaces.get(packet.source.endpoint, OUTSIDE))
                played += 1
                if not agrees(answer, seen, interfaces.get(packet.destination.endpoint, OUTSIDE)):
                    wrong.append((probe, answer.document(probe["id"]), seen))
    assert not wrong, f"{wrong[0]}\n{case.world.text()}"
    assert played >= 20  # 16 worlds make more than 320


def agrees(answer: Answer, seen: Seen, way_out: str) -> bool:
    arrives_as_said = seen.arrived_at == (way_out if answer.is_allowed else None)
    return arrives_as_said and seen.counted.issuperset(expected_comments(answer))
