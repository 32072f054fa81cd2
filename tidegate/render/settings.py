"""What the node's configuration says to the renderer: names, marks, queue numbers and the choices around policy."""

from dataclasses import dataclass, replace

from dnsagent.snapshot import Mode, TrustedServer
from nft import expr
from policy.hosts import FAILSAFE_INBOUND, FAILSAFE_OUTBOUND, NO_TUNNELS, FailsafePort, Tunnels
from tidegate.config.packets import DenyAction, HostAction, OnPolicyChange, SourceCheck, SourceSpoofing
from tidegate.config.records import LogOverflow, LogTransport
from tidegate.config.settings import Settings
from tidegate.config.wireguard import wireguard_ports


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSettings:
    """Everything in the table that is not policy: the table is a function of this and the node's state."""

    table_name: str = "tidegate"
    pass_mark: int = 0x10000
    """Mark bit that a Pass rule leaves for its tier; cleared before the packet leaves the tier."""
    repeated_mark: int = 0x20000
    """Mark bit of a packet that was held once: it is denied the second time instead of held again."""
    intercept_mark: int = 0x80000000
    """Mark bit of packets that are handed to a listener on this host, whatever their destination address."""
    agent_mark: int = 0x40000000
    """Mark bit of packets of the packet process's own sockets."""
    intercept_port: int = 15053
    """Where that listener is, on the loopback addresses."""
    reads_tcp: bool = True
    """DNS over TCP is taken over. Without a listener such connections pass as they are."""
    reads_host_tcp: bool = True
    """DNS over TCP of the host's own processes is read as it passes; that needs no `tproxy`."""
    forwards: bool = True
    """Workloads can have their questions answered by the forwarder: the kernel can hand them over."""
    closes_without_forwarder: bool = False
    """Where the forwarder is not there, questions to it are dropped instead of going to their server."""
    closes_without_learner: bool = False
    """Answers that nobody learns are dropped, not delivered."""
    tcp_connections_per_second: int = 200
    """New ones of one workload that are taken over; what comes faster passes unread, so that nobody keeps the learner
    busy for the others."""
    tcp_connections_burst: int = 400
    host_mark: int = 0x40000
    """Mark bit of a packet that doNotTrack or preDNAT policy allowed: host endpoints' later policy leaves it alone."""
    named_mark: int = 0x80000
    """Mark bit of a packet whose connection has named what it may; of a connection: it has."""
    unnamed_mark: int = 0x100000
    """Mark bit of a packet whose connection has not, and is refused; of a connection: it is."""
    bound_mark: int = 0x10000
    """Mark bit of a connection that must name itself. Marks of packets and of connections are two different things."""
    named_queue: int = 102
    """NFQUEUE number of the first packets of connections that must name themselves."""
    answer_queue: int = 101
    """NFQUEUE number of held DNS answers (Calico: DNSPacketsNfqueueID)."""
    denied_queue: int = 100
    """NFQUEUE number of held packets that policy denies so far (Calico: DNSPolicyNfqueueID)."""
    query_group: int = 3
    """NFLOG group of DNS queries, and of answers where the mode does not hold them."""
    dns_mode: Mode = Mode.DELAY_DNS_RESPONSE
    has_queue: bool = True
    """Packets can be held; only the forwarder can do without."""
    holds_denied_below: bool = True
    """Under `DelayDNSResponse`, hold denied packets too: the net for names learned late (restart, lost answer)."""
    held_packets_per_second: int = 1000
    """Of one workload; what comes faster is denied at once, so that nobody fills the queue for the others."""
    held_packets_burst: int = 500
    trusted_servers: tuple[TrustedServer, ...] = ()
    """DNS servers as the workloads address them."""
    learned_set_size: int = 65536
    """Live elements of one learned set; without a bound a hostile zone could eat the kernel's memory."""
    grace_seconds: float = 0.0
    """Of rules by names that say nothing else; 0 is none."""
    interface_prefixes: tuple[str, ...] = ("cali",)
    """An interface with such a name and no endpoint belongs to a workload we don't know yet: nothing passes."""
    endpoint_to_host: HostAction = HostAction.DROP
    """In a table of our own Accept can do no more than Return: it ends our base chain, other tables go on."""
    failsafe_inbound: tuple[FailsafePort, ...] = FAILSAFE_INBOUND
    failsafe_outbound: tuple[FailsafePort, ...] = FAILSAFE_OUTBOUND
    tunnels: Tunnels = NO_TUNNELS
    ingress_connections_per_second: int = 0
    """That others may open to one workload that says nothing else; 0 is no limit."""
    egress_connections_per_second: int = 0
    """That one workload may open."""
    source_check: SourceCheck = SourceCheck.STRICT
    honours_source_prefixes: bool = False
    """Admit an endpoint's `allowed_source_prefixes` (Calico: WorkloadSourceSpoofing=Any)."""
    deny_action: DenyAction = DenyAction.DROP
    drops_invalid: bool = True
    """Drop a workload's packets that conntrack calls invalid (Calico: DisableConntrackInvalidCheck)."""
    ends_connections: bool = False
    """Connections that policy no longer allows are ended, and what their far ends still send begins no new ones."""
    allows_vxlan: bool = False
    """Let workloads send UDP to port 4789 (Calico: AllowVXLANPacketsFromWorkloads)."""
    allows_ipip: bool = False
    """Let workloads send IP in IP (Calico: AllowIPIPPacketsFromWorkloads)."""
    copies_denied: bool = False
    """Of every denied packet a copy goes to the flow records."""
    log_prefix: str = "calico-packet"
    """Of Log rules, with %t, %k, %n and %p (Calico: LogPrefix)."""
    log_group: int | None = None
    """NFLOG group that Log rules copy packets to; None is the kernel's own log."""
    log_queue: int | None = None
    """NFQUEUE number where packets that Log rules have copied wait until the copies are sure; None: they go on."""
    log_drops_overflow: bool = True
    """What cannot wait there is dropped; otherwise it passes."""
    logged_mark: int = 0
    """Mark bit of a packet that a Log rule has copied; 0 where packets do not wait."""
    log_limit: expr.RateLimit | None = None
    """Of each Log rule (Calico: LogActionRateLimit and its burst)."""

    @property
    def holds_logged(self) -> bool:
        """Whether packets wait until their records are read."""
        return self.log_queue is not None and self.has_queue

    @property
    def holds_answers(self) -> bool:
        """Whether DNS answers wait for their addresses to be programmed."""
        return self.dns_mode in (Mode.DELAY_DNS_RESPONSE, Mode.PROXY) and self.has_queue

    @property
    def holds_host_answers(self) -> bool:
        """The same of answers to the host's own processes, whose denied packets never wait: unless nothing shall."""
        return self.dns_mode is not Mode.NO_DELAY and self.has_queue

    @property
    def asked_mark(self) -> int:
        """Mark bit of a connection in which the host's own processes ask a trusted server (no packet's mark)."""
        return self.repeated_mark

    @property
    def intercepts(self) -> bool:
        """Whether any DNS is handed to a listener here."""
        return self.reads_tcp or self.forwards

    def is_proxied(self, *, by_policy: bool) -> bool:
        """Whether a workload with domain rules has its questions answered by the forwarder."""
        return self.forwards and (by_policy or self.dns_mode is Mode.PROXY)

    @property
    def holds_denied(self) -> bool:
        """Whether a denied first packet may wait for a name to be learned."""
        match self.dns_mode:
            case Mode.DELAY_DENIED_PACKET:
                return True
            case Mode.DELAY_DNS_RESPONSE | Mode.PROXY:
                return self.holds_denied_below and self.has_queue
            case Mode.NO_DELAY:
                return False


