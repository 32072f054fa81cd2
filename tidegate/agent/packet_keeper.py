"""Keeps one packet process alive.

    is one listening?  -- no --> start it (own session: it outlives us) --> listening?
         | yes
    on our queues?         -- no --> stop it, start anew
         | yes
    is it of our version?  -- no --> have our program take it over, with its sockets; if it cannot: stop it, start anew
         | yes
    adopt: tell the apply loop, ask its status every second, notice its death at once (pidfd)

A snapshot must stand there before (`PacketClient.prepare`), because a packet process binds to what it reads there. One
that listens but does not answer (stopped by a debugger, say) is left alone: nobody could take over its queues.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from dnsagent.link import LinkError
from reconcile.clock import Clock
from tidegate.agent.packet_client import PacketClient, PacketStatus
from tidegate.sync.backoff import Backoff
from tidegate.sync.conditions import Condition, Conditions, ConditionType
from tidegate.sync.left_out import left_out_conditions

STATUS_SECONDS = 1.0
START_SECONDS = 30.0
"""Reading back hundreds of thousands of names takes seconds; one that takes this long will not come any more."""
STOP_SECONDS = 5.0
STABLE_SECONDS = 10.0
"""One that lived so long did not die of its start: the next is started at once."""
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class PacketCommand:
    """What is started."""

    words: Sequence[str]
    version: str
    """What it will say it is; a process of another version is replaced by it."""


class PacketKeeper:
    """Starts, adopts, replaces and watches; owns the child if it started one."""

    def __init__(
        self,
        client: PacketClient,
        command: PacketCommand,
        conditions: Conditions,
        clock: Clock,
        on_adopted: Callable[[int], None],
    ) -> None:
        """`on_adopted` gets the pid."""
        self.status: PacketStatus | None = None
        """A second old at most; None while none is alive."""
        self.starts = 0
        self._client = client
        self._command = command
        self._conditions = conditions
        self._clock = clock
        self._on_adopted = on_adopted
        self._left_out: set[str] = set()
        """Reasons for which names are left out at present."""
        self._child: int | None = None
        self._backoff = Backoff(0.1, 5.0)
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Works until cancelled; the packet process goes on."""
        self._say(is_true=False, reason="Starting")
        while True:
            status = await self._look()
            if status is not None and not self._is_ours(status):
                self._log.info("packet process replaced", pid=status.pid, version=status.version)
                if self._client.must_replace or not await self._take_over(status):
                    await self.end()
                self._client.must_replace = False
            elif status is not None:
                await self._attend(status)
            elif self._client.is_listening():
                self._say(is_true=False, reason="Unresponsive", message="it listens but does not answer")
                await asyncio.sleep(STATUS_SECONDS)
            else:
                await self._start()

    async def refresh(self) -> None:
        """Brings `status` up to the moment, if one is alive and answers."""
        if self.status is not None:
            status = await self._look()
            if status is not None and self.status is not None and status.pid == self.status.pid:
                self.status = status

    async def end(self) -> None:
        """Has the packet process end, by force if need be. Returns when it is gone, or was not there."""
        status = await self._look()
        if status is None:
            return
        async with _death_of(status.pid) as death:
            await self._ask_to_stop()
            for number in (signal.SIGTERM, signal.SIGKILL):
                if await _happens(death, STOP_SECONDS):
                    break
                os.kill(status.pid, number)
            await _happens(death, STOP_SECONDS)
        self._note_death()

    def _is_ours(self, status: PacketStatus) -> bool:
        return not self._client.must_replace and status.version == self._command.version

    async def _take_over(self, status: PacketStatus) -> bool:
        """Has our program run in its place, so that packets wait instead of passing unread; whether it does."""
        try:
            await asyncio.to_thread(self._client.succeed, self._command.words)
        except LinkError as error:
            self._log.info("packet process cannot be taken over", reason=str(error))
            return False
        async with _death_of(status.pid) as death:
            begun = self._clock.now()
            while not death.is_set() and self._clock.now() - begun < START_SECONDS:
                now = await self._look()
                if now is not None and now.version == self._command.version:
                    return True
                if now is not None and self._clock.now() - begun > STOP_SECONDS:
                    return False  # it has agreed, and goes on as before
                await asyncio.sleep(_POLL_SECONDS)
        return False

    async def _look(self) -> PacketStatus | None:
        try:
            return await asyncio.to_thread(self._client.status)
        except (LinkError, KeyError, ValueError):
            return None

    async def _ask_to_stop(self) -> None:
        try:
            await asyncio.to_thread(self._client.stop)
        except LinkError:
            return  # signals follow

    async def _start(self) -> None:
        """Starts one and waits until it listens; on failure, waits before the next attempt."""
        self.starts += 1
        self._client.must_replace = False
        try:
            self._child = _spawn(self._command.words)
        except OSError as error:
            await self._wait_after_failure(f"cannot start it: {error.strerror}")
            return
        deadline = self._clock.now() + START_SECONDS
        while self._clock.now() < deadline:
            if self._client.is_listening():
                return
            status = self._reap()
            if status is not None:
                await self._wait_after_failure(f"it ended at once with status {status}")
                return
            await asyncio.sleep(_POLL_SECONDS)
        os.kill(self._child, signal.SIGKILL)
        await self._wait_after_failure(f"it did not listen within {START_SECONDS:.0f} s")

    def _reap(self) -> int | None:
        """The exit status of our child if it has ended: nobody else would take it from the process table."""
        if self._child is None:
            return None
        pid, status = os.waitpid(self._child, os.WNOHANG)
        if pid == 0:
            return None
        self._child = None
        return os.waitstatus_to_exitcode(status)

    async def _wait_after_failure(self, message: str) -> None:
        delay = self._backoff.next_delay()
        self._log.warning("packet process not started", reason=message, retry_seconds=delay)
        self._say(is_true=False, reason="NotStarted", message=message)
        await asyncio.sleep(delay)

    async def _attend(self, status: PacketStatus) -> None:
        """Adopts it; returns when it is dead."""
        adopted_at = self._clock.now()
        async with _death_of(status.pid) as death:
            self._adopt(status)
            while not await _happens(death, STATUS_SECONDS):
                self._note(await self._look())
        self._note_death()
        self._log.warning("packet process died", pid=status.pid)
        if self._clock.now() - adopted_at > STABLE_SECONDS:
            self._backoff.reset()
        else:
            await asyncio.sleep(self._backoff.next_delay())

    def _adopt(self, status: PacketStatus) -> None:
        self._client.is_alive = True
        self._log.info("packet process adopted", pid=status.pid)
        self._note(status)
        self._on_adopted(status.pid)

    def _note(self, status: PacketStatus | None) -> None:
        if status is None:
            self._say(is_true=False, reason="Unresponsive", message="it is alive but does not answer")
            return
        self.status = status
        self._say(is_true=True, reason="Running", message=f"pid {status.pid}")
        healthy = not status.ailments
        reason, message = ("Healthy", "") if healthy else ("Losing", "; ".join(status.ailments))
        queues = Condition(type=ConditionType.QUEUES, is_true=healthy, reason=reason, message=message)
        self._conditions.put(queues, self._clock.wall())
        self._note_left_out(status)

    def _note_left_out(self, status: PacketStatus) -> None:
        """Warns of each bound once, when it begins to leave names out."""
        conditions = left_out_conditions(status.left_out)
        for condition in conditions:
            if condition.reason not in self._left_out:
                self._log.warning("names left out", reason=condition.reason, message=condition.message)
        self._left_out = {condition.reason for condition in conditions}
        self._conditions.replace(ConditionType.NAMES_LEFT_OUT, conditions, self._clock.wall())

    def _note_death(self) -> None:
        self.status = None
        self._client.is_alive = False
        self._reap()
        self._say(is_true=False, reason="Dead", message="names are not learned until it is back")

    def _say(self, *, is_true: bool, reason: str, message: str = "") -> None:
        said = Condition(type=ConditionType.PACKET_PROCESS, is_true=is_true, reason=reason, message=message)
        self._conditions.put(said, self._clock.wall())


def _spawn(command: Sequence[str]) -> int:
    """Starts a process in a session of its own, without input.

    Neither `subprocess` nor asyncio: theirs are children to be waited for, and this one must go on when we end.
    """
    null = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    return os.posix_spawnp(command[0], list(command), os.environ, file_actions=[null], setsid=True)


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    try:
        # Not wait_for: before Python 3.12 it loses a cancellation that comes in the moment of the event.
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


@asynccontextmanager
async def _death_of(pid: int) -> AsyncIterator[asyncio.Event]:
    """An event that is set when the process is dead; at once if it is already."""
    death = asyncio.Event()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        death.set()
        yield death
        return
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, death.set)
    try:
        yield death
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
