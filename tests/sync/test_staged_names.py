"""What is on trial does not change who answers a workload's questions, or which it may ask."""

from dataclasses import replace

import pytest

from dnsagent.snapshot import Mode
from policy.rules import EndpointID
from tests.render.states import endpoint, policy, state, tier, to
from tidegate.config.forwarder import AskableNames
from tidegate.config.settings import Settings
from tidegate.render import RenderSettings, names, render_table
from tidegate.sync.snapshots import SnapshotBuilder, SnapshotSettings

STAGED = policy("s", is_staged=True, egress=({"destination": to(domain_set="on-trial")},))
ENFORCED = policy("p", egress=({"destination": to(domain_set="enforced")},))
RENDER = RenderSettings(dns_mode=Mode.PROXY)
WHO = EndpointID("prod/e")


def world(*policies):
    who = endpoint("e", tiers=(tier(egress=tuple(item.id for item in policies)),))
    return state(endpoints=(who,), policies=policies, domains={"on-trial": ("trial.test",), "enforced": ("open.test",)})


def told(*policies, askable=AskableNames.ANY):
    given = SnapshotSettings(settings=Settings(dns_proxy_names=askable), render=RENDER)
    return SnapshotBuilder(given).build(world(*policies), 1).endpoints.get(WHO)


@pytest.mark.parametrize(("policies", "is_proxied"), [((STAGED,), False), ((STAGED, ENFORCED), True)])
def test_only_enforced_rules_about_names_have_questions_forwarded(policies, is_proxied):
    assert RENDER.is_proxied(by_policy=False)
    proxied = render_table(world(*policies), RENDER).elements[names.DNS_PROXIED]
    assert proxied == (frozenset({("calie",)}) if is_proxied else frozenset())
    assert told(*policies).is_proxied is is_proxied


def test_names_on_trial_are_learned():
    assert set(told(STAGED, ENFORCED).rules) == {"on-trial", "enforced"}


def test_names_on_trial_may_not_be_asked_for_where_policy_says_what_may():
    assert told(STAGED, ENFORCED, askable=AskableNames.POLICY).rules == ("enforced",)
    assert told(STAGED, askable=AskableNames.POLICY) is None


def test_the_annotation_of_a_policy_still_counts():
    wanting = replace(ENFORCED, is_proxied=True)
    given = SnapshotSettings(settings=Settings(), render=RenderSettings())
    assert SnapshotBuilder(given).build(world(wanting), 1).endpoints[WHO].is_proxied
