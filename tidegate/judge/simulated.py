"""The second oracle: the rules that a node would have in its kernel, run in Python.

Each side is judged where it is: what a workload sends at its own node, on the way to somewhere outside, and what one
receives at its own node, coming from outside, so that both are heard even if one denies.

    resources -> graph of the node -> rendered table -> simulated packet -> comments of the rules it met -> answer
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from nft import matching, simulate
from policy.evaluate import LearnedName, Packet
from policy.resources.metadata import Resource
from policy.rules import EndpointID, EndpointPolicy, NodeState
from tidegate.judge.answer import Answer, DirectionAnswer, Step
from tidegate.judge.learned import learned_elements
from tidegate.judge.nodes import node_names, node_state
from tidegate.judge.spoken import spoken
from tidegate.render import RenderSettings, names, render_table

_OUTSIDE = "outside"
"""The interface to all that is not a workload of the node; no workload's has that name."""


class Simulation:
    """The tables of all nodes that have workloads, made when the first packet comes to one. Holds what it has made."""

    def __init__(
        self, resources: Iterable[Resource], learned: Iterable[LearnedName] = (), settings: RenderSettings | None = None
    ) -> None:
        self._resources = tuple(resources)
        self._learned = tuple(learned)
        self._settings = settings or RenderSettings()
        self._nodes: dict[str, _Node] = {}
        self._home = {
            identity: name for name in sorted(node_names(self._resources)) for identity in self._node(name).interfaces
        }

    def judge(self, packet: Packet) -> Answer:
        """What the kernels of the two nodes would do with the first packet of a connection."""
        sender, receiver = packet.source.endpoint, packet.destination.endpoint
        egress = ingress = None
        if sender is not None:
            home = self._home[sender]
            is_to_host = packet.destination.host == home and packet.destination.host is not None
            egress = self._node(home).sends(sender, packet, "input" if is_to_host else "forward")
        if receiver is not None and packet.source.host != (self._home[receiver] or None):
            ingress = self._node(self._home[receiver]).receives(receiver, packet)
        return Answer(egress=egress, ingress=ingress)

    def _node(self, name: str) -> "_Node":
        if name not in self._nodes:
            self._nodes[name] = _Node(node_state(self._resources, name), self._learned, self._settings)
        return self._nodes[name]


class _Node:
    """One node's table, and what the comments in it mean."""

    def __init__(self, state: NodeState, learned: Iterable[LearnedName], settings: RenderSettings) -> None:
        self.interfaces: Mapping[EndpointID, str] = {
            identity: f"cali-{names.digest(identity)[:10]}" for identity in state.endpoints
        }
        renamed = {identity: self._renamed(known) for identity, known in state.endpoints.items()}
        state = replace(state, endpoints=renamed)
        self._steps = spoken(state)
        self._simulator = simulate.Simulator(render_table(state, settings), learned_elements(state, learned))

    def sends(self, endpoint: EndpointID, packet: Packet, hook: str) -> DirectionAnswer:
        """What becomes of a packet of the endpoint that leaves the node or, on the `input` hook, ends there."""
        way_out = _OUTSIDE if hook == "forward" else ""
        return self._run(_seen(packet, self.interfaces[endpoint], way_out), ("prerouting", hook))

    def receives(self, endpoint: EndpointID, packet: Packet) -> DirectionAnswer:
        """What becomes of a packet from outside to the endpoint."""
        return self._run(_seen(packet, _OUTSIDE, self.interfaces[endpoint]), ("prerouting", "forward", "postrouting"))

    def _run(self, packet: matching.Packet, hooks: tuple[str, ...]) -> DirectionAnswer:
        outcome = self._simulator.run(packet, hooks)
        trace = tuple(self._steps[step.comment] for step in outcome.trace if step.comment in self._steps)
        is_allowed = outcome.end is simulate.End.ACCEPT
        return DirectionAnswer(is_allowed=is_allowed, trace=trace or (_unspoken(outcome),))

    def _renamed(self, known: EndpointPolicy) -> EndpointPolicy:
        """Under a name of its own: on paper two endpoints may claim one interface, or have none yet."""
        interface = self.interfaces[known.endpoint.id]
        return replace(known, endpoint=replace(known.endpoint, interface_name=interface))


def _seen(packet: Packet, way_in: str, way_out: str) -> matching.Packet:
    """The packet as rules see it. Behind any IP header there are bytes where ports would be; here they are 0."""
    return matching.Packet(
        source=packet.source.address,
        destination=packet.destination.address,
        protocol=packet.protocol,
        source_port=packet.source_port or 0,
        destination_port=packet.destination_port or 0,
        icmp_type=packet.icmp_type,
        icmp_code=packet.icmp_code,
        iif=way_in,
        oif=way_out,
    )


def _unspoken(outcome: simulate.Outcome) -> Step:
    """Where no rule of policy or frame was met at all: what the kernel's rules say by themselves."""
    last = outcome.trace[-1].comment if outcome.trace else "nothing"
    return Step(happened=f"decided by: {last}")
