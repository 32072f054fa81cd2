"""The apply loop: brings the kernel and the packet process to where the documents want them, and keeps them there.

    wake (documents, routes, another program's commit, a new packet process, time)
      -> take the next step      -> table: stage
      -> prepare                 learned sets that are new, filled by the packet process before any rule asks them
      -> table: apply            one transaction, in the kernel's thread
      -> packets: restore        what a repair lost
      -> packets: load           the snapshot; the sets it names are there
      -> revocation: note        open connections are judged by it, beside the loop
      -> table: remove           learned sets that no snapshot names any more
      -> cut                     connections and learned names of addresses that changed hands
      -> settled

Whatever fails leaves its part of the work undone; the loop reports, waits and begins again at the top. Every part can
be done twice. Nothing touches the kernel before all documents were told.
"""

import asyncio
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from dnsagent.snapshot import Snapshot
from nfq.errors import QueueError
from nft.errors import NftError
from nft.monitor import Commit
from nft.sync import Report
from policy.rules import IPAddress
from reconcile.instant import Instant
from reconcile.throttle import Throttle, ThrottleSettings
from tidegate.render import TableChange
from tidegate.sync.desired import Step
from tidegate.sync.loop_report import LoopReport
from tidegate.sync.overlap import new_sets, overlap
from tidegate.sync.parts import Parts
from tidegate.sync.progress import LastApply, Progress

T = TypeVar("T")

THROTTLE = ThrottleSettings(settle_seconds=0.001, interval_seconds=0.02, longest_retry_seconds=5.0)
"""Files have settled before they are read, so there is little to wait for. A flood of documents costs fifty rounds a
second. A kernel that refuses for long (memory is short, another program is in the way) is asked again soon after."""

_ADOPTION_SECONDS, _ADOPTION_LOOKS = 1.0, 50
"""How long the first round waits for the packet process of an earlier life, and how often it looks meanwhile."""


@dataclass(slots=True)
class _Undone:
    """What is left to do."""

    step: Step | None = None
    """The latest step, until the packet process has its snapshot."""
    is_prepared: bool = False
    """New learned sets of that step need no more care, or have had it."""
    lost_sets: set[str] = field(default_factory=set)
    """Learned sets that were made anew and await their elements."""
    ended_sets: set[str] = field(default_factory=set)
    """Learned sets that must go, once no snapshot names them."""
    to_cut: set[IPAddress] = field(default_factory=set)
    to_forget: set[IPAddress] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.step or self.lost_sets or self.ended_sets or self.to_cut or self.to_forget)


