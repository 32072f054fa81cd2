"""Every setting, once: its name, kind, default and reason.

The name is Calico's (FelixConfiguration) wherever Calico has the setting. `docs/settings.md` is made from this page.
"""

# ruff: noqa: RUF009, FBT003 - `knob` gives a dataclass field with that default; it is not a shared value

from dataclasses import dataclass, fields
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from dnsagent.snapshot import Mode, Upstream
from nft.expr import RateLimit
from policy.hosts import FAILSAFE_INBOUND, FAILSAFE_OUTBOUND, FailsafePort
from policy.limits import MAX_CONNECTION_RATE
from tidegate.config import kinds
from tidegate.config.failsafe import failsafe_ports
from tidegate.config.forwarding import pattern, record_type, upstream
from tidegate.config.knob import Knob, knob
from tidegate.config.servers import SystemResolvers, TrustedServerName, server
from tidegate.config.watching import WatchSettings

LOG_PREFIX_PATTERN = r"[a-zA-Z0-9%: /_-]*"
DEVICE_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}"
"""linux/if.h: IFNAMSIZ; and it becomes the name of a socket's file."""


class SourceSpoofing(StrEnum):
    """Whether endpoints may claim source prefixes beside their own addresses (Calico: WorkloadSourceSpoofing)."""

    DISABLED = "Disabled"
    ANY = "Any"


class SourceCheck(StrEnum):
    """Which source addresses a workload may use."""

    STRICT = "Strict"
    LOOSE = "Loose"
    OFF = "Off"


class HostAction(StrEnum):
    """What becomes of an allowed packet from a workload to its own host (Calico: DefaultEndpointToHostAction)."""

    DROP = "Drop"
    RETURN = "Return"
    ACCEPT = "Accept"


class OnPolicyChange(StrEnum):
    """What becomes of a connection that is open when policy stops allowing it."""

    KEEP = "Keep"
    TERMINATE = "Terminate"


class DenyAction(StrEnum):
    """How a denied packet ends (Calico: NFTablesFilterDenyAction)."""

    DROP = "Drop"
    REJECT = "Reject"


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


class AskableNames(StrEnum):
    """What workloads may ask the forwarder for."""

    ANY = "Any"
    POLICY = "Policy"
    """What their own policy selects, and what is admitted for all."""


class DeniedReply(StrEnum):
    """What the forwarder says to a question that may not be asked."""

    NXDOMAIN = "NXDOMAIN"
    REFUSED = "REFUSED"


class LogSeverity(StrEnum):
    """The least severe lines that are written (Calico: LogSeverityScreen)."""

    DEBUG = "Debug"
    INFO = "Info"
    WARNING = "Warning"
    ERROR = "Error"


class LogFormat(StrEnum):
    """How a line is written."""

    TEXT = "Text"
    JSON = "JSON"


class LogTransport(StrEnum):
    """How the packets that Log rules meet are told of."""

    KERNEL = "kernel"
    NFLOG = "nflog"


