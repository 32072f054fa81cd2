"""Addresses that no name may open: an allowed name whose owner points it at the inside is an attack (DNS rebinding).

Three classes. Forbidden: loopback, link-local (cloud metadata), multicast, unspecified and the like, and every
address that embeds one. Private: RFC 1918, RFC 4193 and RFC 6598, which a policy may admit. Guarded: the networks
the configuration names, which no policy can admit. Addresses that carry an IPv4 address inside (mapped, compatible,
NAT64, 6to4, Teredo) are judged by it, and are never private enough to be admitted: a workload that connects to one
reaches the embedded address by a way that policy on the IPv4 address does not see.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import final

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
EMBEDDING = _networks(
    "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"
)
"""IPv4-compatible and IPv4-mapped (RFC 4291 2.5.5), IPv4-translated (RFC 2765), NAT64 (RFC 6052, RFC 8215), 6to4
(RFC 3056), Teredo (RFC 4380)."""

_Suspect = tuple[int, int, Guard]
"""Mask, network, and what an address in it is; EMBEDDED where that depends on the address inside."""


@final
class AddressGuard:
    """Judges addresses. Immutable; `networks` are the configuration's own, and go before the others.

    The networks are found by the first byte of the address, so that nearly all addresses are cleared by one look.
    """

    __slots__ = ("_suspects4", "_suspects6")

    def __init__(self, networks: Iterable[IPNetwork] = ()) -> None:
        kinds = [
            *((network, Guard.NETWORK) for network in networks),
            *((network, Guard.FORBIDDEN) for network in FORBIDDEN),
            *((network, Guard.PRIVATE) for network in PRIVATE),
            *((network, Guard.EMBEDDED) for network in EMBEDDING),
        ]
        self._suspects4 = _by_first_byte([(net, kind) for net, kind in kinds if isinstance(net, IPv4Network)])
        self._suspects6 = _by_first_byte([(net, kind) for net, kind in kinds if isinstance(net, IPv6Network)])

    def judge(self, address: bytes, *, allow_private: bool = False) -> Guard | None:
        """None where the packed address may be learned."""
        suspects = (self._suspects4 if len(address) == 4 else self._suspects6)[address[0]]
        if not suspects:
            return None
        value = int.from_bytes(address, "big")
        for mask, network, kind in suspects:
            if value & mask != network:
                continue
            if kind is Guard.EMBEDDED:
                return kind if any(map(self.judge, embedded(address))) else None
            return None if allow_private and kind is Guard.PRIVATE else kind
        return None


def embedded(address: bytes) -> Iterator[bytes]:
    """The IPv4 addresses that a packed address of `EMBEDDING` may stand for."""
    if address.startswith(b"\x20\x02"):
        yield address[2:6]
    elif address.startswith(b"\x20\x01"):
        yield bytes(byte ^ 0xFF for byte in address[12:])
    elif address.startswith(b"\x00\x64\xff\x9b\x00\x01") and any(address[6:12]):
        # A local prefix may be 48, 56 or 64 bits long, and nothing tells which; the ninth byte is left out.
        yield address[6:8] + address[9:11]
        yield address[7:8] + address[9:12]
        yield address[9:13]
    else:
        yield address[12:]


def _by_first_byte(kinds: list[tuple[IPNetwork, Guard]]) -> tuple[tuple[_Suspect, ...], ...]:
    suspects = [(int(net.netmask), int(net.network_address), kind) for net, kind in kinds]
    widths = [net.max_prefixlen for net, _ in kinds]
    first_bytes = [
        (mask >> width - 8, network >> width - 8) for (mask, network, _), width in zip(suspects, widths, strict=True)
    ]
    return tuple(
        tuple(
            suspect for suspect, (mask, network) in zip(suspects, first_bytes, strict=True) if first & mask == network
        )
        for first in range(256)
    )
