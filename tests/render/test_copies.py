"""Flow records get a copy of every denied packet, wherever it is denied; where nobody records, no rule is added."""

from dataclasses import replace

import pytest

from nft import expr
from policy.rules import Action, Direction
from tests.render.states import EGRESS, INGRESS, endpoint, policy, state, tier
from tidegate.config.packets import DenyAction
from tidegate.render import RenderSettings, copies, names, render_table

KIND = "KubernetesClusterNetworkPolicy"


def table(settings):
    made = policy("p", kind=KIND, egress=({"action": Action.DENY},), ingress=({"action": Action.DENY},), tier="a")
    who = endpoint("e", tiers=(tier("a", egress=(made.id,), ingress=(made.id,), default_action=Action.PASS),))
    return made, render_table(state(endpoints=(who,), policies=(made,)), settings)


def groups(rules):
    return [item.group for rule in rules for item in rule.statements if isinstance(item, expr.LogToGroup)]


@pytest.mark.parametrize("action", list(DenyAction))
def test_without_records_no_rule_is_added(action):
    _, found = table(RenderSettings(deny_action=action))
    for chain in found.chains.values():
        assert not {copies.INGRESS_GROUP, copies.EGRESS_GROUP} & set(groups(chain.rules)), chain.name


@pytest.mark.parametrize("action", list(DenyAction))
@pytest.mark.parametrize("direction", [EGRESS, INGRESS])
def test_whatever_is_denied_is_copied_before(action, direction):
    made, found = table(RenderSettings(deny_action=action, copies_denied=True))
    group = copies.EGRESS_GROUP if direction is Direction.EGRESS else copies.INGRESS_GROUP
    last = found.chains[names.policy_chain(made.id, direction)].rules[0].statements
    if isinstance(last[-1], expr.Goto):
        ending = found.chains[last[-1].chain].rules
        assert groups(ending[-2:]) == [group]
        assert any(isinstance(item, expr.Drop | expr.Reject) for item in ending[-1].statements)
    else:
        assert isinstance(last[-1], expr.Drop)
        assert last[-2] == expr.LogToGroup(group, snap_bytes=copies.COPY_BYTES)


def test_a_packet_that_waits_is_copied_under_another_word():
    _, found = table(RenderSettings(copies_denied=True))
    first, second, *_ = found.chains[names.DENY_EGRESS].rules
    assert first.statements[-1] == expr.LogToGroup(copies.EGRESS_GROUP, copies.HELD, copies.COPY_BYTES)
    assert first.statements[:-1] == second.statements[: len(first.statements) - 1]
    _, plain = table(replace(RenderSettings(copies_denied=True), holds_denied_below=False))
    assert groups(plain.chains[names.DENY_EGRESS].rules) == [copies.EGRESS_GROUP]
    assert plain.chains[names.DENY_EGRESS].rules[0].statements[-1].prefix == ""
