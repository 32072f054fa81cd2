"""What configuration documents among the resources say, for commands that judge without an agent."""

from collections.abc import Iterable

from policy.evaluate import Frame
from policy.hosts import NO_TUNNELS, Tunnels
from policy.resources.felix import FelixConfiguration
from policy.resources.kube_node import Node
from policy.resources.metadata import Resource
from tidegate.config import felix
from tidegate.config.settings import Settings
from tidegate.config.sources import Given


def documents_for(resources: Iterable[Resource], node: str) -> tuple[Given, ...]:
    """What the documents say for a node, the weakest first; for no node in particular (""), what they say for all."""
    known = tuple(resources)
    labels = [item.metadata.labels for item in known if isinstance(item, Node) and item.metadata.name == node]
    configurations = [item for item in known if isinstance(item, FelixConfiguration)]
    if not node:
        configurations = [item for item in configurations if item.spec.node_selector is None]
    return felix.givens(configurations, node, labels[0] if labels else {})


def frame_of(settings: Settings, tunnels: Tunnels = NO_TUNNELS) -> Frame:
    """The settings that act beside policy, as the reference semantics takes them."""
    return Frame(
        default_endpoint_to_host_action=settings.default_endpoint_to_host_action.value,
        allow_vxlan_packets_from_workloads=settings.allow_vxlan_from_workloads,
        allow_ipip_packets_from_workloads=settings.allow_ipip_from_workloads,
        failsafe_inbound_host_ports=settings.failsafe_inbound_host_ports,
        failsafe_outbound_host_ports=settings.failsafe_outbound_host_ports,
        tunnels=tunnels,
        dns_grace_seconds=settings.dns_grace_seconds,
    )
