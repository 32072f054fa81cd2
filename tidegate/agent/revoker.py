"""Keeps open connections to what policy allows: looks at them after each change, off the apply path.

    apply loop -> note(generation, state) -> the scope of the change is added to what is undone
    run        -> one look at a time, in a thread of its own; what changes meanwhile waits for the next

A look that fails leaves its scope undone and is repeated, with what changed meanwhile. A burst of changes costs two
looks. Under `Keep` nothing is looked at.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import final

import structlog

from nfq.errors import QueueError
from nft.errors import NftError
from policy.rules import IPAddress, NodeState
from reconcile.clock import Clock
from reconcile.instant import WallInstant
from tidegate.agent.ended import KernelSets
from tidegate.agent.revocation import Ask, Ended, Look
from tidegate.agent.routes import KernelRoutes
from tidegate.render import RenderSettings
from tidegate.revoke.hearing import Hearing
from tidegate.revoke.judge import Server
from tidegate.revoke.part import surroundings
from tidegate.revoke.scope import BEGINNING, Scope, changed
from tidegate.revoke.way import spoken
from tidegate.sync.conditions import Condition, Conditions, ConditionType
from tidegate.sync.progress import EndedConnection, Revocation

MAX_REMEMBERED = 1000
"""Ended connections that `explain` can tell of; at the bound the oldest goes."""
MAX_LOGGED = 100
"""Lines for one look. What is beyond is in the sum at its end."""
_RETRY_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 1.0


@final
@dataclass(slots=True, kw_only=True)
class Revoker:
    """Implements `sync.parts.Revocation`. Its state belongs to the event loop; looks run in its thread."""

    render: RenderSettings
    sets: KernelSets | None
    """None where connections are kept whatever policy says."""
    ask: Ask
    own_addresses: Callable[[], Iterable[IPAddress]]
    """The host's, at the moment of a look."""
    conditions: Conditions
    clock: Clock
    servers: frozenset[Server] = frozenset()
    """Whom the packet process speaks to from the host."""
    progress: Revocation = field(default_factory=Revocation)
    _ended: deque[tuple[Ended, WallInstant]] = field(default_factory=lambda: deque(maxlen=MAX_REMEMBERED))
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=1, thread_name_prefix="revoker")
    )
    _undone: Scope = BEGINNING
    _judged_by: NodeState | None = None
    """The state of the last look that was done to its end."""
    _noted: NodeState | None = None
    """The latest state in force."""
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _logged: int = 0

    @property
    def is_done(self) -> bool:
        """Whether open connections have been judged by what is in force."""
        return self.progress.done == self.progress.wanted

    @property
    def ended(self) -> list[EndedConnection]:
        """The connections that were ended last, the latest last."""
        return [_told(one, at) for one, at in self._ended.copy()]

    @property
    def commits(self) -> int:
        """Transactions that the kernel made for us."""
        return 0 if self.sets is None else self.sets.commits

    def note(self, generation: int, state: NodeState) -> None:
        """This state is in force now, in the kernel and in the packet process."""
        self.progress.wanted = generation
        if self.sets is None:
            self.progress.done = generation
            return
        if self._noted is not None:
            scope = changed(self._noted, state)
            self.progress.widened += scope.is_widened
            self._undone |= scope
        self._noted = state
        self._woken.set()

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            before = self.progress.looks
            await self._turn()
            if self.progress.looks > before:
                # Where policy changes all the time, no more than half of it goes to reading the table.
                await asyncio.sleep(min(_LONGEST_PAUSE_SECONDS, self.progress.last_seconds))

    def close(self) -> None:
        """Waits for the look that is under way, and closes what it works with."""
        self._thread.shutdown(cancel_futures=True)
        if self.sets is not None:
            self.sets.close()

    async def _turn(self) -> None:
        state, generation, scope = self._noted, self.progress.wanted, self._undone
        assert state is not None, "nobody wakes us before a state was noted"
        self._undone = Scope()
        try:
            if scope:
                await self._look(state, scope)
        except (NftError, QueueError, OSError) as error:
            self._undone = scope | self._undone
            self._report_failure(error)
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._woken.set)
            return
        self._judged_by, self.progress.done = state, generation
        self._report(Condition(type=ConditionType.CONNECTIONS_JUDGED, is_true=True, reason="Judged"))

    async def _look(self, state: NodeState, scope: Scope) -> None:
        started = self.clock.now()
        call = asyncio.get_running_loop().run_in_executor
        self._logged = 0
        done = await call(self._thread, self._work, state, scope, frozenset(self.own_addresses()))
        progress = self.progress
        progress.looks += 1
        progress.last_seconds = self.clock.now() - started
        progress.seconds += progress.last_seconds
        progress.judged += done.judged
        progress.ended += done.ended
        progress.excused += done.excused
        progress.unguarded += done.unguarded
        if done.ended:
            structlog.get_logger().info(
                "connections ended", count=done.ended, judged=done.judged, seconds=round(progress.last_seconds, 3)
            )

    def _work(self, state: NodeState, scope: Scope, own: frozenset[IPAddress]) -> Look:
        assert self.sets is not None, "without them nothing is noted"
        hearing = Hearing(self._judged_by, state, scope, self.render, self.servers)
        with KernelRoutes() as routes:
            around = surroundings(hearing.part, (address.packed for address in own), routes)
            look = Look(hearing, around, self.sets, self.ask, self._note_ended)
            look.run()
        return look

    def _note_ended(self, one: Ended) -> None:
        """In the thread; a deque takes it, and gives a copy, without a lock."""
        first = one.way
        self._ended.append((one, self.clock.wall()))
        self._logged += 1
        if self._logged <= MAX_LOGGED:
            structlog.get_logger().info(
                "connection ended", connection=spoken(first), protocol=first.protocol, reason=one.reason
            )

    def _report_failure(self, error: Exception) -> None:
        self.progress.failures += 1
        self._report(
            Condition(type=ConditionType.CONNECTIONS_JUDGED, is_true=False, reason="CannotLook", message=str(error))
        )
        structlog.get_logger().warning("cannot judge open connections", error=str(error))

    def _report(self, condition: Condition) -> None:
        self.conditions.put(condition, self.clock.wall())


def _told(one: Ended, at: WallInstant) -> EndedConnection:
    way = one.way
    return EndedConnection(
        ip_address(way.source), ip_address(way.destination), way.protocol, way.destination_port, one.reason, at
    )
