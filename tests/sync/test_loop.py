"""The apply loop with fakes that fail: the order of things, and that nothing is forgotten."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from nft.errors import NftError
from nft.monitor import Commit
from nft.sync import Report
from reconcile.clock import SystemClock
from reconcile.throttle import ThrottleSettings
from tests.sync.documents import policy, tell, workload
from tidegate.config.settings import Settings
from tidegate.render.settings import from_configuration
from tidegate.sync.conditions import Conditions, ConditionType
from tidegate.sync.desired import Desired, learned_sets
from tidegate.sync.loop import ApplyLoop
from tidegate.sync.parts import Parts
from tidegate.sync.snapshots import SnapshotSettings

GIVEN = SnapshotSettings(settings=Settings(), render=from_configuration(Settings(), ()))
OWN = 7


class World:
    """Table, packet process and connections in one log, each failing as often as it is told to."""

    def __init__(self):
        self.log = []
        self.failures = {}
        self.is_alive = True
        self.sets = set()
        """Learned ones that the kernel has."""
        self.wanted = set()
        self.removed = set()
        self.chains = set()
        """Those that the kernel has."""
        self.staged_chains = set()

    def _do(self, name, *what):
        if self.failures.get(name, 0):
            self.failures[name] -= 1
            self.log.append(f"{name} fails")
            raise OSError(5, "broken")
        self.log.append(" ".join([name, *map(str, what)]))

    # --- table ---

    def stage(self, change):
        self.removed |= {name for name, item in change.sets.items() if item is None}
        self.wanted |= {name for name, item in change.sets.items() if item is not None and item.is_learned}
        self.wanted -= self.removed
        self.staged_chains |= change.chains.keys()

    def look(self, commits):
        self.log.append("look")
        return any(commit.task != OWN for commit in commits)

    def add_sets(self, names):
        missing = self.wanted & set(names) - self.sets
        self._do("add", len(missing))
        self.sets |= missing
        return frozenset(missing)

    def keep_sets(self, names):
        kept = self.sets & set(names) - self.wanted
        self.wanted |= kept
        return frozenset(kept)

    def resync(self):
        self._do("resync")

    def apply(self):
        if self.failures.get("apply", 0):
            self.failures["apply"] -= 1
            self.log.append("apply fails")
            return Report(error=NftError(16, "apply", "it"), left_out=("chain x",))
        self.log.append("apply")
        self.chains |= self.staged_chains
        self.staged_chains = set()
        if self.removed:
            self.log.append("removed")
        made = frozenset(self.wanted - self.sets)
        self.sets, self.removed = set(self.wanted), set()
        return Report(commits=1, learned_sets_to_restore=made)

    # --- packets ---

    def load(self, snapshot):
        if not self.is_alive:
            return False
        assert {rule.set4 for rule in snapshot.rules.values()} <= self.sets, "a snapshot names a set that is not there"
        self._do("load", snapshot.generation)
        return True

    def restore(self, sets):
        if self.is_alive:
            self._do("restore", len(sets))
        return self.is_alive

    def forget(self, addresses):
        if self.is_alive:
            self._do("forget", *sorted(addresses))
        return self.is_alive

    # --- connections ---

    def note(self, generation, state):
        self.noted = generation, state

    def cut(self, addresses):
        self._do("cut", *sorted(addresses))
        return len(addresses)


@pytest.fixture
def world():
    return World()


@pytest.fixture
def parts(world):
    with ThreadPoolExecutor(1) as thread:
        yield Parts(
            desired=Desired("n", GIVEN), table=world, packets=world, connections=world, revocation=world,
            conditions=Conditions(), clock=SystemClock(), thread=thread,
        )  # fmt: skip


@pytest.fixture
def loop(parts):
    return ApplyLoop(parts)


def commit(task):
    return Commit(task=task, program="nft", touches_objects=True)


def test_our_own_commits_change_nothing(loop, parts, world):
    parts.desired.in_sync()
    rounds(loop)
    world.log.clear()
    loop.on_commits([commit(OWN)])
    rounds(loop)
    assert world.log == ["look"]
    assert loop.progress.counters.repairs == 0


def rounds(loop, count=1):
    async def go():
        for _ in range(count):
            await loop.round()

    asyncio.run(go())


def test_nothing_touches_the_kernel_before_all_documents_were_told(loop, parts, world):
    tell(parts.desired, workload("x"), policy("a.test"))
    rounds(loop)
    assert world.log == []
    parts.desired.in_sync()
    rounds(loop)
    assert world.log == ["apply", "restore 2", "load 1"]
    assert loop.progress.is_settled
    assert list(loop.progress.in_force.endpoints) == ["a/x"]


def test_a_round_without_news_does_nothing(loop, parts, world):
    parts.desired.in_sync()
    rounds(loop, 3)
    assert world.log == ["apply", "load 1"]


def test_sets_come_before_the_snapshot_and_go_after_it(loop, parts, world):
    tell(parts.desired, workload("x"), policy("a.test"))
    parts.desired.in_sync()
    rounds(loop)
    world.log.clear()
    tell(parts.desired, policy("b.test"))
    rounds(loop)
    # Filled under the snapshot of both before any rule asks them; the former go when no snapshot names them.
    assert world.log == ["add 2", "load 1", "apply", "load 2", "apply", "removed"]
    assert world.sets == learned_sets(loop.progress.in_force.domain_sets)


def test_new_sets_are_filled_while_the_rules_ask_the_former_ones(loop, parts, world):
    tell(parts.desired, workload("x"), policy("a.test"))
    parts.desired.in_sync()
    rounds(loop)
    first = set(world.sets)
    asked = []
    world.load, load = lambda snapshot: asked.append((snapshot, set(world.chains))) or load(snapshot), world.load
    world.chains.clear()
    tell(parts.desired, policy("b.test"))
    rounds(loop)
    (both, chains_then), (after, chains_now) = asked
    assert not chains_then
    assert chains_now
    assert {rule.patterns for rule in both.rules.values()} == {("a.test",), ("b.test",)}
    assert {rule.patterns for rule in after.rules.values()} == {("b.test",)}
    assert first.isdisjoint(world.sets)


@pytest.fixture
def restarted(loop, parts, world):
    """A loop after a restart, with another policy than the kernel and the packet process have from its former life."""
    tell(parts.desired, workload("x"), policy("a.test"))
    parts.desired.in_sync()
    told, world.load = [], lambda snapshot: told.append(snapshot) or World.load(world, snapshot)
    rounds(loop)
    world.wanted, world.former = set(), set(world.sets)
    world.log.clear()
    desired = Desired("n", GIVEN, first_generation=told[-1].generation + 1)
    tell(desired, workload("x"), policy("b.test"))
    desired.in_sync()
    return ApplyLoop(replace(parts, desired=desired, before=told[-1]))


def test_a_restart_fills_new_sets_first_and_keeps_former_ones_while_they_are_filled(restarted, world):
    kept = []
    world.apply = lambda: kept.append(world.former <= world.wanted) or World.apply(world)
    rounds(restarted)
    assert world.log == ["add 2", "load 1", "apply", "load 2", "apply", "removed"]
    assert kept == [True, False]
    assert world.former.isdisjoint(world.sets)
    assert restarted.progress.is_settled


def test_a_start_waits_a_moment_for_the_packet_process_of_its_former_life(restarted, world):
    world.is_alive = False

    async def go():
        task = asyncio.create_task(restarted.round())
        await asyncio.sleep(0.1)
        assert world.log == ["add 2"]
        world.is_alive = True
        await task

    asyncio.run(go())
    assert world.log[:3] == ["add 2", "load 1", "apply"]


def test_a_start_without_a_packet_process_enforces_policy_all_the_same(restarted, world, monkeypatch):
    monkeypatch.setattr("tidegate.sync.loop._ADOPTION_SECONDS", 0.01)
    world.is_alive = False
    rounds(restarted)
    assert world.log == ["add 2", "apply"]
    assert world.former < world.sets
    world.is_alive = True
    rounds(restarted)
    assert world.former.isdisjoint(world.sets)
    assert restarted.progress.is_settled


def test_a_change_without_new_names_is_one_transaction_and_one_snapshot(loop, parts, world):
    tell(parts.desired, workload("x"), policy("a.test"))
    parts.desired.in_sync()
    rounds(loop)
    world.log.clear()
    tell(parts.desired, workload("y", "10.0.1.3"))
    rounds(loop)
    assert world.log == ["apply", "load 2"]


@pytest.mark.parametrize("failing", ["add", "load"])
def test_policy_does_not_wait_for_new_names_that_cannot_be_prepared(loop, parts, world, failing):
    tell(parts.desired, workload("x"), policy("a.test"))
    parts.desired.in_sync()
    rounds(loop)
    world.failures[failing] = 1
    tell(parts.desired, policy("b.test"))
    rounds(loop)
    assert f"{failing} fails" in world.log
    assert loop.progress.is_settled
    assert world.sets == learned_sets(loop.progress.in_force.domain_sets)


def test_an_ended_set_stays_while_the_packet_process_is_away_and_goes_when_it_is_back(loop, parts, world):
    tell(parts.desired, workload("x"), policy("a.test"))
    parts.desired.in_sync()
    rounds(loop)
    world.is_alive = False
    before = loop.progress.in_force
    tell(parts.desired, policy("b.test"))
    rounds(loop, 2)
    assert learned_sets(before.domain_sets) < world.sets
    assert loop.progress.in_force is before
    assert not loop.progress.is_settled
    world.is_alive = True
    loop.reload_packets()
    rounds(loop)
    assert world.sets == learned_sets(loop.progress.in_force.domain_sets)
    assert loop.progress.is_settled


def test_an_ended_set_that_is_wanted_again_is_not_removed(loop, parts, world):
    tell(parts.desired, workload("x"), policy("a.test"))
    parts.desired.in_sync()
    rounds(loop)
    first = set(world.sets)
    world.is_alive = False
    tell(parts.desired, policy("b.test"))
    rounds(loop)
    tell(parts.desired, policy("a.test"))
    world.is_alive = True
    rounds(loop, 2)
    assert world.sets == first == learned_sets(loop.progress.in_force.domain_sets)


@pytest.mark.parametrize("failing", ["apply", "load", "restore"])
def test_what_fails_is_done_again_from_the_top(loop, parts, world, failing):
    tell(parts.desired, workload("x"), policy("a.test"))
    parts.desired.in_sync()
    world.failures[failing] = 1
    with pytest.raises((NftError, OSError)):
        rounds(loop)
    assert not loop.progress.is_settled
    assert not loop.progress.in_force.endpoints
    rounds(loop)
    assert loop.progress.is_settled
    assert world.sets == learned_sets(loop.progress.in_force.domain_sets)
    assert world.log[-1] == "load 1"


@pytest.mark.parametrize("failing", ["apply", "load", "cut", "forget", None])
def test_whoever_gets_an_address_inherits_neither_connections_nor_names(loop, parts, world, failing):
    tell(parts.desired, workload("x"))
    parts.desired.in_sync()
    rounds(loop)
    parts.desired.on_update(workload("x").key, None)
    tell(parts.desired, workload("y"))
    if failing:
        world.failures[failing] = 1
        with pytest.raises((NftError, OSError)):
            rounds(loop)
    rounds(loop)
    done = [line for line in world.log if "fails" not in line]
    assert done[-2:] == ["cut 10.0.1.2", "forget 10.0.1.2"]
    assert loop.progress.is_settled
    assert loop.progress.counters.connections_cut == 1


def test_names_are_forgotten_even_if_the_packet_process_comes_later(loop, parts, world):
    tell(parts.desired, workload("x"))
    parts.desired.in_sync()
    rounds(loop)
    world.is_alive = False
    parts.desired.on_update(workload("x").key, None)
    rounds(loop)
    assert "forget 10.0.1.2" not in world.log
    world.is_alive = True
    loop.reload_packets()
    rounds(loop)
    assert world.log[-1] == "forget 10.0.1.2"


def test_another_programs_hand_is_noticed_and_what_it_cost_is_restored(loop, parts, world):
    tell(parts.desired, workload("x"), policy("a.test"))
    parts.desired.in_sync()
    rounds(loop)
    world.log.clear()
    world.staged, world.sets = set(world.sets), set()
    loop.on_commits([commit(OWN + 1)])
    rounds(loop)
    assert world.log == ["look", "apply", "restore 2"]
    rounds(loop)
    assert len(world.log) == 3


def test_a_failed_repair_is_tried_again(loop, parts, world):
    parts.desired.in_sync()
    rounds(loop)
    world.failures["apply"] = 2
    loop.on_commits([commit(OWN + 1)])
    for _ in range(2):
        with pytest.raises(NftError):
            rounds(loop)
    rounds(loop)
    assert world.log[-3:] == ["apply fails", "apply fails", "apply"]


def test_a_new_packet_process_is_told_the_present_snapshot(loop, parts, world):
    tell(parts.desired, workload("x"), policy("a.test"))
    parts.desired.in_sync()
    rounds(loop)
    loop.reload_packets()
    assert not loop.progress.is_settled
    rounds(loop)
    assert world.log[-1] == "load 1"
    assert loop.progress.is_settled


def test_the_running_loop_retries_by_itself_and_says_so(parts, world):
    loop = ApplyLoop(parts, throttle=ThrottleSettings(retry_seconds=0.03))
    world.failures["apply"] = 2
    tell(parts.desired, workload("x"))
    parts.desired.in_sync()

    async def go():
        task = asyncio.get_running_loop().create_task(loop.run())
        loop.wake()
        seen = set()
        while not loop.progress.is_settled:
            seen.update(item.reason for item in parts.conditions.all())
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return seen

    assert "KernelRefused" in asyncio.run(asyncio.wait_for(go(), 5))
    assert parts.conditions.is_true(ConditionType.APPLIED)
    assert loop.progress.counters.apply_failures == 2


def test_the_kernel_is_looked_at_from_time_to_time(parts, world):
    loop = ApplyLoop(parts, refresh_seconds=0.05)
    parts.desired.in_sync()

    async def go():
        task = asyncio.get_running_loop().create_task(loop.run())
        loop.wake()
        while world.log.count("resync") < 2:  # noqa: ASYNC110 - the fake tells nobody
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(go(), 5))
