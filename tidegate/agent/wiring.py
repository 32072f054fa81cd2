"""The control process, built: every part once, in this order, and nowhere else.

    documents -> Feeders.documents --+                                     +--> SyncedTable --> nft.TableSync --> kernel
    routes ---> Feeders.links ------+--> Desired ==> steps ==> ApplyLoop -+--> PacketClient --> snapshot, socket
    commits --> Feeders.commits ----------------------------------^       +--> KernelConnections --> conntrack
                                                                  |       +--> Revoker ------------> conntrack
                                                                  |
    packet process <---- PacketKeeper ("a new one has come") -----+

    commands --> api.server --> Knowledge --> Desired, ApplyLoop.progress, Conditions, PacketKeeper, kernel counters

Everything but the kernel's thread runs in one event loop. Configuration is read once: another one is another run.
"""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from netlink.transport import NetlinkSocket
from nft.counts import rule_counts
from nft.errors import NftError
from nft.features import Features
from nft.generation import Tally
from nft.kernel import Kernel
from nft.monitor import MAX_PORTS, Monitor
from nft.sync import TableSync
from policy.rules import NodeState
from reconcile.clock import SystemClock
from tidegate.agent.capturer import Capturer
from tidegate.agent.commits import CommitFeed
from tidegate.agent.connections import KernelConnections
from tidegate.agent.dns_keeper import DnsKeeper
from tidegate.agent.encryption_task import EncryptionTask, encryption_task
from tidegate.agent.ended import KernelSets
from tidegate.agent.feeders import Feeders
from tidegate.agent.flow_keeper import FlowKeeper
from tidegate.agent.knowledge import Knowledge
from tidegate.agent.log_keeper import LogKeeper
from tidegate.agent.machine import Machine
from tidegate.agent.packet_client import PacketClient
from tidegate.agent.packet_keeper import PacketCommand, PacketKeeper
from tidegate.agent.revoker import Revoker
from tidegate.agent.situation import Situation, look_around
from tidegate.agent.sourcing import source_of
from tidegate.capture.recorder import Recorder
from tidegate.capture.rolling import Limits
from tidegate.config.settings import Settings
from tidegate.packetlog.fetcher import LogFetcher
from tidegate.packetlog.files import RotatedFile
from tidegate.packetlog.outlets import Outlets, SinkThread
from tidegate.packetlog.reader import LogSource, LogThread
from tidegate.packetlog.rules import LogRules
from tidegate.packetlog.sinks import open_sink
from tidegate.render import logged, names
from tidegate.render.settings import RenderSettings
from tidegate.render.table import static_table
from tidegate.store.source import Source
from tidegate.sync.conditions import Conditions
from tidegate.sync.desired import Desired
from tidegate.sync.effects import Effects
from tidegate.sync.loop import ApplyLoop
from tidegate.sync.parts import Parts
from tidegate.sync.snapshots import SnapshotBuilder, SnapshotSettings
from tidegate.sync.table import SyncedTable

_NO_QUEUES = "the kernel has no queues: packets do not wait for their records"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A built control process; `control` runs it."""

    situation: Situation
    source: Source
    feeders: Feeders
    loop: ApplyLoop
    keeper: PacketKeeper
    revoker: Revoker
    capturer: Capturer
    flows: FlowKeeper
    logs: LogKeeper
    dns: DnsKeeper
    commits: CommitFeed
    knowledge: Knowledge
    conditions: Conditions
    thread: ThreadPoolExecutor
    kernel: Kernel
    encryption: EncryptionTask | None
    """None where no encryption between nodes is configured."""

    def close(self) -> None:
        """Gives back what the parts hold open. The kernel's table and the packet process stay."""
        self.revoker.close()
        if self.encryption is not None:
            self.encryption.close()
        self.thread.shutdown()
        self.kernel.close()
        self.commits.close()


