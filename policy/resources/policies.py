"""Tiers and the policies in them (Calico: Tier, NetworkPolicy, GlobalNetworkPolicy)."""

from enum import StrEnum
from typing import ClassVar, Literal

from policy.resources.metadata import Resource
from policy.resources.model import Model
from policy.resources.rule import Rule
from policy.rules import Action


class PolicyType(StrEnum):
    """A direction that a policy governs."""

    INGRESS = "Ingress"
    EGRESS = "Egress"


class TierSpec(Model):
    """Where a tier stands and what it does with packets that none of its policies decided about."""

    order: float = 1_000_000
    default_action: Literal[Action.DENY, Action.PASS] = Action.DENY


class Tier(Resource):
    """A group of policies that is asked as one."""

    KIND: ClassVar = "Tier"
    IS_NAMESPACED: ClassVar = False

    spec: TierSpec = TierSpec()


class PolicySpec(Model):
    """What namespaced and cluster-wide policies have in common."""

    tier: str = "default"
    order: float | None = None
    """None stands behind every number."""
    selector: str = ""
    types: tuple[PolicyType, ...] = ()
    """Never empty once decoded."""
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    service_account_selector: str = ""
    performance_hints: tuple[Literal["AssumeNeededOnEveryNode"], ...] = ()


class GlobalPolicySpec(PolicySpec):
    """Adds what only cluster-wide policies can say."""

    namespace_selector: str = ""
    do_not_track: bool = False
    pre_dnat: bool = False
    apply_on_forward: bool = False


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
