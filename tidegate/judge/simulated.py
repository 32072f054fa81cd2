"""The second oracle: the rules that a node would have in its kernel, run in Python.

Each side is judged where it is: what is sent at the sender's node, what is received at the receiver's, so that both are
heard even if one denies. Between two workloads of one node the base chains are shared out between the sides.

    resources -> graph of the node -> rendered table -> simulated packet -> comments of the rules it met -> answer
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from nft import expr, matching, simulate
from policy.evaluate import LearnedName, Links, Packet
from policy.hosts import owner
from policy.resources.metadata import Resource
from policy.rules import EndpointID, EndpointPolicy, NodeState
from tidegate.judge.answer import Answer, DirectionAnswer, Step
from tidegate.judge.learned import learned_elements
from tidegate.judge.nodes import node_names, node_state
from tidegate.judge.spoken import spoken, spoken_on_trial
from tidegate.render import RenderSettings, names, render_table

_OUTSIDE = "outside"
"""The interface to all that is not on the node, where no host endpoint names it; no workload's has that name."""
_LOOPBACK = "lo"
_SENDERS_PART = ("raw-prerouting", "mangle-prerouting", "host-prerouting", "host-forward", "filter-forward")
_THROUGH = ("prerouting", "forward", "postrouting")
_RECEIVERS_PART = ("filter-delivery", "host-delivery")


class Simulation:
    """The tables of all nodes that have endpoints, made when the first packet comes to one. Holds what it has made."""

    def __init__(
        self,
        resources: Iterable[Resource],
        learned: Iterable[LearnedName] = (),
        settings: RenderSettings | None = None,
        *,
        links: Links | None = None,
    ) -> None:
        """`links`: the interfaces of the nodes."""
        self._resources = tuple(resources)
        self._learned = tuple(learned)
        self._settings = settings or RenderSettings()
        self._links = links or {}
        self._nodes: dict[str, _Node] = {}
        self._home = {
            identity: name for name in sorted(node_names(self._resources)) for identity in self._node(name).interfaces
        }

    def judge(self, packet: Packet) -> Answer:
        """What the kernels of the two nodes would do with the first packet of a connection."""
        return Answer(egress=self._sent(packet), ingress=self._received(packet))

    def _sent(self, packet: Packet) -> DirectionAnswer | None:
        sender, host, to_host = packet.source.endpoint, packet.source.host, packet.destination.host
        if sender is not None:
            node, way_in = self._node(self._home[sender]), self._node(self._home[sender]).interfaces[sender]
            if to_host is not None and to_host == self._home[sender]:
                return node.run(packet, way_in, "", ("prerouting", "input"))
            if self._are_neighbours(packet):
                return node.run(packet, way_in, _OUTSIDE, ("prerouting", "forward"), only=_SENDERS_PART)
            return node.run(packet, way_in, packet.source.interface or _OUTSIDE, _THROUGH)
        if host is None or host == self._home_of(packet.destination.endpoint):
            return None
        way_out = _LOOPBACK if to_host == host else packet.source.interface or _OUTSIDE
        return self._node(host).of_host(packet, "", way_out, ("output", "postrouting"))

    def _received(self, packet: Packet) -> DirectionAnswer | None:
        receiver, host, from_host = packet.destination.endpoint, packet.destination.host, packet.source.host
        way_in = packet.destination.interface or _OUTSIDE
        if receiver is not None:
            home, sender = self._home[receiver], packet.source.endpoint
            if from_host is not None and from_host == home:
                return None
            node = self._node(home)
            if sender is not None and self._are_neighbours(packet):
                ways = node.interfaces[sender], node.interfaces[receiver]
                return node.run(packet, *ways, ("forward",), only=_RECEIVERS_PART)
            return node.run(packet, way_in, node.interfaces[receiver], _THROUGH)
        if host is None or host == self._home_of(packet.source.endpoint):
            return None
        way_in = _LOOPBACK if from_host == host else way_in
        return self._node(host).of_host(packet, way_in, "", ("prerouting", "input"))

    def _are_neighbours(self, packet: Packet) -> bool:
        """Whether both are workloads of one node."""
        homes = {self._home_of(packet.source.endpoint), self._home_of(packet.destination.endpoint)}
        return len(homes) == 1 and not homes & {"", None}

    def _home_of(self, workload: EndpointID | None) -> str | None:
        return None if workload is None else self._home[workload]

    def _node(self, name: str) -> "_Node":
        if name not in self._nodes:
            state = node_state(self._resources, name, self._links)
            self._nodes[name] = _Node(state, self._learned, self._settings)
        return self._nodes[name]


class _Node:
    """One node's table, and what the comments in it mean."""

    def __init__(self, state: NodeState, learned: Iterable[LearnedName], settings: RenderSettings) -> None:
        self.interfaces: Mapping[EndpointID, str] = {
            identity: f"cali-{names.digest(identity)[:10]}" for identity in state.endpoints
        }
        self._protected = {identity: host.endpoint.interfaces for identity, host in state.host_endpoints.items()}
        renamed = {identity: self._renamed(known) for identity, known in state.endpoints.items()}
        state = replace(state, endpoints=renamed)
        self._settings = settings
        self._steps, self._on_trial = spoken(state), spoken_on_trial(state)
        self._simulator = simulate.Simulator(render_table(state, settings), learned_elements(state, learned, settings))

    def of_host(self, packet: Packet, way_in: str, way_out: str, hooks: tuple[str, ...]) -> DirectionAnswer | None:
        """What becomes of a packet from or to a process of the host; None where no host endpoint has the interface."""
        if owner(way_in or way_out, self._protected) is None:
            return None
        return self.run(packet, way_in, way_out, hooks)

    def run(
        self, packet: Packet, way_in: str, way_out: str, hooks: tuple[str, ...], only: Collection[str] | None = None
    ) -> DirectionAnswer:
        """What becomes of a packet between two interfaces of the node; "" is the host itself."""
        outcome = self._simulator.run(_seen(packet, way_in, way_out), hooks, self._answered, only=only)
        trace = tuple(self._steps[step.comment] for step in outcome.trace if step.comment in self._steps)
        is_allowed = outcome.end is simulate.End.ACCEPT
        counted = tuple(self._on_trial[step.comment] for step in outcome.trace if step.comment in self._on_trial)
        must_name = bool(outcome.ct_mark & self._settings.bound_mark)
        return DirectionAnswer(
            is_allowed=is_allowed, trace=trace or (_unspoken(outcome),), staged=counted, must_name=must_name
        )

    def _answered(self, queue: expr.Queue, mark: int) -> simulate.Answered:
        """What the packet process says of a first packet: it carries no data, and is soon recorded."""
        del mark
        goes_on = queue.number in (self._settings.named_queue, self._settings.log_queue)
        return simulate.Answered(simulate.Answer.ACCEPT if goes_on else simulate.Answer.DROP)

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
