"""Wires the packet process: everything it has is built here, once, in this order.

    state directory: snapshot.json -> plan      names.journal -> names
    kernel:          learned sets, with the time left -> elements      features -> readers, writer
    then:            back-fill of what both leave out, socket, loop

It starts without a control process, from the last snapshot: after a crash of both, whoever comes first does its part.
"""

import gc
import json
import resource
import secrets
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from pathlib import Path

import structlog

from dnsagent.desk import Desk
from dnsagent.element_table import ElementKey, owner_of
from dnsagent.forward.proxy import Proxy
from dnsagent.grace import GraceKeeper
from dnsagent.intercept import Interceptor
from dnsagent.journal import Journal, read_journal
from dnsagent.kernel_sets import KernelSets
from dnsagent.learn import Learner
from dnsagent.link import LinkError, LinkServer, is_listening
from dnsagent.logged import LoggedPackets
from dnsagent.named.connections import NamedConnections
from dnsagent.named.reset_sender import ResetSender
from dnsagent.named.verdicts import Refusal
from dnsagent.packet_loop import PacketLoop, Readers
from dnsagent.plan import Plan, make_plan
from dnsagent.plan_change import permissions
from dnsagent.poller import Poller
from dnsagent.snapshot import Snapshot
from dnsagent.snapshot_file import SnapshotError, private_directory, read_snapshot
from dnsagent.steering import Steering
from netlink.transport import NetlinkSocket
from nfq.held import ACCEPT, DROP
from nfq.nflog import LogSettings, RawLog
from nfq.queue import QueueSettings
from nfq.raw import RawQueue
from nfq.supervise import SupervisedLog, SupervisedQueue
from nft.elements import ElementWriter
from nft.errors import NftError
from nft.features import Features, probe
from policy.domains import DomainError
from reconcile.clock import Clock, SystemClock
from reconcile.instant import Instant
from tidegate.agent import handover

