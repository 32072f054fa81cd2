"""A reader that is opened anew when it is lost: when to try, and what to say meanwhile.

A loss is answered at once; attempts that fail follow after 10 ms, then twice as long each time, up to 1 s.
"""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from nfq.errors import QueueRefusedError
from nfq.health import Condition, LossWatch
from reconcile.instant import Instant

FIRST_WAIT_SECONDS = 0.01
LAST_WAIT_SECONDS = 1.0
"""Longest wait between attempts: while a queue has no reader its packets are dropped, or pass unseen."""
_STABLE_SECONDS = 1.0
"""A binding that lasted so long was a good one: its loss is answered at once. Without this, a socket that dies at
every read would be opened thousands of times a second."""


class Reader(Protocol):
    """What a binding itself needs of a queue or log group."""

    def fileno(self) -> int:
        """The descriptor."""

    def close(self) -> None:
        """Unbinds."""


class BindCounters(Protocol):
    """Where a binding counts."""

    rebinds: int
    failed_binds: int


AnyReader = TypeVar("AnyReader", bound=Reader)


class Binding(Generic[AnyReader]):
    """At most one reader at a time; the base of `nfq.supervise`'s queue and log."""

    def __init__(
        self, name: str, opener: Callable[[], AnyReader], bind_counters: BindCounters, losses: LossWatch, now: Instant
    ) -> None:
        """Opens nothing yet: the first read does."""
        self._name = name
        self._opener = opener
        self._bind_counters = bind_counters
        self._losses = losses
        self._reader: AnyReader | None = None
        self._generation = 0
        self._wait_seconds = 0.0
        self._next_attempt_at = now
        self._bound_at = now
        self._unbound_since = now
        self._reason = "not bound yet"

    @property
    def generation(self) -> int:
        """Grows with each binding: the descriptor is another one then, though its number may be the same."""
        return self._generation

    def fileno(self) -> int | None:
        """The descriptor of the present reader; `None` while there is none, or it has closed itself after a fault."""
        descriptor = -1 if self._reader is None else self._reader.fileno()
        return descriptor if descriptor >= 0 else None

    def next_attempt_at(self) -> Instant | None:
        """When to read next in order to bind again; `None` while it is bound."""
        if self._reader is None:
            return self._next_attempt_at
        # A reader that closed itself tells so at the next read, and no descriptor will ask for one.
        return self._bound_at if self._reader.fileno() < 0 else None

    def condition(self) -> Condition:
        """Degraded while unbound, and for a while after losses."""
        if self._reader is not None:
            return self._losses.condition()
        return Condition(is_healthy=False, reason=f"{self._name} is unbound: {self._reason}", since=self._unbound_since)

    def close(self) -> None:
        """Unbinds; a later read would bind again."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _open_if_due(self, now: Instant) -> AnyReader | None:
        if self._reader is not None or now < self._next_attempt_at:
            return self._reader
        try:
            self._reader = self._opener()
        except QueueRefusedError as error:
            self._bind_counters.failed_binds += 1
            self._reason = str(error)
            self._back_off(now)
            return None
        self._bind_counters.rebinds += self._generation > 0
        self._generation += 1
        self._bound_at = now
        return self._reader

    def _lose(self, reason: str, now: Instant) -> None:
        self.close()
        self._reason = reason
        self._unbound_since = now
        if now - self._bound_at >= _STABLE_SECONDS:
            self._wait_seconds = 0.0
            self._next_attempt_at = now
        else:
            self._back_off(now)

    def _back_off(self, now: Instant) -> None:
        self._wait_seconds = min(max(2 * self._wait_seconds, FIRST_WAIT_SECONDS), LAST_WAIT_SECONDS)
        self._next_attempt_at = Instant(now + self._wait_seconds)
