"""Addresses that no name may open: an allowed name whose owner points it at the inside is an attack (DNS rebinding).

Three classes. Forbidden: loopback, link-local (cloud metadata), multicast, unspecified and the like, and every
address that embeds one. Private: RFC 1918, RFC 4193 and RFC 6598, which a policy may admit. Guarded: the networks
the configuration names, which no policy can admit. Addresses that carry an IPv4 address inside (mapped, compatible,
NAT64, 6to4, Teredo) are judged by it, and are never private enough to be admitted: a workload that connects to one
reaches the embedded address by a way that policy on the IPv4 address does not see.
"""

from collections.abc import Iterable
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

IPNetwork = IPv4Network | IPv6Network


class Guard(StrEnum):
    """Why an address is not learned."""

    FORBIDDEN = "guard-forbidden"
    PRIVATE = "guard-private"
    EMBEDDED = "guard-embedded"
    NETWORK = "guard-network"


def _networks(*texts: str) -> tuple[IPNetwork, ...]:
    return tuple(map(ip_network, texts))


FORBIDDEN = _networks(
    "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "224.0.0.0/3", "::/128", "::1/128", "fe80::/10",
    "fec0::/10", "ff00::/8", "100::/64",
)  # fmt: skip
PRIVATE = _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
_EMBEDDING = _networks("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")


class AddressGuard:
    """Judges addresses. Immutable; `networks` are the configuration's own."""

    __slots__ = ("_clear4", "_networks")

    def __init__(self, networks: Iterable[IPNetwork] = ()) -> None:
        self._networks = tuple(networks)
        suspects = [net for net in (*FORBIDDEN, *PRIVATE, *self._networks) if isinstance(net, IPv4Network)]
        self._clear4 = bytes(not any(_touches(net, first) for net in suspects) for first in range(256))

    def judge(self, address: bytes, *, allow_private: bool = False) -> Guard | None:
        """None where the packed address may be learned. Nearly all IPv4 addresses are cleared by their first byte."""
        if len(address) == 4 and self._clear4[address[0]]:
            return None
        return self._judge(ip_address(address), allow_private=allow_private)

    def _judge(self, address: IPv4Address | IPv6Address, *, allow_private: bool) -> Guard | None:
        if any(address in net for net in self._networks):
            return Guard.NETWORK
        if any(address in net for net in FORBIDDEN):
            return Guard.FORBIDDEN
        if any(address in net for net in PRIVATE):
            return None if allow_private else Guard.PRIVATE
        if isinstance(address, IPv6Address) and any(address in net for net in _EMBEDDING):
            return self._judge_embedded(address)
        return None

    def _judge_embedded(self, address: IPv6Address) -> Guard | None:
        inner = embedded(address)
        return Guard.EMBEDDED if self._judge(inner, allow_private=False) is not None else None


def embedded(address: IPv6Address) -> IPv4Address:
    """The IPv4 address inside (RFC 4291 2.5.5, RFC 6052, RFC 3056, RFC 4380)."""
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    return IPv4Address(int(address) & 0xFFFFFFFF)


def _touches(network: IPv4Network, first_byte: int) -> bool:
    return network.overlaps(IPv4Network((first_byte << 24, 8)))
