"""What is asked: every pod to every other, at each port, over each address family that both have. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from policy.endpoints import endpoint_id, workload_endpoints
from policy.resources.metadata import Resource
from policy.rules import EndpointID, IPAddress

TCP, UDP = 6, 17
PROTOCOLS = {"TCP": TCP, "UDP": UDP}
NAMES = {number: name for name, number in PROTOCOLS.items()}


class TruthError(ValueError):
    """The documents describe nothing that can be built on one node; the message says why."""


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """Where every pod listens."""

    number: int
    protocol: int

    def __str__(self) -> str:
        """As options and tables have it: `443/TCP`."""
        return f"{self.number}/{NAMES[self.protocol]}"


@dataclass(frozen=True, slots=True)
class Member:
    """A pod of the table."""

    id: EndpointID
    addresses: tuple[IPAddress, ...]
    interface_name: str
    """"" leaves it to the builder: the agent finds it by the route."""

    def address(self, family: int) -> IPAddress | None:
        """The first one of the family (4 or 6)."""
        return next((address for address in self.addresses if address.version == family), None)


@dataclass(frozen=True, slots=True)
class Case:
    """One question: does a connection from one pod to another come about."""

    source: Member
    destination: Member
    port: Port
    family: int

    @property
    def target(self) -> tuple[str, int]:
        """Address and port to connect to."""
        return (str(self.destination.address(self.family)), self.port.number)


@dataclass(frozen=True, slots=True)
class Cast:
    """Who takes part, all on one node."""

    node: str
    members: tuple[Member, ...]


def parse_port(text: str) -> Port:
    """Reads `443`, `443/TCP` or `53/udp`.

    Raises:
        TruthError: it is neither.
    """
    number, _, protocol = text.partition("/")
    known = PROTOCOLS.get(protocol.upper() or "TCP")
    if known is None or not (number.isascii() and number.isdigit() and 1 <= int(number) <= 65535):
        raise TruthError(f"cannot probe port {text!r}: a number with /TCP or /UDP is needed")
    return Port(int(number), known)


def cast(resources: Iterable[Resource]) -> Cast:
    """The pods of the documents.

    Raises:
        TruthError: there are fewer than two, one has no address, or they are on several nodes.
    """
    endpoints = workload_endpoints(resources)
    bare = [endpoint_id(item) for item in endpoints if not item.spec.ip_networks]
    if bare:
        raise TruthError(f"cannot build {', '.join(bare[:3])}: no address (a Pod has it in status.podIPs)")
    nodes = sorted({item.spec.node for item in endpoints})
    if len(endpoints) < 2 or len(nodes) != 1 or not nodes[0]:
        named = ", ".join(node or "no node" for node in nodes) or "none"
        raise TruthError(f"cannot build {len(endpoints)} pods on {named}: two or more on one node are needed")
    members = tuple(
        Member(endpoint_id(item), tuple(net.network_address for net in item.spec.ip_networks), item.spec.interface_name)
        for item in endpoints
    )
    return Cast(nodes[0], members)


def container_ports(resources: Iterable[Resource]) -> tuple[Port, ...]:
    """The TCP and UDP ports that the pods declare; 80/TCP where none does."""
    declared = {
        Port(port.port, port.protocol)
        for item in workload_endpoints(resources)
        for port in item.spec.ports
        if port.protocol in NAMES
    }
    return tuple(sorted(declared)) or (Port(80, TCP),)


def cases(members: Sequence[Member], ports: Sequence[Port], families: Sequence[int]) -> tuple[Case, ...]:
    """All questions. A pod is not asked about itself: its packets to itself never leave it."""
    return tuple(
        Case(source, destination, port, family)
        for family in families
        for port in ports
        for source in members
        for destination in members
        if source is not destination and source.address(family) and destination.address(family)
    )
