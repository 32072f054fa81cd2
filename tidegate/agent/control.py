"""Runs the control process: tasks, signals, and how it ends.

SIGTERM, SIGINT    ends; policy stays in force, the packet process at work (fail closed)
SIGHUP             reads the configuration anew: if it is good, the process starts itself again in its own place, on the
                   same path as after a crash; if not, the old one stays in force and status says so
POST /v1/remove    ends and takes everything out, as does SIGTERM under --remove-on-exit
"""

import asyncio
import gc
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

import structlog

from dnsagent.snapshot import TrustedServer
from dnsagent.steering import Steering
from nft.errors import NftError
from nft.features import probe
from nft.transport import KernelTransport
from reconcile.clock import SystemClock
from tidegate.agent import stored_documents, stored_servers
from tidegate.agent.allocator import give_back
from tidegate.agent.encryption_task import remove_tunnels
from tidegate.agent.footprint import Footprint, footprint_path, write_footprint
from tidegate.agent.tasks import Supervisor
from tidegate.agent.wiring import Agent, build
from tidegate.api import server
from tidegate.config.settings import Settings
from tidegate.config.sources import ConfigError, Configuration, Given
from tidegate.store.kube.source import KubeSource
from tidegate.sync.conditions import Condition, ConditionType
from tidegate.sync.resolvers import look_up
from tidegate.sync.service_servers import Resources, servers_of

RESOLVERS_SECONDS = 5.0
"""Between looks at where the trusted servers are: a small file is read."""
TRUST_SECONDS = 1.0
"""How long the restart for other trusted servers waits until they are in force: a kernel that refuses may never say so.
"""
_POLL_SECONDS = 0.01
_OBJECTS_WHILE_STARTING = 200_000
"""New ones between two looks of the garbage collector."""
_USUAL_THRESHOLD = gc.get_threshold()


class Ending(Enum):
    """What is to come after."""

    LEAVE = auto()
    """Nothing: policy stays in force."""
    REMOVE = auto()
    """Everything is taken out."""
    RESTART = auto()
    """The program starts itself again."""


@dataclass(slots=True)
class _Run:
    """One run, from signals' point of view."""

    agent: Agent
    supervisor: Supervisor
    reread: Callable[[Sequence[Given]], Configuration]
    """Reads the configuration anew, given what documents say of it."""
    ending: Ending
    documents: Sequence[Given] = ()
    """What documents said when the configuration in force was made."""
    is_settled: bool = False
    """The configuration in force is that of the documents of the moment; not before they were read once."""
    at_exit: Ending = Ending.LEAVE
    """What a signal brings."""
    is_terminated: bool = False
    is_refused: bool = False
    """Status says that the configuration of the moment cannot be used."""

    def end(self, ending: Ending) -> None:
        """Ends in this way, unless it has been terminated: then there is no run after this one."""
        if not (self.is_terminated and ending is Ending.RESTART):
            self.ending = ending
        self.supervisor.stop()

    def terminate(self) -> None:
        """A signal says so; a restart that has begun is none any more."""
        self.is_terminated = True
        if self.ending is Ending.RESTART:
            self.ending = self.at_exit
        self.supervisor.stop()

    def reload(self) -> None:
        """Restarts if the configuration is good."""
        try:
            self.reread(self.documents)
        except (ConfigError, OSError) as error:
            self._refuse(error)
            return
        self.end(Ending.RESTART)

    def configure(self, documents: Sequence[Given]) -> bool:
        """Takes over what documents say now; whether that ends this run, for another configuration is another run."""
        if documents == self.documents and self.is_settled:
            return False
        try:
            wanted = self.reread(documents)
            if documents != self.documents:
                stored_documents.write(self.agent.situation.state, documents)
        except (ConfigError, OSError) as error:
            self._refuse(error)
            return False
        self.documents, self.is_settled = documents, True
        if self.is_refused:
            self.is_refused = False
            self._say(is_true=True, reason="AsConfigured", message="")
        if wanted.settings == self.agent.situation.settings:
            return False
        structlog.get_logger().info("configuration changed", documents=[item.source for item in documents])
        self.end(Ending.RESTART)
        return True

    def serve(self, resources: Resources) -> bool:
        """Takes over which servers the trusted Services stand for; whether that ends this run.

        A Service of which nothing is told any more keeps the servers that it had: they answer, or they do not.
        """
        situation = self.agent.situation
        found = servers_of(situation.settings.dns_trusted_servers, resources)
        known = stored_servers.read(situation.state)
        if found.items() <= known.items():
            return False
        try:
            stored_servers.write(situation.state, known | found)
        except OSError as error:
            self._refuse(error)
            return False
        structlog.get_logger().info("trusted servers changed", services=sorted(found))
        if not self.agent.feeders.desired.is_in_sync:
            self.end(Ending.RESTART)  # nothing is in force yet
            return True
        servers = look_up(situation.settings.dns_trusted_servers, known | found).servers
        self.supervisor.start("trusted servers", self._trust(servers))
        return True

    async def _trust(self, servers: tuple[TrustedServer, ...]) -> None:
        """Has names learned of these servers, then restarts: that takes a second and more, with many documents."""
        desired, loop = self.agent.feeders.desired, self.agent.loop
        desired.on_servers(servers)
        loop.note_change()
        for _ in range(round(TRUST_SECONDS / _POLL_SECONDS)):
            if loop.progress.is_settled and not desired.has_news:
                break
            await asyncio.sleep(_POLL_SECONDS)
        self.end(Ending.RESTART)

    def _refuse(self, error: Exception) -> None:
        self.is_settled, self.is_refused = False, True
        structlog.get_logger().error("configuration refused", error=str(error))
        message = f"cannot use the new configuration, the old one stays in force: {error}"
        self._say(is_true=False, reason="Refused", message=message)

    def _say(self, *, is_true: bool, reason: str, message: str) -> None:
        condition = Condition(type=ConditionType.CONFIGURATION, is_true=is_true, reason=reason, message=message)
        self.agent.conditions.put(condition, SystemClock().wall())


