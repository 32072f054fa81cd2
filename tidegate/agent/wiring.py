"""The control process, built: every part once, in this order, and nowhere else.

    files ----> Feeders.documents --+                                     +--> SyncedTable --> nft.TableSync --> kernel
    routes ---> Feeders.links ------+--> Desired ==> steps ==> ApplyLoop -+--> PacketClient --> snapshot, socket
    commits --> Feeders.commits ----------------------------------^       +--> KernelConnections --> conntrack
                                                                  |
    packet process <---- PacketKeeper ("a new one has come") -----+

    commands --> api.server --> Knowledge --> Desired, ApplyLoop.progress, Conditions, PacketKeeper, kernel counters

Everything but the kernel's thread runs in one event loop. Configuration is read once: another one is another run.
"""

import platform
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from nft.features import Features
from nft.kernel import Kernel
from nft.monitor import MAX_PORTS, Monitor
from nft.sync import TableSync
from policy.rules import NodeState
from reconcile.clock import SystemClock
from tidegate.agent.connections import KernelConnections
from tidegate.agent.feeders import Feeders
from tidegate.agent.knowledge import Knowledge
from tidegate.agent.machine import Machine
from tidegate.agent.packet_client import PacketClient
from tidegate.agent.packet_keeper import PacketCommand, PacketKeeper
from tidegate.agent.packets import program_version
from tidegate.config.settings import Settings
from tidegate.render import RenderSettings
from tidegate.render.settings import from_configuration
from tidegate.render.table import static_table
from tidegate.store.files import FileSource
from tidegate.sync.conditions import Condition, Conditions, ConditionType
from tidegate.sync.desired import Desired
from tidegate.sync.loop import ApplyLoop, Parts
from tidegate.sync.mode import ModeChoice, choose_mode, without
from tidegate.sync.resolvers import TrustedServers, look_up
from tidegate.sync.snapshots import SnapshotBuilder, SnapshotSettings
from tidegate.sync.table import SyncedTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A built control process; `control` runs it."""

    settings: Settings
    socket: Path
    state: Path
    render: RenderSettings
    source: FileSource
    feeders: Feeders
    loop: ApplyLoop
    keeper: PacketKeeper
    monitor: Monitor
    knowledge: Knowledge
    conditions: Conditions
    thread: ThreadPoolExecutor
    kernel: Kernel

    def close(self) -> None:
        """Gives back what the parts hold open. The kernel's table and the packet process stay."""
        self.thread.shutdown()
        self.kernel.close()
        self.monitor.close()


def build(settings: Settings, features: Features) -> Agent:
    """Builds the process; must run inside the event loop that will run it.

    Raises:
        ValueError: a setting without which there is nothing to run is missing.
        OSError: the kernel's netfilter cannot be reached.
    """
    resources, state, socket = _places(settings)
    clock, conditions = SystemClock(), Conditions()

    # What the kernel can do and what the configuration names, looked up; what is less than asked for is a condition.
    features = without(features, settings.debug_missing_features)
    mode = choose_mode(settings.dns_policy_mode, features)
    trusted = look_up(settings.dns_trusted_servers)
    render = replace(from_configuration(settings, trusted.servers), dns_mode=mode.in_force)
    for condition in (_mode_condition(mode), _servers_condition(trusted)):
        conditions.put(condition, clock.wall())

    # The packet process's side. One can be started, and goes on learning, before any document is read.
    packets = PacketClient(state)
    given = SnapshotSettings(settings=settings, render=render)
    packets.prepare(SnapshotBuilder(given).build(NodeState(), packets.former_generation))

    # What is wanted, and the loop that makes it so. The kernel's sockets belong to one thread.
    desired = Desired(_node(settings), given, first_generation=packets.former_generation + 1)
    kernel, monitor = Kernel(render.table_name, features), Monitor(render.table_name)
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kernel")
    parts = Parts(
        desired=desired,
        table=SyncedTable(TableSync(kernel, clock), static_table(render)),
        packets=packets,
        connections=KernelConnections(),
        conditions=conditions,
        clock=clock,
        thread=thread,
    )
    loop = ApplyLoop(parts, refresh_seconds=settings.nftables_refresh_interval_seconds)

    def on_adopted(pid: int) -> None:
        # Its commits are learned elements, a thousand a second, and none of our business.
        monitor.ignore_ports(Machine().netlink_ports(pid)[:MAX_PORTS])
        loop.reload_packets()

    command = PacketCommand(packet_command(state), program_version())
    keeper = PacketKeeper(packets, command, conditions, clock, on_adopted)

    # Who tells the loop what happened, and who answers questions.
    feeders = Feeders(desired=desired, loop=loop, conditions=conditions, clock=clock)
    knowledge = Knowledge(
        node=_node(settings),
        version=program_version(),
        started_at=clock.wall(),
        settings=settings,
        render=render,
        features=features,
        mode=mode,
        desired=desired,
        loop=loop,
        conditions=conditions,
        keeper=keeper,
        packets=packets,
    )
    return Agent(
        settings=settings,
        socket=socket,
        state=state,
        render=render,
        source=FileSource(resources),
        feeders=feeders,
        loop=loop,
        keeper=keeper,
        monitor=monitor,
        knowledge=knowledge,
        conditions=conditions,
        thread=thread,
        kernel=kernel,
    )


def packet_command(state: Path) -> Sequence[str]:
    """Starts a packet process of this program for that state directory."""
    return (sys.executable, "-m", "tidegate", "packets", "--state", str(state))


def _places(settings: Settings) -> tuple[Path, Path, Path]:
    missing = [name for name in ("resources", "state", "socket") if getattr(settings, name) is None]
    if missing:
        raise ValueError(f"cannot run without {' and '.join(missing)}: see --{missing[0]}")
    assert settings.resources is not None
    assert settings.state is not None
    assert settings.socket is not None
    return settings.resources, settings.state.absolute(), settings.socket.absolute()


def _node(settings: Settings) -> str:
    return settings.node or platform.node().lower()


def _mode_condition(mode: ModeChoice) -> Condition:
    reason = "AsConfigured" if mode.is_as_wanted else "KernelCannotHold"
    return Condition(type=ConditionType.DNS_POLICY_MODE, is_true=mode.is_as_wanted, reason=reason, message=mode.reason)


def _servers_condition(trusted: TrustedServers) -> Condition:
    told = "; ".join(f"{name}: {reason}" for name, reason in trusted.unresolved)
    reason = "Unresolved" if trusted.unresolved else "Resolved" if trusted.servers else "NoServer"
    is_true = bool(trusted.servers) and not trusted.unresolved
    return Condition(type=ConditionType.TRUSTED_SERVERS, is_true=is_true, reason=reason, message=told)
