"""What the control process tells the packet process: who may learn which names into which sets.

The control process writes the whole snapshot to a file (atomic rename), then says so on the socket between the two;
the packet process loads it and goes on with it alone when the control process is gone. JSON, one document.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

FORMAT = 1
"""Raised when a reader of the older format would misunderstand the file."""


class Mode(StrEnum):
    """When a workload's traffic waits for learning (Calico: DNSPolicyMode)."""

    DELAY_DNS_RESPONSE = "DelayDNSResponse"
    DELAY_DENIED_PACKET = "DelayDeniedPacket"
    NO_DELAY = "NoDelay"
    PROXY = "Proxy"
    """Questions are answered here, by a forwarder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedServer:
    """A DNS server as the clients address it (a service address before DNAT)."""

    address: IPv4Address | IPv6Address
    port: int = 53


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotEndpoint:
    """A workload that has domain rules."""

    id: str
    interface_name: str
    addresses: tuple[IPv4Address | IPv6Address, ...]
    rules: tuple[str, ...]
    """Ids of the `SnapshotRule`s that act on it."""
    is_proxied: bool = False
    """Its questions are answered by the forwarder."""
    asks_from: tuple[IPv4Address | IPv6Address, ...] = ()
    """Further addresses that it asks from and never connects from: the host's loopback ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRule:
    """A domain set: patterns, the kernel sets their addresses go to, and how long they live. Seconds."""

    id: str
    patterns: tuple[str, ...]
    """Canonical text of `policy.domains`."""
    set4: str
    """Kernel set with key `ip saddr . ip daddr`."""
    set6: str
    ttl_floor_seconds: float
    ttl_ceiling_seconds: float
    extra_ttl_seconds: float
    allow_private: bool = False
    scope: str = "endpoint"
    """`endpoint`: who asked may connect; `node`: every endpoint with this rule may."""
    is_bound: bool = False
    """A connection must itself name what the patterns select."""
    allows_missing: bool = False
    """Of a bound rule: one that names nothing passes."""
    refuses_ech: bool = False
    """Of a bound rule: encrypted greetings do not pass."""
    reads_quic: bool = False
    """Of a bound rule: QUIC clients are asked for their name; otherwise UDP does not pass."""
    doors: tuple[tuple[int, int, int], ...] = ()
    """Of a bound rule: where connections may go by it, as protocol (0 is any), first and last port."""
    grace4: str = ""
    """Kernel set of the same key that the rules fill; "" where the rule gives no grace."""
    grace6: str = ""
    grace_seconds: float = 0.0
    """What they give each element of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A server that the forwarder asks."""

    transport: str
    """`udp` (and TCP for what does not fit), `tcp` or `tls`."""
    address: IPv4Address | IPv6Address
    port: int
    name: str = ""
    """What its certificate must say; empty: its address."""

    @classmethod
    def at(cls, address: str, port: int) -> "Upstream":
        """The server at an address, over UDP."""
        return cls(transport="udp", address=ip_address(address), port=port)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwarderOptions:
    """How the forwarder answers."""

    upstreams: tuple[Upstream, ...] = ()
    """None: the server that the workload asked."""
    authority_file: str = ""
    """Certificates that vouch for TLS servers; empty: the system's."""
    cache_bytes: int = 32 << 20
    stale_seconds: float = 0.0
    """How long a reply may be used behind its time when no server answers (RFC 8767); 0: not at all."""
    strips_ech: bool = False
    filters_services: bool = False
    """HTTPS and SVCB records are said not to exist."""
    hides_resolvers: bool = True
    """Names by which programs find other resolvers are said not to exist."""
    only_selected_names: bool = False
    """A workload may ask for what its policy selects, and `admitted_names`, alone."""
    admitted_names: tuple[str, ...] = ()
    """Patterns."""
    denied_types: tuple[int, ...] = ()
    refuses: bool = False
    """REFUSED instead of NXDOMAIN for what may not be asked."""
    deny_files: tuple[str, ...] = ()
    zone_files: tuple[str, ...] = ()
    quarantine_score: int = 0
    """From this tunnelling score on a domain is not asked for by that endpoint; 0: never."""
    quarantine_seconds: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything the packet process needs to know of policy."""

    generation: int
    table: str
    mode: Mode = Mode.DELAY_DNS_RESPONSE
    trusted_servers: tuple[TrustedServer, ...] = ()
    endpoints: Mapping[str, SnapshotEndpoint] = field(default_factory=dict)
    rules: Mapping[str, SnapshotRule] = field(default_factory=dict)
    guarded_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Cluster and node networks: never learned, whatever the policy's options say."""
    answer_queue: int = 101
    """NFQUEUE number of held answers (Calico: DNSPacketsNfqueueID)."""
    denied_queue: int = 100
    """NFQUEUE number of held packets that policy would deny (Calico: DNSPolicyNfqueueID)."""
    named_queue: int = 102
    """NFQUEUE number of the first packets of connections that must name themselves."""
    named_mark: int = 0x80000
    """Mark bit that we give a packet whose connection has named what it may."""
    unnamed_mark: int = 0x100000
    """Mark bit that we give a packet whose connection is refused."""
    max_named_hold_seconds: float = 5.0
    log_queue: int = -1
    """NFQUEUE number of packets that wait until their copies are read; -1: none do."""
    log_group: int = 5
    """NFLOG group of those copies."""
    log_drops_overflow: bool = True
    """A packet whose copy may be lost is dropped; otherwise it passes."""
    query_group: int = 3
    """NFLOG group of the queries; Calico's flow logs use groups 1 and 2."""
    intercept_port: int = 0
    """Where DNS is taken over, on the loopback addresses; 0: it is not."""
    reads_tcp: bool = True
    """Connections of workloads that are not proxied are taken over as well."""
    intercept_mark: int = 0x80000000
    """Mark bit by which the rules hand packets to this host."""
    intercept_table: int = 15053
    """Routing table that the mark leads to."""
    agent_mark: int = 0x40000000
    """Mark bit of packets of our own sockets."""
    forwarder: ForwarderOptions = ForwarderOptions()
    repeated_mark: int = 0x20000
    """Mark bit of a packet that was held once: the rules deny it the second time instead of holding it again."""
    remembers_aliases: bool = True
    """An address told for the target of an alias is the alias's too, if that was told before and still lives."""
    learns_hints: bool = True
    """Addresses that HTTPS and SVCB records give as hints are learned."""
    fails_closed: bool = False
    """Answers are dropped where their queue is full."""
    is_strict: bool = False
    """Refuse answers whose query may have been lost from the overflowing query log."""
    grace_max_seconds: float = 86_400.0
    """So long after its address was last open by name an element of a grace set goes."""
    set_size: int = 65_536
    """At so many elements a learned set is full, or a grace set."""
    max_elements_per_endpoint: int = 20_000
    max_elements: int = 500_000
    learn_delay_seconds: float = 0.0
    """Makes learning slow, for tests (Calico: DebugDNSResponseDelay)."""
    max_hold_seconds: float = 3.0
    max_denied_hold_seconds: float = 1.0