SNAPSHOT, JOURNAL, GRACE, SOCKET = "snapshot.json", "names.journal", "grace.times", "packets.sock"
COPIES = "logged.copies"
ANSWER_QUEUE_LENGTH = 8192
"""A pause of the process of 100 ms at 50,000 answers a second overflows nothing; what overflows passes unlearned."""
DENIED_QUEUE_LENGTH = 2048
NAMED_QUEUE_LENGTH = 8192
"""Above what is held by design; what overflows is dropped, and sent again by TCP."""
LOGGED_QUEUE_LENGTH = 16_384
"""Half a second of what one CPU lets through; what overflows is dropped or passes, as `logOverflow` says."""
COPY_BYTES = 256
"""Of a packet that a Log rule copies: the headers."""
DESCRIPTORS = 8192

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketProcess:
    """A wired process, ready to run."""

    loop: PacketLoop
    server: LinkServer
    writer: ElementWriter
    desk: Desk
    copies: Path
    """Where copies of Log rules that nobody has fetched wait for the next process."""

    def run(self) -> None:
        """Serves until SIGTERM, SIGINT or the command `stop`; at the command `succeed` another program goes on.

        Raises:
            OSError: that one cannot be run.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.loop.stop())
        # Nothing here makes cycles: what is forgotten is freed by its count. To look at everything that was learned in
        # search of some would be a tenth of all processor time.
        gc.collect()
        gc.disable()
        try:
            self.loop.run()
        finally:
            gc.enable()
            self.server.close()
            self.writer.close()
            _leave_copies(self.loop.logged, self.copies)
        if self.desk.successor:
            handover.leave(self.desk.successor, self.loop.readers)


def build(
    state: Path,
    clock: Clock | None = None,
    features: Features | None = None,
    sockets: Mapping[str, int] = handover.NOTHING,
) -> PacketProcess:
    """Builds the process from its state directory, and around the sockets that its predecessor has left (`handover`).

    Raises:
        OSError: the state directory cannot be used, another packet process is there, or netfilter cannot be reached.
    """
    clock = clock or SystemClock()
    features = features or probe()
    private_directory(state)
    _raise_descriptor_limit()
    if is_listening(state / SOCKET):
        raise LinkError(f"cannot start: a packet process works on {state} already")
    plan = _plan(state / SNAPSHOT)
    learner = Learner(plan)
    writer = ElementWriter(plan.snapshot.table, readd_refreshes=features.readd_refreshes, link=NetlinkSocket())
    sets = KernelSets(writer, learner.counters)
    _recall(learner, writer, sets, state / JOURNAL, clock)
    poller = Poller()
    loop = PacketLoop(
        learner=learner,
        sets=sets,
        readers=open_readers(plan.snapshot, features, clock.now(), dict(sockets)),
        journal=Journal(state / JOURNAL),
        clock=clock,
        poller=poller,
    )
    resets = ResetSender(plan.snapshot.agent_mark)
    loop.named = NamedConnections(learner, loop.counters, resets.send, _note_refusal)
    loop.named.prepare()
    proxy = Proxy(learner, loop.answers.learn, clock, poller, _steer, lambda: secrets.randbits(16), _suspect)
    interceptor = Interceptor(
        learner, lambda packet, now: loop.answers.learn((packet,), now), clock, poller, _steer, proxy.take
    )
    interceptor.adopt(plan.snapshot, clock.now())
    proxy.adopt(plan.snapshot, clock.now(), lambda: None)
    grace = GraceKeeper(learner, writer, sets.delete, clock, state / GRACE)
    loop.services += [interceptor, proxy, grace]
    if sockets:
        learner.note_lost_queries(0, clock.now())  # what was asked of the predecessor is answered to us
    desk = Desk(loop, program_version(), interceptor, proxy, grace)
    server = LinkServer(state / SOCKET, poller, desk.handle)
    _take_over_copies(loop.logged, state / COPIES)
    return PacketProcess(loop=loop, writer=writer, server=server, desk=desk, copies=state / COPIES)


def open_readers(snapshot: Snapshot, features: Features, now: Instant, left: dict[str, int]) -> Readers:
    """The queues and the log group, bound by their first reading. Answers pass when we fail, denied packets do not.

    Descriptors that a predecessor has left are taken once, at the first binding.
    """
    answers = QueueSettings(
        number=snapshot.answer_queue,
        default=ACCEPT,
        max_length=ANSWER_QUEUE_LENGTH,
        fail_open=not snapshot.fails_closed,
    )
    denied = QueueSettings(
        number=snapshot.denied_queue, default=DROP, max_length=DENIED_QUEUE_LENGTH, copy_bytes=128, gso=True
    )
    named = QueueSettings(number=snapshot.named_queue, default=DROP, max_length=NAMED_QUEUE_LENGTH)
    queries = LogSettings(group=snapshot.query_group)
    logged = QueueSettings(
        number=max(0, snapshot.log_queue), default=ACCEPT, max_length=LOGGED_QUEUE_LENGTH, copy_bytes=64, gso=True,
        fail_open=not snapshot.log_drops_overflow,
    )  # fmt: skip
    copies = LogSettings(group=snapshot.log_group, copy_bytes=COPY_BYTES, receive_buffer_bytes=64 << 20)
    holds_logged = snapshot.log_queue >= 0 and features.nfnetlink_queue

    def queue(name: str, settings: QueueSettings) -> SupervisedQueue | None:
        if not features.nfnetlink_queue:
            return None
        return SupervisedQueue(
            settings.number, lambda counters: RawQueue(settings, counters, left.pop(name, None)), now
        )

    def log(name: str, settings: LogSettings) -> SupervisedLog:
        return SupervisedLog(settings.group, lambda counters: RawLog(settings, counters, left.pop(name, None)), now)

    return Readers(
        answers=queue(handover.ANSWERS, answers),
        denied=queue(handover.DENIED, denied),
        named=queue(handover.NAMED, named),
        log=log(handover.LOG, queries),
        copies=log(handover.COPIES, copies) if holds_logged else None,
        logged=queue(handover.LOGGED, logged) if holds_logged else None,
    )


def _leave_copies(logged: LoggedPackets, path: Path) -> None:
    left = logged.left()
    if not left["copies"]:
        return
    try:
        path.write_text(json.dumps(left))
    except OSError as error:
        log.warning("copies of Log rules are lost", count=len(left["copies"]), reason=str(error))


def _take_over_copies(logged: LoggedPackets, path: Path) -> None:
    """Once: who ends without leaving any must not have them told again."""
    try:
        logged.take_over(json.loads(path.read_text()))
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("copies of Log rules not read", path=str(path), reason=str(error))
    path.unlink(missing_ok=True)


def _suspect(endpoint: str, domain: str, score: int) -> None:
    log.warning("DNS looks like a tunnel", endpoint=endpoint, domain=domain, score=score)


def _note_refusal(refusal: Refusal) -> None:
    log.warning(
        "connection refused for its name",
        endpoint=refusal.endpoint,
        destination=str(ip_address(refusal.destination)),
        port=refusal.port,
        reason=refusal.reason,
        name=None if refusal.name is None else refusal.name.decode("ascii"),
    )


def _steer(mark: int, table: int) -> None:
    Steering(mark, table).install()


def _raise_descriptor_limit() -> None:
    """Connections taken over need two descriptors each; the usual limit of 1024 is for programs that use select(2)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def program_version() -> str:
    """The version of the installed program: a control process replaces a packet process of another one."""
    try:
        return version("tidegate")
    except PackageNotFoundError:
        return "unknown"


