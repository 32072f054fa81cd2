"""When open connections are looked at, and what is told of it. The looks themselves are scripted."""

import asyncio
import threading
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from nfq.errors import ConntrackError
from policy.rules import EndpointID
from reconcile.clock import SystemClock
from tests.render.states import endpoint, policy, state, tier
from tests.revoke.test_way import AROUND, entry
from tidegate.agent import revoker as module
from tidegate.agent.revocation import Ended
from tidegate.agent.revoker import MAX_LOGGED, Revoker
from tidegate.render import RenderSettings
from tidegate.revoke.way import way_of
from tidegate.sync.conditions import Conditions, ConditionType

OPEN = policy("open", egress=({},))
STATE = state(
    endpoints=(
        endpoint("a", addresses=("10.0.1.2",), tiers=(tier(egress=(OPEN.id,)),)),
        endpoint("b", addresses=("10.0.1.3",)),
    ),
    policies=(OPEN,),
)
WAY = way_of(entry("10.0.1.2", "192.0.2.1"), AROUND)


class Sets:
    """Stands for the kernel's."""

    commits = 0

    def close(self):
        self.is_closed = True


class Looks:
    """Makes looks that do what they are told."""

    def __init__(self):
        self.scopes, self.before, self.errors = [], [], []
        self.ends = 0
        self.may_end = threading.Event()
        self.may_end.set()

    def __call__(self, hearing, around, sets, ask, note):
        self.scopes.append(hearing.scope)
        self.before.append(hearing.before)
        self.note = note
        self.judged, self.ended, self.excused, self.unguarded = 7, self.ends, 1, 0
        return self

    def run(self):
        self.may_end.wait(10)
        if self.errors:
            raise self.errors.pop()
        for _ in range(self.ends):
            self.note(Ended(entry=entry("10.0.1.2", "192.0.2.1"), way=WAY, reason="a rule"))


class NoRoutes:
    def __enter__(self):
        return lambda address: "uplink"

    def __exit__(self, *_):
        pass


@pytest.fixture
def looks(monkeypatch):
    made = Looks()
    monkeypatch.setattr(module, "Look", made)
    monkeypatch.setattr(module, "KernelRoutes", NoRoutes)
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.01)
    return made


@asynccontextmanager
async def running(sets):
    revoker = Revoker(
        render=RenderSettings(), sets=sets, ask=lambda _: [], own_addresses=list, conditions=Conditions(),
        clock=SystemClock(),
    )  # fmt: skip
    task = asyncio.create_task(revoker.run())
    try:
        yield revoker
    finally:
        task.cancel()
        revoker.close()


async def until(holds):
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what is awaited is no event of ours
            await asyncio.sleep(0.002)


def closed(before=STATE):
    return replace(before, policies={OPEN.id: replace(OPEN)})


def test_under_keep_nothing_is_looked_at(looks):
    async def go():
        async with running(None) as revoker:
            revoker.note(3, STATE)
            assert revoker.is_done
            await asyncio.sleep(0)
            assert not looks.scopes
            assert not revoker.conditions.all()

    asyncio.run(go())


def test_the_first_look_is_at_everything_and_the_next_at_what_changed(looks):
    async def go():
        async with running(Sets()) as revoker:
            revoker.note(1, STATE)
            assert not revoker.is_done
            await until(lambda: revoker.is_done)
            revoker.note(2, closed())
            await until(lambda: revoker.is_done)
            revoker.note(3, revoker._noted)
            await until(lambda: revoker.is_done)
        assert [scope.is_everything for scope in looks.scopes] == [True, False]
        assert looks.scopes[1].endpoints == {EndpointID("prod/a")}
        assert looks.before == [None, STATE]
        assert revoker.progress.looks == 2
        assert revoker.progress.judged == 14
        assert revoker.conditions.is_true(ConditionType.CONNECTIONS_JUDGED)

    asyncio.run(go())


def test_what_changes_during_a_look_costs_one_more_however_much_it_is(looks):
    async def go():
        async with running(Sets()) as revoker:
            looks.may_end.clear()
            revoker.note(1, STATE)
            await until(lambda: looks.scopes)
            now = STATE
            for generation in range(2, 20):
                now = closed(now)
                revoker.note(generation, now)
            looks.may_end.set()
            await until(lambda: revoker.is_done)
        assert len(looks.scopes) == 2
        assert revoker.progress.done == 19

    asyncio.run(go())


def test_a_look_that_fails_is_told_and_done_again_with_what_changed_meanwhile(looks):
    async def go():
        async with running(Sets()) as revoker:
            revoker.note(1, STATE)
            await until(lambda: revoker.is_done)
            looks.errors = [ConntrackError("list connections", 12)] * 2
            looks.may_end.clear()
            revoker.note(2, closed())
            await until(lambda: len(looks.scopes) == 2)
            other = replace(STATE.endpoints[EndpointID("prod/b")])
            revoker.note(3, replace(closed(), endpoints=STATE.endpoints | {EndpointID("prod/b"): other}))
            looks.may_end.set()
            await until(lambda: revoker.progress.failures)
            assert not revoker.is_done
            await until(lambda: revoker.is_done)
            assert revoker.progress.failures == 2
            assert looks.scopes[-1].endpoints == {EndpointID("prod/a"), EndpointID("prod/b")}
            assert looks.before[-1] is STATE, "connections are compared with what was in force when they were judged"
            assert revoker.conditions.is_true(ConditionType.CONNECTIONS_JUDGED)

    asyncio.run(go())


def test_ended_connections_are_remembered_and_the_log_stays_readable(looks, capsys):
    async def go():
        looks.ends = MAX_LOGGED + 50
        async with running(Sets()) as revoker:
            revoker.note(1, STATE)
            await until(lambda: revoker.is_done)
            assert len(revoker.ended) == MAX_LOGGED + 50
            assert (str(revoker.ended[0].destination), revoker.ended[0].port) == ("192.0.2.1", 443)
            assert revoker.progress.ended == MAX_LOGGED + 50

    asyncio.run(go())
    out = capsys.readouterr()
    assert (out.out + out.err).count("connection ended ") == MAX_LOGGED
