"""Random worlds that change while connections are open, and what becomes of those."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from nfq.connection import Listed
from nfq.packet import FiveTuple
from policy.domains import DomainPattern
from policy.endpoints import endpoint_id, workload_endpoints
from policy.evaluate import Packet, judge
from policy.rules import EndpointID, NodeState
from tests.oracles.cases import Case
from tests.oracles.documents import Document, own_labels
from tests.oracles.worlds import World, make_world
from tidegate.config.settings import Settings
from tidegate.judge.learned import learned_elements
from tidegate.render import RenderSettings
from tidegate.revoke.hearing import Hearing
from tidegate.revoke.names import Fact
from tidegate.revoke.part import surroundings
from tidegate.revoke.scope import Wanted, changed
from tidegate.revoke.way import Surroundings, way_of
from tidegate.sync.desired import Desired
from tidegate.sync.links import Links
from tidegate.sync.snapshots import SnapshotSettings

NODE = "node1"
CHANGEABLE = (
    "NetworkPolicy", "GlobalNetworkPolicy", "Tier", "NetworkSet", "GlobalNetworkSet", "Profile", "HostEndpoint",
    "ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy", "EndpointSlice", "Service",
)  # fmt: skip


def changed_world(seed: int, probes: int) -> tuple[World, World]:
    """A world, and what it is after one to three changes: things go, come from another world, or get other labels."""
    nodes = (NODE,) if seed % 2 else (NODE, "node2")
    made, other = make_world(seed, probes, nodes), make_world(seed + 1_000_000, 1, nodes)
    # Expiry ends no connection, so for open ones there is no grace: all names live.
    names = tuple({key: value for key, value in name.items() if key != "past"} for name in made.names)
    world = replace(made, names=names)
    chance = Random(f"change of {seed}")
    documents = list(world.documents)
    for _ in range(chance.randint(1, 3)):
        _change(chance, documents, other)
    return world, replace(world, documents=tuple(documents))


def _change(chance: Random, documents: list[Document], other: World) -> None:
    things = [item for item in documents if item["kind"] in CHANGEABLE]
    match chance.choice(["go", "come", "come", "relabel", "swap"]):
        case "go" if things:
            documents.remove(chance.choice(things))
        case "come":
            _put(documents, chance.choice([item for item in other.documents if item["kind"] in CHANGEABLE]))
        case "relabel":
            able = [item for item in documents if item["kind"] in ("Pod", "WorkloadEndpoint", "NetworkSet")]
            chosen = chance.choice(able)
            labels = chosen["metadata"].get("labels", {})
            kept = {key: value for key, value in labels.items() if "/" in key or key == "kind"}
            documents[documents.index(chosen)] = chosen | {
                "metadata": chosen["metadata"] | {"labels": kept | own_labels(chance)}
            }
        case "swap" if things:
            chosen = chance.choice(things)
            twins = [item for item in other.documents if item["kind"] == chosen["kind"]]
            if twins:
                documents[documents.index(chosen)] = chance.choice(twins) | {"metadata": chosen["metadata"]}


def _put(documents: list[Document], new: Document) -> None:
    def name(item: Document) -> tuple[str, str, str]:
        return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]

    documents[:] = [item for item in documents if name(item) != name(new)]
    documents.append(new)


@dataclass(frozen=True, kw_only=True)
class Open:
    """A connection that was open before the change."""

    packet: Packet
    entry: Listed
    ways: tuple[str, str]
    """The interfaces by which strangers come and go."""


class Change:
    """One node through one change."""

    def __init__(self, before: World, after: World) -> None:
        # Interfaces are there whatever is said of them: on paper they would come and go with their host endpoints.
        paper = Case(after).roster.links, Case(before).roster.links
        known = {node: {**paper[0].get(node, {}), **paper[1].get(node, {})} for node in {**paper[0], **paper[1]}}
        self.before, self.after = Case(before, known), Case(after, known)
        links = known.get(NODE, {})
        desired = Desired(NODE, SnapshotSettings(settings=Settings(), render=RenderSettings()))
        desired.on_links(Links(host_routes=dict(_routes(self.before)), addresses=links))
        for resource in self.before.resources:
            desired.on_update(resource.key, resource)
        desired.in_sync()
        self.then = _state(desired)
        gone = {item.key for item in self.before.resources} - {item.key for item in self.after.resources}
        known = {item.key: item for item in self.before.resources}
        for key in gone:
            desired.on_update(key, None)
        for resource in self.after.resources:
            if known.get(resource.key) != resource:
                desired.on_update(resource.key, resource)
        self.now = _state(desired, self.then)
        self.scope = changed(self.then, self.now)

    def connections(self) -> Iterator[Open]:
        """The probes that the node let through before."""
        for _, packet in self.before.packets:
            is_ours = self._is_here(packet.source) or self._is_here(packet.destination)
            if is_ours and not _is_strange(packet) and self.is_allowed(self.before, packet):
                entry = listed(packet)
                yield Open(packet=packet, entry=entry, ways=(packet.destination.interface, packet.source.interface))

    def is_allowed(self, case: Case, packet: Packet) -> bool:
        """By the reference, as far as the node has a say in it."""
        verdict = judge(case.reference, packet, case.names)
        sides = ((verdict.egress, packet.source), (verdict.ingress, packet.destination))
        return all(side is None or side.is_allowed for side, party in sides if self._is_here(party))

    def _is_here(self, party: object) -> bool:
        return party.host == NODE or party.endpoint in self.then.endpoints  # type: ignore[attr-defined]

    def ended(self, opened: list[Open], live: float, chance: Random) -> list[Open]:
        """Those that revocation would end; of the names learned before only a part is `live`."""
        if not self.scope:
            return []
        hearing = Hearing(self.then, self.now, self.scope, RenderSettings())
        names = [name for name in self.after.names if chance.random() < live]
        wanted = Wanted(self.scope, self.now)
        elements = learned_elements(hearing.part, names, RenderSettings())
        doomed = []
        for one in opened:
            original, reply = one.entry.original, one.entry.reply
            way = way_of(one.entry, self._around(hearing, one))
            if way is None or not wanted(original.source, original.destination, reply.source):
                continue
            doubtful = hearing.doubtful([way], elements)
            if doubtful and hearing.needs_memory(doubtful):
                doubtful = hearing.denied(doubtful, self.facts())
            if doubtful:
                doomed.append(one)
        return doomed

    def _around(self, hearing: Hearing, one: Open) -> Surroundings:
        own = [party.address.packed for party in (one.packet.source, one.packet.destination) if party.host == NODE]
        source = one.entry.original.source

        def route(address: bytes) -> str:
            return (one.ways[0] if address == source else one.ways[1]) or "(elsewhere)"

        return surroundings(hearing.part, own, route)

    def facts(self) -> Iterator[Fact]:
        """What workloads were told, by the sets that it belongs to now."""
        for name in self.after.names:
            sets = {
                identity
                for identity, item in self.now.domain_sets.items()
                if any(_matches(pattern, name) for pattern in item.patterns)
            }
            yield Fact(endpoint=EndpointID(name.endpoint), address=name.address, sets=frozenset(sets))


def _matches(pattern: str, name: object) -> bool:
    return DomainPattern.from_canonical(pattern).matches(name.name.labels)  # type: ignore[attr-defined]


def _state(desired: Desired, before: NodeState | None = None) -> NodeState:
    step = desired.advance()
    if step is None:
        assert before is not None
        return before
    return step.state


def _routes(case: Case) -> Iterator[tuple[object, str]]:
    for endpoint in workload_endpoints(tuple(case.resources)):
        if endpoint.spec.node == NODE:
            for net in endpoint.spec.ip_networks:
                yield net.network_address, endpoint.spec.interface_name or f"pod-{endpoint_id(endpoint)[-4:]}"


def _is_strange(packet: Packet) -> bool:
    """A host's address that the probe makes up, or one that belongs to a workload."""
    return packet.source.address == packet.destination.address


def listed(packet: Packet) -> Listed:
    """The entry that the packet makes."""
    parts = packet.source.address.packed, packet.destination.address.packed
    ports = packet.source_port, packet.destination_port
    original = FiveTuple(packet.version, packet.protocol, *parts, *ports)
    reply = FiveTuple(packet.version, packet.protocol, *parts[::-1], *ports[::-1])
    icmp = None if packet.icmp_type is None else (packet.icmp_type, packet.icmp_code or 0)
    return Listed(original, reply, icmp, None, b"")