def from_configuration(
    settings: Settings, trusted_servers: tuple[TrustedServer, ...], *, table_name: str = "tidegate"
) -> RenderSettings:
    """The configuration as the renderer wants it; the servers' names have been resolved to addresses by the caller."""
    pass_mark, repeated_mark, host_mark, named_mark, unnamed_mark, logged_mark = _lowest_bits(
        settings.nftables_mark_mask
    )
    intercept_mark, agent_mark = _highest_bits(settings.nftables_mark_mask)
    limit = settings.log_action_rate_limit
    return RenderSettings(
        table_name=table_name,
        pass_mark=pass_mark,
        repeated_mark=repeated_mark,
        intercept_mark=intercept_mark,
        agent_mark=agent_mark,
        intercept_port=settings.dns_intercept_port,
        reads_tcp=settings.dns_read_tcp,
        reads_host_tcp=settings.dns_read_tcp,
        closes_without_forwarder=settings.dns_proxy_fail_closed,
        closes_without_learner=settings.dns_fail_closed,
        host_mark=host_mark,
        named_mark=named_mark,
        unnamed_mark=unnamed_mark,
        bound_mark=pass_mark,
        named_queue=settings.dns_named_nfqueue_id,
        answer_queue=settings.dns_packets_nfqueue_id,
        denied_queue=settings.dns_policy_nfqueue_id,
        query_group=settings.dns_query_log_group,
        dns_mode=settings.dns_policy_mode.mode,
        holds_denied_below=settings.dns_hold_denied_packets,
        trusted_servers=trusted_servers,
        learned_set_size=settings.dns_learned_set_size,
        grace_seconds=settings.dns_grace_seconds,
        interface_prefixes=settings.interface_prefix,
        endpoint_to_host=settings.default_endpoint_to_host_action,
        failsafe_inbound=settings.failsafe_inbound_host_ports,
        failsafe_outbound=settings.failsafe_outbound_host_ports,
        tunnels=Tunnels(
            settings.ipip_enabled,
            settings.vxlan_port if settings.vxlan_enabled else None,
            wireguard_ports(settings),
        ),
        ingress_connections_per_second=settings.workload_ingress_connection_rate,
        egress_connections_per_second=settings.workload_egress_connection_rate,
        source_check=settings.workload_source_check,
        honours_source_prefixes=settings.workload_source_spoofing is SourceSpoofing.ANY,
        deny_action=settings.nftables_filter_deny_action,
        drops_invalid=not settings.disable_conntrack_invalid_check,
        ends_connections=settings.connections_on_policy_change is OnPolicyChange.TERMINATE,
        allows_vxlan=settings.allow_vxlan_from_workloads,
        allows_ipip=settings.allow_ipip_from_workloads,
        copies_denied=settings.flow_logs_file_enabled,
        log_prefix=settings.log_prefix,
        log_group=None if settings.log_transport is LogTransport.KERNEL else settings.log_group,
        log_queue=settings.log_nfqueue_id if settings.log_transport is LogTransport.NFQUEUE else None,
        log_drops_overflow=settings.log_overflow is LogOverflow.DROP,
        logged_mark=logged_mark if settings.log_transport is LogTransport.NFQUEUE else 0,
        log_limit=limit and replace(limit, burst_packets=settings.log_action_rate_limit_burst),
    )


def _lowest_bits(mask: int) -> tuple[int, int, int, int, int, int]:
    """The six lowest bits of the mask. The configuration has checked that there are as many as are used."""
    found = []
    for _ in range(6):
        found.append(mask & -mask)
        mask ^= found[-1]
    first, second, third, fourth, fifth, sixth = found
    return first, second, third, fourth, fifth, sixth


def _highest_bits(mask: int) -> tuple[int, int]:
    """The two highest bits of the mask."""
    first = 1 << (mask.bit_length() - 1)
    return first, 1 << ((mask ^ first).bit_length() - 1)
