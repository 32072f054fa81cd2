"""The two threads of flow records: one that never lets the kernel wait, one that has time. Shell.

    kernel --events, copies--> collector: FlowTable --windows--> recorder: names, traces, SQLite

The collector only adds up. A window is given to the recorder each interval; if that is still busy with so many earlier
ones, the window is lost and counted in the next.
"""

import contextlib
import queue
import selectors
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, final

import structlog

from nfq.errors import ConntrackError, PacketError, QueueError
from nfq.flow_feed import FlowFeed, open_flows
from nfq.headers import read_ip
from nfq.nflog import LogSettings, RawLog
from nfq.packet import five_tuple
from policy.evaluate import LearnedName
from reconcile.clock import Clock
from reconcile.instant import WallInstant
from tidegate.flows.assembly import Assembly
from tidegate.flows.directory import Directory
from tidegate.flows.record import Level
from tidegate.flows.store import FlowStore, Retention, StoreError
from tidegate.flows.table import NO_LOSS, Fate, FlowTable, Loss, Window
from tidegate.flows.tracer import Known, Tracer
from tidegate.render import copies

_EVENTS_AT_ONCE: Final = 2000
_COPIES_AT_ONCE: Final = 512
"""Before the time is looked at. A workload that floods has its copies dropped by the kernel, and counted."""
_WAITING_WINDOWS: Final = 4
_DECIDED_WITHIN_SECONDS: Final = 1.0
"""After its time of waiting is over."""
_HELD: Final = copies.HELD.encode()
_ACCOUNTING: Final = ("nf_conntrack_acct", "nf_conntrack_timestamp")
_ICMP: Final = frozenset((1, 58))


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSettings:
    """What is asked for."""

    path: Path
    interval_seconds: float
    allowed_level: Level
    denied_level: Level
    retention: Retention
    hold_seconds: float = 0.0
    """How long a denied packet may wait for a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What holds at the moment."""

    known: Known = field(default_factory=Known)
    local: Collection[bytes] = frozenset()
    """Addresses of local workloads and host endpoints, packed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowStanding:
    """How it goes."""

    records: int = 0
    """Written since this process began."""
    loss: Loss = NO_LOSS
    """Since this process began."""
    error: str = ""
    """Why nothing is collected or written now."""


@final
class FlowCollector:
    """Owns both threads. `situation` may be replaced from any thread at any time."""

    def __init__(self, settings: FlowSettings, names: Callable[[], Sequence[LearnedName]], clock: Clock) -> None:
        self.situation = Situation()
        self.standing = FlowStanding()
        self._settings = settings
        self._names = names
        self._clock = clock
        self._windows: queue.Queue[Window | None] = queue.Queue(_WAITING_WINDOWS)
        self._is_over = threading.Event()
        self._has_failed = False
        """A window was lost with the sockets of an earlier attempt."""
        self._threads = [
            threading.Thread(target=self._collect_again, name="flows", daemon=True),
            threading.Thread(target=self._record_all, name="flow records", daemon=True),
        ]

    def start(self) -> None:
        """Begins."""
        for thread in self._threads:
            thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether both threads are at work; one that died of a bug cannot say so."""
        return all(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Writes what was collected, and ends."""
        if self._is_over.is_set():
            return
        self._is_over.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    # --- The collecting thread ---

    def _collect_again(self) -> None:
        while not self._is_over.is_set():
            try:
                self._collect()
            except (ConntrackError, QueueError, OSError) as error:
                self._say(str(error))
                self._has_failed = True
                self._is_over.wait(1.0)
        self._windows.put(None)

    def _collect(self) -> None:
        _count_bytes()
        settings = self._settings
        table = FlowTable(
            self._clock.wall(),
            tells_allowed_ports=settings.allowed_level is Level.NONE,
            tells_denied_ports=settings.denied_level is Level.NONE,
            hold_seconds=settings.hold_seconds + _DECIDED_WITHIN_SECONDS,
        )
        with contextlib.ExitStack() as stack:
            feed = stack.enter_context(FlowFeed())
            denied = _Denied(stack, table)
            ready = stack.enter_context(selectors.DefaultSelector())
            ready.register(feed, selectors.EVENT_READ)
            for log in denied.logs:
                ready.register(log, selectors.EVENT_READ)
            self._say("")
            if self._has_failed:
                self._has_failed = False
                table.on_lost(Loss(windows=1))
            overruns, flush_at = 0, self._clock.now() + settings.interval_seconds
            while not self._is_over.is_set():
                ready.select(max(0.0, min(0.2, flush_at - self._clock.now())))
                now = self._clock.wall()
                table.set_local(self.situation.local)
                for event in feed.events(_EVENTS_AT_ONCE):
                    table.on_event(event, now)
                denied.take(now)
                if feed.overruns > overruns:
                    table.on_lost(Loss(overruns=feed.overruns - overruns))
                    overruns = feed.overruns
                if self._clock.now() >= flush_at:
                    flush_at = self._clock.now() + settings.interval_seconds
                    self._flush(table)
            self._flush(table)

    def _flush(self, table: FlowTable) -> None:
        now = self._clock.wall()
        for event in open_flows():
            table.on_open(event, now)
        table.forget(now)
        window = table.take(now)
        try:
            self._windows.put_nowait(window)
        except queue.Full:
            table.on_lost(window.loss + Loss(windows=1, totals=len(window.totals)))

    # --- The recording thread ---

    def _record_all(self) -> None:
        recorder = _Recorder(self._settings, self._names)
        try:
            while (window := self._windows.get()) is not None:
                try:
                    written, loss = recorder.record(window, self.situation)
                except StoreError as error:
                    self._say(str(error))
                    continue
                standing = self.standing
                self.standing = replace(standing, records=standing.records + written, loss=standing.loss + loss)
        finally:
            recorder.close()

    def _say(self, error: str) -> None:
        if error and error != self.standing.error:
            structlog.get_logger().warning("flows not recorded", error=error)
        self.standing = replace(self.standing, error=error)


class _Denied:
    """Copies of what is denied."""

    def __init__(self, stack: contextlib.ExitStack, table: FlowTable) -> None:
        self._table = table
        self._lost = 0
        self.logs: list[RawLog] = []
        self._fates = (Fate.DENIED_INGRESS, Fate.DENIED_EGRESS)
        for group in (copies.INGRESS_GROUP, copies.EGRESS_GROUP):
            log = RawLog(LogSettings(group=group, copy_bytes=copies.COPY_BYTES, threshold=32, flush_seconds=0.1))
            stack.callback(log.close)
            self.logs.append(log)

    def take(self, now: WallInstant) -> None:
        """Tells the table of what came."""
        for log, fate in zip(self.logs, self._fates, strict=True):
            for packet in log.receive(_COPIES_AT_ONCE):
                with contextlib.suppress(PacketError):
                    flow = five_tuple(packet.payload)
                    icmp = _icmp(packet.payload) if flow.protocol in _ICMP else None
                    tell = (
                        self._table.on_held if packet.origin.prefix == copies.HELD.encode() else self._table.on_denied
                    )
                    tell(fate, flow, icmp, _length(packet.payload), now)
        lost = sum(log.counters.lost for log in self.logs)
        if lost > self._lost:
            self._table.on_lost(Loss(copies=lost - self._lost))
            self._lost = lost


def _length(packet: memoryview) -> int:
    """Of the whole IP packet, as its header says."""
    if packet[0] >> 4 == 4:
        return int.from_bytes(packet[2:4], "big")
    return 40 + int.from_bytes(packet[4:6], "big")


def _icmp(packet: memoryview) -> tuple[int, int] | None:
    upper = read_ip(packet).transport
    return (upper[0], upper[1]) if len(upper) >= 2 else None


def _count_bytes() -> None:
    """Has conntrack count what connections carry, and when they begin: new ones, from now on."""
    for name in _ACCOUNTING:
        path = Path("/proc/sys/net/netfilter", name)
        if path.read_text(encoding="ascii").strip() != "1":
            path.write_text("1", encoding="ascii")


class _Recorder:
    """Names, traces, writes. What it looks things up in is made anew when documents changed."""

    def __init__(self, settings: FlowSettings, names: Callable[[], Sequence[LearnedName]]) -> None:
        self._settings = settings
        self._names = names
        self._store: FlowStore | None = None
        self._known: Known | None = None
        self._directory = Directory(())
        self._tracer = Tracer(Known())

    def record(self, window: Window, situation: Situation) -> tuple[int, Loss]:
        """How many records, and what is missing; raises StoreError."""
        if self._store is None:
            self._store = FlowStore(self._settings.path, self._settings.retention)
        if situation.known is not self._known:
            known = self._known = situation.known
            self._directory, self._tracer = Directory(known.resources, known.links), Tracer(known)
        self._tracer.begin(self._names())
        assembly = Assembly(
            directory=self._directory,
            tracer=self._tracer,
            local=situation.local,
            allowed_level=self._settings.allowed_level,
            denied_level=self._settings.denied_level,
        )
        records, loss = assembly.records(window)
        self._store.append(records, loss, window.from_at, window.to_at)
        self._store.retain(window.to_at)
        return len(records), loss

    def close(self) -> None:
        """Ends it."""
        if self._store is not None:
            self._store.close()
