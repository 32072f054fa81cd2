"""Sets that compiled rules refer to, by what they shall hold. Equal definitions have equal ids, whoever asks."""

from dataclasses import dataclass

from policy.identity import unique_id
from policy.rules import DomainOptions, DomainSetID, IPSetID
from policy.selectors import Selector


@dataclass(frozen=True, slots=True)
class NetsDefinition:
    """Networks of everybody whom the selector matches."""

    selector: Selector

    @property
    def id(self) -> IPSetID:
        """The selector's id."""
        return IPSetID(self.selector.id)


@dataclass(frozen=True, slots=True)
class PortsDefinition:
    """Addresses and ports of the endpoints that the selector matches, for ports of a name."""

    selector: Selector
    protocol: int | None
    """IANA number; None is any."""
    port_name: str

    @property
    def id(self) -> IPSetID:
        """Derived from the selector's id, the protocol and the name."""
        protocol = "" if self.protocol is None else self.protocol
        return IPSetID(unique_id("n", f"{self.selector.id},{protocol},{self.port_name}"))


@dataclass(frozen=True, slots=True)
class NodesDefinition:
    """Addresses of the nodes that the selector matches. Nodes are no endpoints: no other selector sees them."""

    selector: Selector

    @property
    def id(self) -> IPSetID:
        """Derived from the selector's canonical text."""
        return IPSetID(unique_id("node", self.selector.canonical))


@dataclass(frozen=True, slots=True)
class ServiceDefinition:
    """The endpoints of a Service. They come from EndpointSlices; without any the set is empty."""

    namespace: str
    name: str
    has_ports: bool
    """Addresses with protocol and port, or addresses only."""

    @property
    def id(self) -> IPSetID:
        """Derived from the Service's name."""
        return IPSetID(unique_id("svc" if self.has_ports else "svcnoport", f"{self.namespace}/{self.name}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainDefinition:
    """Where a rule's names come from, and how they live.

    The id is made from the sources, not from the names they give at present: a network set that gets another domain
    must not cost the addresses learned so far.
    """

    own: frozenset[str] = frozenset()
    """The rule's own patterns, canonical text."""
    selector: Selector | None = None
    """Whose allowedEgressDomains belong to it, too."""
    is_single_label: bool = False
    """What `*` means in the patterns of network sets."""
    options: DomainOptions
    is_staged: bool = False
    """Staged rules learn apart: what one endpoint's staged rule learns for its node must open nothing for another."""

    @property
    def id(self) -> DomainSetID:
        """Derived from all fields."""
        options = self.options
        content = (
            *sorted(self.own),
            "",
            "" if self.selector is None else self.selector.id,
            str(self.is_single_label),
            str(options.ttl_floor_seconds),
            str(options.ttl_ceiling_seconds),
            str(options.extra_ttl_seconds),
            str(options.allow_private),
            str(options.scope),
            *(("staged",) if self.is_staged else ()),
            *((str(options.binding),) if options.binding else ()),
            *((f"grace {options.grace_seconds}",) if options.grace_seconds is not None else ()),
        )
        return DomainSetID(unique_id("d", "\n".join(content)))


IPSetDefinition = NetsDefinition | NodesDefinition | PortsDefinition | ServiceDefinition
Definition = IPSetDefinition | DomainDefinition
