"""The node's settings that act beside policy, and the packets that are decided by them alone."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from policy.evaluate.packet import ICMPV6, Packet
from policy.evaluate.path import Place
from policy.evaluate.verdict import Happened
from policy.hosts import FAILSAFE_INBOUND, FAILSAFE_OUTBOUND, NEIGHBOUR_TYPES, NO_TUNNELS, FailsafePort, Tunnels
from policy.rules import Direction, IPAddress

IPIP = 4
UDP = 17
VXLAN_PORT = 4789
_HOST_NEEDS_ICMPV6 = frozenset((130, 131, 132, 133, 135, 136))
"""Multicast listener discovery, router solicitation, neighbour solicitation and advertisement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Settings of a node (Calico: FelixConfiguration, same names)."""

    default_endpoint_to_host_action: Literal["Drop", "Return", "Accept"] = "Drop"
    """What happens to packets to the own host that egress policy accepted. Return leaves them to the host: allowed."""
    allow_vxlan_packets_from_workloads: bool = False
    allow_ipip_packets_from_workloads: bool = False
    failsafe_inbound_host_ports: tuple[FailsafePort, ...] = FAILSAFE_INBOUND
    failsafe_outbound_host_ports: tuple[FailsafePort, ...] = FAILSAFE_OUTBOUND
    tunnels: Tunnels = NO_TUNNELS
    dns_grace_seconds: float = 0.0
    """Of rules by names that say nothing else."""


def is_neighbour_discovery(packet: Packet) -> bool:
    """Whether it is of those ICMPv6 packets from a workload without which its host cannot reach it."""
    return packet.protocol == ICMPV6 and packet.icmp_type in _HOST_NEEDS_ICMPV6


def is_forbidden_tunnel(packet: Packet, frame: Frame) -> bool:
    """Whether it is an encapsulated packet that workloads may not send."""
    if packet.protocol == UDP and packet.destination_port == VXLAN_PORT:
        return not frame.allow_vxlan_packets_from_workloads
    return packet.protocol == IPIP and not frame.allow_ipip_packets_from_workloads


def excepted(packet: Packet, place: Place, direction: Direction, frame: Frame) -> Happened | None:
    """Why a host endpoint's policy is not asked about the packet; None where it is."""
    if place in (Place.WORKLOAD, Place.FORWARD):
        return None
    if packet.protocol == ICMPV6 and packet.icmp_type in NEIGHBOUR_TYPES:
        return Happened.NEIGHBOUR_DISCOVERY_ALLOWED
    inbound, outbound = frame.failsafe_inbound_host_ports, frame.failsafe_outbound_host_ports
    requests, replies = (inbound, outbound) if direction is Direction.INGRESS else (outbound, inbound)
    far = packet.source.address if direction is Direction.INGRESS else packet.destination.address
    is_request = _is_among(requests, packet.protocol, packet.destination_port, far)
    is_reply = place is Place.UNTRACKED and _is_among(replies, packet.protocol, packet.source_port, far)
    return Happened.FAILSAFE_ALLOWED if is_request or is_reply else None


def _is_among(ports: tuple[FailsafePort, ...], protocol: int, port: int | None, far: IPAddress) -> bool:
    return any(
        (item.protocol, item.port) == (protocol, port) and (item.net is None or far in item.net) for item in ports
    )


def tunnelled(packet: Packet, direction: Direction, nodes: Collection[IPAddress], tunnels: Tunnels) -> Happened | None:
    """Why a host endpoint's normal policy is not asked about a packet that carries another; None where it is."""
    is_arriving = direction is Direction.INGRESS
    is_node = (packet.source if is_arriving else packet.destination).address in nodes
    if packet.protocol == IPIP and packet.version == 4 and tunnels.has_ipip and is_node:
        return Happened.TUNNEL_ALLOWED
    if packet.protocol != UDP:
        return None
    if tunnels.vxlan_port is not None and packet.destination_port == tunnels.vxlan_port:
        if is_node:
            return Happened.TUNNEL_ALLOWED
        return Happened.TUNNEL_DENIED if is_arriving else None
    port = packet.destination_port if is_arriving else packet.source_port
    return Happened.TUNNEL_ALLOWED if port in tunnels.wireguard_ports else None
