"""Which tier and which policy is asked first (Calico: tiers).

Tiers by order, then name; tiers that policies name but nobody made stand behind all others and deny at their end.
Policies by order, none last, then by the text `name/namespace/kind`.
"""

from dataclasses import dataclass
from math import inf
from typing import Literal

from policy.resources.metadata import ResourceKey
from policy.resources.policies import (
    DEFAULT_TIER_ORDER,
    RESERVED_TIERS,
    GlobalNetworkPolicy,
    NetworkPolicy,
    PolicyType,
    Tier,
)
from policy.rules import Action, Direction, PolicyID, Stage

Policy = NetworkPolicy | GlobalNetworkPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class TierOrder:
    """What the walk needs to know of a tier."""

    name: str
    order: float = DEFAULT_TIER_ORDER
    default_action: Literal[Action.DENY, Action.PASS] = Action.DENY
    is_known: bool = True
    """False for a tier that only policies speak of."""

    @property
    def sort_key(self) -> tuple[bool, float, str]:
        """Ascending: who is asked first."""
        return (not self.is_known, self.order, self.name)


def tier_order(name: str, tier: Tier | None) -> TierOrder:
    """How a tier of this name stands, given the resource or None where there is none.

    Reserved tiers always exist; what a document says of them changes nothing.
    """
    if name in RESERVED_TIERS:
        order, action = RESERVED_TIERS[name]
        return TierOrder(name=name, order=order, default_action=_default_action(action))
    if tier is None:
        return TierOrder(name=name, is_known=False)
    return TierOrder(name=name, order=tier.spec.order, default_action=tier.spec.default_action)


def _default_action(action: Action) -> Literal[Action.DENY, Action.PASS]:
    return Action.PASS if action is Action.PASS else Action.DENY


def policy_id(policy: Policy) -> PolicyID:
    """Identifies the policy; its tier is no part of it."""
    return PolicyID(policy.metadata.name, policy.metadata.namespace, policy.KIND)


def identity_of(key: ResourceKey) -> PolicyID:
    """Identifies the policy that has this key."""
    return PolicyID(key.name, key.namespace, key.kind)


def policy_sort_key(identity: PolicyID, order: float | None) -> tuple[float, str]:
    """Ascending: who is asked first. The text is compared as a whole: `a-b` stands before `a`, as `-` before `/`."""
    return (inf if order is None else order, f"{identity.name}/{identity.namespace}/{identity.kind}")


def governs(policy: Policy, direction: Direction) -> bool:
    """Whether the policy decides about this direction. No types at all act as both (Calico: stored undefaulted)."""
    wanted = PolicyType.INGRESS if direction is Direction.INGRESS else PolicyType.EGRESS
    return not policy.spec.types or wanted in policy.spec.types


def stage_of(policy: Policy) -> Stage:
    """Where the policy acts; everywhere but at `NORMAL` it acts on host endpoints only."""
    if isinstance(policy, GlobalNetworkPolicy):
        if policy.spec.do_not_track:
            return Stage.UNTRACKED
        if policy.spec.pre_dnat:
            return Stage.PRE_DNAT
    return Stage.NORMAL


def acts_on_forward(policy: Policy) -> bool:
    """Whether a policy of the normal stage also judges what host endpoints forward."""
    is_normal = stage_of(policy) is Stage.NORMAL
    return is_normal and isinstance(policy, GlobalNetworkPolicy) and policy.spec.apply_on_forward
