"""Prefixes of Log rules."""

from dataclasses import replace

import pytest

from nft import expr
from policy.rules import Action, Direction, RuleID
from tests.render.states import policy, policy_id, profile, profile_id, state
from tidegate.render import RenderSettings, names, render_table
from tidegate.render.log import prefix

GNP = RuleID("default", policy_id("ep2-4"), Direction.EGRESS, 0)
NP = RuleID("apps", policy_id("web", "prod", "NetworkPolicy"), Direction.INGRESS, 3)
PROFILE = RuleID("", profile_id("kns.prod"), Direction.INGRESS, 0)


@pytest.mark.parametrize(
    ("rule", "template", "text"),
    [
        (GNP, "", "calico-packet: "),
        (GNP, "aXy9%n%%t %k %p", "aXy9ep2-4%default gnp ep2-4: "),
        (NP, "%t/%k/%n/%p", "apps/np/web/prod/web: "),
        (PROFILE, "%k %t %n %p", "pro  kns.prod kns.prod: "),
        (GNP, "100% %x %", "100% %x %: "),
    ],
)
def test_specifiers_are_expanded_once_from_left_to_right(rule, template, text):
    assert prefix(rule, template) == text


def test_what_was_put_in_is_not_expanded_again():
    assert prefix(RuleID("%n", policy_id("x"), Direction.EGRESS, 0), "%t") == "%n: "


def test_a_prefix_is_never_longer_than_the_kernel_takes():
    long = RuleID("default", policy_id("x" * 200), Direction.EGRESS, 0)
    assert len(prefix(long, "%n")) == 127
    assert prefix(long, "%n").endswith("x: ")


def test_a_log_rule_counts_and_goes_on():
    table = render_table(state(policies=(policy("a", egress=({"action": Action.LOG},)),)), RenderSettings())
    (rule,) = table.chains[names.policy_chain(policy_id("a"), Direction.EGRESS)].rules
    assert rule.statements == (expr.Counter(), expr.LogToKernel("calico-packet: "))


def test_a_limit_stands_before_the_log_of_each_rule():
    limit = expr.RateLimit(10, "minute", 5)
    item = profile("a", ingress=({"action": Action.LOG, "protocol": 6},))
    table = render_table(state(policies=(item,)), RenderSettings(log_limit=limit))
    (rule,) = table.chains[names.policy_chain(item.id, Direction.INGRESS)].rules
    assert rule.statements[1:] == (limit, expr.Counter(), expr.LogToKernel("calico-packet: "))


def test_a_copy_for_the_agent_carries_the_rule_and_leaves_the_packet_to_the_next_one():
    item = policy("a", egress=({"action": Action.LOG},))
    table = render_table(state(policies=(item,)), RenderSettings(log_group=5, log_prefix="%n"))
    (rule,) = table.chains[names.policy_chain(item.id, Direction.EGRESS)].rules
    assert rule.statements == (expr.Counter(), expr.LogToGroup(5, prefix=rule.comment, snap_bytes=256))


HELD = RenderSettings(log_group=5, log_queue=103, logged_mark=0x200000)


def test_what_waits_for_its_record_is_marked_as_it_is_copied():
    item = policy("a", egress=({"action": Action.LOG},))
    table = render_table(state(policies=(item,)), HELD)
    (rule,) = table.chains[names.policy_chain(item.id, Direction.EGRESS)].rules
    copy = expr.LogToGroup(5, prefix=rule.comment, snap_bytes=256)
    assert rule.statements == (expr.Counter(), copy, expr.SetMark(HELD.logged_mark, HELD.logged_mark))


@pytest.mark.parametrize("drops", [True, False])
def test_the_mark_is_gone_before_the_queue_and_behind_it_stands_the_choice_for_overflow(drops):
    table = render_table(state(), replace(HELD, log_drops_overflow=drops))
    first, second, *last = table.chains[names.LOG_HOLD].rules
    assert first.statements == (expr.SetMark(HELD.logged_mark, 0), expr.Counter())
    assert second.statements == (expr.Jump(names.QUEUE_LOGGED),)
    assert [rule.statements[-1] for rule in last] == [expr.Drop()] * drops
    (queue,) = table.chains[names.QUEUE_LOGGED].rules
    assert queue.statements == (expr.Queue(103, bypass=not drops),)


@pytest.mark.parametrize("settings", [RenderSettings(log_group=5), replace(HELD, has_queue=False)])
def test_without_a_queue_nothing_waits_and_the_base_chains_stay(settings):
    table = render_table(state(policies=(policy("a", egress=({"action": Action.LOG},)),)), settings)
    assert table.chains[names.LOG_INPUT].rules == table.chains[names.LOG_POSTROUTING].rules == ()
    assert names.QUEUE_LOGGED not in table.chains
    (rule,) = table.chains[names.policy_chain(policy_id("a"), Direction.EGRESS)].rules
    assert isinstance(rule.statements[-1], expr.LogToGroup)
