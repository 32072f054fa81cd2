"""Which packets go through the tunnel: a rule, and a table of its own (Calico: felix/wireguard). Pure.

    priority 99: not from all fwmark M/M lookup T       what the tunnel itself sends carries M, and goes on to main
    table T:     10.0.1.0/26 dev wireguard.cali         another node's
                 throw 10.0.0.0/26                      our own, and nodes without a key: on to main, in clear
                 unreachable 10.0.1.0/26 metric 4096    strict: without a tunnel there is no way, instead of a clear one

Each kind of route has a metric of its own, so both kinds of a network can stand beside each other while one goes and
the other comes: no moment without a route, whatever the kernel makes of replacing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from wg.model import IPAddress, IPNetwork

HEADER_BYTES = {4: 60, 6: 80}
"""By version of the addresses between nodes: IP (20, 40), UDP (8), WireGuard (16 and 16)."""
LEAST_MTU = {4: 576, 6: 1280}
"""RFC 791 and RFC 8200 5: with less, a device cannot have addresses of that version, or nobody expects it."""


class RouteKind(Enum):
    """What becomes of a packet; the value is the route's metric, and the smaller one wins."""

    TUNNEL = 512
    THROW = 1024
    """On to the next rule: as without us."""
    UNREACHABLE = 4096


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table."""

    network: IPNetwork
    kind: RouteKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """All that leads packets of one version of IP into a device."""

    interface: str
    version: int
    mtu: int
    table: int
    fwmark: int
    """Which packets do not: those of the tunnel itself. One bit or more, and the mask as well."""
    priority: int
    """Of the rule."""
    address: IPAddress | None = None
    """Of the device, out of the node's own networks: what the node itself sends through the tunnel comes from there,
    and other nodes accept it from nowhere else."""
    routes: frozenset[Route] = field(default_factory=frozenset)

    @property
    def is_strict(self) -> bool:
        """Whether some of it shall not go in clear."""
        return any(route.kind is RouteKind.UNREACHABLE for route in self.routes)


def mtu(underlay: int, version: int, configured: int = 0) -> int:
    """The device's; `configured` 0 is what the underlay leaves, and never less than IP needs."""
    return configured or max(underlay - HEADER_BYTES[version], LEAST_MTU[version])


def differences(wanted: Iterable[Route], found: Iterable[Route]) -> tuple[list[Route], list[Route]]:
    """What to add, and what to remove after that; in a fixed order."""
    want, have = frozenset(wanted), frozenset(found)
    return sorted(want - have, key=_order), sorted(have - want, key=_order)


def _order(route: Route) -> tuple[int, int, int, int]:
    network = route.network
    return network.version, int(network.network_address), network.prefixlen, route.kind.value
