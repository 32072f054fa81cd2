"""What the node's configuration says to the renderer: names, marks, queue numbers and the choices around policy."""

from dataclasses import dataclass
from enum import StrEnum

from dnsagent.snapshot import Mode, TrustedServer
from nft import expr


class HostAction(StrEnum):
    """What happens to a workload's packet to its own host that policy lets out (Calico: DefaultEndpointToHostAction).

    `RETURN` leaves it to the host's other tables. In a table of our own `ACCEPT` can do no more than that, because an
    accept ends only our base chain; both names are kept so that a Calico configuration reads the same here.
    """

    DROP = "Drop"
    RETURN = "Return"
    ACCEPT = "Accept"


class AntiSpoofing(StrEnum):
    """Which source addresses a workload may use."""

    STRICT = "strict"
    """Its own, exactly."""
    LOOSE = "loose"
    """Those the node would route back to its interface."""
    OFF = "off"


class DenyAction(StrEnum):
    """How a denied packet ends (Calico: NFTablesFilterDenyAction)."""

    DROP = "Drop"
    REJECT = "Reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSettings:
    """Everything in the table that is not policy. The table is a function of this and the node's state."""

    table_name: str = "tidegate"
    pass_mark: int = 0x10000
    """Mark bit that a Pass rule leaves for its tier; cleared before the packet leaves the tier."""
    repeated_mark: int = 0x20000
    """Mark bit of a packet that was held once: it is denied the second time instead of held again."""
    answer_queue: int = 101
    """NFQUEUE number of held DNS answers (Calico: DNSPacketsNfqueueID)."""
    denied_queue: int = 100
    """NFQUEUE number of held packets that policy denies so far (Calico: DNSPolicyNfqueueID)."""
    query_group: int = 3
    """NFLOG group of DNS queries, and of answers where the mode does not hold them."""
    dns_mode: Mode = Mode.DELAY_DNS_RESPONSE
    holds_denied_below: bool = True
    """Under `DelayDNSResponse`, hold denied packets too: the net for names learned late (restart, lost answer)."""
    held_packets_per_second: int = 200
    """Of one workload; what comes faster is denied at once, so that nobody fills the queue for the others."""
    held_packets_burst: int = 50
    trusted_servers: tuple[TrustedServer, ...] = ()
    """DNS servers as the workloads address them."""
    learned_set_size: int = 65536
    """Elements of one learned set; without a bound a hostile zone could eat the kernel's memory."""
    learned_gc_seconds: int = 600
    """The kernel's default of one second walks the whole set and stalls packets."""
    interface_prefixes: tuple[str, ...] = ("cali",)
    """An interface with such a name and no endpoint belongs to a workload we don't know yet: nothing passes."""
    endpoint_to_host: HostAction = HostAction.DROP
    anti_spoofing: AntiSpoofing = AntiSpoofing.STRICT
    honours_source_prefixes: bool = False
    """Admit an endpoint's `allowed_source_prefixes` (Calico: WorkloadSourceSpoofing=Any)."""
    deny_action: DenyAction = DenyAction.DROP
    drops_invalid: bool = True
    """Drop a workload's packets that conntrack calls invalid (Calico: DisableConntrackInvalidCheck)."""
    allows_vxlan: bool = False
    """Let workloads send UDP to port 4789 (Calico: AllowVXLANPacketsFromWorkloads)."""
    allows_ipip: bool = False
    """Let workloads send IP in IP (Calico: AllowIPIPPacketsFromWorkloads)."""
    log_prefix: str = "calico-packet"
    """Of Log rules, with %t, %k, %n and %p (Calico: LogPrefix)."""
    log_limit: expr.RateLimit | None = None
    """Of each Log rule (Calico: LogActionRateLimit and its burst)."""

    @property
    def holds_answers(self) -> bool:
        """Whether DNS answers wait for their addresses to be programmed."""
        return self.dns_mode is Mode.DELAY_DNS_RESPONSE

    @property
    def holds_denied(self) -> bool:
        """Whether a denied first packet may wait for a name to be learned."""
        match self.dns_mode:
            case Mode.DELAY_DENIED_PACKET:
                return True
            case Mode.DELAY_DNS_RESPONSE:
                return self.holds_denied_below
            case Mode.NO_DELAY:
                return False
