"""Reads the log group in a thread of its own, so that whatever the event loop does, the kernel's buffer is emptied."""

import contextlib
import select
import threading
from collections import deque
from typing import Protocol, final

from nfq.counters import LogCounters
from nfq.errors import QueueLostError, QueueRefusedError
from nfq.log_messages import LoggedPacket
from nfq.nflog import LogSettings, RawLog
from reconcile.clock import Clock
from reconcile.instant import WallInstant

WAITING_LIMIT = 131_072
"""Copies read and not yet written down, 100 MB at most; what comes then is dropped and counted."""
_LOOK_SECONDS = 0.1
_RETRY_SECONDS = 1.0

Taken = tuple[WallInstant, LoggedPacket]


class LogSource(Protocol):
    """Where copies come from; all of it may block."""

    @property
    def error(self) -> str:
        """Why none come; "" while they do."""

    @property
    def lost(self) -> int:
        """Copies that were made and are nowhere."""

    @property
    def malformed(self) -> int:
        """Messages of the kernel that could not be read."""

    @property
    def gap(self) -> str:
        """What this source does less than the configuration asks for; "" where it does all."""

    def start(self) -> None:
        """Begins to read."""

    def close(self) -> None:
        """Reads no more; what was read can still be taken."""

    def take(self) -> list[Taken]:
        """What came since the last time, oldest first."""


@final
class LogThread:
    """Owns the log group's socket and the thread."""

    def __init__(self, group: int, clock: Clock, waiting_limit: int = WAITING_LIMIT, gap: str = "") -> None:
        self.counters = LogCounters()
        self.dropped = 0
        """Copies that found no room; the thread alone writes it."""
        self.error = ""
        """Why the group is not read; "" while it is."""
        self.gap = gap
        self._settings = LogSettings(group=group, threshold=32, flush_seconds=0.1, receive_buffer_bytes=64 << 20)
        self._clock = clock
        self._waiting: deque[Taken] = deque()
        self._waiting_limit = waiting_limit
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Binds the group before it returns, if the kernel lets us; otherwise it is tried again and again."""
        log = self._bind()
        self._thread = threading.Thread(target=self._run, args=(log,), name="log group", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread; what was read can still be taken."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()

    def take(self) -> list[Taken]:
        """What was read since the last time, oldest first."""
        return [self._waiting.popleft() for _ in range(len(self._waiting))]

    @property
    def lost(self) -> int:
        """Copies that were made and are nowhere."""
        return self.counters.lost + self.dropped

    @property
    def malformed(self) -> int:
        """Messages of the kernel that could not be read."""
        return self.counters.malformed

    def _run(self, log: RawLog | None) -> None:
        while not self._is_over.is_set():
            if log is None:
                self._is_over.wait(_RETRY_SECONDS)
                log = self._bind()
                continue
            try:
                self._empty(log)
            except QueueLostError as error:
                self.error = str(error)
                log.close()
                log = None
                self.counters.rebinds += 1
        if log is not None:
            with contextlib.suppress(QueueLostError):
                self._keep(log.receive())
            log.close()

    def _bind(self) -> RawLog | None:
        try:
            log = RawLog(self._settings, self.counters)
        except QueueRefusedError as error:
            self.error = str(error)
            self.counters.failed_binds += 1
            return None
        self.error = ""
        return log

    def _empty(self, log: RawLog) -> None:
        # The first look may find copies that came while the group was being set up: they make no socket readable.
        found = log.receive()
        if not found:
            select.select([log.fileno()], [], [], _LOOK_SECONDS)
        self._keep(found)

    def _keep(self, packets: list[LoggedPacket]) -> None:
        if not packets:
            return
        room = max(0, self._waiting_limit - len(self._waiting))
        self.dropped += max(0, len(packets) - room)
        now = self._clock.wall()
        self._waiting.extend((now, packet) for packet in packets[:room])
