"""Which host endpoint protects which interface of a node (Calico: HostEndpoint.interfaceName, expectedIPs). Pure.

An interface belongs to the endpoint that names it, or that names none and expects an address which the interface has;
of several to the first by name. What is left over belongs to the first endpoint for `*`, if there is one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from policy.rules import EVERY_INTERFACE, HostEndpoint, HostEndpointID, IPAddress, IPNetwork

Addresses = Mapping[str, frozenset[IPAddress]]
"""Of a node, by interface."""


def protected(endpoints: Iterable[HostEndpoint], addresses: Addresses) -> dict[HostEndpointID, tuple[str, ...]]:
    """The interfaces of each endpoint, sorted; none for those that lose to others or wait for their address.

    An endpoint that names its interface has it although the interface is not there yet: it is protected from its
    first packet on.
    """
    found: dict[HostEndpointID, tuple[str, ...]] = {}
    taken: set[str] = set()
    for endpoint in sorted(endpoints, key=lambda item: item.id):
        mine = _claims(endpoint, addresses) - taken
        taken |= mine
        found[endpoint.id] = tuple(sorted(mine))
    return found


def own_addresses(addresses: Addresses) -> frozenset[IPAddress]:
    """What a node's own processes send from to elsewhere: all its addresses but loopback and IPv6 link-local ones."""
    every = (address for found in addresses.values() for address in found)
    return frozenset(one for one in every if not one.is_loopback and not (one.version == 6 and one.is_link_local))


def _claims(endpoint: HostEndpoint, addresses: Addresses) -> set[str]:
    if endpoint.interface_name:
        return {endpoint.interface_name}
    expected = frozenset(endpoint.expected_ips)
    return {interface for interface, own in addresses.items() if own & expected}


def owner(interface: str, protected_by: Mapping[HostEndpointID, tuple[str, ...]]) -> HostEndpointID | None:
    """Who protects an interface, given the answer of `protected`."""
    for wanted in (interface, EVERY_INTERFACE):
        for identity, interfaces in protected_by.items():
            if wanted in interfaces:
                return identity
    return None


@dataclass(frozen=True, slots=True)
class FailsafePort:
    """Traffic of a host that no host endpoint's policy cuts off (Calico: failsafeInboundHostPorts and -Outbound).

    Inbound, the port is the host's and the network its clients'; outbound, both are the server's.
    """

    protocol: int
    """IANA number."""
    port: int
    net: IPNetwork | None = None
    """None is anywhere."""


_TCP, _UDP = 6, 17
_CLUSTER = tuple(FailsafePort(_TCP, port) for port in (179, 2379, 2380, 5473, 6443, 6666, 6667))
"""BGP, etcd, Typha, the Kubernetes API server, and etcd's self-hosted ports."""

FAILSAFE_INBOUND = (FailsafePort(_TCP, 22), FailsafePort(_UDP, 68), *_CLUSTER)
"""Calico's default: SSH, DHCP, the cluster's own."""
FAILSAFE_OUTBOUND = (FailsafePort(_UDP, 53), FailsafePort(_UDP, 67), *_CLUSTER)
"""Calico's default: DNS, DHCP, the cluster's own."""

NEIGHBOUR_TYPES = (130, 131, 132, 133, 134, 135, 136, 143)
"""ICMPv6 by which a link finds its routers, neighbours and listeners (RFC 4861, RFC 3810). Without them nothing
reaches an IPv6 host, failsafe ports included."""


@dataclass(frozen=True, slots=True)
class Tunnels:
    """What nodes send each other in packets of their own; host endpoints' normal policy is not asked about it."""

    has_ipip: bool = False
    """IP in IP, protocol 4."""
    vxlan_port: int | None = None
    """UDP; None is no VXLAN. What comes to this port from no known node is dropped."""
    wireguard_ports: tuple[int, ...] = ()
    """UDP, from and to anywhere: who may speak is settled by keys."""

    @property
    def need_nodes(self) -> bool:
        """Whether it matters which addresses nodes have."""
        return self.has_ipip or self.vxlan_port is not None


NO_TUNNELS = Tunnels()
