"""The oracle's front: a packet, judged by everybody who has a say in it.

The sender's egress policy and the receiver's ingress policy both must accept, wherever the two are. Around the walk
stands a frame: what workloads send to their own host, what the host sends to its own workloads, and encapsulated
packets, which only hosts may send.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from policy.evaluate.match import Question
from policy.evaluate.names import Knowledge
from policy.evaluate.packet import ICMPV6, LearnedName, Packet, Party
from policy.evaluate.verdict import DirectionVerdict, Happened, TraceStep, Verdict
from policy.evaluate.walk import walk
from policy.evaluate.world import Holder, World
from policy.resources.metadata import ObjectMeta
from policy.rules import Direction

IPIP = 4
UDP = 17
VXLAN_PORT = 4789
_HOST_NEEDS_ICMPV6 = frozenset((130, 131, 132, 133, 135, 136))
"""Multicast listener discovery, router solicitation, neighbour solicitation and advertisement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The node's settings that act beside policy (Calico: FelixConfiguration, same names)."""

    default_endpoint_to_host_action: Literal["Drop", "Return", "Accept"] = "Drop"
    """What happens to packets to the own host that egress policy accepted. Return leaves them to the host: allowed."""
    allow_vxlan_packets_from_workloads: bool = False
    allow_ipip_packets_from_workloads: bool = False


def judge(world: World, packet: Packet, names: Iterable[LearnedName] = (), frame: Frame | None = None) -> Verdict:
    """The verdict on the first packet of a connection. Both sides are judged, even if the first one denies."""
    knowledge = Knowledge(world, names)
    sender, receiver = _workload(world, packet.source), _workload(world, packet.destination)
    egress = ingress = None
    if sender is not None:
        egress = _egress(_question(world, knowledge, packet, sender, Direction.EGRESS), frame or Frame())
    if receiver is not None and packet.source.host != (receiver.node or None):
        ingress = walk(_question(world, knowledge, packet, receiver, Direction.INGRESS))
    return Verdict(egress=egress, ingress=ingress)


def _workload(world: World, party: Party) -> Holder | None:
    if party.endpoint is not None:
        return world.endpoint(party.endpoint)
    return None if party.host is not None else world.endpoint_at(party.address)


def _question(world: World, knowledge: Knowledge, packet: Packet, endpoint: Holder, direction: Direction) -> Question:
    nobody = ObjectMeta.model_construct(name="")  # each policy puts its own here as the walk comes to it
    return Question(
        world=world, knowledge=knowledge, packet=packet, endpoint=endpoint, direction=direction, owner=nobody
    )


def _egress(question: Question, frame: Frame) -> DirectionVerdict:
    packet = question.packet
    is_to_own_host = packet.destination.host is not None and packet.destination.host == question.endpoint.node
    if is_to_own_host and packet.protocol == ICMPV6 and packet.icmp_type in _HOST_NEEDS_ICMPV6:
        return _decided(Happened.NEIGHBOUR_DISCOVERY_ALLOWED, is_allowed=True)
    if _is_forbidden_tunnel(packet, frame):
        return _decided(Happened.ENCAPSULATION_DENIED, is_allowed=False)
    verdict = walk(question)
    if is_to_own_host and verdict.is_allowed and frame.default_endpoint_to_host_action == "Drop":
        return replace(verdict, is_allowed=False, trace=(*verdict.trace, TraceStep(happened=Happened.HOST_DENIED)))
    return verdict


def _is_forbidden_tunnel(packet: Packet, frame: Frame) -> bool:
    if packet.protocol == UDP and packet.destination_port == VXLAN_PORT:
        return not frame.allow_vxlan_packets_from_workloads
    return packet.protocol == IPIP and not frame.allow_ipip_packets_from_workloads


def _decided(happened: Happened, *, is_allowed: bool) -> DirectionVerdict:
    return DirectionVerdict(is_allowed=is_allowed, trace=(TraceStep(happened=happened),))
