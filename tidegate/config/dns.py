"""The settings about learning names from DNS, and about what waits for it."""

# ruff: noqa: RUF009, FBT003 - `knob` gives a dataclass field with that default; it is not a shared value

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

from dnsagent.snapshot import Mode
from tidegate.config import kinds
from tidegate.config.knob import knob
from tidegate.config.servers import SystemResolvers, TrustedServerName, server

_DNS = "DNS"


class DNSPolicyMode(StrEnum):
    """When traffic waits for learning (Calico: NFTablesDNSPolicyMode)."""

    DELAY_DNS_RESPONSE = "DelayDNSResponse"
    DELAY_DENIED_PACKET = "DelayDeniedPacket"
    NO_DELAY = "NoDelay"
    PROXY = "Proxy"
    """Questions are answered by the node's own forwarder."""
    INLINE = "Inline"
    """Of Calico's other data planes; here it means `DelayDNSResponse`, and status says so."""

    @property
    def mode(self) -> Mode:
        """What the packet process is asked for."""
        return Mode.DELAY_DNS_RESPONSE if self is DNSPolicyMode.INLINE else Mode(self.value)


@dataclass(frozen=True, kw_only=True)
class DNSSettings:
    """The part of the configuration about names."""

    dns_trusted_servers: tuple[TrustedServerName, ...] = knob(
        "dnsTrustedServers", _DNS, kinds.listed(server()), (SystemResolvers(),),
        "Whose answers are believed, as the workloads address them. Anybody else's teach nothing: a workload that "
        "could choose its server could open any address.",
    )  # fmt: skip
    dns_policy_mode: DNSPolicyMode = knob(
        "dnsPolicyMode", _DNS, kinds.choice(DNSPolicyMode), DNSPolicyMode.DELAY_DNS_RESPONSE,
        "What waits until an address is in the kernel: the answer, the denied packet, or nothing. Calico's default is "
        "DelayDeniedPacket; holding the answer costs under a tenth of a millisecond here and leaves no window.",
        aliases=("nftablesDNSPolicyMode",),
    )  # fmt: skip
    dns_hold_denied_packets: bool = knob(
        "dnsHoldDeniedPackets", _DNS, kinds.boolean(), True,
        "Under DelayDNSResponse, hold denied first packets as well: the net for names that are learned late.",
    )  # fmt: skip
    dns_ttl_floor_seconds: float = knob(
        "dnsTTLFloor", _DNS, kinds.duration(), 10.0,
        "A learned address lives at least so long: with a TTL of 0 it would be gone before the connection.",
    )  # fmt: skip
    dns_ttl_ceiling_seconds: float = knob(
        "dnsTTLCeiling", _DNS, kinds.duration(least_seconds=1.0), 86400.0,
        "A learned address lives at most so long, whatever its owner says: this bounds stale permission.",
    )  # fmt: skip
    dns_extra_ttl_seconds: float = knob(
        "dnsExtraTTL", _DNS, kinds.duration(), 0.0,
        "Added to each TTL, for programs that go on using an address after it expired.",
    )  # fmt: skip
    dns_grace_seconds: float = knob(
        "dnsGrace", _DNS, kinds.duration(), 0.0,
        "So long after its last connection to a learned address, a workload may connect to it again though its time is "
        "over: for programs that connect anew without asking. An address that was never used has none. Policies say "
        "otherwise by dns.tidegate.io/grace.",
    )  # fmt: skip
    dns_grace_max_seconds: float = knob(
        "dnsGraceMax", _DNS, kinds.duration(least_seconds=1.0), 86400.0,
        "So long after an address was last open by name its grace ends, whatever connections have prolonged it.",
    )  # fmt: skip
    dns_guard_networks: tuple[IPv4Network | IPv6Network, ...] = knob(
        "dnsGuardNetworks", _DNS, kinds.listed(kinds.network()), (),
        "Never learned, whatever a policy's options say. Name the pods', services' and nodes' networks: a name must "
        "not lead a workload to its neighbours.",
    )  # fmt: skip
    dns_cname_memory: bool = knob(
        "dnsCNAMEMemory", _DNS, kinds.boolean(), True,
        "A workload that was told that one name is an alias of another, and then asks for the other, may reach what it "
        "is told under the first name's rules, as long as the alias was to live.",
    )  # fmt: skip
    dns_learn_hints: bool = knob(
        "dnsLearnHints", _DNS, kinds.boolean(), True,
        "Learn the addresses that HTTPS and SVCB records give as hints (RFC 9460).",
    )  # fmt: skip
    dns_fail_closed: bool = knob(
        "dnsFailClosed", _DNS, kinds.boolean(), False,
        "Drop DNS answers to workloads with rules by name where nobody learns them. Otherwise they are delivered: the "
        "workload is told the address, and cannot reach it unless it is open already.",
    )  # fmt: skip
    dns_pending_strict: bool = knob(
        "dnsPendingStrict", _DNS, kinds.boolean(), False,
        "Refuse answers whose query may have been lost from an overflowing query log; otherwise conntrack's word "
        "that it is a reply is enough for those moments.",
    )  # fmt: skip
    dns_policy_nfqueue_id: int = knob(
        "dnsPolicyNfqueueID", _DNS, kinds.integer(0, 65535), 100, "NFQUEUE number of held denied packets."
    )
    dns_packets_nfqueue_id: int = knob(
        "dnsPacketsNfqueueID", _DNS, kinds.integer(0, 65535), 101, "NFQUEUE number of held DNS answers."
    )
    dns_named_nfqueue_id: int = knob(
        "dnsNamedNfqueueID", _DNS, kinds.integer(0, 65535), 102,
        "NFQUEUE number of the first packets of connections that must name themselves (dns.tidegate.io/sni).",
    )  # fmt: skip
    dns_named_max_hold_seconds: float = knob(
        "dnsNamedMaxHoldDuration", _DNS, kinds.duration("ms", 0.01), 5.0,
        "A connection that has begun to name itself and has not ended by then is refused.",
    )  # fmt: skip
    dns_packets_nfqueue_max_hold_seconds: float = knob(
        "dnsPacketsNfqueueMaxHoldDuration", _DNS, kinds.duration("ms", 0.01), 3.0,
        "An answer that could not be learned by then is delivered unlearned: names resolve whatever fails.",
    )  # fmt: skip
    dns_policy_nfqueue_max_hold_seconds: float = knob(
        "dnsPolicyNfqueueMaxHoldDuration", _DNS, kinds.duration("ms", 0.01), 1.0,
        "A denied packet that nothing released by then is dropped. Clients send another SYN after a second.",
    )  # fmt: skip
    dns_query_log_group: int = knob(
        "dnsQueryLogGroup", _DNS, kinds.integer(1, 65535), 3,
        "NFLOG group that copies queries to the packet process. Calico's flow logs use groups 1 and 2.",
    )  # fmt: skip
    dns_learned_set_size: int = knob(
        "dnsLearnedSetSize", _DNS, kinds.integer(256, 16777216), 65536,
        "Most addresses open in one learned set: a hostile zone must not eat the kernel's memory. The kernel has more "
        "places, because what has expired keeps its place for up to a minute.",
    )  # fmt: skip

    dns_read_tcp: bool = knob(
        "dnsReadTCP", _DNS, kinds.boolean(), True,
        "Take over the workloads' TCP connections to trusted servers, message by message, so that answers too long for "
        "UDP are learned as well. Without it, or where the kernel has no tproxy, they pass unread. Those of the host's "
        "own processes, under rules by names, are read as they pass, with or without tproxy.",
    )  # fmt: skip
    dns_intercept_port: int = knob(
        "dnsInterceptPort", _DNS, kinds.integer(1, 65535), 15053,
        "Where intercepted DNS arrives, on the node's loopback addresses. Fixed, because the kernel's rules name it.",
    )  # fmt: skip
    dns_intercept_routing_table: int = knob(
        "dnsInterceptRoutingTable", _DNS, kinds.integer(256, 0x7FFFFFFF), 15053,
        "The routing table by which intercepted packets reach the node itself; nobody else's.",
    )  # fmt: skip

    dns_max_elements_per_endpoint: int = knob(
        "dnsMaxElementsPerEndpoint", _DNS, kinds.integer(1, 16777216), 20_000,
        "Most addresses that one endpoint may have open by name at a time; more are delivered and stay closed.",
    )  # fmt: skip
    dns_max_elements: int = knob(
        "dnsMaxElements", _DNS, kinds.integer(1, 16777216), 500_000,
        "The same for all endpoints of the node together.",
    )  # fmt: skip
