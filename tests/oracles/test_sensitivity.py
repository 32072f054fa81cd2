"""Do the oracles notice? A renderer that forgets one thing must be found out by some random world."""

from dataclasses import replace
from functools import cache

import pytest

from nft.expr import Compare, Field, Jump, MarkBits, Op, SetMark
from nft.model import Rule
from policy.rules import Action
from tests.oracles.cases import Case
from tests.oracles.worlds import make_world
from tidegate.render import policy as policy_module
from tidegate.render import tiers as tiers_module
from tidegate.render.match import conditions

MAX_WORLDS = 600


@cache
def case(seed):
    made = Case(make_world(seed))
    return made, [(packet, made.evaluated(packet)) for _, packet in made.packets]


def is_noticed():
    for seed in range(MAX_WORLDS):
        made, judged = case(seed)
        simulation = made.simulation()
        if not all(simulation.judge(packet).agrees(wanted) for packet, wanted in judged):
            return True
    return False


def both(**fields):
    return lambda rule: replace(
        rule, source=replace(rule.source, **fields), destination=replace(rule.destination, **fields)
    )


def forget_code(field):
    return lambda rule: replace(rule, **{field: getattr(rule, field) and replace(getattr(rule, field), code=None)})


FORGOTTEN = {
    **{
        field: both(**{field: ()})
        for field in ("nets", "not_nets", "sets", "not_sets", "ports", "port_sets", "not_ports", "not_port_sets")
    },
    **{
        field: lambda rule, field=field: replace(rule, **{field: None})
        for field in ("ip_version", "protocol", "not_protocol", "icmp", "not_icmp")
    },
    "icmp code": forget_code("icmp"),
    "not_icmp code": forget_code("not_icmp"),
    "services": both(service_set=None),
    "names": lambda rule: replace(rule, destination=replace(rule.destination, domain_set=None)),
    "sides": lambda rule: replace(rule, source=rule.destination, destination=rule.source),
}


@pytest.mark.parametrize("what", FORGOTTEN)
def test_a_forgotten_criterion_is_noticed(what, monkeypatch):
    forgetful = lambda rule, content, **grace: conditions(FORGOTTEN[what](rule), content, **grace)  # noqa: E731
    monkeypatch.setattr(policy_module, "conditions", forgetful)
    assert is_noticed()


@pytest.mark.parametrize("given", [False, True])
def test_grace_that_nobody_has_and_grace_that_all_have_are_noticed(given, monkeypatch):
    monkeypatch.setattr("tidegate.render.grace.grace_seconds", lambda of, settings: 60.0 * given)
    if given:  # its elements are where all rules look, too
        monkeypatch.setattr("tidegate.judge.learned.grace_seconds", lambda options, settings: 60.0)
    assert is_noticed()


def test_a_pass_that_leaves_no_mark_is_noticed(monkeypatch):
    verdict = policy_module._verdict

    def unmarked(rule, stage, settings, **options):
        return (item for item in verdict(rule, stage, settings, **options) if not isinstance(item, SetMark))

    monkeypatch.setattr(policy_module, "_verdict", unmarked)
    assert is_noticed()


def test_a_mark_that_nobody_clears_is_noticed(monkeypatch):
    ask = tiers_module.ListRenderer._question

    def keeping(self, policy, outline):
        for rule in ask(self, policy, outline):
            yield Rule(tuple(item for item in rule.statements if not isinstance(item, SetMark)))

    monkeypatch.setattr(tiers_module.ListRenderer, "_question", keeping)
    assert is_noticed()


def test_a_mark_that_nobody_looks_at_is_noticed(monkeypatch):
    ask = tiers_module.ListRenderer._question

    def blind(self, policy, outline):
        return (rule for rule in ask(self, policy, outline) if not isinstance(rule.statements[0], MarkBits))

    monkeypatch.setattr(tiers_module.ListRenderer, "_question", blind)
    assert is_noticed()


def test_a_policy_that_is_asked_about_one_protocol_too_few_is_noticed(monkeypatch):
    ask = tiers_module.ListRenderer._question
    only_tcp = Compare(Field.L4PROTO, Op.EQ, 6)

    def narrow(self, policy, outline):
        for rule in ask(self, policy, outline):
            is_jump = isinstance(rule.statements[-1], Jump)
            yield Rule((only_tcp, *rule.statements)) if is_jump else rule

    monkeypatch.setattr(tiers_module.ListRenderer, "_question", narrow)
    assert is_noticed()


def test_a_tier_that_never_passes_at_its_end_is_noticed(monkeypatch):
    make = tiers_module.ListRenderer._tier
    denying = lambda self, tier, decisive: make(self, replace(tier, default_action=Action.DENY), decisive)  # noqa: E731
    monkeypatch.setattr(tiers_module.ListRenderer, "_tier", denying)
    assert is_noticed()


def test_a_renderer_that_forgets_nothing_is_not_accused():
    made, judged = case(0)
    simulation = made.simulation()
    assert all(simulation.judge(packet).agrees(wanted) for packet, wanted in judged)
