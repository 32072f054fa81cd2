"""Tiers and profiles as chains: the order in which an endpoint's policies are asked.

    le-..  endpoint's list, shared        te-..  one tier, shared              pe-..  one policy, shared
      jump te-1                             jump pe-1                            tcp dport 443 accept
      jump te-2                             mark PASS: clear it, return          udp mark set PASS, return
      jump pe-profile                       jump pe-2
      goto deny-egress                      goto deny-egress   (or: return)

Only policies with a Pass rule are followed by a look at the mark. A policy that selects the endpoint in a direction for
which it has no rules gets no jump, but counts for the end of its tier. Staged policies are not there at all.
"""

from collections.abc import Iterator, Mapping

from nft import expr
from nft.model import Chain, Rule
from policy.rules import Action, CompiledPolicy, Direction, EndpointPolicy, EndpointTier, PolicyID, RuleID
from tidegate.render import names
from tidegate.render.policy import passes, rules_of
from tidegate.render.settings import RenderSettings

Policies = Mapping[PolicyID, CompiledPolicy]


def render_lists(
    endpoint: EndpointPolicy, direction: Direction, policies: Policies, settings: RenderSettings
) -> list[Chain]:
    """The endpoint's list chain, first, and the tier chains it jumps to."""
    tiers = [tier for tier in endpoint.tiers if enforced(tier, direction, policies)]
    tier_chains = [_tier(tier, direction, policies, settings) for tier in tiers]
    jumps = [Rule((expr.Jump(chain.name),)) for chain in tier_chains]
    profiles = [rule for profile in endpoint.profiles for rule in _profile(profile, direction, policies)]
    last = _deny(names.no_profile(direction))
    names_inside = (
        *(chain.name for chain in tier_chains),
        *(names.policy_chain(profile, direction) for profile in endpoint.profiles),
    )
    return [Chain(names.list_chain(names_inside, direction), (*jumps, *profiles, last)), *tier_chains]


def enforced(tier: EndpointTier, direction: Direction, policies: Policies) -> tuple[PolicyID, ...]:
    """The tier's policies that decide in this direction, in order. One that is not known (yet) counts: it denies."""
    listed = tier.egress if direction is Direction.EGRESS else tier.ingress
    return tuple(policy for policy in listed if policy not in policies or not policies[policy].is_staged)


def _tier(tier: EndpointTier, direction: Direction, policies: Policies, settings: RenderSettings) -> Chain:
    decisive = enforced(tier, direction, policies)
    rules = [rule for policy in decisive for rule in _ask(policy, tier, direction, policies, settings)]
    end = names.end_of_tier(tier.name, decisive[-1], direction)
    if tier.default_action is Action.PASS:
        rules.append(Rule((expr.Counter(), expr.Return()), names.comment(end)))
    else:
        rules.append(_deny(end))
    return Chain(names.tier_chain(tier, direction), tuple(rules))


def _ask(
    policy: PolicyID, tier: EndpointTier, direction: Direction, policies: Policies, settings: RenderSettings
) -> Iterator[Rule]:
    known = policies.get(policy)
    if known is None:
        yield _deny(RuleID(tier.name, policy, direction, -1))
        return
    if rules_of(known, direction):
        yield Rule((expr.Jump(names.policy_chain(policy, direction)),))
    if passes(known, direction):
        bit = settings.pass_mark
        yield Rule((expr.MarkBits(bit, expr.Op.EQ, bit), expr.SetMark(bit, 0), expr.Return()))


def _profile(profile: PolicyID, direction: Direction, policies: Policies) -> Iterator[Rule]:
    """A profile that is missing denies everything (Calico: endpoints with a missing profile)."""
    known = policies.get(profile)
    if known is None:
        yield _deny(RuleID("", profile, direction, -1))
    elif rules_of(known, direction):
        yield Rule((expr.Jump(names.policy_chain(profile, direction)),))


def _deny(reason: RuleID) -> Rule:
    chain = names.DENY_EGRESS if reason.direction is Direction.EGRESS else names.DENY_INGRESS
    return Rule((expr.Counter(), expr.Goto(chain)), names.comment(reason))
