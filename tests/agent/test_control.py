"""How the control process decides to start itself again."""

import asyncio
from types import SimpleNamespace

import pytest

from tidegate.agent import control
from tidegate.agent.control import Ending, _Run, _watch_resolvers
from tidegate.agent.tasks import Supervisor
from tidegate.config.settings import Settings
from tidegate.config.sources import ConfigError, ConfigFault
from tidegate.sync.conditions import Conditions, ConditionType
from tidegate.sync.resolvers import TrustedServers


def _run(reread):
    agent = SimpleNamespace(conditions=Conditions(), situation=SimpleNamespace(settings=Settings()))
    return _Run(agent, Supervisor(), reread, Ending.LEAVE)


def _refuses():
    raise ConfigError([ConfigFault("a.yaml", "x", "cannot find a setting of that name")])


def test_a_good_configuration_ends_in_a_restart():
    run = _run(lambda: None)
    run.reload()
    assert run.ending is Ending.RESTART


def test_a_bad_one_is_a_condition_and_nothing_ends():
    run = _run(_refuses)
    run.reload()
    assert run.ending is Ending.LEAVE
    (condition,) = run.agent.conditions.all()
    assert (condition.type, condition.is_true) == (ConditionType.CONFIGURATION, False)
    assert "a.yaml: x" in condition.message


def test_trusted_servers_that_move_are_followed_and_a_moment_without_any_is_not(monkeypatch):
    monkeypatch.setattr(control, "RESOLVERS_SECONDS", 0.001)
    found = iter([TrustedServers(("old",)), TrustedServers(("old",)), TrustedServers(()), TrustedServers(("new",))])
    monkeypatch.setattr(control, "look_up", lambda _: next(found, TrustedServers(("new",))))

    async def go():
        run = _run(lambda: None)
        run.supervisor.start("resolvers", _watch_resolvers(run))
        await asyncio.wait_for(run.supervisor.wait(), 5)
        return run.ending

    assert asyncio.run(go()) is Ending.RESTART
    with pytest.raises(StopIteration):
        next(found)
