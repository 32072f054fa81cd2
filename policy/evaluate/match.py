"""Whether one rule matches one packet: a list of criteria, all of which must be met.

Each criterion is named as in the document (`destination.ports`), so that a trace can say which one failed first.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from policy import options
from policy.evaluate.names import Knowledge
from policy.evaluate.packet import ICMP, ICMPV6, Packet
from policy.evaluate.path import Place
from policy.evaluate.select import is_scoped, selection_mismatch
from policy.evaluate.world import Holder, World
from policy.hosts import own_addresses
from policy.resources.metadata import ObjectMeta
from policy.resources.rule import EntityRule, ICMPFields, NodePeer, Rule, ServiceMatch
from policy.resources.transport import Port
from policy.rules import Action, Direction, IPAddress, IPNetwork, PortRange

_FAMILY_OF_PROTOCOL = {ICMP: 4, ICMPV6: 6}

Criterion = tuple[str, bool]
"""Its name, and whether it is met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A packet on its way through the rules of one policy or profile, for one endpoint."""

    world: World
    knowledge: Knowledge
    packet: Packet
    endpoint: Holder
    place: Place
    direction: Direction
    owner: ObjectMeta
    """Of the policy or profile: its namespace scopes selectors, its annotations choose how names are matched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One side of a packet, and what a rule says about it."""

    name: str
    address: IPAddress
    port: int | None
    entity: EntityRule
    rule: Rule
    question: Question

    @property
    def holders(self) -> list[Holder]:
        """Who has the address."""
        return self.question.world.holders_of(self.address)

    @property
    def is_scoped(self) -> bool:
        """Whether the rule wants somebody in particular here."""
        return is_scoped(self.entity, self.question.owner.namespace)

    @property
    def may_be_named(self) -> bool:
        """Whether names can stand for addresses here: in destinations of egress Allow rules."""
        is_egress_allow = self.question.direction is Direction.EGRESS and self.rule.action is Action.ALLOW
        return is_egress_allow and self.name == "destination"

    def mismatch(self, holder: Holder) -> str | None:
        """What keeps the holder from being the one whom the rule wants."""
        return selection_mismatch(self.entity, holder, self.question.world, self.question.owner.namespace)


def why_not(rule: Rule, question: Question) -> str | None:
    """The first criterion of the rule that the packet fails; None if the rule matches."""
    return next((name for name, is_met in _criteria(rule, question) if not is_met), None)


def must_name_itself(rule: Rule, question: Question) -> bool:
    """Whether a rule that matches does so by a learned name alone, and its policy binds connections to names."""
    if options.domain_options(question.owner.annotations).binding is None:
        return False
    return why_not(rule, replace(question, knowledge=Knowledge(question.world, ()))) is not None


def _criteria(rule: Rule, question: Question) -> Iterator[Criterion]:
    packet = question.packet
    yield from _packet_criteria(rule, packet)
    source = _Side(
        name="source",
        address=packet.source.address,
        port=packet.source_port,
        entity=rule.source,
        rule=rule,
        question=question,
    )
    destination = _Side(
        name="destination",
        address=packet.destination.address,
        port=packet.destination_port,
        entity=rule.destination,
        rule=rule,
        question=question,
    )
    for side in (source, destination):
        for name, is_met in (*_address_criteria(side), *_port_criteria(side)):
            yield f"{side.name}.{name}", is_met


def _packet_criteria(rule: Rule, packet: Packet) -> Iterator[Criterion]:
    yield "ipVersion", rule.ip_version in (None, packet.version)
    yield "protocol", rule.protocol in (None, packet.protocol)
    if rule.protocol in _FAMILY_OF_PROTOCOL:
        yield "ipVersion", _FAMILY_OF_PROTOCOL[rule.protocol] == packet.version
    yield "notProtocol", rule.not_protocol != packet.protocol
    # A criterion without a type says nothing.
    if rule.icmp is not None and rule.icmp.type is not None:
        yield "icmp", _is_icmp(rule.icmp, packet)
    if rule.not_icmp is not None and rule.not_icmp.type is not None:
        yield "notICMP", not _is_icmp(rule.not_icmp, packet)


def _is_icmp(wanted: ICMPFields, packet: Packet) -> bool:
    """Types are those of the packet's own family; without a code, any."""
    is_of_family = _FAMILY_OF_PROTOCOL.get(packet.protocol) == packet.version
    return is_of_family and wanted.type == packet.icmp_type and wanted.code in (None, packet.icmp_code)


