"""How the control process decides to start itself again."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from policy.resources.decode import decode
from tests.sync.test_resolvers import documents
from tidegate.agent import control, stored_documents, stored_servers
from tidegate.agent.control import Ending, _Run, _watch_resolvers
from tidegate.agent.tasks import Supervisor
from tidegate.config.servers import parse_server
from tidegate.config.settings import Settings
from tidegate.config.sources import ConfigError, ConfigFault, Given, configure
from tidegate.sync.conditions import Conditions, ConditionType
from tidegate.sync.resolvers import TrustedServers


def _run(reread):
    agent = SimpleNamespace(
        conditions=Conditions(),
        situation=SimpleNamespace(settings=Settings(), state=None),
        feeders=SimpleNamespace(desired=SimpleNamespace(is_in_sync=False)),
    )
    return _Run(agent, Supervisor(), reread, Ending.LEAVE)


def _refuses(_):
    raise ConfigError([ConfigFault("a.yaml", "x", "cannot find a setting of that name")])


def test_a_good_configuration_ends_in_a_restart():
    run = _run(lambda _: None)
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
    monkeypatch.setattr(control, "look_up", lambda *_: next(found, TrustedServers(("new",))))

    async def go():
        run = _run(lambda _: None)
        run.supervisor.start("resolvers", _watch_resolvers(run))
        await asyncio.wait_for(run.supervisor.wait(), 5)
        return run.ending

    assert asyncio.run(go()) is Ending.RESTART
    with pytest.raises(StopIteration):
        next(found)


def test_who_is_told_to_end_does_not_start_again():
    for first, then in ((_Run.reload, _Run.terminate), (_Run.terminate, _Run.reload)):
        run = _run(lambda _: None)
        first(run)
        then(run)
        assert run.ending is Ending.LEAVE


# --- What documents say ---


def _configurable(tmp_path, *, reread=None):
    run = _run(reread or (configure))
    run.agent.situation = SimpleNamespace(settings=Settings(), state=tmp_path)
    return run


def _said(**values):
    return (Given("FelixConfiguration default", values),)


def _condition(run):
    return [(item.type, item.is_true) for item in run.agent.conditions.all()]


def test_documents_that_say_nothing_new_change_nothing(tmp_path):
    run = _configurable(tmp_path)
    assert not run.configure(())
    assert not run.configure(_said(logPrefix="calico-packet"))
    assert run.ending is Ending.LEAVE
    assert stored_documents.read(tmp_path) == _said(logPrefix="calico-packet")


def test_documents_that_say_something_else_are_stored_and_end_in_a_restart_that_does_not_repeat(tmp_path):
    run = _configurable(tmp_path)
    assert run.configure(_said(logPrefix="mine", dnsTrustedServers=["10.0.0.1"]))
    assert run.ending is Ending.RESTART
    stored = stored_documents.read(tmp_path)
    again = _configurable(tmp_path)
    again.agent.situation.settings, again.documents = configure(stored).settings, stored
    assert not again.configure(_said(logPrefix="mine", dnsTrustedServers=["10.0.0.1"]))
    assert again.ending is Ending.LEAVE


def test_documents_that_cannot_be_used_are_a_condition_until_they_are_mended(tmp_path):
    run = _configurable(tmp_path)
    assert not run.configure(_said(dnsPolicyNfqueueID=101))
    assert _condition(run) == [(ConditionType.CONFIGURATION, False)]
    assert stored_documents.read(tmp_path) == ()
    assert not run.configure(())
    assert _condition(run) == [(ConditionType.CONFIGURATION, True)]


def test_what_cannot_be_stored_is_not_put_in_force(tmp_path):
    (tmp_path / "state").write_text("a file")
    run = _configurable(tmp_path / "state")
    assert not run.configure(_said(logPrefix="mine"))
    assert run.ending is Ending.LEAVE
    assert _condition(run) == [(ConditionType.CONFIGURATION, False)]


@pytest.mark.parametrize("text", ["", "{", "{}", "[1]", '[["a"]]', '[["a", 1]]', "[[1, {}]]"])
def test_what_is_stored_and_cannot_be_read_counts_as_nothing(tmp_path, text):
    (tmp_path / "configuration.json").write_text(text)
    assert stored_documents.read(tmp_path) == ()


def test_a_reload_keeps_what_documents_said(tmp_path):
    asked = []
    run = _configurable(tmp_path, reread=asked.append)
    run.documents = _said(logPrefix="mine")
    run.reload()
    assert asked == [_said(logPrefix="mine")]


# --- What Services stand for ---


def test_servers_of_services_are_stored_and_end_in_a_restart_that_does_not_repeat(tmp_path):
    run = _configurable(tmp_path)
    run.agent.situation.settings = replace(Settings(), dns_trusted_servers=(parse_server("k8s-service:kube-dns"),))
    resources = {item.key: item for item in map(decode, documents())}
    assert not run.serve({})
    assert run.serve(resources)
    assert run.ending is Ending.RESTART
    assert not run.serve(resources)
    assert not run.serve({}), "a Service that went keeps its servers"
    assert len(stored_servers.read(tmp_path)["k8s-service:kube-system/kube-dns:53"]) == 3


class Settling:
    """A loop that has put into force what it was told, or never does."""

    def __init__(self, desired, *, settles):
        self.desired, self.settles = desired, settles
        self.progress = SimpleNamespace(is_settled=True)

    def note_change(self):
        self.desired.has_news = False
        self.progress.is_settled = False
        if self.settles:
            asyncio.get_running_loop().call_later(0.03, setattr, self.progress, "is_settled", True)


@pytest.mark.parametrize("settles", [True, False])
def test_servers_that_move_are_trusted_before_the_restart_which_does_not_wait_for_ever(tmp_path, monkeypatch, settles):
    monkeypatch.setattr(control, "TRUST_SECONDS", 30.0 if settles else 0.05)
    told = []

    async def go():
        run = _configurable(tmp_path)
        run.agent.situation.settings = replace(Settings(), dns_trusted_servers=(parse_server("k8s-service:kube-dns"),))
        desired = SimpleNamespace(is_in_sync=True, has_news=False, on_servers=told.append)
        run.agent.feeders = SimpleNamespace(desired=desired)
        run.agent.loop = Settling(desired, settles=settles)
        assert run.serve({item.key: item for item in map(decode, documents())})
        assert run.ending is Ending.LEAVE
        await asyncio.wait_for(run.supervisor.wait(), 20)
        assert run.agent.loop.progress.is_settled is settles
        return run.ending

    assert asyncio.run(go()) is Ending.RESTART
    assert len(told) == 1
    assert len(told[0]) == 3


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 5}', '{"a": ["x"]}', '{"a": ["system"]}', '{"a": [null]}'])
def test_what_is_stored_of_servers_and_cannot_be_read_counts_as_nothing(tmp_path, text):
    (tmp_path / "servers.json").write_text(text)
    assert stored_servers.read(tmp_path) == {}
