"""The settings about policy: what becomes of packets and connections."""

# ruff: noqa: RUF009, FBT003 - `knob` gives a dataclass field with that default; it is not a shared value

from dataclasses import dataclass
from enum import StrEnum

from policy.hosts import FAILSAFE_INBOUND, FAILSAFE_OUTBOUND, FailsafePort
from policy.limits import MAX_CONNECTION_RATE
from tidegate.config import kinds
from tidegate.config.failsafe import failsafe_ports
from tidegate.config.knob import knob

_POLICY = "Policy and packets"


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


@dataclass(frozen=True, kw_only=True)
class PacketSettings:
    """The part of the configuration about packets."""

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
