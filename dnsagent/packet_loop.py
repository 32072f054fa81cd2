"""The packet process's loop: one thread, one selector, nothing that waits.

    queue of answers, query log  ->  AnswerPath  ->  elements, verdicts
    queue of denied packets      ->  DeniedPackets
    link (Unix socket)           ->  Desk
    deadlines                    ->  expire, flush the journal, look at the queues

Whatever ends the loop, every held packet gets its verdict: answers are delivered, denied packets dropped.
"""

import selectors
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dnsagent.denied import DeniedPackets
from dnsagent.hold import AnswerPath
from dnsagent.journal import Journal
from dnsagent.kernel_sets import KernelSets
from dnsagent.learn import Learner, Packet
from nfq.binding import Binding
from nfq.log_messages import LoggedPacket
from nfq.nflog import LOG_LIMIT
from nfq.queue_table import KernelQueue, read_queues
from nfq.supervise import SupervisedLog, SupervisedQueue
from reconcile.clock import Clock
from reconcile.instant import Instant

TICK_SECONDS = 0.25
OBSERVE_SECONDS = 1.0
MAX_COPIES = 16_384
"""Copies read before the answers are judged: more than the log's socket buffer holds, a page and more for each. So all
that was logged before the answers came is read, and no flood of queries keeps the answers waiting for ever."""
Handler = Callable[[int], None]
"""Serves a descriptor that the selector found ready; gets the events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """Where packets come from. The queues are absent where the kernel has none."""

    answers: SupervisedQueue | None
    denied: SupervisedQueue | None
    log: SupervisedLog

    def all(self) -> list[Binding[Any]]:
        """Every reader that is there."""
        return [reader for reader in (self.answers, self.denied, self.log) if reader is not None]


class PacketLoop:
    """Runs until told to stop. Owns the paths of the packets; the readers and the learner are given."""

    def __init__(
        self,
        *,
        learner: Learner,
        sets: KernelSets,
        readers: Readers,
        journal: Journal,
        clock: Clock,
        selector: selectors.BaseSelector,
        read_queues: Callable[[], Mapping[int, KernelQueue] | None] = read_queues,
    ) -> None:
        self.learner = learner
        self.sets = sets
        self.readers = readers
        self.journal = journal
        self.clock = clock
        self.counters: Counter[str] = learner.counters
        self.denied = DeniedPackets(learner, self.counters)
        self.answers = AnswerPath(learner, sets, self.denied, self.counters, self._note_learned)
        self._selector = selector
        self._read_queues = read_queues
        self._handlers: list[tuple[Binding[Any], Handler]] = [(readers.log, self._on_log)]
        if readers.answers is not None:
            self._handlers.append((readers.answers, self._on_answers))
        if readers.denied is not None:
            self._handlers.append((readers.denied, self._on_denied))
        self._registered: dict[int, tuple[int, int]] = {}
        """Generation and descriptor in the selector, by the reader's place in `_handlers`."""
        self._next_tick = clock.now()
        self._next_observation = clock.now()
        self._log_state = (0, 0)
        """Copies lost and the generation of the log's binding, as last seen."""
        self._denied_generation = 0
        self._is_stopping = False

    def stop(self) -> None:
        """Ends the loop after the present round."""
        self._is_stopping = True

    def run(self) -> None:
        """Serves until `stop`; every held packet has its verdict when this returns or raises."""
        try:
            while not self._is_stopping:
                self.turn()
        finally:
            self.answers.close()
            self.denied.close()
            for reader in self.readers.all():
                reader.close()
            self.journal.close()

    def turn(self) -> None:
        """One round: waits for the next packet, request or deadline, and serves what is there."""
        self._register()
        timeout = max(0.0, self._next_deadline() - self.clock.now())
        for key, events in self._selector.select(timeout):
            key.data(events)
            self._unregister_ended()
        now = self.clock.now()
        self.answers.expire(now)
        self.denied.expire(now)
        if now >= self._next_tick:
            self._tick(now)

    def breathe(self) -> None:
        """Serves the packets that wait, in the midst of long work; for handlers of requests."""
        if self.readers.answers is not None:
            self._on_answers(0)
        if self.readers.denied is not None:
            self._on_denied(0)

    # --- packets ---

    def _on_answers(self, events: int) -> None:
        del events
        assert self.readers.answers is not None
        now = self.clock.now()
        with self.readers.answers.receive(now) as batch:
            # Read after the answers: each answer's question was logged before the answer came.
            self.answers.take(batch, self._copies(now), now)

    def _on_log(self, events: int) -> None:
        del events
        now = self.clock.now()
        self.answers.take((), self._copies(now), now)

    def _on_denied(self, events: int) -> None:
        del events
        assert self.readers.denied is not None
        now = self.clock.now()
        with self.readers.denied.receive(now) as batch:
            if self.readers.denied.generation != self._denied_generation:
                # What waited died with its binding; without this its clients' next packets would be taken for copies.
                self._denied_generation = self.readers.denied.generation
                self.denied.close()
            self.denied.take(batch, now)

    def _copies(self, now: Instant) -> Iterator[LoggedPacket]:
        """All copies that wait; then it notes what was lost before them."""
        log = self.readers.log
        for _ in range(MAX_COPIES // LOG_LIMIT):
            copies = log.receive(now)
            yield from copies
            if len(copies) < LOG_LIMIT:
                break  # it found the log empty
        self._note_losses(now)

    def _note_losses(self, now: Instant) -> None:
        """Between two bindings queries went by unseen, like those that found the buffer full."""
        log = self.readers.log
        lost, generation = self._log_state
        if log.counters.lost != lost or (log.generation != generation and generation):
            self.learner.note_lost_queries(log.counters.lost - lost, now)
        self._log_state = (log.counters.lost, log.generation)

    def _note_learned(self, packet: Packet) -> None:
        self.journal.append(packet, self.clock.wall())

    # --- time ---

    def _tick(self, now: Instant) -> None:
        self._next_tick = Instant(now + TICK_SECONDS)
        self.learner.expire(now)
        self.journal.flush()
        if now >= self._next_observation:
            self._next_observation = Instant(now + OBSERVE_SECONDS)
            table = self._read_queues()
            for queue in (self.readers.answers, self.readers.denied):
                if queue is not None:
                    queue.observe(table, now)
            self.readers.log.observe(now)

    def _next_deadline(self) -> Instant:
        attempts = [reader.next_attempt_at() for reader in self.readers.all()]
        deadlines = [self.answers.next_deadline(), self.denied.next_deadline(), *attempts]
        return min([self._next_tick, *(each for each in deadlines if each is not None)])

    # --- the selector ---

    def _register(self) -> None:
        """Has the selector watch the descriptors of the present bindings; reading an unbound reader binds it."""
        for reader, handler in self._handlers:
            if reader.next_attempt_at() is not None:
                handler(0)
        self._unregister_ended()
        for place, (reader, handler) in enumerate(self._handlers):
            descriptor = reader.fileno()
            if descriptor is not None and place not in self._registered:
                self._selector.register(descriptor, selectors.EVENT_READ, handler)
                self._registered[place] = (reader.generation, descriptor)

    def _unregister_ended(self) -> None:
        """Takes ended bindings out of the selector before their descriptors' numbers are given to others."""
        for place, (reader, _) in enumerate(self._handlers):
            known = self._registered.get(place)
            if known is not None and known != (reader.generation, reader.fileno()):
                del self._registered[place]
                self._unregister(known[1])

    def _unregister(self, descriptor: int) -> None:
        try:
            self._selector.unregister(descriptor)
        except (KeyError, OSError):
            return  # closed behind the selector's back, which has forgotten it by itself
