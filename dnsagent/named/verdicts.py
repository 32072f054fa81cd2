"""What connections that must name themselves are told, and who is told of those that are refused."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from dnsagent.learn import Learner
from dnsagent.named.flows import Flow
from nfq.held import HeldPacket
from reconcile.instant import Instant

MAX_NOTICES_PER_SECOND: Final = 20


@dataclass(frozen=True, slots=True)
class Refusal:
    """What happened to a connection, for the record."""

    endpoint: str
    destination: bytes
    port: int
    reason: str
    name: bytes | None


class Verdicts:
    """Marks packets as the rules understand it, counts, and gives notice of some refusals."""

    def __init__(self, learner: Learner, counters: Counter[str], notice: Callable[[Refusal], None]) -> None:
        self._learner = learner
        self._counters = counters
        self._notice = notice
        self._notices_until = Instant(0.0)
        self._notices = 0

    def allow(self, packets: Iterable[HeldPacket]) -> None:
        """They go on, and their connection is asked no more."""
        self._mark(packets, self._learner.plan.snapshot.named_mark)

    def deny(self, packets: Iterable[HeldPacket]) -> None:
        """They are dropped by the rules, and what their connection still says."""
        self._mark(packets, self._learner.plan.snapshot.unnamed_mark)

    def note(self, flow: Flow, reason: str, name: bytes | None, now: Instant) -> None:
        """A connection was refused."""
        self._counters["named-refused"] += 1
        self._counters[f"named-{reason}"] += 1
        if now >= self._notices_until:
            self._notices_until, self._notices = Instant(now + 1.0), 0
        self._notices += 1
        if self._notices <= MAX_NOTICES_PER_SECOND:
            endpoint = self._learner.plan.endpoints.get(flow[0])
            self._notice(Refusal("" if endpoint is None else endpoint.id, flow[1], flow[3], reason, name))

    def _mark(self, packets: Iterable[HeldPacket], bits: int) -> None:
        for packet in packets:
            packet.repeat(packet.arrival.mark | bits)