def _plan(path: Path) -> Plan:
    try:
        return make_plan(read_snapshot(path))
    except FileNotFoundError:
        return make_plan(Snapshot(generation=0, table="tidegate"))
    except (OSError, SnapshotError, DomainError) as error:
        log.warning("snapshot not read", path=str(path), reason=str(error))
        return make_plan(Snapshot(generation=0, table="tidegate"))


def _recall(learner: Learner, writer: ElementWriter, sets: KernelSets, journal: Path, clock: Clock) -> None:
    """Reads back what the kernel has and what the journal knows; writes what the kernel lost meanwhile."""
    now, wall = clock.now(), clock.wall()
    _read_back(learner, writer, sets, now)
    count = 0
    for entry in read_journal(journal, wall):
        if entry.packet is None:
            learner.forget_names(entry.client)
            continue
        learner.remember(entry.packet, Instant(now - (wall - entry.at)))
        count += 1
    restored = 0
    for missing in learner.back_fill(now):
        written = sets.restore(missing, now)
        learner.commit(written)
        restored += len(written)
    log.info("recalled", elements=len(learner.elements), answers=count, restored=restored)


def _read_back(learner: Learner, writer: ElementWriter, sets: KernelSets, now: Instant) -> None:
    """Takes over the kernel's elements; those that policy has withdrawn since they were written go."""
    permitted = permissions(learner.plan)
    strangers: list[ElementKey] = []
    for set_name in {name for rule in learner.plan.rules for name in (rule.set4, rule.set6)}:
        try:
            elements = writer.read(set_name)
        except NftError:
            continue  # not there yet: the control process makes it, and has us restore
        for element in elements:
            key = (set_name, element.key)
            if (set_name, owner_of(key)) in permitted:
                learner.elements.put(key, Instant(now + element.remaining_ms / 1000))
            else:
                strangers.append(key)
    sets.delete(strangers)


def run(state: Path, sockets: Mapping[str, int] = handover.NOTHING) -> None:
    """Runs the packet process until it is told to stop, around the sockets that its predecessor has left.

    Raises:
        OSError: as `build`.
    """
    build(state, sockets=sockets).run()
