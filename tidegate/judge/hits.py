"""A trace as Calico's flow logs have it: who decided, tier by tier, as text and as structure.

Text: `<place in the list>|<tier>|<short kind>:[<namespace>/]<name>|<allow, deny or pass>|<rule index>`. Rules that do
not match, and Log rules, leave nothing. The end of a tier has the index -1 and belongs to the tier's last enforced
policy, in a pending trace to the first that has a say. Behind the tiers stands the tier `__PROFILE__`; a pending trace
has no entry for profiles of which none matched (Calico: the enforced trace comes from the kernel, the pending one from
a walk in software).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from policy.evaluate import Happened, TraceStep
from policy.rules import PolicyID
from tidegate.render import names

PROFILE_TIER = "__PROFILE__"
"""How Calico's flow logs call what stands behind the tiers."""
END_OF_TIER = "EndOfTier"
_ACTIONS = {
    Happened.ALLOWED: "allow",
    Happened.DENIED: "deny",
    Happened.PASSED: "pass",
    Happened.END_OF_TIER_DENIED: "deny",
    Happened.END_OF_TIER_PASSED: "pass",
    Happened.PROFILE_MISSING: "deny",
    Happened.NO_PROFILE_MATCHED: "deny",
}
_ENDS = frozenset((Happened.END_OF_TIER_DENIED, Happened.END_OF_TIER_PASSED))
_NO_PROFILE = PolicyID(PROFILE_TIER, "", names.PROFILE_KIND)


@dataclass(frozen=True, slots=True)
class Hit:
    """One decision."""

    index: int
    """Place in the list, from 0."""
    tier: str
    policy: PolicyID
    action: str
    rule: int
    """-1: the end of the tier, or no rule of a profile."""
    is_end_of_tier: bool

    @property
    def text(self) -> str:
        """As flow logs write it."""
        name = f"{self.policy.namespace}/{self.policy.name}" if self.policy.namespace else self.policy.name
        short = names.short_kind(self.policy.kind)
        return f"{self.index}|{self.tier}|{short}:{name}|{self.action}|{self.rule}"

    @property
    def document(self) -> dict[str, object]:
        """As Goldmane's PolicyHit: the end of a tier is a kind of its own, with the policy it is put down to."""
        own = {"kind": self.policy.kind, "namespace": self.policy.namespace, "name": self.policy.name}
        where = {"tier": self.tier, "action": self.action, "policy_index": self.index, "rule_index": self.rule}
        if not self.is_end_of_tier:
            return {**own, **where, "trigger": None}
        return {"kind": END_OF_TIER, "namespace": "", "name": "", **where, "trigger": {**own, "tier": self.tier}}


def hits(steps: Iterable[TraceStep], *, is_pending: bool) -> tuple[Hit, ...]:
    """The decisions in a trace, numbered from 0."""
    return tuple(
        Hit(
            index=index,
            tier=step.tier or PROFILE_TIER,
            policy=step.policy or _NO_PROFILE,
            action=_ACTIONS[step.happened],
            rule=step.rule,
            is_end_of_tier=step.happened in _ENDS,
        )
        for index, step in enumerate(_decisions(tuple(steps), is_pending=is_pending))
    )


def _decisions(steps: tuple[TraceStep, ...], *, is_pending: bool) -> Iterator[TraceStep]:
    has_profiles = any(not step.tier and step.policy is not None for step in steps)
    for step in steps:
        is_unsaid = is_pending and has_profiles and step.happened is Happened.NO_PROFILE_MATCHED
        is_pass_of_profile = step.happened is Happened.PASSED and not step.tier
        if step.happened in _ACTIONS and not is_unsaid and not is_pass_of_profile:
            yield step
