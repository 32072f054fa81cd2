"""The packet process's loop: one thread, one poller, nothing that waits.

    queue of answers, query log  ->  AnswerPath  ->  elements, verdicts
    queue of denied packets      ->  DeniedPackets
    queue of unnamed connections ->  NamedConnections
    queue of logged packets      ->  LoggedPackets
    link (Unix socket)           ->  Desk
    deadlines                    ->  expire, flush the journal, look at the queues

Whatever ends the loop, every held packet gets its verdict: answers are delivered, denied and unjudged packets dropped.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from dnsagent.denied import DeniedPackets
from dnsagent.histogram import Histogram
from dnsagent.hold import AnswerPath
from dnsagent.journal import Journal
from dnsagent.kernel_sets import KernelSets
from dnsagent.learn import Learner, Packet
from dnsagent.logged import LoggedPackets
from dnsagent.named.connections import NamedConnections
from dnsagent.poller import Handler, Poller
from nfq.binding import Binding
from nfq.log_messages import LoggedPacket
from nfq.nflog import LOG_LIMIT
from nfq.queue import BATCH_LIMIT
from nfq.queue_table import KernelQueue, read_queues
from nfq.supervise import SupervisedLog, SupervisedQueue
from reconcile.clock import Clock
from reconcile.instant import Instant

TICK_SECONDS: Final = 0.25
OBSERVE_SECONDS: Final = 0.5
"""Between looks at the kernel's table of queues: a binding that died in silence is back within a second."""
MAX_COPIES: Final = 16_384
"""Copies read before the answers are judged: more than the log's socket buffer holds, a page and more for each. So all
that was logged before the answers came is read, and no flood of queries keeps the answers waiting for ever."""
WAITED_SECONDS: Final = 20e-6
"""Who waited so long for a packet will find one, as a rule, and not look for a second: that costs 5 us each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """Where packets come from. The queues are absent where the kernel has none."""

    answers: SupervisedQueue | None
    denied: SupervisedQueue | None
    log: SupervisedLog
    named: SupervisedQueue | None = None
    copies: SupervisedLog | None = None
    """What Log rules copied; bound before the queue where the packets wait, and closed behind it."""
    logged: SupervisedQueue | None = None

    def queues(self) -> list[SupervisedQueue]:
        """The queues that are there."""
        return [queue for queue in (self.answers, self.denied, self.named, self.logged) if queue is not None]

    def all(self) -> list[Binding[Any]]:
        """Every reader that is there."""
        return [*self.queues(), self.log, *(() if self.copies is None else (self.copies,))]


class Service(Protocol):
    """What else lives in the loop: it has its descriptors watched by the loop's poller."""

    def expire(self, now: Instant) -> None:
        """Does what is due."""

    def next_deadline(self) -> Instant | None:
        """When `expire` has something to do."""

    def close(self) -> None:
        """Ends it; the loop is over."""


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
        poller: Poller,
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
        self.named = NamedConnections(learner, self.counters)
        """May be replaced before it runs, by one that sends resets."""
        self.logged = LoggedPackets(readers.logged, readers.copies, clock, learner.plan.snapshot.log_drops_overflow)
        self.answer_seconds = Histogram()
        """From reading held answers to their verdicts, which is behind the kernel's word that they are learned."""
        self.services: list[Service] = []
        self._poller = poller
        self._read_queues = read_queues
        self._handlers: list[tuple[Binding[Any], Handler]] = [(readers.log, self._on_log)]
        if readers.answers is not None:
            self._handlers.append((readers.answers, self._on_answers))
        if readers.denied is not None:
            self._handlers.append((readers.denied, self._on_denied))
        if readers.named is not None:
            self._handlers.append((readers.named, self._on_named))
        if readers.copies is not None:
            self._handlers.append((readers.copies, self._on_copies))
        if readers.logged is not None:
            self._handlers.append((readers.logged, self._on_logged))
        self._watched: dict[int, tuple[int, int]] = {}
        """Generation and descriptor that the poller watches, by the reader's place in `_handlers`."""
        self._next_tick = clock.now()
        self._next_observation = clock.now()
        self._log_state = (0, 0)
        """Copies lost and the generation of the log's binding, as last seen."""
        self._denied_generation = 0
        self._named_generation = 0
        self._is_stopping = False
        self._keeps_sockets = False
        self._most = BATCH_LIMIT
        """Packets to read of a socket in this round."""

    def stop(self, *, keeps_sockets: bool = False) -> None:
        """Ends the loop after the present round; the readers' sockets may be left bound for who comes after."""
        self._is_stopping, self._keeps_sockets = True, keeps_sockets

    def run(self) -> None:
        """Serves until `stop`; every held packet has its verdict when this returns or raises."""
        try:
            while not self._is_stopping:
                self.turn()
        finally:
            for service in self.services:
                service.close()
            self.answers.close()
            self.denied.close()
            self.named.close()
            for reader in () if self._keeps_sockets else self.readers.all():
                reader.close()
            self.journal.close()

    def turn(self) -> None:
        """One round: waits for the next packet, request or deadline, and serves what is there."""
        self._watch()
        before = self.clock.now()
        ready = self._poller.wait(max(0.0, self._next_deadline() - before))
        self._most = BATCH_LIMIT if self.clock.now() - before < WAITED_SECONDS else 1
        for descriptor, events in ready:
            handler = self._poller.handler(descriptor)
            if handler is not None:
                handler(events)
                self._unwatch_ended()
        now = self.clock.now()
        self.answers.expire(now)
        self.denied.expire(now)
        self.named.expire(now)
        for service in self.services:
            service.expire(now)
        if now >= self._next_tick:
            self._tick(now)

    def breathe(self) -> None:
        """Serves the packets that wait, in the midst of long work; for handlers of requests."""
        self._most = BATCH_LIMIT
        if self.readers.answers is not None:
            self._on_answers(0)
        if self.readers.denied is not None:
            self._on_denied(0)
        if self.readers.named is not None:
            self._on_named(0)
        if self.readers.logged is not None:
            self._on_logged(0)

    # --- packets ---

    def _on_answers(self, events: int) -> None:
        del events
        assert self.readers.answers is not None
        now, before = self.clock.now(), self.counters["answers"]
        with self.readers.answers.receive(now, self._most) as batch:
            # Read after the answers, if at all: each answer's question was logged before the answer came.
            self.answers.take(batch, self._copies(now), now)
        judged = self.counters["answers"] - before
        if judged:
            self.answer_seconds.note(self.clock.now() - now, judged)

    def _on_log(self, events: int) -> None:
        del events
        now = self.clock.now()
        self.answers.take((), self._copies(now, 1 if self._most == 1 else MAX_COPIES), now)

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

    def _on_named(self, events: int) -> None:
        del events
        assert self.readers.named is not None
        now = self.clock.now()
        with self.readers.named.receive(now) as batch:
            if self.readers.named.generation != self._named_generation:
                self._named_generation = self.readers.named.generation
                self.named.lose_held()
            self.named.take(batch, now)
        self.named.flush()

    def _on_logged(self, events: int) -> None:
        del events
        self.logged.take(self.clock.now())

    def _on_copies(self, events: int) -> None:
        del events
        self.logged.read(self.clock.now())

    def _copies(self, now: Instant, most: int = MAX_COPIES) -> Iterator[LoggedPacket]:
        """The copies that wait; then it notes what was lost before them."""
        log = self.readers.log
        while most > 0:
            limit = min(most, LOG_LIMIT)
            copies = log.receive(now, limit)
            yield from copies
            if len(copies) < limit:
                break  # it found the log empty
            most -= limit
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
            for queue in self.readers.queues():
                queue.observe(table, now)
            self.readers.log.observe(now)
            if self.readers.copies is not None:
                self.readers.copies.observe(now)

    def _next_deadline(self) -> Instant:
        soonest = self._next_tick
        for deadline in (self.answers.next_deadline(), self.denied.next_deadline(), self.named.next_deadline()):
            if deadline is not None and deadline < soonest:
                soonest = deadline
        for service in self.services:
            deadline = service.next_deadline()
            if deadline is not None and deadline < soonest:
                soonest = deadline
        for reader, _ in self._handlers:
            attempt = reader.next_attempt_at()
            if attempt is not None and attempt < soonest:
                soonest = attempt
        return soonest

    # --- descriptors ---

    def _watch(self) -> None:
        """Watches the descriptors of the present bindings; reading an unbound reader binds it."""
        for reader, handler in self._handlers:
            if reader.next_attempt_at() is not None:
                handler(0)
        self._unwatch_ended()
        for place, (reader, handler) in enumerate(self._handlers):
            descriptor = reader.fileno()
            if descriptor is not None and place not in self._watched:
                self._poller.watch(descriptor, handler)
                self._watched[place] = (reader.generation, descriptor)

    def _unwatch_ended(self) -> None:
        """Forgets ended bindings before their descriptors' numbers are given to others."""
        for place, (reader, _) in enumerate(self._handlers):
            known = self._watched.get(place)
            if known is not None and (known[0] != reader.generation or known[1] != reader.fileno()):
                del self._watched[place]
                self._poller.unwatch(known[1])