# --- Addresses ---


def _address_criteria(side: _Side) -> Iterator[Criterion]:
    """In the nets and belonging to somebody wanted, or known by an allowed name; and not excluded."""
    entity = side.entity
    if entity.nets:
        # Nets of one family leave the rule out for the other, even where a name would match.
        yield "nets", _is_of_family(side.address, entity.nets)
    if not _is_known_by_name(side):
        yield from _plain_criteria(side)
    if entity.not_nets:
        yield "notNets", _is_of_family(side.address, entity.not_nets)
        yield "notNets", not _is_within(side.address, entity.not_nets)
    if entity.not_selector and not side.is_scoped:
        unwanted = side.question.world.selector(entity.not_selector)
        yield "notSelector", not any(unwanted.matches(holder.labels) for holder in side.holders)


def _plain_criteria(side: _Side) -> Iterator[Criterion]:
    """Where no name helps."""
    entity = side.entity
    if entity.domains:
        yield "domains", side.may_be_named and bool(entity.nets or side.is_scoped)
    if entity.nets:
        yield "nets", _is_within(side.address, entity.nets)
    if isinstance(entity, NodePeer):
        yield "nodes", _is_of_a_node(entity, side)
    if entity.services is not None:
        yield "services", _is_of_service(entity.services, side)
    if side.is_scoped:
        mismatches = [side.mismatch(holder) for holder in side.holders]
        yield next(filter(None, mismatches), "selector"), None in mismatches


def _is_of_a_node(entity: NodePeer, side: _Side) -> bool:
    world = side.question.world
    wanted = world.selector(entity.node_selector)
    return any(side.address in node.addresses for node in world.nodes if wanted.matches(node.metadata.labels))


def _is_of_service(wanted: ServiceMatch, side: _Side) -> bool:
    """Whether an endpoint of the Service is here, ready or not; as a destination, on this port."""
    question = side.question
    service = (wanted.namespace or question.owner.namespace, wanted.name)
    here = (question.packet.protocol, side.port)
    return any(
        side.name == "source" or any((port.protocol, port.port) == here for port in part.ports)
        for part in question.world.slices
        if (part.metadata.namespace, part.service) == service
        for endpoint in part.endpoints
        if side.address in endpoint.addresses
    )


def _is_known_by_name(side: _Side) -> bool:
    question = side.question
    if not side.may_be_named:
        return False
    return any(
        question.knowledge.is_known(question.owner, side.rule, learner, side.address) for learner in _learners(question)
    )


def _learners(question: Question) -> list[Holder]:
    """Who may have learned the names: the workload; for a host endpoint the host, or the workload that sends."""
    if question.endpoint.endpoint is not None:
        return [question.endpoint]
    if question.packet.source.host is not None:
        own = own_addresses(question.world.links.get(question.endpoint.node, {}))
        is_own = question.packet.source.host == question.endpoint.node and question.packet.source.address in own
        return [question.endpoint] if is_own else []
    senders = question.world.holders_of(question.packet.source.address)
    return [one for one in senders if one.endpoint is not None and one.node == question.endpoint.node]


def _is_of_family(address: IPAddress, nets: Iterable[IPNetwork]) -> bool:
    return any(net.version == address.version for net in nets)


def _is_within(address: IPAddress, nets: Iterable[IPNetwork]) -> bool:
    return any(address in net for net in nets)


# --- Ports ---


def _port_criteria(side: _Side) -> Iterator[Criterion]:
    if side.entity.ports:
        yield "ports", _is_port(side.entity.ports, side)
    if side.entity.not_ports:
        yield "notPorts", not _is_port(side.entity.not_ports, side)


def _is_port(ports: Iterable[Port], side: _Side) -> bool:
    return any(
        _is_in_range(port, side.port) if isinstance(port, PortRange) else _is_called(port, side) for port in ports
    )


def _is_in_range(wanted: PortRange, port: int | None) -> bool:
    return port is not None and wanted.first <= port <= wanted.last


def _is_called(name: str, side: _Side) -> bool:
    """Whether an endpoint at this address calls this port so; it must be wanted, if the rule wants somebody."""
    sought = (name, side.question.packet.protocol, side.port)
    return any(
        (port.name, port.protocol, port.port) == sought
        for holder in side.holders
        if not side.is_scoped or side.mismatch(holder) is None
        for port in holder.ports
    )
