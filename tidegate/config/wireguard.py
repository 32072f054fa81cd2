"""What the settings say about the devices of this node, one for each version of IP that is encrypted. Pure."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tidegate.config.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelSettings:
    """Of one device."""

    version: int
    """Of the addresses that it carries, and of those between nodes."""
    interface: str
    listen_port: int
    mtu: int
    """0 is what the underlay leaves."""
    table: int
    priority: int
    mark: int
    """One bit, on what the device itself sends."""
    keepalive_seconds: int
    is_strict: bool


def tunnels(settings: Settings) -> Iterator[TunnelSettings]:
    """The devices that are wanted."""
    if settings.wireguard_enabled:
        yield _tunnel(settings, 4)
    if settings.wireguard_enabled_v6:
        yield _tunnel(settings, 6)


def wireguard_ports(settings: Settings) -> tuple[int, ...]:
    """Where the devices listen: host endpoints let that pass before policy is asked."""
    return tuple(tunnel.listen_port for tunnel in tunnels(settings))


def _tunnel(settings: Settings, version: int) -> TunnelSettings:
    is_v4 = version == 4
    return TunnelSettings(
        version=version,
        interface=settings.wireguard_interface_name if is_v4 else settings.wireguard_interface_name_v6,
        listen_port=settings.wireguard_listening_port if is_v4 else settings.wireguard_listening_port_v6,
        mtu=settings.wireguard_mtu if is_v4 else settings.wireguard_mtu_v6,
        table=settings.wireguard_routing_table + (not is_v4),
        priority=settings.wireguard_routing_rule_priority,
        mark=_third_highest_bit(settings.nftables_mark_mask),
        keepalive_seconds=_whole(settings.wireguard_keep_alive_seconds),
        is_strict=settings.wireguard_strict,
    )


def _whole(seconds: float) -> int:
    """Upwards: half a second is a wish for keepalives, and 0 would be none."""
    return math.ceil(seconds)


def _third_highest_bit(mask: int) -> int:
    """Behind the two that interception uses (`tidegate.render.settings`)."""
    for _ in range(2):
        mask ^= 1 << (mask.bit_length() - 1)
    return 1 << (mask.bit_length() - 1)
