"""One packet process is kept alive: started, adopted, replaced, and left behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from dnsagent.snapshot import Snapshot, SnapshotRule
from dnsagent.snapshot_file import read_snapshot, write_snapshot
from reconcile.clock import SystemClock
from tidegate.agent import packet_keeper
from tidegate.agent.packet_client import PacketClient
from tidegate.agent.packet_keeper import PacketCommand, PacketKeeper
from tidegate.sync.conditions import Conditions, ConditionType

FAKE = Path(__file__).with_name("fake_packets.py")
ROOT = Path(__file__).parents[2]


class Stand:
    """A keeper on a state directory, and what became of it."""

    def __init__(self, state, version="1", command=None):
        self.state = state
        self.adoptions = 0
        self.conditions = Conditions()
        self.client = PacketClient(state)
        words = command or [sys.executable, str(FAKE), str(state / "packets.sock"), version]
        self.keeper = PacketKeeper(
            self.client, PacketCommand(words, version), self.conditions, SystemClock(), self._adopted
        )

    def _adopted(self, _pid):
        self.adoptions += 1

    @property
    def condition(self):
        return next(item for item in self.conditions.all() if item.type is ConditionType.PACKET_PROCESS)

    def left_out(self):
        return [item for item in self.conditions.all() if item.type is ConditionType.NAMES_LEFT_OUT]

    async def until(self, holds, seconds=10):
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, self.condition
            await asyncio.sleep(0.01)

    @asynccontextmanager
    async def running(self, snapshot=None):
        self.client.prepare(snapshot or Snapshot(generation=1, table="t"))
        assert self.client.load(Snapshot(generation=1, table="t")) is False
        task = asyncio.get_running_loop().create_task(self.keeper.run())
        try:
            await self.until(lambda: self.keeper.status is not None)
            yield self.keeper.status.pid
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def state(tmp_path):
    yield tmp_path
    client = PacketClient(tmp_path)
    if client.is_listening():
        os.kill(client.status().pid, signal.SIGKILL)


def _is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _start_stranger(state, version):
    process = subprocess.Popen([sys.executable, FAKE, state / "packets.sock", version])
    client = PacketClient(state)
    while not client.is_listening():
        time.sleep(0.01)
    return process


def test_one_is_started_in_a_session_of_its_own_and_outlives_us(state):
    async def go():
        stand = Stand(state)
        async with stand.running() as pid:
            assert os.getsid(pid) == pid
            assert stand.adoptions == 1
            assert stand.condition.is_true
            assert stand.client.load(Snapshot(generation=2, table="t")) is True
        return pid

    pid = asyncio.run(go())
    assert _is_alive(pid)
    assert read_snapshot(state / "snapshot.json").generation == 2


def test_names_left_out_are_a_condition_while_it_lasts_and_one_warning(state, monkeypatch):
    monkeypatch.setenv("LEFT_OUT", json.dumps({"cap-endpoint": ["test/ep1"]}))
    monkeypatch.setattr(packet_keeper, "STATUS_SECONDS", 0.05)

    async def go():
        stand = Stand(state)
        said = []
        monkeypatch.setattr(stand.keeper, "_log", SimpleNamespace(warning=_warned(said), info=lambda *_, **__: None))
        async with stand.running():
            (condition,) = stand.left_out()
            assert (condition.reason, condition.is_normal) == ("EndpointFull", False)
            assert "test/ep1" in condition.message
            await stand.until(lambda: not stand.left_out())
        return said

    assert asyncio.run(go()) == [("names left out", "EndpointFull")]


def _warned(said):
    return lambda event, **fields: said.append((event, fields.get("reason")))


def test_a_snapshot_stands_before_one_is_started_and_keeps_what_is_known(state):
    client = PacketClient(state)
    client.prepare(Snapshot(generation=0, table="t"))
    assert read_snapshot(state / "snapshot.json") == Snapshot(generation=0, table="t")
    rule = SnapshotRule(
        id="d",
        patterns=("a.test",),
        set4="d4",
        set6="d6",
        ttl_floor_seconds=0,
        ttl_ceiling_seconds=9,
        extra_ttl_seconds=0,
    )
    known = Snapshot(generation=9, table="t", rules={"d": rule})
    write_snapshot(state / "snapshot.json", known)
    client = PacketClient(state)
    client.prepare(Snapshot(generation=0, table="t"))
    assert read_snapshot(state / "snapshot.json") == known
    assert not client.must_replace
    client.prepare(Snapshot(generation=0, table="t", denied_queue=7))
    assert read_snapshot(state / "snapshot.json") == replace(known, denied_queue=7)
    assert client.must_replace


def test_a_living_one_is_adopted(state):
    process = _start_stranger(state, "1")

    async def go():
        stand = Stand(state)
        async with stand.running() as pid:
            assert stand.keeper.starts == 0
            return pid

    assert asyncio.run(go()) == process.pid
    process.kill()
    process.wait()


def test_one_of_another_version_is_taken_over_and_stays_the_process_that_it_is(state):
    process = _start_stranger(state, "0.9")

    async def go():
        stand = Stand(state)
        async with stand.running() as pid:
            assert stand.keeper.status.version == "1"
            assert stand.keeper.starts == 0
            return pid

    assert asyncio.run(go()) == process.pid
    process.kill()
    process.wait()


@pytest.mark.parametrize("words", [None, ["/bin/false"]], ids=["it cannot be", "our program ends at once"])
def test_one_of_another_version_that_cannot_be_taken_over_is_replaced(state, words):
    process = _start_stranger(state, "0.8" if words is None else "0.9")

    async def go():
        stand = Stand(state)
        if words is not None:
            stand.keeper._command, ours = PacketCommand(words, "1"), stand.keeper._command
            await stand.keeper._take_over(await stand.keeper._look())
            stand.keeper._command = ours
        async with stand.running() as pid:
            assert stand.keeper.status.version == "1"
            return pid

    assert asyncio.run(go()) != process.pid
    assert process.wait(5) == (0 if words is None else 1)


@pytest.mark.parametrize(("queue", "is_replaced"), [(101, False), (7, True)])
def test_one_on_other_queues_is_replaced(state, queue, is_replaced):
    write_snapshot(state / "snapshot.json", Snapshot(generation=41, table="t"))
    process = _start_stranger(state, "1")

    async def go():
        stand = Stand(state)
        assert stand.client.former_generation == 41
        async with stand.running(Snapshot(generation=42, table="t", answer_queue=queue)) as pid:
            return pid

    assert (asyncio.run(go()) != process.pid) == is_replaced
    process.kill()
    process.wait()


def test_a_dead_one_is_started_again_and_adopted_anew(state):
    async def go():
        stand = Stand(state)
        async with stand.running() as pid:
            os.kill(pid, signal.SIGKILL)
            await stand.until(lambda: not stand.client.is_alive)
            assert stand.client.restore(["d4-x"]) is False
            await stand.until(lambda: stand.keeper.status is not None and stand.keeper.status.pid != pid)
            assert stand.adoptions == 2
            assert stand.keeper.starts == 2

    asyncio.run(go())


def test_one_that_cannot_start_is_tried_again_and_told(state):
    async def go():
        stand = Stand(state, command=["/bin/false"])
        task = asyncio.get_running_loop().create_task(stand.keeper.run())
        await stand.until(lambda: stand.keeper.starts >= 2)
        task.cancel()
        return stand.condition

    condition = asyncio.run(go())
    assert (condition.is_true, condition.reason) == (False, "NotStarted")
    assert "status 1" in condition.message


def test_one_that_is_stopped_is_reported_and_left_alone(state):
    async def go():
        stand = Stand(state)
        stand.client._link._timeout = 0.1
        async with stand.running() as pid:
            os.kill(pid, signal.SIGSTOP)
            try:
                await stand.until(lambda: stand.condition.reason == "Unresponsive")
            finally:
                os.kill(pid, signal.SIGCONT)
            await stand.until(lambda: stand.condition.reason == "Running")
            assert stand.keeper.starts == 1

    asyncio.run(go())


@pytest.mark.parametrize("is_deaf", [False, True])
def test_end_takes_it_out(state, is_deaf, monkeypatch):
    monkeypatch.setattr("tidegate.agent.packet_keeper.STOP_SECONDS", 0.2 if is_deaf else 5.0)

    async def go():
        stand = Stand(state)
        async with stand.running() as pid:
            pass
        if is_deaf:
            monkeypatch.setattr(stand.client, "stop", lambda: None)
        await stand.keeper.end()
        return pid

    pid = asyncio.run(go())
    assert not _is_alive(pid)
