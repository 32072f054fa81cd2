"""The node agent's configuration as a document (Calico: FelixConfiguration), as far as policy and names depend on it.

Values are checked and kept as they were written: `tidegate.config.felix` reads those that are settings here. Fields
that are not listed are accepted with any value, because Calico has far more of them than concern policy; status tells
which of the fields that somebody gave have no effect.
"""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AfterValidator, ConfigDict

from policy.resources.addresses import loose_network
from policy.resources.conditions import Complaint, Conditions
from policy.resources.fields import Flag, Integer, Items, SelectorText, Text, at_most, between, choice, folded, shown
from policy.resources.metadata import Resource
from policy.resources.model import Model
from policy.resources.transport import MAX_PORT, PortNumber

CLUSTER = "default"
"""The configuration of every node."""
NODE_PREFIX = "node."
"""Of the name of the configuration of one node."""

_DURATION = re.compile(r"([0-9]+(\.[0-9]+)?(ms|s|m|h))*")
_LOG_PREFIX = re.compile(r"[a-zA-Z0-9%: /_-]*")
_RATE = re.compile(r"[1-9][0-9]{0,3}/(second|minute|hour|day)")
_NODE_PORTS = 7
_MAX_MARK = 0xFFFFFFFF


def _like(pattern: re.Pattern[str], advice: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"cannot be {shown(value)}: must be {advice}")
        return value

    return AfterValidator(check)


def _net(value: str) -> str:
    loose_network(value)
    return value


class Switch(StrEnum):
    """On or off."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


class Automatic(StrEnum):
    """On, off, or as the kernel can."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"
    AUTO = "Auto"


class AcceptAction(StrEnum):
    """What follows an accepted packet."""

    ACCEPT = "Accept"
    RETURN = "Return"


class DenialAction(StrEnum):
    """How a denied packet ends."""

    DROP = "Drop"
    REJECT = "Reject"


class HostAction(StrEnum):
    """What becomes of a workload's allowed packet to its own host."""

    DROP = "Drop"
    RETURN = "Return"
    ACCEPT = "Accept"


class Offload(StrEnum):
    """Which connections the flow table takes."""

    ALL = "All"
    DISABLED = "Disabled"


class InsertMode(StrEnum):
    """Where Calico's chains stand in others'."""

    INSERT = "Insert"
    APPEND = "Append"


class Spoofing(StrEnum):
    """Which source prefixes workloads may claim."""

    DISABLED = "Disabled"
    ANY = "Any"


class LoopPrevention(StrEnum):
    """What becomes of packets to service addresses that nobody serves."""

    DROP = "Drop"
    REJECT = "Reject"
    DISABLED = "Disabled"


class DropOverride(StrEnum):
    """What denied packets become while policy is tried out."""

    DROP = "Drop"
    ACCEPT = "Accept"
    LOG_AND_DROP = "LogAndDrop"
    LOG_AND_ACCEPT = "LogAndAccept"


class EvaluationMode(StrEnum):
    """When flows are judged again."""

    NONE = "None"
    CONTINUOUS = "Continuous"


class NamesMode(StrEnum):
    """What waits while names are learned."""

    DELAY_DENIED_PACKET = "DelayDeniedPacket"
    DELAY_DNS_RESPONSE = "DelayDNSResponse"
    NO_DELAY = "NoDelay"
    INLINE = "Inline"


class ProtocolWord(StrEnum):
    """Of a failsafe port."""

    TCP = "TCP"
    UDP = "UDP"


class ProtocolPort(Model):
    """A port that policy never closes."""

    protocol: Annotated[ProtocolWord, folded(*ProtocolWord)] = ProtocolWord.TCP
    port: PortNumber
    net: Annotated[Text, AfterValidator(_net)] | None = None
    """The other side; None is anybody."""


Duration = Annotated[Text, _like(_DURATION, "a duration such as '10s' or '1m30s'")]
OnOff = Annotated[Switch, choice(*Switch)]
NamesModeField = Annotated[NamesMode, choice(*NamesMode)]
QueueNumber = Annotated[Integer, between(0, 65535)]
ListenPort = Annotated[Integer, between(1, MAX_PORT)]
NodePortRange = Annotated[
    Text, _like(re.compile(r"[0-9]{1,5}(:[0-9]{1,5})?"), "a port or a range such as '30000:32767'")
]


