"""A log group without a kernel, with faults on demand; shipped for tests and examples."""

import errno
import os
from collections import deque
from typing import final

from nfq.counters import LogCounters
from nfq.errors import QueueLostError
from nfq.fake import Readiness
from nfq.log_messages import LoggedPacket, LogOrigin
from nfq.nflog import LOG_LIMIT, LogSettings


@final
class FakeLog:
    """A `PacketLog` in memory."""

    def __init__(self, settings: LogSettings, counters: LogCounters | None = None) -> None:
        self._settings = settings
        self._counters = counters if counters is not None else LogCounters()
        self._unread: deque[LoggedPacket] = deque()
        self._sequence = 0
        self._failure: OSError | None = None
        self._readiness = Readiness()

    @property
    def counters(self) -> LogCounters:
        """Live counters."""
        return self._counters

    def fileno(self) -> int:
        """Readable when copies wait; -1 when it is closed."""
        return self._readiness.fileno()

    def receive(self, limit: int = LOG_LIMIT) -> list[LoggedPacket]:
        """The copies that wait. `nfq.nflog.PacketLog` has the contract.

        Raises:
            QueueLostError: the socket was lost.
        """
        if self._failure is not None:
            raise QueueLostError(f"cannot read log group {self._settings.group}: {self._failure}") from self._failure
        packets = [self._unread.popleft() for _ in range(min(limit, len(self._unread)))]
        self._counters.received += len(packets)
        if not self._unread:
            self._readiness.set(ready=False)
        return packets

    def undelivered(self) -> int:
        """Messages that found the socket's buffer full until now."""
        return self._counters.undelivered

    def close(self) -> None:
        """Unbinds. Safe to call twice."""
        self._readiness.close()
        self.lose(errno.EBADF)

    def offer(self, payload: bytes, origin: LogOrigin | None = None) -> None:
        """A log rule sends a packet to the group."""
        cut = memoryview(payload)[: self._settings.copy_bytes]
        self._unread.append(LoggedPacket(cut, origin or LogOrigin(), self._sequence))
        self._sequence += 1
        self._readiness.set(ready=True)

    def lose(self, code: int = errno.EBADF) -> None:
        """Fault: the socket dies."""
        if self._failure is not None:
            return
        self._failure = OSError(code, os.strerror(code))
        self._unread.clear()
        self._readiness.set(ready=True)

    def miss(self, copies: int) -> None:
        """Fault: so many copies do not fit into the socket's buffer."""
        self._sequence += copies
        self._counters.lost += copies
        self._counters.undelivered += copies
