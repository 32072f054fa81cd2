"""What of our tunnels is in the kernel, written down in the state directory before it is put there.

So that it can be taken out by a run that is configured otherwise, and by `remove` when nobody is there to ask.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict
from pathlib import Path

from tidegate.agent.encryption_task import left_path
from tidegate.config.wireguard import TunnelSettings
from wg.errors import WireGuardError
from wg.host import Host
from wg.model import IPAddress
from wg.routing import Route, Routing


def read(state: Path) -> tuple[TunnelSettings, ...]:
    """Those of the run before; none where there is no such file, or another version wrote it."""
    try:
        return tuple(TunnelSettings(**item) for item in json.loads(left_path(state).read_text()))
    except (OSError, ValueError, TypeError):
        return ()


def write(state: Path, tunnels: Iterable[TunnelSettings]) -> None:
    """Replaces it; without tunnels there is no file.

    Raises:
        OSError: it cannot be written.
    """
    path, plain = left_path(state), [asdict(tunnel) for tunnel in tunnels]
    if not plain:
        path.unlink(missing_ok=True)
        return
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(plain))
    scratch.rename(path)


def obsolete(left: Iterable[TunnelSettings], wanted: Collection[TunnelSettings]) -> tuple[TunnelSettings, ...]:
    """Those whose device or table no wanted tunnel has: one that only listens elsewhere is changed, not removed."""
    kept = {(tunnel.version, tunnel.interface, tunnel.table) for tunnel in wanted}
    return tuple(tunnel for tunnel in left if (tunnel.version, tunnel.interface, tunnel.table) not in kept)


def take_out(host: Host, tunnels: Iterable[TunnelSettings], wanted: Collection[TunnelSettings] = ()) -> None:
    """Removes rules, routes and devices; a device that is still wanted, with another table, stays.

    Raises:
        WireGuardError: the kernel refused.
    """
    interfaces = {tunnel.interface for tunnel in wanted}
    for tunnel in tunnels:
        host.remove(routing(tunnel))
        if tunnel.interface not in interfaces:
            host.delete_link(tunnel.interface)


def take_all_out(state: Path) -> None:
    """Removes everything that the file names, and the file.

    Raises:
        OSError: the kernel refused, or the file cannot be removed.
    """
    try:
        with Host() as host:
            take_out(host, read(state))
    except WireGuardError as error:
        raise OSError(error.errno, str(error)) from error
    write(state, ())


def routing(
    tunnel: TunnelSettings,
    *,
    mtu: int = 0,
    address: IPAddress | None = None,
    routes: frozenset[Route] = frozenset(),
) -> Routing:
    """Its place in the kernel; without routes, enough to remove it."""
    return Routing(
        interface=tunnel.interface,
        version=tunnel.version,
        mtu=mtu,
        table=tunnel.table,
        fwmark=tunnel.mark,
        priority=tunnel.priority,
        address=address,
        routes=routes,
    )