class ApplyLoop:
    """Owns the order of things; what it works with is given."""

    def __init__(self, parts: Parts, *, refresh_seconds: float = 0.0, throttle: ThrottleSettings = THROTTLE) -> None:
        self.progress = Progress()
        self._parts = parts
        self._refresh_seconds = refresh_seconds or math.inf
        self._throttle = Throttle(throttle)
        self._woken = asyncio.Event()
        self.first_settled = asyncio.Event()
        """Set when everything was in force for the first time."""
        self._undone = _Undone()
        self._told: Snapshot | None = parts.before
        """What the packet process works by, as far as we know."""
        self._latest: Step | None = None
        """The step whose snapshot was loaded last: a new packet process is told it again."""
        self._news_at: Instant | None = None
        """When the oldest change was told that is not in the kernel yet."""
        self._commits: list[Commit] = []
        """Announced, and not yet looked at: the table belongs to the kernel's thread."""
        self._suspects: list[Commit] = []
        """Others' commits that the next apply puts right."""
        self._is_refresh_due = False
        self._is_dirty = False
        """The table is to be applied: something was staged, or others touched it, or it failed."""
        self._say = LoopReport(parts.conditions, parts.clock)
        self._log = structlog.get_logger()

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    def note_change(self) -> None:
        """A document or a route has changed."""
        if self._news_at is None:
            self._news_at = self._parts.clock.now()
        self.wake()

    def on_commits(self, commits: Iterable[Commit]) -> None:
        """Somebody has written to the table: we, as a rule."""
        self._commits += commits
        if self._commits:
            self.wake()

    def reload_packets(self) -> None:
        """A packet process has come that knows nothing yet of the present snapshot."""
        self.progress.packets, self.progress.is_settled = 0, False
        self.wake()

    async def run(self) -> None:
        """Works until cancelled."""
        clock = self._parts.clock
        while True:
            await self._until_due()
            try:
                await self.round()
            except (NftError, QueueError, OSError) as error:
                self._throttle.note_failure(clock.now())
                self._say.failed(error, self._throttle.failures)
            else:
                self._throttle.note_success(clock.now())

    async def _until_due(self) -> None:
        clock, throttle = self._parts.clock, self._throttle
        refresh_at = clock.now() + self._refresh_seconds
        while True:
            now = clock.now()
            if self._woken.is_set():
                self._woken.clear()
                throttle.note_change(now)
            if throttle.is_due(now):
                return
            if now >= refresh_at:
                refresh_at = math.inf
                self._is_refresh_due = True
                self.wake()
                continue
            wanted_at = throttle.next_at()
            delay = min(refresh_at, math.inf if wanted_at is None else wanted_at) - now
            with suppress(TimeoutError):
                # Not wait_for: before Python 3.12 it loses a cancellation that comes in the moment of the waking.
                async with asyncio.timeout(None if math.isinf(delay) else delay):
                    await self._woken.wait()

    async def round(self) -> None:
        """Takes what is new and does what is undone.

        Raises:
            NftError: the table could not be brought up to date.
            QueueError: connections could not be cut.
            OSError: the packet process did not take what it was told.
        """
        self._take_step()
        if self.progress.wanted == 0:
            return
        await self._look()
        await self._prepare()
        if self._is_dirty:
            await self._apply()
        await self._restore()
        await self._load()
        if self._undone.step is None:
            await self._remove_ended_sets()
        await self._let_go()
        self._note_success()

    def _take_step(self) -> None:
        step = self._parts.desired.advance()
        if step is None:
            return
        undone, progress = self._undone, self.progress
        undone.step = step
        undone.ended_sets = (undone.ended_sets | step.ended_sets) - set(step.change.sets)
        undone.to_cut |= step.given_up
        undone.to_forget |= step.given_up
        progress.wanted, progress.is_settled = step.generation, False
        undone.is_prepared = False
        self._is_dirty = True
        self._parts.table.stage(step.change)

    async def _look(self) -> None:
        """Whether the kernel still has what we wrote."""
        commits, self._commits = self._commits, []
        table = self._parts.table
        is_foreign = await self._blocking(lambda: bool(commits) and table.look(commits))
        if is_foreign:
            self._is_dirty = True
            self._suspects = commits
        if self._is_refresh_due:
            await self._blocking(table.resync)
            self._is_refresh_due, self._is_dirty = False, True

    async def _prepare(self) -> None:
        """Has new learned sets filled before rules ask them. Fails quietly: policy does not wait for names."""
        undone, told = self._undone, self._told
        if told is None or undone.step is None or undone.is_prepared:
            return
        undone.is_prepared = True
        try:
            if self._latest is None:
                await self._keep_former_sets(told, undone.step.snapshot)
            await self._fill_new_sets(told, undone.step.snapshot)
        except (NftError, OSError) as error:
            self._log.warning("new names may be late", reason=str(error))

    async def _keep_former_sets(self, told: Snapshot, wanted: Snapshot) -> None:
        """At our start the kernel may have sets of our former life, which the packet process fills until it is told."""
        former = new_sets(wanted, told)
        self._undone.ended_sets |= await self._blocking(lambda: self._parts.table.keep_sets(former))

    async def _fill_new_sets(self, told: Snapshot, wanted: Snapshot) -> None:
        both = overlap(told, wanted)
        if both is None:
            return
        made = await self._blocking(lambda: self._parts.table.add_sets(new_sets(told, wanted)))
        self._undone.lost_sets |= made
        if self._latest is None:
            await self._await_packets()
        if await self._blocking(lambda: self._parts.packets.load(both)):
            self._told = both
            self._undone.lost_sets -= made

    async def _await_packets(self) -> None:
        """At our start the packet process of our earlier life may not have been found yet."""
        for _ in range(_ADOPTION_LOOKS):
            if self._parts.packets.is_alive:
                return
            await asyncio.sleep(_ADOPTION_SECONDS / _ADOPTION_LOOKS)

    async def _apply(self) -> None:
        wanted = self.progress.wanted
        report = await self._blocking(self._parts.table.apply)
        self._undone.lost_sets |= report.learned_sets_to_restore
        counters = self.progress.counters
        counters.apply_seconds += report.seconds
        if report.error is not None:
            counters.apply_failures += 1
            self._log.warning("refused by the kernel", left_out=report.left_out, error=str(report.error))
            raise report.error
        counters.applies += report.commits > 0
        self._note_repair(report)
        self._note_applied(wanted)
        self._is_dirty = False

    def _note_repair(self, report: Report) -> None:
        """Others wrote to our table: they said so, or it had to be put right."""
        suspects, self._suspects = self._suspects, []
        if suspects and (report.commits or any(commit.is_complete for commit in suspects)):
            self.progress.counters.repairs += 1
            self._say.repaired(suspects)

    def _note_applied(self, generation: int) -> None:
        progress = self.progress
        if generation != progress.applied:
            now = self._parts.clock.now()
            seconds = 0.0 if self._news_at is None else now - self._news_at
            progress.last_apply = LastApply(generation=generation, seconds=seconds)
            self._news_at = None
        progress.applied = generation

    async def _restore(self) -> None:
        lost = self._undone.lost_sets - self._undone.ended_sets
        is_done = not lost or await self._blocking(lambda: self._parts.packets.restore(lost))
        if is_done:
            self._undone.lost_sets.clear()

    async def _load(self) -> None:
        step = self._undone.step
        if step is None and self.progress.packets:
            return
        latest = step or self._latest
        assert latest is not None, "a generation was applied, so there was a step"
        if not await self._blocking(lambda: self._parts.packets.load(latest.snapshot)):
            return
        self._told = latest.snapshot
        self.progress.packets = latest.generation
        self.progress.in_force = latest.state
        self._parts.revocation.note(latest.generation, latest.state)
        self._undone.step, self._latest = None, latest

    async def _remove_ended_sets(self) -> None:
        ended = frozenset(self._undone.ended_sets)
        if ended:
            self._parts.table.stage(TableChange(sets=dict.fromkeys(ended)))
            self._is_dirty = True
            await self._apply()
            self._undone.ended_sets -= ended

    async def _let_go(self) -> None:
        undone, parts = self._undone, self._parts
        if undone.to_cut:
            count = await self._blocking(lambda: parts.connections.cut(undone.to_cut))
            self.progress.counters.connections_cut += count
            undone.to_cut.clear()
        if undone.to_forget:
            is_done = await self._blocking(lambda: parts.packets.forget(undone.to_forget))
            if is_done:
                undone.to_forget.clear()

    async def _blocking(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._parts.thread, call)

    def _note_success(self) -> None:
        parts, progress = self._parts, self.progress
        was_settled = progress.is_settled
        progress.is_settled = not self._undone and progress.packets == progress.wanted
        self._say.applied(progress.applied)
        self._say.idle(parts.desired.missing_interfaces, parts.desired.host_conditions)
        if progress.is_settled and not was_settled:
            self.first_settled.set()
            self._log.info("policy in force", generation=progress.applied)