class FelixConfigurationSpec(Model):
    """The fields that are about policy; None is Calico's default, which is not written here."""

    model_config = ConfigDict(extra="allow")

    node_selector: SelectorText | None = None
    """Which nodes a configuration of another name is for."""

    default_endpoint_to_host_action: Annotated[HostAction, folded(*HostAction)] | None = None
    nftables_mode: Annotated[Automatic, choice(*Automatic)] | None = None
    nftables_filter_allow_action: Annotated[AcceptAction, choice(*AcceptAction)] | None = None
    nftables_mangle_allow_action: Annotated[AcceptAction, choice(*AcceptAction)] | None = None
    nftables_filter_deny_action: Annotated[DenialAction, choice(*DenialAction)] | None = None
    nftables_mark_mask: Annotated[Integer, between(0, _MAX_MARK)] | None = None
    nftables_refresh_interval: Duration | None = None
    nftables_flow_table_offload: Annotated[Offload, choice(*Offload)] | None = None
    interface_prefix: Text | None = None
    interface_exclude: Text | None = None
    chain_insert_mode: Annotated[InsertMode, choice(*InsertMode)] | None = None
    failsafe_inbound_host_ports: Items[ProtocolPort] | None = None
    failsafe_outbound_host_ports: Items[ProtocolPort] | None = None
    log_prefix: Annotated[Text, _like(_LOG_PREFIX, "made of letters, digits and %: /_-")] | None = None
    log_action_rate_limit: Annotated[Text, _like(_RATE, "a rate such as '10/minute', of 1 to 9999")] | None = None
    log_action_rate_limit_burst: Annotated[Integer, between(0, 9999)] | None = None
    workload_source_spoofing: Annotated[Spoofing, choice(*Spoofing)] | None = None
    service_loop_prevention: Annotated[LoopPrevention, choice(*LoopPrevention)] | None = None
    allow_vxlan_packets_from_workloads: Flag | None = None
    allow_ipip_packets_from_workloads: Flag | None = None
    disable_conntrack_invalid_check: Flag | None = None
    policy_sync_path_prefix: Text | None = None
    flow_logs_flush_interval: Duration | None = None
    flow_logs_policy_evaluation_mode: Annotated[EvaluationMode, choice(*EvaluationMode)] | None = None
    wireguard_enabled: Flag | None = None
    wireguard_enabled_v6: Flag | None = None
    wireguard_listening_port: ListenPort | None = None
    wireguard_listening_port_v6: ListenPort | None = None
    wireguard_mtu: Integer | None = None
    wireguard_mtu_v6: Integer | None = None
    wireguard_host_encryption_enabled: Flag | None = None
    wireguard_keep_alive: Duration | None = None
    kube_node_port_ranges: Annotated[Items[Integer | NodePortRange], at_most(_NODE_PORTS)] | None = None
    drop_action_override: Annotated[DropOverride, choice(*DropOverride)] | None = None
    dns_trusted_servers: Items[Text] | None = None
    dns_policy_mode: NamesModeField | None = None
    nftables_dns_policy_mode: NamesModeField | None = None
    dns_policy_nfqueue_id: QueueNumber | None = None
    dns_packets_nfqueue_id: QueueNumber | None = None
    dns_packets_nfqueue_max_hold_duration: Duration | None = None
    dns_extra_ttl: Duration | None = None

    @property
    def given(self) -> Mapping[str, object]:
        """What the document says, by the names it says it by, in plain values; the selector is not among it."""
        said = self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
        return {name: value for name, value in said.items() if name != "nodeSelector"}


class FelixConfiguration(Resource):
    """Configuration of all nodes, of one, or of those that a selector matches."""

    KIND: ClassVar = "FelixConfiguration"
    IS_NAMESPACED: ClassVar = False

    spec: FelixConfigurationSpec = FelixConfigurationSpec()

    @property
    def node(self) -> str | None:
        """The one node it is for; None if it is for more."""
        name = self.metadata.name
        return name.removeprefix(NODE_PREFIX) if name.startswith(NODE_PREFIX) else None


def _a_selector_goes_with_the_name(configuration: FelixConfiguration) -> Iterator[Complaint]:
    is_plain = configuration.metadata.name == CLUSTER or configuration.node is not None
    selector, location = configuration.spec.node_selector, ("spec", "nodeSelector")
    if is_plain and selector is not None:
        yield Complaint("cannot be given here: the name says which nodes it is for", location)
    if not is_plain and not selector:
        yield Complaint("cannot be left out where the name is neither default nor node.<node>", location)


def _is_somebodys_node(configuration: FelixConfiguration) -> Iterator[Complaint]:
    if configuration.node == "":
        yield Complaint("cannot be 'node.' alone: write node.<node>", ("metadata", "name"))


CONDITIONS: Conditions = {FelixConfiguration: (_a_selector_goes_with_the_name, _is_somebodys_node)}
"""For configurations."""