async def control(
    settings: Settings, reread: Callable[[Sequence[Given]], Configuration], *, removes_on_exit: bool
) -> Ending:
    """Runs until a signal, a command, or another configuration ends it.

    `settings` is what `reread` gave for the documents that are stored in the state directory.

    Raises:
        ValueError: a setting is missing.
        SocketBusyError: another agent runs.
        NftError: this kernel has no nf_tables, or we may not use it.
        OSError: the socket, the state directory or netlink cannot be used.
    """
    agent = build(settings, await asyncio.to_thread(probe))
    try:
        listener = server.listen(agent.situation.socket)
        try:
            write_footprint(
                agent.situation.socket,
                _footprint(agent),
            )
            at_exit = Ending.REMOVE if removes_on_exit else Ending.LEAVE
            run = _Run(agent, Supervisor(), reread, at_exit, at_exit=at_exit)
            run.documents = stored_documents.read(agent.situation.state)
            _handle_signals(run)
            _start(run, listener)
            structlog.get_logger().info("started", node=agent.situation.node, mode=agent.situation.mode.in_force.value)
            await run.supervisor.wait()
        finally:
            agent.situation.socket.unlink(missing_ok=True)
        if run.ending is Ending.REMOVE:
            await _remove(agent)
        return run.ending
    finally:
        agent.close()


def _handle_signals(run: _Run) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, run.terminate)
    loop.add_signal_handler(signal.SIGHUP, run.reload)


def _start(run: _Run, listener: server.Listener) -> None:
    agent, start = run.agent, run.supervisor.start
    gc.set_threshold(_OBJECTS_WHILE_STARTING)

    async def remove(_: Mapping[str, str]) -> server.Document:
        run.end(Ending.REMOVE)
        return {"ok": True}

    knowledge = agent.knowledge
    app = server.build_app(knowledge.queries, {"remove": remove, "rotate": knowledge.rotate}, knowledge.metrics)
    start("api", server.serve(app, listener))
    start("links", agent.feeders.links())
    start("documents", agent.feeders.documents(agent.source, run.configure, run.serve))
    start("commits", agent.commits.run())
    start("apply", agent.loop.run())
    start("connections", agent.revoker.run())
    start("packet process", agent.keeper.run())
    start("captures", agent.capturer.run())
    start("flows", agent.flows.run())
    start("logs", agent.logs.run())
    start("DNS log", agent.dns.run())
    start("memory", _set_memory_aside(agent))
    start("resolvers", _watch_resolvers(run))
    if isinstance(agent.source, KubeSource):
        start("API server", agent.source.run())
    if agent.encryption is not None:
        start("encryption", agent.encryption.run())


async def _watch_resolvers(run: _Run) -> None:
    """Restarts when the servers that the configuration names have other addresses: `system` follows resolv.conf."""
    names, state = run.agent.situation.settings.dns_trusted_servers, run.agent.situation.state
    services = stored_servers.read(state)
    known = look_up(names, services)
    while True:
        await asyncio.sleep(RESOLVERS_SECONDS)
        found = look_up(names, services)
        if found.servers and found != known:
            structlog.get_logger().info("trusted servers changed", servers=list(map(str, found.servers)))
            known = found
            run.reload()


async def _set_memory_aside(agent: Agent) -> None:
    """Takes what was built at the start out of the collector's sight: walking it costs 50 ms at a thousand policies.

    Until then the collector looks seldom: nearly all that is read and calculated stays, and to walk it again and again
    as it grows was a fifth of the processor time of a start with 10,000 policies. Memory does not change by it.
    """
    await agent.loop.first_settled.wait()
    gc.collect()
    give_back()
    gc.freeze()
    gc.set_threshold(*_USUAL_THRESHOLD)


async def _remove(agent: Agent) -> None:
    """Takes out the packet process first: it would write into sets that are going."""
    await agent.keeper.end()
    remove_traces(_footprint(agent))
    footprint_path(agent.situation.socket).unlink(missing_ok=True)
    structlog.get_logger().info("removed", table=agent.situation.render.table_name)


def _footprint(agent: Agent) -> Footprint:
    situation = agent.situation
    steering = (situation.render.intercept_mark, situation.settings.dns_intercept_routing_table)
    return Footprint(state=str(situation.state), table=situation.render.table_name, steering=steering)


def remove_traces(left: Footprint) -> None:
    """Deletes our table, our ways of routing and our tunnels, as far as they are there.

    Raises:
        NftError, OSError: the kernel refused.
    """
    remove_table(left.table)
    if left.steering is not None:
        Steering(*left.steering).remove()
    remove_tunnels(Path(left.state))


def remove_table(name: str) -> None:
    """Deletes our table; nothing happens if there is none.

    Raises:
        NftError: the kernel refused.
    """
    try:
        KernelTransport().run(f"delete table inet {name}")
    except NftError as error:
        if not error.is_absent:
            raise
