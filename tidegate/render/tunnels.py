"""Packets in which nodes carry those of their workloads: let through between known nodes before host endpoints judge.

Calico programs such tunnels; whoever protects a host without knowing of them cuts its workloads off.
"""

from collections.abc import Iterator

from nft import expr
from nft.expr import Compare, Field, Lookup, Op
from nft.model import Rule, Set
from policy.hosts import Tunnels
from tidegate.render import names
from tidegate.render.family import FAMILIES, Family

_IPIP = 4
_UDP = 17


def node_sets(tunnels: Tunnels) -> tuple[Set, ...]:
    """The addresses of all nodes, of each family; none where nobody looks."""
    if not tunnels.need_nodes:
        return ()
    return tuple(Set(name=names.nodes(family.version), key=(family.address,)) for family in FAMILIES)


def received(tunnels: Tunnels) -> Iterator[Rule]:
    """Rules about what the host receives."""
    for family in FAMILIES:
        yield from _between_nodes(tunnels, family, family.source)
    if tunnels.vxlan_port is not None:
        yield Rule((*_udp(Field.DPORT, tunnels.vxlan_port), expr.Counter(), expr.Drop()), "VXLAN from no node")
    for port in tunnels.wireguard_ports:
        yield Rule((*_udp(Field.DPORT, port), expr.Accept()), "WireGuard")


def sent(tunnels: Tunnels) -> Iterator[Rule]:
    """Rules about what the host sends."""
    for family in FAMILIES:
        yield from _between_nodes(tunnels, family, family.destination)
    for port in tunnels.wireguard_ports:
        yield Rule((*_udp(Field.SPORT, port), expr.Accept()), "WireGuard")


def _between_nodes(tunnels: Tunnels, family: Family, far: Field) -> Iterator[Rule]:
    end = (Lookup((far,), names.nodes(family.version)), expr.Counter(), expr.Accept())
    if tunnels.has_ipip and family.version == 4:
        yield Rule((Compare(Field.L4PROTO, Op.EQ, _IPIP), *end), "tunnel between nodes")
    if tunnels.vxlan_port is not None:
        yield Rule((*_udp(Field.DPORT, tunnels.vxlan_port), *end), "tunnel between nodes")


def _udp(where: Field, port: int) -> tuple[expr.Match, ...]:
    return (Compare(Field.L4PROTO, Op.EQ, _UDP), Compare(where, Op.EQ, port))
