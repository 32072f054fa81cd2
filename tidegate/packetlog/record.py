"""One packet that a Log rule met, as a value and as JSON. Pure."""

from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address

from nfq.headers import ICMP, ICMPV6, TCP, IpHeader, read_ip
from nfq.log_messages import LoggedPacket
from nfq.packet import five_tuple
from policy.rules import RuleID
from reconcile.instant import WallInstant

_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
"""RFC 9293 3.1, from the lowest bit."""
_TCP_FLAGS_AT = 13
_PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP", 136: "UDPLite"}
"""The names that rules use (Calico: Protocol)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Whose rule it was, and where."""

    tag: str
    """What the rule wrote beside the packet."""
    prefix: str
    """`logPrefix`, expanded for this rule."""
    rule: RuleID | None
    """None where nothing is known of such a rule any more."""
    endpoint: str
    """`namespace/name` of a workload, the name of a host endpoint, or "" where the interface is nobody's."""
    interface: str
    """The endpoint's; "" where it is gone by now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """One packet, one Log rule."""

    at: WallInstant
    """When the record was read, up to a tenth of a second after the packet."""
    place: Place
    protocol: int
    source: str
    destination: str
    source_port: int | None
    destination_port: int | None
    length_bytes: int
    """Of the IP packet as it says itself."""
    mark: int
    """Of the packet."""
    mac: str = ""
    """Of the sender on the link; "" where the interface has none."""
    tcp_flags: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    packet: bytes = b""
    """From its IP header on, cut by the rule."""
    names: tuple[str, ...] | None = ()
    """By which the endpoint knew the far end; None where the packet process could not be asked."""

    @property
    def far_end(self) -> str:
        """The address that is not the endpoint's."""
        rule = self.place.rule
        return self.source if rule is not None and rule.direction == "ingress" else self.destination

    def document(self) -> Mapping[str, object]:
        """As JSON; what does not apply to the packet is null."""
        rule = self.place.rule
        return {
            "time": datetime.fromtimestamp(self.at, UTC).isoformat(),
            "prefix": self.place.prefix,
            "direction": None if rule is None else rule.direction.value,
            "endpoint": self.place.endpoint or None,
            "interface": self.place.interface or None,
            "tier": None if rule is None else rule.tier,
            "kind": None if rule is None else rule.policy.kind,
            "namespace": None if rule is None else rule.policy.namespace or None,
            "policy": None if rule is None else rule.policy.name,
            "rule": None if rule is None else rule.index,
            "tag": self.place.tag,
            "protocol": _PROTOCOLS.get(self.protocol, self.protocol),
            "source": self.source,
            "source_port": self.source_port,
            "destination": self.destination,
            "destination_port": self.destination_port,
            "names": None if self.names is None else list(self.names),
            "mac": self.mac or None,
            "length_bytes": self.length_bytes,
            "tcp_flags": None if self.tcp_flags is None else _flag_names(self.tcp_flags),
            "icmp_type": self.icmp_type,
            "icmp_code": self.icmp_code,
            "mark": self.mark,
            "packet": b2a_base64(self.packet, newline=False).decode("ascii"),
        }


def read_record(packet: LoggedPacket, place: Place, at: WallInstant) -> LogRecord:
    """What the packet's copy says; names come later.

    Raises:
        PacketError: the copy is no IP packet, or shorter than its header.
    """
    flow, ip = five_tuple(packet.payload), read_ip(packet.payload)
    flags, icmp_type, icmp_code = _details(ip)
    return LogRecord(
        at=at,
        place=place,
        protocol=flow.protocol,
        source=str(ip_address(flow.source)),
        destination=str(ip_address(flow.destination)),
        source_port=flow.source_port,
        destination_port=flow.destination_port,
        length_bytes=ip.total_bytes,
        mark=packet.origin.mark,
        packet=bytes(packet.payload),
        mac=packet.origin.mac.hex(":"),
        tcp_flags=flags,
        icmp_type=icmp_type,
        icmp_code=icmp_code,
    )


def _details(ip: IpHeader) -> tuple[int | None, int | None, int | None]:
    """TCP flags, ICMP type, ICMP code; a later fragment has none, nor has a copy that ends before them."""
    data = ip.transport
    if ip.fragment_offset_bytes:
        return None, None, None
    if ip.protocol == TCP and len(data) > _TCP_FLAGS_AT:
        return data[_TCP_FLAGS_AT], None, None
    if ip.protocol in (ICMP, ICMPV6) and len(data) > 1:
        return None, data[0], data[1]
    return None, None, None


def _flag_names(flags: int) -> list[str]:
    return [name for bit, name in enumerate(_FLAGS) if flags >> bit & 1]
