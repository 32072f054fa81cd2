"""The oracle's front: a packet, judged by everybody who has a say in it.

The sender's side and the receiver's side both must accept, wherever the two are. On each side several may be asked:
host endpoints at the places that the packet passes, and the workload. All of them must accept, but what untracked or
pre-DNAT policy allows, the host endpoints of the places behind need not. Around the walk stands a frame: what workloads
send to their own host, what the host sends to its own workloads, failsafe ports, and encapsulated packets, which only
hosts may send.
"""

from collections.abc import Iterable
from dataclasses import replace

from policy.evaluate.frame import Frame, excepted, is_forbidden_tunnel, is_neighbour_discovery, tunnelled
from policy.evaluate.match import Question
from policy.evaluate.names import Knowledge
from policy.evaluate.packet import LearnedName, Packet
from policy.evaluate.path import Ask, Place, Route, workload_of
from policy.evaluate.verdict import DirectionVerdict, Happened, TraceStep, Verdict
from policy.evaluate.walk import walk
from policy.evaluate.world import World
from policy.resources.metadata import ObjectMeta
from policy.rules import Direction


def judge(world: World, packet: Packet, names: Iterable[LearnedName] = (), frame: Frame | None = None) -> Verdict:
    """The verdict on the first packet of a connection. Both sides are judged, even if the first one denies.

    Where policies are staged, the same question is put to the world that would have them enforced.
    """
    facts = tuple(names)
    verdict = _judged(world, packet, facts, frame or Frame())
    if world.pending is None:
        return verdict
    return _beside(verdict, _judged(world.pending, packet, facts, frame or Frame()))


def _judged(world: World, packet: Packet, names: tuple[LearnedName, ...], frame: Frame) -> Verdict:
    route = Route(world, packet, workload_of(world, packet.source), workload_of(world, packet.destination))
    judgement = _Judgement(route, Knowledge(world, names, frame.dns_grace_seconds), frame)
    return Verdict(egress=judgement.of_all(route.of_sender()), ingress=judgement.of_all(route.of_receiver()))


def _beside(verdict: Verdict, pending: Verdict) -> Verdict:
    """The enforced verdict, with what would be on each side."""
    return Verdict(
        egress=_with_walk(verdict.egress, pending.egress),
        ingress=_with_walk(verdict.ingress, pending.ingress),
        pending=pending,
    )


def _with_walk(side: DirectionVerdict | None, pending: DirectionVerdict | None) -> DirectionVerdict | None:
    if side is None or pending is None or side.trace == pending.trace:
        return side
    return replace(side, staged=pending.trace)


class _Judgement:
    """What all who are asked about one packet have in common."""

    def __init__(self, route: Route, knowledge: Knowledge, frame: Frame) -> None:
        self._route = route
        self._knowledge = knowledge
        self._frame = frame

    def of_all(self, asks: Iterable[Ask]) -> DirectionVerdict | None:
        """One side's verdict; None where nobody is asked."""
        steps: list[TraceStep] = []
        is_settled = False
        for ask in asks:
            if is_settled and ask.is_settled_before:
                continue
            verdict = self._of(ask)
            steps += verdict.trace
            if not verdict.is_allowed:
                return replace(verdict, trace=tuple(steps))
            is_settled = is_settled or _settles(ask, verdict)
        return DirectionVerdict(is_allowed=True, trace=tuple(steps)) if steps else None

    def _of(self, ask: Ask) -> DirectionVerdict:
        if ask.place is not Place.WORKLOAD:
            return self._of_host(ask)
        if ask.direction is Direction.EGRESS:
            return self._of_sending_workload(ask)
        return walk(self._question(ask))

    def _of_sending_workload(self, ask: Ask) -> DirectionVerdict:
        packet, is_to_own_host = self._route.packet, self._route.is_to_own_host
        if is_to_own_host and is_neighbour_discovery(packet):
            return _decided(Happened.NEIGHBOUR_DISCOVERY_ALLOWED, is_allowed=True)
        if is_forbidden_tunnel(packet, self._frame):
            return _decided(Happened.ENCAPSULATION_DENIED, is_allowed=False)
        verdict = walk(self._question(ask))
        if is_to_own_host and verdict.is_allowed and self._frame.default_endpoint_to_host_action == "Drop":
            return replace(verdict, is_allowed=False, trace=(*verdict.trace, TraceStep(happened=Happened.HOST_DENIED)))
        return verdict

    def _of_host(self, ask: Ask) -> DirectionVerdict:
        reason = self._exception(ask)
        if reason is None:
            verdict = walk(self._question(ask))
        else:
            verdict = _decided(reason, is_allowed=reason is not Happened.TUNNEL_DENIED)
        at = f"{ask.place} {ask.direction} of host endpoint {ask.who.host}"
        return replace(verdict, trace=tuple(replace(step, at=at) for step in verdict.trace))

    def _exception(self, ask: Ask) -> Happened | None:
        packet, frame = self._route.packet, self._frame
        found = None
        if ask.place is Place.HOST:
            found = tunnelled(packet, ask.direction, self._route.world.node_addresses, frame.tunnels)
        return found or excepted(packet, ask.place, ask.direction, frame)

    def _question(self, ask: Ask) -> Question:
        return Question(
            world=self._route.world,
            knowledge=self._knowledge,
            packet=self._route.packet,
            endpoint=ask.who,
            place=ask.place,
            direction=ask.direction,
            owner=ObjectMeta.model_construct(name=""),  # each policy puts its own here as the walk comes to it
        )


def _settles(ask: Ask, verdict: DirectionVerdict) -> bool:
    """Whether a rule before conntrack or DNAT allowed the packet; a failsafe port settles nothing but its own place."""
    is_early = ask.place in (Place.UNTRACKED, Place.PRE_DNAT)
    return is_early and any(step.happened is Happened.ALLOWED for step in verdict.trace)


def _decided(happened: Happened, *, is_allowed: bool) -> DirectionVerdict:
    return DirectionVerdict(is_allowed=is_allowed, trace=(TraceStep(happened=happened),))
