"""Interfaces: the host routes that lead to workloads, the host's own addresses, and word of their changes.

A Pod says its addresses, not its interface. Every CNI that gives a pod a link of its own routes the pod's address to it
as a host route (/32, /128); that route names the interface, whatever the CNI calls it. A pod behind a bridge shares the
bridge's subnet route and has no host route: it stays without an interface, and status says so, because the packets of
several pods on one interface could not be told apart.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from pyroute2 import AsyncIPRoute

from netlink.transport import NetlinkSocket

IPAddress = IPv4Address | IPv6Address

NETLINK_ROUTE = 0
_GROUPS = (1, 5, 7, 9, 11)
"""RTNLGRP_LINK, and RTNLGRP_IPV4_ and IPV6_ of IFADDR and ROUTE (linux/rtnetlink.h)."""
_TABLE_MAIN = 254
_UNICAST = 1
_HOST_PREFIX = {2: 32, 10: 128}
"""Length of a host route by address family."""


@dataclass(frozen=True, slots=True)
class Links:
    """What the kernel said at one moment."""

    host_routes: Mapping[IPAddress, str] = field(default_factory=dict)
    """Interface name by address."""
    interfaces: frozenset[str] = frozenset()
    addresses: Mapping[str, frozenset[IPAddress]] = field(default_factory=dict)
    """The host's own, by interface; those that have none are absent."""

    def interface_of(self, addresses: Iterable[IPAddress]) -> str:
        """The interface that a workload with these addresses is on; "" while no route says, or two disagree."""
        found = {self.host_routes[address] for address in addresses if address in self.host_routes}
        return found.pop() if len(found) == 1 else ""


async def read_links() -> Links:
    """Asks the kernel.

    Raises:
        OSError: it refuses.
    """
    async with AsyncIPRoute() as kernel:
        names = {link["index"]: str(link.get("ifname")) async for link in await kernel.get_links()}
        routes: dict[IPAddress, str] = {}
        for family, length in _HOST_PREFIX.items():
            async for route in await kernel.route("dump", family=family, table=_TABLE_MAIN):
                name = names.get(route.get("oif"))
                if name is not None and _is_host_route(route, length):
                    routes[ip_address(route.get("dst"))] = name
        addresses: dict[str, set[IPAddress]] = {}
        async for item in await kernel.get_addr():
            name = names.get(item["index"])
            if name is not None:
                addresses.setdefault(name, set()).add(ip_address(item.get("local") or item.get("address")))
    own = {name: frozenset(found) for name, found in addresses.items()}
    return Links(routes, frozenset(names.values()), own)


def _is_host_route(route: Any, length: int) -> bool:  # noqa: ANN401 - pyroute2's own message
    return bool(
        route["dst_len"] == length and route["type"] == _UNICAST and route.get("table", route["table"]) == _TABLE_MAIN
    )


@asynccontextmanager
async def link_changes() -> AsyncIterator[asyncio.Event]:
    """An event that is set whenever a link or a route changed; whoever waits clears it.

    Raises:
        OSError: the kernel refuses the subscription.
    """
    changed = asyncio.Event()
    events = NetlinkSocket(NETLINK_ROUTE, receive_buffer_bytes=1 << 20)
    loop = asyncio.get_running_loop()

    def note() -> None:
        # What changed is not read: a burst of thousands ends in one look at the whole.
        events.drain()
        changed.set()

    try:
        for group in _GROUPS:
            events.join(group)
        loop.add_reader(events.fileno(), note)
        yield changed
    finally:
        loop.remove_reader(events.fileno())
        events.close()
