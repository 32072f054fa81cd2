"""Policies on trial (Calico: staged policies): written like the enforced ones, reported on, never enforced."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, ClassVar

from policy.resources.conditions import Complaint, Conditions
from policy.resources.fields import choice
from policy.resources.kube_policy import NetworkingPolicySpec
from policy.resources.metadata import Resource
from policy.resources.policies import GlobalPolicySpec, PolicySpec


class StagedAction(StrEnum):
    """What shall become of the enforced policy of the same name."""

    SET = "Set"
    DELETE = "Delete"
    LEARN = "Learn"
    IGNORE = "Ignore"


StagedActionField = Annotated[StagedAction, choice(*StagedAction)]


def _is_deletion(given: dict[str, object]) -> bool:
    return given.get("stagedAction") == StagedAction.DELETE


class StagedPolicySpec(PolicySpec):
    """As of a NetworkPolicy."""

    staged_action: StagedActionField = StagedAction.SET

    @classmethod
    def prepared(cls, given: dict[str, object]) -> dict[str, object]:
        """A deletion has no rules, so no types follow from them."""
        return given if _is_deletion(given) else super().prepared(given)


class StagedGlobalPolicySpec(GlobalPolicySpec):
    """As of a GlobalNetworkPolicy."""

    staged_action: StagedActionField = StagedAction.SET

    @classmethod
    def prepared(cls, given: dict[str, object]) -> dict[str, object]:
        """A deletion has no rules, so no types follow from them."""
        return given if _is_deletion(given) else super().prepared(given)


class StagedNetworkingPolicySpec(NetworkingPolicySpec):
    """As of a Kubernetes NetworkPolicy."""

    staged_action: StagedActionField = StagedAction.SET


class StagedNetworkPolicy(Resource):
    """A NetworkPolicy on trial."""

    KIND: ClassVar = "StagedNetworkPolicy"
    IS_NAMESPACED: ClassVar = True

    spec: StagedPolicySpec = StagedPolicySpec()


class StagedGlobalNetworkPolicy(Resource):
    """A GlobalNetworkPolicy on trial."""

    KIND: ClassVar = "StagedGlobalNetworkPolicy"
    IS_NAMESPACED: ClassVar = False

    spec: StagedGlobalPolicySpec = StagedGlobalPolicySpec()


class StagedKubernetesNetworkPolicy(Resource):
    """A Kubernetes NetworkPolicy on trial."""

    KIND: ClassVar = "StagedKubernetesNetworkPolicy"
    IS_NAMESPACED: ClassVar = True

    spec: StagedNetworkingPolicySpec = StagedNetworkingPolicySpec()


_Staged = StagedPolicySpec | StagedGlobalPolicySpec | StagedNetworkingPolicySpec
_TOLD_OF_A_DELETION = frozenset(("tier", "staged_action"))


def _a_deletion_says_nothing_else(spec: _Staged) -> Iterator[Complaint]:
    if spec.staged_action is StagedAction.DELETE:
        for name, field in type(spec).model_fields.items():
            is_given = spec.__dict__.get(name, field.default) != field.default
            if is_given and name not in _TOLD_OF_A_DELETION:
                yield Complaint("cannot be given where stagedAction is Delete", (field.alias or name,))


CONDITIONS: Conditions = {
    StagedPolicySpec: (_a_deletion_says_nothing_else,),
    StagedGlobalPolicySpec: (_a_deletion_says_nothing_else,),
    StagedNetworkingPolicySpec: (_a_deletion_says_nothing_else,),
}
"""For staged policies."""
