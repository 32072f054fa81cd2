"""A random world on a real kernel, packet by packet, against what the other two oracles say."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import ip_address

from policy.evaluate import Happened, Packet
from policy.rules import Direction, RuleID
from policy.staged import is_staged
from tests.oracles.cases import Case
from tests.oracles.replay import NODE_ADDRESSES, OUTSIDE, Node, Seen
from tests.oracles.worlds import Probe, World, make_world
from tidegate.judge.answer import Answer, DirectionAnswer
from tidegate.judge.hits import PROFILE_TIER
from tidegate.judge.learned import learned_elements
from tidegate.judge.nodes import node_state
from tidegate.render import RenderSettings, names, render_table

LINKS = {"node1": {OUTSIDE: frozenset(map(ip_address, NODE_ADDRESSES.values()))}}
_IPIP = 4
SETTINGS = RenderSettings(
    drops_invalid=False,  # ICMP errors and the like come out of nowhere here, and policy shall be asked about them
    holds_denied_below=False,  # nobody listens to the queue
    log_group=5,  # Log rules write here; the kernel's own log is the same but for the namespace that it takes lines of
    log_queue=103,  # nobody reads it, and what cannot wait passes: it must come to the same end as what does not wait
    log_drops_overflow=False,
    logged_mark=0x200000,
)


def expected_comments(answer: Answer, packet: Packet) -> list[str]:
    """The rules that must have counted the packet: the one that decided, on each side that was asked."""
    comments = []
    for direction, side in ((Direction.EGRESS, answer.egress), (Direction.INGRESS, answer.ingress)):
        if side is not None:
            comments.append(comment(side, direction, packet))
            if not side.is_allowed:
                return comments
    return [*comments, *(("must name itself",) if waits_for_a_name(answer) else ())]


def waits_for_a_name(answer: Answer) -> bool:
    """Whether an allowed packet is shown to the reader of names; here nobody reads, so it ends there."""
    return answer.is_allowed and answer.egress is not None and answer.egress.must_name


def staged_comments(answer: Answer) -> list[str]:
    """The staged rules that must have counted the packet, where no host endpoint is asked as well."""
    if answer.pending is None:
        return []
    walked = [(Direction.EGRESS, answer.pending.egress, answer.egress)]
    if answer.egress is None or answer.egress.is_allowed:
        walked.append((Direction.INGRESS, answer.pending.ingress, answer.ingress))
    return [
        names.comment(RuleID(step.tier, step.policy, direction, step.rule))
        for direction, side, enforced in walked
        if side is not None and not any(step.at for step in (*side.trace, *(enforced.trace if enforced else ())))
        for step in side.trace
        if step.policy is not None
        and is_staged(step.policy)
        and step.rule >= 0
        and step.happened is not Happened.NOT_MATCHED
    ]


def comment(side: DirectionAnswer, direction: Direction, packet: Packet) -> str:
    """What the deciding rule is called in the table."""
    last = side.deciding
    if last.happened is Happened.ENCAPSULATION_DENIED:
        return "IP in IP from a workload" if packet.protocol == _IPIP else "VXLAN from a workload"
    if last.happened is Happened.FAILSAFE_ALLOWED:
        return "failsafe"
    if last.at:  # what a workload sends may have been denied where the host endpoint for its interface lets things in
        direction = Direction.INGRESS if " ingress of " in last.at else Direction.EGRESS
    tier = "" if last.tier == PROFILE_TIER else last.tier
    return names.comment(RuleID(tier, last.policy or names.NO_PROFILE, direction, last.rule))


def loaded(stack: ExitStack, case: Case) -> tuple[Node, dict[str, str]]:
    """The world's node with its table, and the interface of each endpoint."""
    state = node_state(case.resources, "node1", case.links)
    ends = [known.endpoint for known in state.endpoints.values()]
    node = Node(stack, {end.interface_name: list(end.addresses) for end in ends})
    node.load(render_table(state, SETTINGS), learned_elements(state, case.names, SETTINGS))
    return node, {end.id: end.interface_name for end in ends}


def on_the_wire(world: World) -> World:
    """The world whose node has one interface to the outside: probes choose no other."""
    probes = [
        {
            key: {k: v for k, v in part.items() if k != "interface"} if key in ("from", "to") else part
            for key, part in items
        }
        for items in (probe.items() for probe in world.probes)
    ]
    return replace(world, probes=tuple(probes))


def crosses(packet: Packet, interfaces: dict[str, str]) -> bool:
    """Whether the packet passes the node, from or to one of its workloads, or is sent to it from elsewhere."""
    parties = (packet.source, packet.destination)
    if packet.destination.host is not None:
        is_to_node = packet.destination.address in LINKS["node1"][OUTSIDE]
        return is_to_node and packet.source.endpoint is None and packet.source.host is None
    return packet.source.host is None and any(party.endpoint in interfaces for party in parties)


def first_of_flows(packets: list[tuple[Probe, Packet]]) -> Iterator[tuple[Probe, Packet]]:
    """Leaves out what the kernel would take for a reply to an earlier packet: replies are not asked about policy."""
    flows = set()
    for probe, packet in packets:
        source = (packet.source.address, packet.source_port)
        destination = (packet.destination.address, packet.destination_port)
        if (packet.protocol, destination, source) not in flows:
            flows.add((packet.protocol, source, destination))
            yield probe, packet


@dataclass(frozen=True, slots=True)
class Played:
    """What became of a world's packets."""

    packets: int
    allowed: int
    wrong: tuple[str, ...]
    """Where the oracles are of different minds."""


def play_world(seed: int, probes: int = 40) -> Played:
    """Sends a world's packets, of which about three in four pass the node."""
    case = Case(on_the_wire(make_world(seed, probes, nodes=("node1",))), LINKS)
    simulation = case.simulation(SETTINGS)
    played, allowed, wrong = 0, 0, []
    with ExitStack() as stack:
        node, interfaces = loaded(stack, case)
        for probe, packet in first_of_flows(case.packets):
            if not crosses(packet, interfaces):
                continue
            answer = case.evaluated(packet)
            if not simulation.judge(packet).agrees(answer):
                wrong.append(f"simulation: {probe}")
            way_in = interfaces.get(packet.source.endpoint, OUTSIDE)
            is_to_node = packet.destination.host is not None
            ends = frozenset(expected_comments(answer, packet)[-1:]) if is_to_node else frozenset()
            seen = node.play(packet, way_in, ends=ends)
            played, allowed = played + 1, allowed + answer.is_allowed
            way_out = None if is_to_node else interfaces.get(packet.destination.endpoint, OUTSIDE)
            if not agrees(answer, packet, seen, way_out):
                wrong.append(f"kernel: {probe}, {answer.document(probe['id'])}, {seen}\n{case.world.text()}")
    return Played(played, allowed, tuple(wrong))


def agrees(answer: Answer, packet: Packet, seen: Seen, way_out: str | None) -> bool:
    """Whether the packet came out where it should, and the rules counted it that decided."""
    is_through = answer.is_allowed and not waits_for_a_name(answer)
    arrives_as_said = seen.arrived_at == (way_out if is_through else None)
    return arrives_as_said and seen.counted.issuperset([*expected_comments(answer, packet), *staged_comments(answer)])