def build(settings: Settings, features: Features) -> Agent:
    """Builds the process; must run inside the event loop that will run it.

    Raises:
        ValueError: a setting without which there is nothing to run is missing.
        OSError: the kernel's netfilter or the state directory cannot be used.
    """
    clock, conditions = SystemClock(), Conditions()
    situation = look_around(settings, features, conditions, clock)
    render = situation.render
    given = SnapshotSettings(settings=settings, render=render)

    # The packet process's side. One can be started, and goes on learning, before any document is read.
    packets = PacketClient(situation.state)
    packets.prepare(SnapshotBuilder(given).build(NodeState(), packets.former_generation))

    # What is wanted, and the loop that makes it so. The kernel's sockets belong to one thread.
    desired = Desired(situation.node, given, first_generation=packets.former_generation + 1)
    kernel, monitor = Kernel(render.table_name, situation.features), Monitor(render.table_name)
    sets = KernelSets(render.table_name, readd_refreshes=situation.features.readd_refreshes) if (
        render.ends_connections) else None  # fmt: skip
    own_ports = [] if sets is None else [sets.port_id]
    monitor.ignore_ports(own_ports)
    revoker = Revoker(
        render=render,
        sets=sets,
        ask=packets.told,
        own_addresses=lambda: (address for own in desired.links.addresses.values() for address in own),
        conditions=conditions,
        clock=clock,
        servers=frozenset((each.address.packed, each.port) for each in settings.dns_proxy_upstreams)
        | frozenset((each.address.packed, each.port) for each in render.trusted_servers),
    )
    parts = Parts(
        desired=desired,
        table=SyncedTable(TableSync(kernel, clock), static_table(render)),
        packets=packets,
        connections=KernelConnections(),
        revocation=revoker,
        conditions=conditions,
        clock=clock,
        thread=ThreadPoolExecutor(max_workers=1, thread_name_prefix="kernel"),
        before=packets.former,
    )
    loop = ApplyLoop(parts, refresh_seconds=settings.nftables_refresh_interval_seconds)

    def on_adopted(pid: int) -> None:
        # Its commits are learned elements, a thousand a second, and none of our business.
        monitor.ignore_ports([*own_ports, *Machine().netlink_ports(pid)][:MAX_PORTS])
        loop.reload_packets()

    def count() -> Tally | None:
        learned = packets.tally()
        return None if learned is None else Tally(learned.generation, kernel.commits + revoker.commits + learned.own)

    capturer = Capturer(desired, loop, _recorder(settings, situation.state, clock), clock)
    logs = LogKeeper(
        reader=_log_source(render, packets, clock),
        rules=LogRules(settings.log_prefix),
        outlets=Outlets(_log_file(settings), _log_sinks(situation)),
        loop=loop,
        packets=packets,
        conditions=conditions,
        clock=clock,
    )
    encryption = encryption_task(situation, desired, conditions, clock)
    dns = DnsKeeper(
        situation=situation, desired=desired, loop=loop, packets=packets, conditions=conditions, clock=clock
    )
    flows = FlowKeeper(situation, desired, loop, packets, conditions, clock)
    command = PacketCommand(packet_command(situation.state), situation.version)
    source = source_of(settings, situation.version, clock)
    keeper = PacketKeeper(packets, command, conditions, clock, on_adopted)
    return Agent(
        situation=situation,
        source=source,
        feeders=Feeders(
            node=situation.node,
            desired=desired,
            effects=Effects(situation.node),
            loop=loop,
            conditions=conditions,
            clock=clock,
            listeners=(capturer.on_update, flows.on_update, dns.on_update),
            on_change=(lambda: None) if encryption is None else encryption.note_change,
        ),
        loop=loop,
        keeper=keeper,
        revoker=revoker,
        capturer=capturer,
        flows=flows,
        logs=logs,
        dns=dns,
        commits=CommitFeed(loop, monitor, count, parts.thread, clock),
        knowledge=Knowledge(
            situation=situation,
            desired=desired,
            loop=loop,
            conditions=conditions,
            keeper=keeper,
            packets=packets,
            revoker=revoker,
            encryption=encryption,
            others={**capturer.queries, **flows.queries, **logs.queries, **dns.queries},
            other_counters=lambda: {**source.counters, **flows.counters, **logs.counters, **dns.counters},
        ),
        conditions=conditions,
        thread=parts.thread,
        kernel=kernel,
        encryption=encryption,
    )


def _log_source(render: RenderSettings, packets: PacketClient, clock: SystemClock) -> LogSource | None:
    if render.holds_logged:
        return LogFetcher(packets.logged, lambda: _came_to_wait(render.table_name))
    if render.log_group is None:
        return None
    return LogThread(render.log_group, clock, gap="" if render.log_queue is None else _NO_QUEUES)


def _came_to_wait(table: str) -> int | None:
    """How many packets the rules have sent to wait for their records."""
    link = NetlinkSocket()
    try:
        count = rule_counts(link, table, names.LOG_HOLD).get(logged.COMMENT)
    except NftError:
        return None
    finally:
        link.close()
    return None if count is None else count.packets


def _log_sinks(situation: Situation) -> Iterator[SinkThread]:
    for name in situation.settings.log_sinks:
        yield SinkThread(name, open_sink(name, situation.node))


def _log_file(settings: Settings) -> RotatedFile | None:
    if settings.log_file is None:
        return None
    return RotatedFile(settings.log_file, settings.log_file_max_bytes, settings.log_file_max_files)


def _recorder(settings: Settings, state: Path, clock: SystemClock) -> Recorder:
    limits = Limits(
        max_bytes=settings.capture_max_size_bytes,
        max_seconds=settings.capture_rotation_seconds,
        max_files=settings.capture_max_files,
    )
    return Recorder(settings.capture_dir or state / "captures", limits, clock)


def packet_command(state: Path) -> Sequence[str]:
    """Starts a packet process of this program for that state directory."""
    return (sys.executable, "-m", "tidegate", "packets", "--state", str(state))
