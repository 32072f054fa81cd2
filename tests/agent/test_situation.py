"""What is less than asked for is a condition from the start."""

from pathlib import Path

import pytest

from dnsagent.snapshot import Mode
from reconcile.clock import ManualClock
from tests.sync.test_mode import features
from tidegate.agent.situation import look_around
from tidegate.config.servers import parse_server
from tidegate.config.settings import Settings
from tidegate.sync.conditions import Conditions, ConditionType


def _look(missing=(), **options):
    servers = tuple(map(parse_server, options.pop("servers", ["10.0.53.53"])))
    settings = Settings(
        resources=Path("/r"),
        state=Path("state"),
        dns_trusted_servers=servers,
        debug_missing_features=missing,
        **options,
    )
    conditions = Conditions()
    situation = look_around(settings, features(), conditions, ManualClock())
    return situation, {item.type: item for item in conditions.all()}


def test_all_is_as_configured():
    situation, conditions = _look(node="n1")
    assert situation.node == "n1"
    assert situation.state.is_absolute()
    assert situation.render.dns_mode is Mode.DELAY_DNS_RESPONSE
    assert all(item.is_normal for item in conditions.values())


def test_a_mode_that_cannot_be_held_is_told_and_rendered_as_it_is():
    situation, conditions = _look(missing=("native_queue", "compat_queue"))
    assert situation.render.dns_mode is Mode.NO_DELAY
    condition = conditions[ConditionType.DNS_POLICY_MODE]
    assert (condition.is_true, condition.reason) == (False, "KernelCannotHold")
    assert condition.message


@pytest.mark.parametrize(
    ("servers", "reason"),
    [
        (["10.0.53.53", "k8s-service:kube-dns"], "Unresolved"),
        (["k8s-service:kube-dns"], "Unresolved"),
        ([], "NoServer"),
    ],
)
def test_servers_without_an_address_are_told(servers, reason):
    situation, conditions = _look(servers=servers)
    assert len(situation.render.trusted_servers) == servers.count("10.0.53.53")
    condition = conditions[ConditionType.TRUSTED_SERVERS]
    assert (condition.is_true, condition.reason) == (False, reason)
    assert ("kube-dns" in condition.message) == (reason == "Unresolved")


def test_without_resources_there_is_nothing_to_look_at():
    with pytest.raises(ValueError, match="cannot run without a directory of resources"):
        look_around(Settings(), features(), Conditions(), ManualClock())
