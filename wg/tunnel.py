"""One device of this node from nothing to traffic, and back: the program or the kernel, peers, routes. Blocks.

    tunnel = Tunnel(host)
    tunnel.apply(device, routing, wall)      device there and up -> key and peers -> addresses, routes -> the rule last
    tunnel.remove(routing)                   the rule first -> routes -> the device

A device that went away meanwhile (a program that died) is made again, with the same key.
"""

import errno
from enum import StrEnum
from typing import final

from reconcile.instant import WallInstant
from wg.errors import WireGuardError
from wg.host import Host
from wg.kernel import KernelWireGuard
from wg.model import Device, DeviceState
from wg.routing import Route, Routing
from wg.sync import DeviceSync, read_or_none
from wg.transport import WireGuard
from wg.userspace import Userspace, start_program


class Kind(StrEnum):
    """Who encrypts."""

    KERNEL = "kernel"
    USERSPACE = "wireguard-go"


@final
class Tunnel:
    """Holds state: which device it met last, and through what."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._transport: WireGuard | None = None
        self._sync: DeviceSync | None = None
        self._index = 0
        self._routes: frozenset[Route] | None = None
        """Of the device's table, as the last call left them; None after a failure, or with another device."""
        self.kind: Kind | None = None
        """None until a device was there."""
        self.made = 0
        """How often a device had to be made."""
        self.changes = 0
        """Of the device and of what leads there, altogether."""

    def apply(
        self, device: Device, routing: Routing, wall: WallInstant, *, looks: bool = False, trusts_routes: bool = False
    ) -> None:
        """Brings all of it to what is wanted. `looks`: as with `DeviceSync.apply`.

        `trusts_routes`: the table is as the last call left it, and is not read: half of what a small change takes.

        Raises:
            WireGuardError: it is done in part; the next call goes on from what is there.
        """
        if routing.is_strict and self._host.link(device.name) is None:
            self._host.close_ways(routing)
        sync = self._present(device.name)
        known, self._routes = self._routes, None
        # Up before its peers: a device that is down kicks nobody. With it, its routes went down.
        raised = self._host.raise_link(routing)
        self.changes += raised + (sync.apply(device, wall, looks=looks) is not None)
        self.changes += self._host.apply(routing, known if trusts_routes and not (looks or raised) else None)
        self._routes = routing.routes

    def forget_source(self, name: str) -> None:
        """The node lost an address: what the device remembers of its own side may be that one. The kernel sees it.

        Raises:
            WireGuardError: the device could not be read or changed.
        """
        if self._sync is not None and self.kind is Kind.USERSPACE:
            self._sync.reach_anew(name)

    def state(self, name: str) -> DeviceState | None:
        """The device for people to look at; None where it cannot be read."""
        return None if self._transport is None else read_or_none(self._transport, name)

    def remove(self, routing: Routing) -> None:
        """Takes everything out.

        Raises:
            WireGuardError: the kernel refused.
        """
        self._host.remove(routing)
        self._host.delete_link(routing.interface)
        self.close()

    def close(self) -> None:
        """Lets go of the device, which stays."""
        if isinstance(self._transport, KernelWireGuard):
            self._transport.close()
        self._transport, self._sync, self._index, self.kind = None, None, 0, None
        self._routes = None

    def _present(self, name: str) -> DeviceSync:
        link = self._host.link(name)
        if link is None:
            self.close()
            if not self._host.create_link(name):
                start_program(name)
            self.made += 1
            link = self._host.link(name)
            if link is None:
                raise WireGuardError("make", name, errno.ENODEV)
        if self._sync is None or self._transport is None or link.index != self._index:
            self.close()
            self._transport, self.kind = _transport(name)
            self._sync, self._index = DeviceSync(self._transport), link.index
        return self._sync


def _transport(name: str) -> tuple[WireGuard, Kind]:
    """Whatever the device of that name is reached through."""
    try:
        kernel = KernelWireGuard()
    except WireGuardError:
        return Userspace(), Kind.USERSPACE
    try:
        kernel.read(name)
    except WireGuardError:
        # The kernel knows WireGuard, and this device is none of its: a program's.
        kernel.close()
        return Userspace(), Kind.USERSPACE
    return kernel, Kind.KERNEL
