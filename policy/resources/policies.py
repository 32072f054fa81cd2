"""Tiers and the policies in them (Calico: Tier, NetworkPolicy, GlobalNetworkPolicy). See also `policy_conditions`."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from policy.resources.fields import Distinct, Flag, Items, LabelName, Number, SelectorText, at_most, choice
from policy.resources.metadata import Resource
from policy.resources.model import Model
from policy.resources.rule import MAX_RULES, Rule
from policy.rules import Action

DEFAULT_TIER_ORDER = 1_000_000.0
RESERVED_TIERS = {
    "kube-admin": (1_000.0, Action.PASS),
    "default": (DEFAULT_TIER_ORDER, Action.DENY),
    "kube-baseline": (10_000_000.0, Action.PASS),
}
"""Tiers that always exist, with the order and default action they cannot lose."""

Rules = Annotated[Items[Rule], at_most(MAX_RULES)]


class PolicyType(StrEnum):
    """A direction that a policy governs."""

    INGRESS = "Ingress"
    EGRESS = "Egress"


class PerformanceHint(StrEnum):
    """A wish about preloading; has no meaning for traffic."""

    ASSUME_NEEDED = "AssumeNeededOnEveryNode"


class TierSpec(Model):
    """Where a tier stands and what it does with packets that none of its policies decided about."""

    order: Number = DEFAULT_TIER_ORDER
    default_action: Annotated[Literal[Action.DENY, Action.PASS], choice(Action.DENY, Action.PASS)] = Action.DENY


class Tier(Resource):
    """A group of policies that is asked as one."""

    KIND: ClassVar = "Tier"
    IS_NAMESPACED: ClassVar = False

    spec: TierSpec = TierSpec()

    @classmethod
    def prepared(cls, given: dict[str, object]) -> dict[str, object]:
        """With the order and default action that a reserved tier has."""
        metadata, spec = given.get("metadata"), given.get("spec", {})
        name = metadata.get("name") if isinstance(metadata, Mapping) else None
        if isinstance(name, str) and name in RESERVED_TIERS and isinstance(spec, Mapping):
            order, action = RESERVED_TIERS[name]
            set_by_user = {key: value for key, value in spec.items() if value is not None}
            given["spec"] = {"order": order, "defaultAction": action, **set_by_user}
        return super().prepared(given)


def _implied_types(given: dict[str, object]) -> list[PolicyType]:
    if not given.get("egress"):
        return [PolicyType.INGRESS]
    return [PolicyType.INGRESS, PolicyType.EGRESS] if given.get("ingress") else [PolicyType.EGRESS]


class PolicySpec(Model):
    """What namespaced and cluster-wide policies have in common."""

    tier: LabelName = "default"
    order: Number | None = None
    """None stands behind every number."""
    selector: SelectorText = ""
    types: Annotated[Distinct[Annotated[PolicyType, choice(*PolicyType)]], at_most(2)] = ()
    """Never empty once decoded."""
    ingress: Rules = ()
    egress: Rules = ()
    service_account_selector: SelectorText = ""
    performance_hints: Distinct[Annotated[PerformanceHint, choice(*PerformanceHint)]] = ()

    @classmethod
    def prepared(cls, given: dict[str, object]) -> dict[str, object]:
        """With the types that the rules imply (Calico: types default)."""
        return {"types": _implied_types(given), **given}


class GlobalPolicySpec(PolicySpec):
    """Adds what only cluster-wide policies can say."""

    namespace_selector: SelectorText = ""
    do_not_track: Flag = False
    pre_dnat: Flag = False
    apply_on_forward: Flag = False


class NetworkPolicy(Resource):
    """A policy for the endpoints of its namespace."""

    KIND: ClassVar = "NetworkPolicy"
    IS_NAMESPACED: ClassVar = True

    spec: PolicySpec = PolicySpec()


class GlobalNetworkPolicy(Resource):
    """A policy for endpoints anywhere."""

    KIND: ClassVar = "GlobalNetworkPolicy"
    IS_NAMESPACED: ClassVar = False

    spec: GlobalPolicySpec = GlobalPolicySpec()