_PLACE, _DNS, _PROXY, _POLICY, _WIREGUARD, _LOG = (
    "Where things are",
    "DNS",
    "DNS forwarder",
    "Policy and packets",
    "Encryption between nodes",
    "Logs and experiments",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(WatchSettings):
    """The configuration in force. Durations in seconds."""

    resources: Path | None = knob(
        "resources", _PLACE, kinds.path(), None, "The directory with policy and workloads; `run` needs one."
    )
    node: str = knob(
        "node", _PLACE, kinds.text(r"[a-z0-9.-]{0,253}", "a node's name"), "",
        "Which endpoints are local. Empty is this machine's name.",
    )  # fmt: skip
    state: Path | None = knob(
        "state", _PLACE, kinds.path(), Path("/var/lib/tidegate"),
        "What must survive a restart: the snapshot, the journal of learned names, the packet process's socket.",
    )  # fmt: skip
    socket: Path | None = knob(
        "socket", _PLACE, kinds.path(), Path("/run/tidegate/tidegate.sock"),
        "The API, for the commands. Only its owner may connect: names and policy are nobody else's business.",
    )  # fmt: skip

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
        "Most addresses in one learned set: a hostile zone must not eat the kernel's memory.",
    )  # fmt: skip

    dns_read_tcp: bool = knob(
        "dnsReadTCP", _DNS, kinds.boolean(), True,
        "Take over the workloads' TCP connections to trusted servers, message by message, so that answers too long for "
        "UDP are learned as well. Without it, or where the kernel has no tproxy, they pass unread.",
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

    dns_proxy_upstreams: tuple[Upstream, ...] = knob(
        "dnsProxyUpstreams", _PROXY, kinds.listed(upstream()), (),
        "Whom the forwarder asks, the first that answers. None: the server that the workload asked.",
    )  # fmt: skip
    dns_proxy_ca_file: Path | None = knob(
        "dnsProxyCAFile", _PROXY, kinds.path(), None,
        "Certificates that vouch for `tls` upstreams, instead of the system's.",
    )  # fmt: skip
    dns_proxy_cache_bytes: int = knob(
        "dnsProxyCacheBytes", _PROXY, kinds.integer(0, 1 << 34), 33554432,
        "Memory for replies that may still be used; a reply takes about 500 bytes.",
    )  # fmt: skip
    dns_proxy_serve_stale_seconds: float = knob(
        "dnsProxyServeStale", _PROXY, kinds.duration(), 0.0,
        "How long a reply may be used behind its time where no server answers (RFC 8767); 0 is not at all.",
    )  # fmt: skip
    dns_proxy_names: AskableNames = knob(
        "dnsProxyNames", _PROXY, kinds.choice(AskableNames), AskableNames.ANY,
        "Policy: a workload may ask for names that its policy selects alone, so that no data leaves in other names.",
    )  # fmt: skip
    dns_proxy_admitted_names: tuple[str, ...] = knob(
        "dnsProxyAdmittedNames", _PROXY, kinds.listed(pattern()), (),
        "Patterns that every workload may ask for, under dnsProxyNames: Policy.",
    )  # fmt: skip
    dns_proxy_denied_types: tuple[int, ...] = knob(
        "dnsProxyDeniedTypes", _PROXY, kinds.listed(record_type()), (),
        "Record types that are said not to exist.",
    )  # fmt: skip
    dns_proxy_denied_reply: DeniedReply = knob(
        "dnsProxyDeniedReply", _PROXY, kinds.choice(DeniedReply), DeniedReply.NXDOMAIN,
        "To a question that may not be asked. REFUSED ends the search list of some resolvers (musl).",
    )  # fmt: skip
    dns_proxy_deny_files: tuple[str, ...] = knob(
        "dnsProxyDenyFiles", _PROXY, kinds.listed(kinds.text(r"/.+", "an absolute path")), (),
        "Deny lists: hosts files, lists of names, response policy zones.",
    )  # fmt: skip
    dns_proxy_zone_files: tuple[str, ...] = knob(
        "dnsProxyZoneFiles", _PROXY, kinds.listed(kinds.text(r"/.+", "an absolute path")), (),
        "Zones that the forwarder answers for by itself.",
    )  # fmt: skip
    dns_proxy_strip_ech: bool = knob(
        "dnsProxyStripECH", _PROXY, kinds.boolean(), False,
        "Take `ech` out of HTTPS and SVCB records, so that the name in a TLS hello can be read.",
    )  # fmt: skip
    dns_proxy_filter_svcb: bool = knob(
        "dnsProxyFilterSVCB", _PROXY, kinds.boolean(), False, "Say that HTTPS and SVCB records do not exist."
    )
    dns_proxy_hide_resolvers: bool = knob(
        "dnsProxyHideResolvers", _PROXY, kinds.boolean(), True,
        "Deny the names by which browsers and systems decide to use another resolver (`use-application-dns.net`).",
    )  # fmt: skip
    dns_proxy_quarantine_score: int = knob(
        "dnsProxyQuarantineScore", _PROXY, kinds.integer(0, 100), 0,
        "From this score on, questions below a domain look so much like a tunnel that they are refused; 0 is never.",
    )  # fmt: skip
    dns_proxy_quarantine_seconds: float = knob(
        "dnsProxyQuarantineDuration", _PROXY, kinds.duration(least_seconds=1.0), 300.0, "How long that lasts."
    )
    dns_proxy_fail_closed: bool = knob(
        "dnsProxyFailClosed", _PROXY, kinds.boolean(), False,
        "Drop questions where the forwarder is not there. Otherwise they go to their server, and are not judged.",
    )  # fmt: skip

    interface_prefix: tuple[str, ...] = knob(
        "interfacePrefix", _POLICY, kinds.listed(kinds.text(r"[^\s/*]{1,15}", "an interface prefix")), ("cali",),
        "Interfaces with such names belong to workloads: without an endpoint nothing passes them.",
    )  # fmt: skip
    default_endpoint_to_host_action: HostAction = knob(
        "defaultEndpointToHostAction", _POLICY, kinds.choice(HostAction), HostAction.DROP,
        "A workload's packet to its own host, after its egress policy allowed it. Return leaves it to other tables.",
    )  # fmt: skip
    failsafe_inbound_host_ports: tuple[FailsafePort, ...] = knob(
        "failsafeInboundHostPorts", _POLICY, failsafe_ports(), FAILSAFE_INBOUND,
        "Ports of the host that no host endpoint's policy closes, so that a wrong policy can be mended; or `none`.",
    )  # fmt: skip
    failsafe_outbound_host_ports: tuple[FailsafePort, ...] = knob(
        "failsafeOutboundHostPorts", _POLICY, failsafe_ports(), FAILSAFE_OUTBOUND,
        "Ports that the host may always reach: its names, its addresses, its cluster.",
    )  # fmt: skip
    nftables_filter_deny_action: DenyAction = knob(
        "nftablesFilterDenyAction", _POLICY, kinds.choice(DenyAction), DenyAction.DROP,
        "Drop tells nothing; Reject spares honest clients their timeouts.",
    )  # fmt: skip
    workload_source_check: SourceCheck = knob(
        "workloadSourceCheck", _POLICY, kinds.choice(SourceCheck), SourceCheck.STRICT,
        "Strict: exactly an endpoint's addresses. Loose: what would be routed back to its interface. A workload that "
        "can lie about its source can use what others have learned.",
    )  # fmt: skip
    workload_source_spoofing: SourceSpoofing = knob(
        "workloadSourceSpoofing", _POLICY, kinds.choice(SourceSpoofing), SourceSpoofing.DISABLED,
        "Any honours the annotation with which endpoints claim further source prefixes. An IPv4 prefix that has no "
        "route to the workload also needs the kernel's own filter, `rp_filter`, to be 0 or 2 there.",
    )  # fmt: skip
    connections_on_policy_change: OnPolicyChange = knob(
        "connectionsOnPolicyChange", _POLICY, kinds.choice(OnPolicyChange), OnPolicyChange.KEEP,
        "Keep, as Calico does: policy is about new connections. Terminate ends exactly the open ones that policy "
        "denies when it changes, and when the agent starts.",
    )  # fmt: skip
    workload_ingress_connection_rate: int = knob(
        "workloadIngressConnectionRate", _POLICY, kinds.integer(0, MAX_CONNECTION_RATE), 0,
        "New connections a second to each workload that has no annotation `qos.tidegate.io/ingressConnectionRate`, "
        "and as many at once after a quiet second; 0 is no limit.",
    )  # fmt: skip
    workload_egress_connection_rate: int = knob(
        "workloadEgressConnectionRate", _POLICY, kinds.integer(0, MAX_CONNECTION_RATE), 0,
        "Likewise those that a workload opens (annotation `qos.tidegate.io/egressConnectionRate`).",
    )  # fmt: skip
    disable_conntrack_invalid_check: bool = knob(
        "disableConntrackInvalidCheck", _POLICY, kinds.boolean(), False,
        "Let packets pass that conntrack calls invalid, for asymmetric routes.",
    )  # fmt: skip
    allow_vxlan_from_workloads: bool = knob(
        "allowVXLANPacketsFromWorkloads", _POLICY, kinds.boolean(), False,
        "Encapsulated packets could pass for another workload's.",
    )  # fmt: skip
    allow_ipip_from_workloads: bool = knob(
        "allowIPIPPacketsFromWorkloads", _POLICY, kinds.boolean(), False,
        "Encapsulated packets could pass for another workload's.",
    )  # fmt: skip
    ipip_enabled: bool = knob(
        "ipipEnabled", _POLICY, kinds.boolean(), False,
        "Nodes send each other IP in IP: host endpoints let it pass between known nodes before policy is asked.",
    )  # fmt: skip
    vxlan_enabled: bool = knob(
        "vxlanEnabled", _POLICY, kinds.boolean(), False,
        "Likewise for VXLAN. What comes from somewhere else is dropped: it could pass for another node's workload.",
    )  # fmt: skip
    vxlan_port: int = knob("vxlanPort", _POLICY, kinds.integer(1, 65535), 4789, "Where nodes receive VXLAN, over UDP.")
    nftables_mark_mask: int = knob(
        "nftablesMarkMask", _POLICY, kinds.integer(1, 0xFFFFFFFF, is_hex=True), 0xFFFF0000,
        "The bits of the packet mark that are ours; other programs must leave them alone, there and in the mark of "
        "connections. At least seven are needed.",
    )  # fmt: skip
    nftables_refresh_interval_seconds: float = knob(
        "nftablesRefreshInterval", _POLICY, kinds.duration(), 180.0,
        "How often the kernel's table is read back and compared even if nobody announced a change; 0 is never.",
    )  # fmt: skip

    wireguard_enabled: bool = knob(
        "wireguardEnabled", _WIREGUARD, kinds.boolean(), False,
        "Carry IPv4 between workloads of different nodes through WireGuard: the kernel's, or wireguard-go where it has "
        "none. Of this node; set it for some by FelixConfiguration documents, and the others are reached in clear.",
    )  # fmt: skip
    wireguard_enabled_v6: bool = knob(
        "wireguardEnabledV6", _WIREGUARD, kinds.boolean(), False, "Likewise IPv6, through a device of its own."
    )
    wireguard_strict: bool = knob(
        "wireguardStrict", _WIREGUARD, kinds.boolean(), False,
        "What cannot be encrypted does not go: nodes without a key are not reached, and a device that is gone leaves "
        "no way in clear. Otherwise both are routed as without encryption.",
    )  # fmt: skip
    wireguard_listening_port: int = knob(
        "wireguardListeningPort", _WIREGUARD, kinds.integer(1, 65535), 51820,
        "Where this node's device listens, over UDP, and where other nodes' are sought: the same on all.",
    )  # fmt: skip
    wireguard_listening_port_v6: int = knob(
        "wireguardListeningPortV6", _WIREGUARD, kinds.integer(1, 65535), 51821, "Likewise of the IPv6 device."
    )
    wireguard_interface_name: str = knob(
        "wireguardInterfaceName", _WIREGUARD, kinds.text(DEVICE_PATTERN, "an interface name"), "wireguard.cali",
        "The device. Sockets of wireguard-go are not apart by network namespace: there each needs another name.",
    )  # fmt: skip
    wireguard_interface_name_v6: str = knob(
        "wireguardInterfaceNameV6", _WIREGUARD, kinds.text(DEVICE_PATTERN, "an interface name"), "wg-v6.cali",
        "Likewise for IPv6.",
    )  # fmt: skip
    wireguard_mtu: int = knob(
        "wireguardMTU", _WIREGUARD, kinds.integer(0, 65535), 0,
        "Of the device; 0 is that of the interface with the node's address, less 60 bytes (80 between IPv6 addresses).",
    )  # fmt: skip
    wireguard_mtu_v6: int = knob(
        "wireguardMTUV6", _WIREGUARD, kinds.integer(0, 65535), 0, "Likewise of the IPv6 device."
    )
    wireguard_keep_alive_seconds: float = knob(
        "wireguardKeepAlive", _WIREGUARD, kinds.duration(), 0.0,
        "Between empty packets to each node, for a NAT in between; 0 is none.",
    )  # fmt: skip
    wireguard_routing_rule_priority: int = knob(
        "wireguardRoutingRulePriority", _WIREGUARD, kinds.integer(1, 32765), 99,
        "Of the rule that leads into the tunnel's table: in front of the main table's (32766).",
    )  # fmt: skip
    wireguard_routing_table: int = knob(
        "wireguardRoutingTable", _WIREGUARD, kinds.integer(256, 0x7FFFFFFF), 51820,
        "The routing table of the IPv4 tunnel; nobody else's. That of IPv6 has the next number.",
    )  # fmt: skip

    log_prefix: str = knob(
        "logPrefix", _LOG, kinds.text(LOG_PREFIX_PATTERN, "made of letters, digits and %: /_-"), "calico-packet",
        "Of the lines and records of Log rules; %t, %k, %n and %p become tier, kind, name and namespace/name.",
    )  # fmt: skip
    log_transport: LogTransport = knob(
        "logTransport", _LOG, kinds.choice(LogTransport), LogTransport.KERNEL,
        "Where Log rules write: lines of the kernel log (as Calico), or records of our own, by `tidegate logs` and in "
        "logFile. Records that are lost under load are counted.",
    )  # fmt: skip
    log_group: int = knob(
        "logGroup", _LOG, kinds.integer(1, 65535), 5,
        "NFLOG group of `logTransport: nflog`; nobody else's, in this network namespace.",
    )  # fmt: skip
    log_file: Path | None = knob(
        "logFile", _LOG, kinds.path(), None, "Records of Log rules as JSON lines; without it they are only in memory."
    )
    log_file_max_bytes: int = knob(
        "logFileMaxBytes", _LOG, kinds.integer(10_000, 1 << 40), 10_000_000,
        "Of logFile; then it becomes <logFile>.1 and another one begins.",
    )  # fmt: skip
    log_file_max_files: int = knob(
        "logFileMaxFiles", _LOG, kinds.integer(1, 1000), 5, "Of logFile with those before it; the oldest goes."
    )
    log_action_rate_limit: RateLimit | None = knob(
        "logActionRateLimit", _LOG, kinds.rate(), None, "Of each Log rule: a busy rule must not fill the disk."
    )
    log_action_rate_limit_burst: int = knob(
        "logActionRateLimitBurst", _LOG, kinds.integer(0, 9999), 5, "What may exceed the rate for a moment."
    )
    log_severity_screen: LogSeverity = knob(
        "logSeverityScreen", _LOG, kinds.choice(LogSeverity), LogSeverity.INFO,
        "Info tells an operator's story, Debug a developer's.",
    )  # fmt: skip
    log_format: LogFormat = knob(
        "logFormat", _LOG, kinds.choice(LogFormat), LogFormat.TEXT, "Of our own lines on standard error."
    )
    debug_dns_response_delay_seconds: float = knob(
        "debugDNSResponseDelay", _LOG, kinds.duration("ms"), 0.0,
        "Makes learning slow, to see who waits for it. For tests.",
    )  # fmt: skip
    debug_missing_features: tuple[str, ...] = knob(
        "debugMissingFeatures", _LOG, kinds.listed(kinds.text(r"[a-z0-9_]+", "a kernel feature")), (),
        "Behave as if the kernel lacked these features. For tests.",
    )  # fmt: skip


def knobs() -> dict[str, Knob]:
    """The settings by the name of their field, in the order above; then those about watching."""
    inherited = {item.name for item in fields(WatchSettings)}
    return {
        item.name: item.metadata["knob"] for item in sorted(fields(Settings), key=lambda item: item.name in inherited)
    }
