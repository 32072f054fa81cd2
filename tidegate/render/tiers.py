"""Tiers and profiles as chains: the order in which an endpoint's policies are asked.

    le-..  a list, shared              te-..  one tier, shared               pe-..  one policy, shared
      jump te-1                          l4proto tcp jump pe-1                 tcp dport 443 accept
      jump te-2                          jump pe-2                             mark PASS, return
      jump pe-profile                    mark PASS: clear it, return
      goto deny-egress                   goto deny-egress   (or: return)

Only policies with a Pass rule are followed by a look at the mark. A policy whose rules are all about one protocol is
asked about packets of that protocol only. A policy that selects the endpoint in a direction for which it has no rules
gets no jump, but counts for the end of its tier. Staged policies are not there: what they would do is counted beside
the walk, by a jump to chains that have no verdicts (`tidegate.render.trial`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from nft import expr
from nft.model import Chain, Rule
from policy.rules import Action, Direction, EndpointPolicy, EndpointTier, PolicyID, RuleID
from tidegate.render import names
from tidegate.render.outline import Outline
from tidegate.render.trial import NO_TRIAL, Trial, split

Outlines = Mapping[PolicyID, Outline]
"""Of every policy that exists, in the direction that is meant."""


@dataclass(frozen=True, slots=True)
class PolicyList:
    """Everything that decides about some endpoints in one direction, in order; endpoints that agree in it share it."""

    name: str
    """The chain's: made from all the rest."""
    direction: Direction
    tiers: tuple[EndpointTier, ...]
    """Those that have an enforced policy in this direction, without the staged ones."""
    profiles: tuple[PolicyID, ...]
    is_open: bool = False
    """Nothing denies behind it: who comes to its end goes on."""
    trial: Trial = NO_TRIAL
    """What staged policies would change in it."""

    @classmethod
    def of(cls, endpoint: EndpointPolicy, direction: Direction) -> "PolicyList":
        """The endpoint's."""
        return cls.ask(endpoint.tiers, endpoint.profiles, direction)

    @classmethod
    def ask(
        cls,
        tiers: Iterable[EndpointTier],
        profiles: tuple[PolicyID, ...],
        direction: Direction,
        *,
        is_open: bool = False,
    ) -> "PolicyList":
        """The tiers that have policies in the direction, then the profiles."""
        speaking, trial = split(tuple(tiers), direction)
        chains = (
            *(names.tier_chain(tier, direction) for tier in speaking),
            *(names.policy_chain(profile, direction) for profile in profiles),
            *(("open",) if is_open else ()),
            *((trial.name, str(trial.start)) if trial.tiers else ()),
        )
        return cls(names.list_chain(chains, direction), direction, speaking, profiles, is_open, trial)

    @property
    def policies(self) -> Iterator[PolicyID]:
        """Policies, staged or not, and profiles."""
        for tier in self.tiers:
            yield from listed(tier, self.direction)
        yield from self.trial.policies
        yield from self.profiles

    @property
    def is_asked(self) -> bool:
        """Whether anybody in it, or its end, may decide."""
        return bool(self.tiers) or not self.is_open


def listed(tier: EndpointTier, direction: Direction) -> tuple[PolicyID, ...]:
    """The tier's policies in this direction, in order."""
    return tier.egress if direction is Direction.EGRESS else tier.ingress


class ListRenderer:
    """Makes lists of one direction into chains. Remembers, for each policy, the rules by which it is asked."""

    def __init__(self, outlines: Outlines, direction: Direction, pass_mark: int) -> None:
        self._outlines = outlines
        self._direction = direction
        self._pass_mark = pass_mark
        self._questions: dict[PolicyID, tuple[Rule, ...]] = {}

    def forget(self, policy: PolicyID) -> None:
        """The policy's outline has changed."""
        self._questions.pop(policy, None)

    def chains(self, wanted: PolicyList) -> Iterator[Chain]:
        """The list's chain and those of its tiers."""
        jumps = []
        for tier in wanted.tiers:
            chain = self._tier(tier, listed(tier, self._direction))
            jumps.append(Rule((expr.Jump(chain.name),)))
            yield chain
        if wanted.trial.tiers:
            jumps.insert(wanted.trial.start, Rule((expr.Jump(wanted.trial.name),), "as it would be"))
        profiles = [rule for profile in wanted.profiles for rule in self._ask(profile, "")]
        end = () if wanted.is_open else (_deny(names.no_profile(self._direction)),)
        yield Chain(wanted.name, (*jumps, *profiles, *end))

    def _tier(self, tier: EndpointTier, decisive: tuple[PolicyID, ...]) -> Chain:
        rules = [rule for policy in decisive for rule in self._ask(policy, tier.name)]
        end = names.end_of_tier(tier.name, decisive[-1], self._direction)
        if tier.default_action is Action.PASS:
            rules.append(Rule((expr.Counter(), expr.Return()), names.comment(end)))
        else:
            rules.append(_deny(end))
        return Chain(names.tier_chain(tier, self._direction), tuple(rules))

    def _ask(self, policy: PolicyID, tier: str) -> tuple[Rule, ...]:
        """One that is not there denies: a profile by Calico's rule, a policy because it may be about to deny."""
        if policy not in self._outlines:
            return (_deny(RuleID(tier, policy, self._direction, -1)),)
        if policy not in self._questions:
            self._questions[policy] = tuple(self._question(policy, self._outlines[policy]))
        return self._questions[policy]

    def _question(self, policy: PolicyID, outline: Outline) -> Iterator[Rule]:
        if outline.has_rules:
            jump = expr.Jump(names.policy_chain(policy, self._direction))
            guard = expr.Compare(expr.Field.L4PROTO, expr.Op.EQ, outline.protocol) if outline.protocol else None
            yield Rule((jump,) if guard is None else (guard, jump))
        if outline.passes and policy.kind != names.PROFILE_KIND:
            bit = self._pass_mark
            yield Rule((expr.MarkBits(bit, expr.Op.EQ, bit), expr.SetMark(bit, 0), expr.Return()))


def _deny(reason: RuleID) -> Rule:
    chain = names.DENY_EGRESS if reason.direction is Direction.EGRESS else names.DENY_INGRESS
    return Rule((expr.Counter(), expr.Goto(chain)), names.comment(reason))
