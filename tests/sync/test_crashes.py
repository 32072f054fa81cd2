"""The whole way from documents to a kernel in memory, with a crash at each step, and other hands in the table."""

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from nft.errors import NftError
from nft.fake import CrashError, FakeKernel
from nft.sync import TableSync
from reconcile.clock import SystemClock
from tests.sync.documents import policy, tell, workload
from tidegate.config.settings import Settings
from tidegate.render.settings import from_configuration
from tidegate.render.table import static_table
from tidegate.sync.conditions import Conditions
from tidegate.sync.desired import Desired
from tidegate.sync.loop import ApplyLoop
from tidegate.sync.parts import Parts
from tidegate.sync.snapshots import SnapshotSettings
from tidegate.sync.table import SyncedTable

RENDER = from_configuration(Settings(), ())
GIVEN = SnapshotSettings(settings=Settings(), render=RENDER)


class Packets:
    """Loads what it is told if the kernel has the sets."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.snapshot = None

    def load(self, snapshot):
        sets = {name for rule in snapshot.rules.values() for name in (rule.set4, rule.set6)}
        assert sets <= set(self.kernel.state.sets), "a snapshot names a set that is not there"
        self.snapshot = snapshot
        return True

    def restore(self, sets):
        return True

    def forget(self, addresses):
        return True

    def cut(self, addresses):
        return 0

    def note(self, generation, state):
        pass


class Agent:
    """One life of a control process."""

    def __init__(self, kernel, packets, documents, thread):
        self.desired = Desired("n", GIVEN)
        self.parts = Parts(
            desired=self.desired, table=SyncedTable(TableSync(kernel, SystemClock()), static_table(RENDER)),
            packets=packets, connections=packets, revocation=packets, conditions=Conditions(), clock=SystemClock(), thread=thread,
        )  # fmt: skip
        self.loop = ApplyLoop(self.parts)
        tell(self.desired, *documents)
        self.desired.in_sync()

    def round(self):
        asyncio.run(self.loop.round())


@contextmanager
def world():
    kernel = FakeKernel("tidegate")
    with ThreadPoolExecutor(1) as thread:
        yield kernel, Packets(kernel), thread


STORY = [
    [workload("x"), policy("a.test")],
    [workload("x"), workload("y", "10.0.1.3", "cali-y"), policy("a.test"), policy("c.test", name="q")],
    [workload("x"), workload("y", "10.0.1.3", "cali-y"), policy("b.test")],
    [workload("z", "10.0.1.2", "cali-x"), policy("b.test")],
    [],
]


def _change(desired, before, after):
    for item in before:
        if item.key not in {other.key for other in after}:
            desired.on_update(item.key, None)
    tell(desired, *after)


def _is_as_desired(kernel, agent):
    have, wanted = kernel.state.model("tidegate"), agent.desired.table()
    assert have.chains == wanted.chains
    assert have.sets.keys() == wanted.sets.keys()
    assert {name: keys for name, keys in have.elements.items() if keys} == {
        name: keys for name, keys in wanted.elements.items() if keys
    }
    assert {name: dict(entries) for name, entries in have.verdicts.items()} == {
        name: dict(entries) for name, entries in wanted.verdicts.items()
    }


def test_each_change_reaches_the_kernel_as_a_whole():
    with world() as (kernel, packets, thread):
        agent = Agent(kernel, packets, STORY[0], thread)
        agent.round()
        for before, after in itertools.pairwise(STORY):
            _is_as_desired(kernel, agent)
            _change(agent.desired, before, after)
            agent.round()
        _is_as_desired(kernel, agent)
        assert packets.snapshot.generation == agent.loop.progress.applied


@pytest.mark.parametrize("stage", range(len(STORY)))
@pytest.mark.parametrize("crash_after", range(1, 8))
def test_a_crash_at_any_commit_is_healed_by_the_next_start(stage, crash_after):
    with world() as (kernel, packets, thread):
        before = STORY[stage - 1] if stage else []
        agent = Agent(kernel, packets, before, thread)
        if stage:
            agent.round()
            _change(agent.desired, before, STORY[stage])
        else:
            tell(agent.desired, *STORY[0])
        kernel.crash_after = crash_after
        try:
            agent.round()
        except CrashError:
            kernel.crash_after = None
            agent = Agent(kernel, packets, STORY[stage], thread)
            agent.round()
        _is_as_desired(kernel, agent)


def test_a_restart_with_the_same_documents_commits_nothing():
    with world() as (kernel, packets, thread):
        Agent(kernel, packets, STORY[1], thread).round()
        generation = kernel.generation
        agent = Agent(kernel, packets, STORY[1], thread)
        agent.round()
        assert kernel.generation == generation
        assert agent.loop.progress.counters.applies == 0


def test_a_flush_by_another_is_repaired_by_its_announcement():
    with world() as (kernel, packets, thread):
        agent = Agent(kernel, packets, STORY[1], thread)
        agent.round()
        kernel.announced()
        kernel.by_another(None)
        agent.loop.on_commits(kernel.announced())
        agent.round()
        _is_as_desired(kernel, agent)
        assert agent.loop.progress.counters.repairs == 1


def test_what_the_kernel_refuses_stays_wanted():
    with world() as (kernel, packets, thread):
        agent = Agent(kernel, packets, STORY[0], thread)
        agent.round()
        kernel.refuse = lambda _: NftError(12, "commit", "it", "no memory")
        _change(agent.desired, STORY[0], STORY[1])
        with pytest.raises(NftError):
            agent.round()
        assert not agent.loop.progress.is_settled
        kernel.refuse = lambda _: None
        agent.round()
        _is_as_desired(kernel, agent)
        assert agent.loop.progress.is_settled
