"""Policy after selectors became sets: what the calculation graph says and `render` turns into chains.

A `CompiledRule` is a conjunction; every field that is empty or None does not constrain. Selectors, service accounts,
named ports and domains have become identifiers of sets whose members the graph tells separately, so a rule changes only
when somebody edits it, not when a pod comes or goes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal, NewType

from policy.limits import UNLIMITED, TrafficLimits

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

IPSetID = NewType("IPSetID", str)
"""Identifies a set by the canonical text of what it selects: the same selector in two rules is one set."""

DomainSetID = NewType("DomainSetID", str)
"""Identifies a set of domain patterns with their options, by content: reordering rules keeps learned addresses."""

EndpointID = NewType("EndpointID", str)
"""`namespace/name` of a WorkloadEndpoint (a pod's endpoint: `namespace/pod`)."""


class HostEndpointID(str):
    """The name of a HostEndpoint. A type of its own, and never an `EndpointID`: those have a slash in them."""

    __slots__ = ()


EVERY_INTERFACE = "*"
"""Stands for the interfaces of a node that no other host endpoint is about (Calico: HostEndpoint.interfaceName)."""


class Action(StrEnum):
    """What a rule says (Calico: Rule.action)."""

    ALLOW = "Allow"
    DENY = "Deny"
    LOG = "Log"
    PASS = "Pass"


class Direction(StrEnum):
    """Seen from the endpoint."""

    INGRESS = "ingress"
    EGRESS = "egress"


class Stage(StrEnum):
    """Where a policy acts. The last two are about host endpoints only (Calico: GlobalNetworkPolicy)."""

    NORMAL = "normal"
    """At workloads and at the host's own processes; with applyOnForward at what a host forwards, too."""
    PRE_DNAT = "preDNAT"
    """At what arrives at a host, before destination NAT."""
    UNTRACKED = "untracked"
    """At what arrives at a host and what the host itself sends, before conntrack (doNotTrack)."""


@dataclass(frozen=True, slots=True, order=True)
class PolicyID:
    """A policy or profile; two policies may share a name if kind or namespace differ."""

    name: str
    namespace: str
    """"" for cluster-wide kinds."""
    kind: str


@dataclass(frozen=True, slots=True)
class RuleID:
    """Where a rule stands. `index` counts from 0 in its direction; -1 is the end of the tier."""

    tier: str
    policy: PolicyID
    direction: Direction
    index: int


@dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """Inclusive on both ends."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class ICMPMatch:
    """An ICMP or ICMPv6 type, with a code or any."""

    type: int
    code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityMatch:
    """One side of a rule. Fields are and-ed; the members of a field are or-ed, unless it says otherwise."""

    nets: tuple[IPNetwork, ...] = ()
    not_nets: tuple[IPNetwork, ...] = ()
    sets: tuple[IPSetID, ...] = ()
    """The address must be in every one of these NETS sets."""
    not_sets: tuple[IPSetID, ...] = ()
    """The address must be in none of these NETS sets."""
    ports: tuple[PortRange, ...] = ()
    port_sets: tuple[IPSetID, ...] = ()
    """PORTS sets of (address, protocol, port); or-ed among themselves and with `ports`."""
    not_ports: tuple[PortRange, ...] = ()
    not_port_sets: tuple[IPSetID, ...] = ()
    service_set: IPSetID | None = None
    """A PORTS set (egress destination) or NETS set (ingress source) of a Service's endpoints."""
    domain_set: DomainSetID | None = None
    """Learned names; or-ed with (`nets` and `sets`), which then may be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledRule:
    """One rule; matches when every given field matches."""

    id: RuleID
    action: Action
    ip_version: Literal[4, 6] | None = None
    protocol: int | None = None
    not_protocol: int | None = None
    icmp: ICMPMatch | None = None
    not_icmp: ICMPMatch | None = None
    source: EntityMatch = EntityMatch()
    destination: EntityMatch = EntityMatch()
    annotations: tuple[tuple[str, str], ...] = ()
    is_bound: bool = False
    """A connection to a learned address that it allows must name itself; see `NameBinding`."""
    grace_seconds: float | None = None
    """See `DomainOptions`; None means the node's setting, also where the rule has no names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledPolicy:
    """A policy (or profile, tier "") with its rules in order. A staged policy never decides."""

    id: PolicyID
    tier: str
    ingress: tuple[CompiledRule, ...] = ()
    egress: tuple[CompiledRule, ...] = ()
    is_staged: bool = False
    stage: Stage = Stage.NORMAL
    is_proxied: bool = False
    """The workloads under it have their DNS questions answered by the node's forwarder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointTier:
    """A tier as one endpoint sees it: only policies that select it, in order, by direction."""

    name: str
    default_action: Literal[Action.DENY, Action.PASS]
    ingress: tuple[PolicyID, ...] = ()
    """Staged policies among them, which never decide."""
    egress: tuple[PolicyID, ...] = ()
    leaving: frozenset[PolicyID] = frozenset()
    """Enforced policies that a staged deletion is about: they decide, and would not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A local workload endpoint."""

    id: EndpointID
    namespace: str
    name: str
    node: str
    interface_name: str
    """"" where the host interface is not yet known (a Pod whose route is still missing)."""
    addresses: tuple[IPAddress, ...] = ()
    allowed_source_prefixes: tuple[IPNetwork, ...] = ()
    is_active: bool = True
    limits: TrafficLimits = UNLIMITED


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPolicy:
    """Everything that decides about one endpoint's packets, in the order it decides."""

    endpoint: Endpoint
    tiers: tuple[EndpointTier, ...] = ()
    profiles: tuple[PolicyID, ...] = ()
    """Kind "Profile"; a profile that does not exist is listed too, and denies everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostEndpoint:
    """An interface of this node that policy protects, or several."""

    id: HostEndpointID
    node: str
    interface_name: str = ""
    """As the document says: a name, `EVERY_INTERFACE`, or "" where the addresses tell."""
    expected_ips: tuple[IPAddress, ...] = ()
    interfaces: tuple[str, ...] = ()
    """Those it is in force on, sorted; `EVERY_INTERFACE` is all that no other host endpoint has. The graph, which
    knows no interfaces, leaves this empty (`policy.hosts` chooses)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostEndpointPolicy:
    """Everything that decides about a host endpoint's packets, in the order it decides at each place."""

    endpoint: HostEndpoint
    untracked: tuple[EndpointTier, ...] = ()
    """Before conntrack, both directions. Every tier passes at its end."""
    pre_dnat: tuple[EndpointTier, ...] = ()
    """Before destination NAT, ingress only. Every tier passes at its end."""
    normal: tuple[EndpointTier, ...] = ()
    """About the host's own processes; then the profiles."""
    forward: tuple[EndpointTier, ...] = ()
    """About what the host forwards; behind them nothing denies."""
    profiles: tuple[PolicyID, ...] = ()


class IPSetKind(StrEnum):
    """What the members of an address set are."""

    NETS = "nets"
    """Networks (addresses are /32 and /128); no member is contained in another."""
    PORTS = "ports"
    """(address, protocol number, port)."""


@dataclass(frozen=True, slots=True)
class AddressPort:
    """A member of a PORTS set."""

    address: IPAddress
    protocol: int
    port: int


SetMember = IPNetwork | AddressPort


@dataclass(frozen=True, slots=True)
class NameBinding:
    """A connection to a learned address must itself name what its rule allows: in TLS by SNI, in HTTP by Host."""

    allows_missing: bool = False
    """A TLS greeting without SNI (RFC 6066 3), or an HTTP request without Host, passes."""
    refuses_ech: bool = False
    """A greeting with an encrypted one inside (ECH, or what looks like it) is refused whatever name is readable."""
    reads_quic: bool = False
    """QUIC's greeting (RFC 9001 4) counts like one of TLS; otherwise UDP is refused."""


@dataclass(frozen=True, slots=True)
class DomainOptions:
    """How addresses learned for a set of names live; None means the node's setting. Seconds."""

    ttl_floor_seconds: float | None = None
    ttl_ceiling_seconds: float | None = None
    extra_ttl_seconds: float | None = None
    allow_private: bool = False
    """Admits RFC 1918 and ULA addresses; loopback, link-local, multicast and the like stay refused."""
    scope: Literal["endpoint", "node"] | None = None
    binding: NameBinding | None = None
    grace_seconds: float | None = None
    """So long after a connection to an address that was open, another one may be opened though its time is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainSet:
    """Domain patterns of one rule (its own and those of the network sets it selects), in canonical text."""

    id: DomainSetID
    patterns: frozenset[str]
    options: DomainOptions = DomainOptions()


def host_learner(node: str) -> EndpointID:
    """Who learns names for a node's own processes, all of its host endpoints together. No workload has such a name."""
    return EndpointID(f"host:{node}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """All that the graph says for one node: the input of `render`. Keys that nothing refers to are absent."""

    endpoints: Mapping[EndpointID, EndpointPolicy] = field(default_factory=dict)
    host_endpoints: Mapping[HostEndpointID, HostEndpointPolicy] = field(default_factory=dict)
    policies: Mapping[PolicyID, CompiledPolicy] = field(default_factory=dict)
    """Policies and profiles that act on at least one local endpoint."""
    ip_sets: Mapping[IPSetID, tuple[IPSetKind, frozenset[SetMember]]] = field(default_factory=dict)
    domain_sets: Mapping[DomainSetID, DomainSet] = field(default_factory=dict)
    node_addresses: frozenset[IPAddress] = frozenset()
    """Of all nodes of the cluster."""
    own_addresses: frozenset[IPAddress] = frozenset()
    """Of this node, where it has host endpoints: what its own processes send from."""


# --- What changed: the graph's output, in dependency order (sets, policies, endpoints; removals reversed) ---


@dataclass(frozen=True, slots=True)
class NodeAddressesUpdated:
    """The nodes of the cluster have these addresses, all together."""

    addresses: frozenset[IPAddress]


@dataclass(frozen=True, slots=True)
class OwnAddressesUpdated:
    """This node's own addresses. The graph, which knows no interfaces, never says so (`tidegate.sync` does)."""

    addresses: frozenset[IPAddress]


@dataclass(frozen=True, slots=True)
class IPSetUpdated:
    """A set appeared (all its members are in `added`) or changed."""

    id: IPSetID
    kind: IPSetKind
    added: frozenset[SetMember]
    removed: frozenset[SetMember]


@dataclass(frozen=True, slots=True)
class IPSetRemoved:
    """Nothing refers to the set any more."""

    id: IPSetID


@dataclass(frozen=True, slots=True)
class DomainSetUpdated:
    """A domain set appeared, or its patterns changed (its options never do: they are part of its id)."""

    domain_set: DomainSet


@dataclass(frozen=True, slots=True)
class DomainSetRemoved:
    """Nothing refers to the domain set any more."""

    id: DomainSetID


@dataclass(frozen=True, slots=True)
class PolicyUpdated:
    """A policy or profile became active here, or its rules changed."""

    policy: CompiledPolicy


@dataclass(frozen=True, slots=True)
class PolicyRemoved:
    """No local endpoint is governed by it any more."""

    id: PolicyID


@dataclass(frozen=True, slots=True)
class EndpointUpdated:
    """A local endpoint appeared, changed, or is governed by other policies."""

    endpoint: EndpointPolicy


@dataclass(frozen=True, slots=True)
class EndpointRemoved:
    """The endpoint is gone or no longer local."""

    id: EndpointID


@dataclass(frozen=True, slots=True)
class HostEndpointUpdated:
    """A host endpoint of this node appeared, changed, or is governed by other policies."""

    endpoint: HostEndpointPolicy


@dataclass(frozen=True, slots=True)
class HostEndpointRemoved:
    """The host endpoint is gone or no longer of this node."""

    id: HostEndpointID


GraphEvent = (
    NodeAddressesUpdated
    | OwnAddressesUpdated
    | IPSetUpdated
    | IPSetRemoved
    | DomainSetUpdated
    | DomainSetRemoved
    | PolicyUpdated
    | PolicyRemoved
    | EndpointUpdated
    | EndpointRemoved
    | HostEndpointUpdated
    | HostEndpointRemoved
)
