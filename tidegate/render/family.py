"""The two address families, with the fields and types that each of them has."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Literal

from nft import expr
from nft.expr import Field, KeyType
from policy.rules import IPNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One address family."""

    version: Literal[4, 6]
    name: str
    """As `meta nfproto` calls it."""
    address: KeyType
    source: Field
    destination: Field
    icmp_protocol: int
    icmp_type: Field
    icmp_code: Field
    everything: IPNetwork


V4 = Family(
    version=4,
    name="ipv4",
    address=KeyType.IPV4,
    source=Field.IP_SADDR,
    destination=Field.IP_DADDR,
    icmp_protocol=1,
    icmp_type=Field.ICMP_TYPE,
    icmp_code=Field.ICMP_CODE,
    everything=ip_network("0.0.0.0/0"),
)
V6 = Family(
    version=6,
    name="ipv6",
    address=KeyType.IPV6,
    source=Field.IP6_SADDR,
    destination=Field.IP6_DADDR,
    icmp_protocol=58,
    icmp_type=Field.ICMPV6_TYPE,
    icmp_code=Field.ICMPV6_CODE,
    everything=ip_network("::/0"),
)
FAMILIES = (V4, V6)


def is_family(family: Family) -> expr.Compare:
    """The match for packets of the family."""
    return expr.Compare(Field.NFPROTO, expr.Op.EQ, family.name)


def merged(nets: Iterable[IPNetwork], family: Family) -> tuple[IPNetwork, ...]:
    """The family's networks without overlap (an interval set refuses it), in order.

    A network that is everything is written as its two halves: an interval set has no key for the whole family.
    """
    if family.version == 4:
        four: list[IPNetwork] = list(collapse_addresses(net for net in nets if isinstance(net, IPv4Network)))
        return halved(four)
    six: list[IPNetwork] = list(collapse_addresses(net for net in nets if isinstance(net, IPv6Network)))
    return halved(six)


def halved(nets: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    """The same networks, each /0 as two /1."""
    return tuple(half for net in nets for half in (net.subnets() if net.prefixlen == 0 else (net,)))
