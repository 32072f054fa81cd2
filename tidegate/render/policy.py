"""A policy as chains: one for each direction, shared by every endpoint it selects.

A chain that is left without a verdict goes on in the tier (or with the next profile). Verdicts are final for their
stage: `accept` ends the stage's base chain, and every stage is a base chain of its own (see `tidegate.render.base`).
"""

from collections.abc import Iterator

from nft import expr
from nft.model import Chain, Rule
from policy.resources.cluster_conversion import SILENT_KINDS
from policy.rules import Action, CompiledPolicy, CompiledRule, Direction, Stage
from tidegate.config.packets import DenyAction
from tidegate.render import copies, grace, log, names
from tidegate.render.content import ContentSets
from tidegate.render.fragment import Fragment
from tidegate.render.match import conditions, learned_match
from tidegate.render.named import bind
from tidegate.render.settings import RenderSettings


def render_policy(policy: CompiledPolicy, settings: RenderSettings) -> Fragment:
    """The policy's chains and the sets its rules are written with. A staged policy has none: it never decides."""
    content = ContentSets()
    chains = [_chain(policy, direction, content, settings) for direction in Direction if rules_of(policy, direction)]
    return Fragment(chains={chain.name: chain for chain in chains}, sets=content.sets, elements=content.elements)


def rules_of(policy: CompiledPolicy, direction: Direction) -> tuple[CompiledRule, ...]:
    """The rules that decide in one direction; of a staged policy, none."""
    if policy.is_staged:
        return ()
    return policy.egress if direction is Direction.EGRESS else policy.ingress


def _chain(policy: CompiledPolicy, direction: Direction, content: ContentSets, settings: RenderSettings) -> Chain:
    is_profile = policy.id.kind == names.PROFILE_KIND
    rules = [
        Rule(
            (
                *condition,
                *note,
                *((bind(settings),) if rule.is_bound and learned_match(rule, condition) else ()),
                *_verdict(rule, policy.stage, settings, is_profile=is_profile),
            ),
            names.comment(rule.id),
        )
        for rule in rules_of(policy, direction)
        for condition in conditions(rule, content, has_grace=grace.grace_seconds(rule, settings) > 0)
        for note in grace.notes(rule, condition, settings)
    ]
    return Chain(names.policy_chain(policy.id, direction), tuple(rules))


def _verdict(
    rule: CompiledRule, stage: Stage, settings: RenderSettings, *, is_profile: bool
) -> Iterator[expr.Statement]:
    if rule.action is Action.LOG and settings.log_limit is not None:
        yield settings.log_limit
    yield expr.Counter()
    match rule.action:
        case Action.ALLOW:
            if stage is Stage.UNTRACKED:
                yield expr.NoTrack()
            if stage is not Stage.NORMAL:
                yield expr.SetMark(settings.host_mark, settings.host_mark)
            yield expr.Accept()
        case Action.DENY:
            denial = _denial(rule, settings)
            if settings.copies_denied and isinstance(denial, expr.Drop):
                yield copies.copy(rule.id.direction)
            yield denial
        case Action.PASS:
            if not is_profile:
                yield expr.SetMark(settings.pass_mark, settings.pass_mark)
            yield expr.Return()
        case Action.LOG:
            yield from log.statements(rule.id, settings)


def _denial(rule: CompiledRule, settings: RenderSettings) -> expr.Statement:
    is_silent = settings.deny_action is DenyAction.REJECT and rule.id.policy.kind in SILENT_KINDS
    if rule.id.direction is Direction.EGRESS:
        return expr.Goto(names.DROP_EGRESS if is_silent else names.DENY_EGRESS)
    return expr.Drop() if is_silent else expr.Goto(names.DENY_INGRESS)
