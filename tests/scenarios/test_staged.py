"""Staged policy on real packets: counters move, verdicts do not."""

import json
from typing import Any

import pytest

from tests.scenarios.conftest import Stage, policy

pytestmark = pytest.mark.kernel


def staged(name: str, rules: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    """A staged policy of ep1 for what it sends."""
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "StagedNetworkPolicy",
        "metadata": {"name": name, "namespace": "test"},
        "spec": {"selector": "ep == 'ep1'", "types": ["Egress"], "egress": rules, **spec},
    }


def try_out(stage: Stage, document: dict[str, Any]) -> None:
    stage.put("trial", document, wait=False)
    stage.until(lambda: shown(stage, document["metadata"]["name"]) is not None, 10, "the staged policy is on trial")
    stage.wait_in_force()


def shown(stage: Stage, name: str) -> dict[str, Any] | None:
    found = [item for item in stage.agent.get("policies") if item["name"] == name]
    return found[0] if found else None


def packets(stage: Stage, name: str) -> list[tuple[str, int]]:
    item = shown(stage, name)
    assert item is not None
    return [(rule.get("would", rule["action"]), rule["packets"]) for rule in item["rules"]]


@pytest.fixture(autouse=True)
def no_trial_left(stage: Stage):
    yield
    (stage.resources / "trial.yaml").unlink(missing_ok=True)


def test_what_would_be_allowed_is_counted_and_stays_denied(stage: Stage):
    address = stage.fresh4()
    stage.permit("ep1")
    allow = {"action": "Allow", "protocol": "TCP", "destination": {"ports": [443]}}
    try_out(stage, staged("would-allow", [allow], order=1))
    stage.assert_denied("ep1", address)
    [(would, count), *_] = packets(stage, "would-allow")
    assert would == "allow"
    assert count >= 1


def test_what_would_be_denied_is_counted_and_stays_allowed(stage: Stage):
    address = stage.fresh4()
    stage.server.address("staged-deny.test", address)
    stage.permit("ep1", "staged-deny.test")
    try_out(stage, staged("would-deny", [{"action": "Deny", "destination": {"nets": [f"{address}/32"]}}], order=1))
    assert stage.resolve("ep1", "staged-deny.test") == [address]
    stage.assert_passes("ep1", address, within_seconds=1)
    assert packets(stage, "would-deny")[0] == ("deny", 1)
    explained = stage.agent.call(
        "explain", "--from", "test/ep1", "--to", f"{address}:443/TCP", "-o", "json", check=False
    )
    [path] = json.loads(explained.stdout)["paths"]
    assert (path["verdict"], path["pending"]["verdict"]) == ("allow", "deny")
    assert path["pending"]["egress"]["policies"] == ["0|default|snp:test/would-deny|deny|0"]


def test_names_are_learned_on_trial_and_open_nothing(stage: Stage):
    address = stage.fresh4()
    stage.server.address("staged-name.test", address)
    stage.permit("ep1")
    allow = {"action": "Allow", "destination": {"domains": ["staged-name.test"]}}
    try_out(stage, staged("by-name", [allow], order=1))
    assert stage.resolve("ep1", "staged-name.test") == [address]
    stage.assert_denied("ep1", address)
    [(would, count), *_] = packets(stage, "by-name")
    assert would == "allow"
    assert count >= 1


def test_d80_a_policy_by_name_on_trial_counts_exactly_what_it_would_do(stage: Stage):
    named, other = stage.fresh4(), stage.fresh4()
    stage.server.address("d80.test", named)
    stage.server.address("other80.test", other)
    allow_all = {"action": "Allow"}
    stage.put("policy-ep1", policy("d80", "ep1", ()) | {"spec": {"selector": "ep == 'ep1'", "egress": [allow_all]}})
    by_name = {"action": "Allow", "protocol": "TCP", "destination": {"domains": ["d80.test"], "ports": [443]}}
    dns = {"action": "Allow", "protocol": "UDP", "destination": {"ports": [53]}}
    try_out(stage, staged("d80-trial", [dns, by_name, {"action": "Deny"}], order=1))
    stage.resolve("ep1", "d80.test")
    stage.resolve("ep1", "other80.test")
    for address, port in ((named, 443), (named, 80), (other, 443)):
        stage.assert_passes("ep1", address, port, within_seconds=1)
    assert packets(stage, "d80-trial") == [("allow", 2), ("allow", 1), ("deny", 2), ("PendingEndOfTier", 0)]


def test_status_does_not_call_a_staged_policy_without_effect(stage: Stage):
    stage.permit("ep1")
    try_out(stage, staged("quiet", [{"action": "Allow"}]))
    conditions = stage.agent.get("status")["conditions"]
    assert not [item for item in conditions if "quiet" in item["subject"]]
