"""The walk of one packet through the tiers and profiles of one endpoint, in one direction.

```
for tier in tiers:
    policies of the tier that select the endpoint and have this direction; none: the tier does not count
    first matching rule: Allow and Deny decide, Pass goes to the next tier, Log goes to the next rule
    none matched: the tier's default action, Pass or Deny
for profile of the endpoint: first Allow or Deny decides; Pass or none: next profile
deny
```

Host endpoints ask different policies at different places. Before conntrack and before DNAT every tier passes at its
end; there, and about what is forwarded, no profile is asked and nothing denies behind the tiers: the packet goes on.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import assert_never

from policy.evaluate.match import Question, must_name_itself, why_not
from policy.evaluate.path import Place
from policy.evaluate.select import is_subject
from policy.evaluate.verdict import DECIDING, DENYING, DirectionVerdict, Happened, TraceStep
from policy.resources.metadata import ObjectMeta
from policy.resources.rule import Rule
from policy.rules import Action, Direction, PolicyID, Stage
from policy.tiers import Policy, TierOrder, acts_on_forward, governs, policy_id, stage_of

_HAPPENED = {
    Action.ALLOW: Happened.ALLOWED,
    Action.DENY: Happened.DENIED,
    Action.LOG: Happened.LOGGED,
    Action.PASS: Happened.PASSED,
}
_FINAL = frozenset((Place.WORKLOAD, Place.HOST))
"""Places at which profiles and a denial stand behind the tiers."""
_EARLY = {Place.PRE_DNAT: Stage.PRE_DNAT, Place.UNTRACKED: Stage.UNTRACKED}


def walk(question: Question) -> DirectionVerdict:
    """The verdict of tiers and profiles."""
    trace: list[TraceStep] = []
    for step in _steps(question):
        trace.append(step)
        if step.happened in DECIDING:
            break
    return DirectionVerdict(is_allowed=not trace or trace[-1].happened not in DENYING, trace=tuple(trace))


def _steps(question: Question) -> Iterator[TraceStep]:
    for tier in question.world.tiers:
        yield from _tier_steps(tier, question)
    if question.place in _FINAL:
        for name in question.endpoint.profiles:
            yield from _profile_steps(name, question)
        yield TraceStep(happened=Happened.NO_PROFILE_MATCHED)


def _tier_steps(tier: TierOrder, question: Question) -> Iterator[TraceStep]:
    policies = _governing(tier, question)
    for policy in policies:
        for step in _rule_steps(policy_id(policy), policy.metadata, _rules(policy, question.direction), question):
            yield replace(step, tier=tier.name)
            if step.happened is Happened.PASSED:
                return
    if policies:
        does_pass = tier.default_action is Action.PASS or question.place in _EARLY
        end = Happened.END_OF_TIER_PASSED if does_pass else Happened.END_OF_TIER_DENIED
        told = policies[0 if question.world.is_pending else -1]  # Calico: the pending walk names the first
        yield TraceStep(happened=end, tier=tier.name, policy=policy_id(told))


def _governing(tier: TierOrder, question: Question) -> list[Policy]:
    return [
        policy
        for policy in question.world.policies
        if policy.spec.tier == tier.name
        and governs(policy, question.direction)
        and _acts_at(policy, question.place)
        and is_subject(policy, question.endpoint, question.world)
    ]


def _acts_at(policy: Policy, place: Place) -> bool:
    if stage_of(policy) is not _EARLY.get(place, Stage.NORMAL):
        return False
    return place is not Place.FORWARD or acts_on_forward(policy)


def _profile_steps(name: str, question: Question) -> Iterator[TraceStep]:
    identity = PolicyID(name, "", "Profile")
    profile = question.world.profiles.get(name)
    if profile is None:
        yield TraceStep(happened=Happened.PROFILE_MISSING, policy=identity)
        return
    rules = profile.spec.ingress if question.direction is Direction.INGRESS else profile.spec.egress
    owner = ObjectMeta.model_construct(name=name)  # profiles have no DNS options
    for step in _rule_steps(identity, owner, rules, question):
        yield step
        if step.happened is Happened.PASSED:
            return


def _rule_steps(
    identity: PolicyID, owner: ObjectMeta, rules: tuple[Rule, ...], question: Question
) -> Iterator[TraceStep]:
    asked = replace(question, owner=owner)
    for index, rule in enumerate(rules):
        reason = why_not(rule, asked)
        happened = _HAPPENED[rule.action] if reason is None else Happened.NOT_MATCHED
        must_name = happened is Happened.ALLOWED and must_name_itself(rule, asked)
        yield TraceStep(happened=happened, policy=identity, rule=index, reason=reason or "", must_name=must_name)


def _rules(policy: Policy, direction: Direction) -> tuple[Rule, ...]:
    match direction:
        case Direction.INGRESS:
            return policy.spec.ingress
        case Direction.EGRESS:
            return policy.spec.egress
        case _:
            assert_never(direction)
