"""Nobody believes that a document protects him which does nothing yet."""

import pytest

from policy.resources.metadata import ResourceKey
from policy.resources.registry import KINDS
from tidegate.sync.conditions import ConditionType
from tidegate.sync.enforcement import NOT_ENFORCED, not_enforced

IN_FORCE = {
    "Tier", "NetworkPolicy", "GlobalNetworkPolicy", "NetworkSet", "GlobalNetworkSet", "WorkloadEndpoint", "HostEndpoint", "KubeControllersConfiguration",
    "Profile",
    "Namespace", "ServiceAccount", "Pod", "Node", "Service", "FelixConfiguration",
    "ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy",
}  # fmt: skip


def test_every_kind_is_in_force_or_said_not_to_be():
    assert {kind for _, kind in KINDS} == IN_FORCE | NOT_ENFORCED.keys()


@pytest.mark.parametrize("kind", sorted(NOT_ENFORCED))
def test_a_document_without_effect_is_named(kind):
    [condition] = not_enforced([ResourceKey(kind, "", "mine"), ResourceKey("Tier", "", "t")])
    assert condition.type is ConditionType.NOT_ENFORCED
    assert condition.subject == f"{kind} mine"
    assert not condition.is_normal
