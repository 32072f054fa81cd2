"""Staged policy as chains that count and never decide: the walk as it would be, beside the walk that is.

    le-..  a list                 xe-..  the walk on trial              ye-..  one tier of it
      jump te-1                     mark PASS: clear it                   tcp dport 443 counter return     staged Allow
      jump xe-.. (no verdict)       jump ye-2                             tcp dport 80 return              enforced Deny
      jump te-2                     mark PASS is not set: return          counter mark PASS, return        staged Pass
      ...                           mark PASS: clear it                   counter return                   end of tier
                                    jump ye-3 ...

The two walks are one until the first tier that has a staged policy, or a policy that a staged deletion is about.
There the list jumps to the walk on trial, and where that returns, the enforced walk goes on as if nothing had been.
Nothing in these chains is a verdict, a log or a queue, and the mark they use is clear before and behind them. Behind
the last tier with a staged policy there is nothing left to count.

A rule that decides returns from its tier without the mark: that ends the walk on trial. Pass sets it, and the next tier
is asked. Only staged rules and ends of tiers count: whatever packet reaches them in the pending walk, and no other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nft import expr
from nft.model import Chain, Rule
from policy import staged
from policy.rules import Action, CompiledPolicy, CompiledRule, Direction, EndpointTier, PolicyID, RuleID
from tidegate.render import grace, names
from tidegate.render.content import ContentSets
from tidegate.render.fragment import Fragment
from tidegate.render.match import conditions
from tidegate.render.settings import RenderSettings


@dataclass(frozen=True, slots=True)
class Trial:
    """The part of a list's walk that staged policies change."""

    tiers: tuple[EndpointTier, ...]
    """From the first that would be otherwise to the last that has a staged policy; empty where there is none."""
    start: int
    """How many enforced tiers are asked before."""
    direction: Direction

    @property
    def name(self) -> str:
        """The chain's."""
        return names.trial_chain(tuple(_tier_name(tier, self.direction) for tier in self.tiers), self.direction)

    @property
    def policies(self) -> Iterator[PolicyID]:
        """All whose rules are in it, staged or not."""
        for tier in self.tiers:
            yield from _walked(tier, self.direction)


NO_TRIAL = Trial((), 0, Direction.EGRESS)


def split(tiers: tuple[EndpointTier, ...], direction: Direction) -> tuple[tuple[EndpointTier, ...], Trial]:
    """The tiers as they are enforced, and what is on trial in them. Without staged policies they stay what they are."""
    asked = [tier for tier in tiers if _listed(tier, direction)]
    enforced = [_enforced(tier, direction) for tier in asked]
    decisive = tuple(tier for tier in enforced if _listed(tier, direction))
    has_staged = [any(map(staged.is_staged, _listed(tier, direction))) for tier in asked]
    if True not in has_staged:
        return decisive, NO_TRIAL
    differs = [is_new or bool(_leaving(tier, direction)) for is_new, tier in zip(has_staged, asked, strict=True)]
    first, last = differs.index(True), len(asked) - has_staged[::-1].index(True)
    start = sum(bool(_listed(tier, direction)) for tier in enforced[:first])
    return decisive, Trial(tuple(asked[first:last]), start, direction)


def render_trial(trial: Trial, policies: Mapping[PolicyID, CompiledPolicy], settings: RenderSettings) -> Fragment:
    """The chains of the walk on trial, and the sets that they look things up in."""
    content = ContentSets()
    chains = [_walk(trial, settings.pass_mark)]
    for tier in trial.tiers:
        rules = tuple(_tier_rules(tier, trial.direction, policies, settings, content))
        chains.append(Chain(_tier_name(tier, trial.direction), rules))
    return Fragment(chains={chain.name: chain for chain in chains}, sets=content.sets, elements=content.elements)


@dataclass(frozen=True, slots=True)
class _Mark:
    """The bit that says that a tier has passed."""

    bit: int

    def passed(self) -> tuple[expr.Statement, ...]:
        return (expr.SetMark(self.bit, self.bit), expr.Return())


def _walk(trial: Trial, bit: int) -> Chain:
    clear = Rule((expr.SetMark(bit, 0),))
    rules = [clear]
    for number, tier in enumerate(trial.tiers):
        if number:
            rules += [Rule((expr.MarkBits(bit, expr.Op.EQ, 0), expr.Return())), clear]
        rules.append(Rule((expr.Jump(_tier_name(tier, trial.direction)),)))
    return Chain(trial.name, (*rules, clear))


def _tier_rules(
    tier: EndpointTier,
    direction: Direction,
    policies: Mapping[PolicyID, CompiledPolicy],
    settings: RenderSettings,
    content: ContentSets,
) -> Iterator[Rule]:
    mark = _Mark(settings.pass_mark)
    walked = _walked(tier, direction)
    for identity in walked:
        policy = policies.get(identity)
        if policy is None:  # it is about to come or to go, and denies meanwhile
            yield Rule((expr.Return(),))
            continue
        for rule in policy.egress if direction is Direction.EGRESS else policy.ingress:
            yield from _rule(rule, mark, content, settings)
    if walked:
        end = names.pending_comment(RuleID(tier.name, walked[0], direction, -1))
        does_pass = tier.default_action is Action.PASS
        yield Rule((expr.Counter(), *(mark.passed() if does_pass else (expr.Return(),))), end)
    else:
        yield Rule(mark.passed())  # all of its policies would be gone: the tier does not count


def _rule(rule: CompiledRule, mark: _Mark, content: ContentSets, settings: RenderSettings) -> Iterator[Rule]:
    is_counted = staged.is_staged(rule.id.policy)
    if rule.action is Action.LOG and not is_counted:
        return
    end: tuple[expr.Statement, ...] = (expr.Return(),)
    if rule.action is Action.PASS:
        end = mark.passed()
    if rule.action is Action.LOG:
        end = ()
    counter = (expr.Counter(),) if is_counted else ()
    comment = names.comment(rule.id) if is_counted else ""
    for condition in conditions(rule, content, has_grace=grace.grace_seconds(rule, settings) > 0):
        # An enforced rule's grace is given by the enforced walk: a walk on trial gives a staged rule's alone.
        for note in grace.notes(rule, condition, settings) if is_counted else ((),):
            yield Rule((*condition, *note, *counter, *end), comment)


def _tier_name(tier: EndpointTier, direction: Direction) -> str:
    return names.trial_tier_chain(tier, _walked(tier, direction), direction)


def _walked(tier: EndpointTier, direction: Direction) -> tuple[PolicyID, ...]:
    return tuple(policy for policy in _listed(tier, direction) if policy not in tier.leaving)


def _leaving(tier: EndpointTier, direction: Direction) -> tuple[PolicyID, ...]:
    return tuple(policy for policy in _listed(tier, direction) if policy in tier.leaving)


def _listed(tier: EndpointTier, direction: Direction) -> tuple[PolicyID, ...]:
    return tier.egress if direction is Direction.EGRESS else tier.ingress


def _enforced(tier: EndpointTier, direction: Direction) -> EndpointTier:
    """The tier in this direction alone, without staged policies."""
    policies = tuple(policy for policy in _listed(tier, direction) if not staged.is_staged(policy))
    if direction is Direction.EGRESS:
        return EndpointTier(name=tier.name, default_action=tier.default_action, egress=policies)
    return EndpointTier(name=tier.name, default_action=tier.default_action, ingress=policies)
