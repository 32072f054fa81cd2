"""When others' commits are listened for, when they are counted, and that none is missed in between."""

import asyncio
import contextlib
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import pytest

from nft.elements import Change, ElementWriter, Operation
from nft.generation import Tally
from nft.monitor import LOST, Monitor
from reconcile.clock import SystemClock
from tests.nft.kernel.conftest import new_namespace
from tidegate.agent.commits import BUSY_COMMITS_PER_SECOND, LISTEN_SECONDS, CommitFeed, Quiet, Step

RULE = "add rule inet tidegate c counter"


def tally(own: int, *, foreign: int = 0) -> Tally:
    return Tally(7 + own + foreign, own)


def busy_quiet() -> Quiet:
    quiet = Quiet()
    assert quiet.take(tally(0), 100.0) is Step.STAY
    assert quiet.take(tally(int(BUSY_COMMITS_PER_SECOND) + 1), 101.0) is Step.PAUSE
    return quiet


def test_a_busy_packet_process_is_not_listened_to():
    assert busy_quiet().since == tally(201)


def test_listening_goes_on_where_nobody_can_tell_what_is_ours():
    quiet = Quiet()
    quiet.take(tally(0), 100.0)
    assert quiet.take(None, 101.0) is Step.STAY


@pytest.mark.parametrize("suspicious", [tally(1000, foreign=1), Tally(300, 3), None])
def test_whatever_does_not_agree_ends_the_quiet_for_a_while(suspicious):
    quiet = busy_quiet()
    assert quiet.take(suspicious, 102.0) is Step.SUSPECT
    assert quiet.since is None
    assert quiet.take(tally(50_000), 103.0) is Step.STAY
    assert quiet.take(tally(500_000), 103.0 + LISTEN_SECONDS) is Step.PAUSE


def test_calm_ends_the_quiet():
    quiet = busy_quiet()
    assert quiet.take(tally(401), 102.0) is Step.STAY
    assert quiet.take(tally(410), 103.0) is Step.LISTEN
    assert quiet.settle(tally(410), 103.0) is Step.STAY


def test_a_foreign_commit_just_before_listening_again_is_seen():
    quiet = busy_quiet()
    quiet.take(tally(210), 102.0)
    assert quiet.settle(tally(210, foreign=1), 102.0) is Step.SUSPECT


# --- on the kernel ---


class Loop:
    def __init__(self) -> None:
        self.commits: list = []

    def on_commits(self, commits) -> None:
        self.commits += commits


class Busy:
    """Commits some 500 times a second, as the packet process does under load."""

    def __init__(self) -> None:
        self.commits = 0
        self.is_over = False
        self._lock = threading.Lock()
        self._writer = ElementWriter("tidegate")
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over = True
        self._thread.join()
        self._writer.close()

    def tally(self) -> Tally:
        with self._lock:
            return Tally(self._writer.generation(), self.commits)

    def _run(self) -> None:
        while not self.is_over:
            with self._lock:
                key = self.commits.to_bytes(4, "big")
                self._writer.write([Change(Operation.ADD, "d4", key, 60_000)])
                self.commits += 1
            time.sleep(0.002)


async def until(holds, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def nft(words: str) -> None:
    process = await asyncio.create_subprocess_exec("nft", words)
    assert await process.wait() == 0


@pytest.mark.kernel
def test_another_programs_commit_is_noticed_within_a_second_under_load():
    async def play(feed: CommitFeed, loop: Loop, busy: Busy) -> None:
        task = asyncio.ensure_future(feed.run())
        await until(lambda: feed.quiet.since is not None, 5)
        await asyncio.sleep(0.6)
        assert feed.quiet.since is not None, "our own commits are taken for others'"
        loop.commits.clear()
        await nft(RULE)
        await until(lambda: LOST in loop.commits, 1)
        loop.commits.clear()
        await nft(RULE)
        await until(lambda: any(commit.rule_chains == {"c"} for commit in loop.commits), 1)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    with new_namespace(), ThreadPoolExecutor(1) as thread:
        table = "table inet tidegate { chain c { }; set d4 { type ipv4_addr; flags timeout; }; }"
        subprocess.run(["nft", "-f", "-"], input=table, text=True, check=True)
        loop = Loop()
        with Busy() as busy:
            asyncio.run(play(CommitFeed(loop, Monitor("tidegate"), busy.tally, thread, SystemClock()), loop, busy))
