"""Which documents are read and do nothing yet: valid, and not in force. Pure.

Whoever writes a policy believes that it is in force. Where it is not, status says so.
"""

from collections.abc import Iterable, Sequence

from policy.resources.felix import FelixConfiguration
from policy.resources.kube import Pod
from policy.resources.kube_service import AddressType, EndpointSlice
from policy.resources.metadata import Resource, ResourceKey
from policy.resources.workload import WorkloadEndpoint
from tidegate.config.felix import without_effect
from tidegate.sync.conditions import Condition, ConditionType

NOT_ENFORCED = {
    "IPPool": "pools are checked and do nothing: no addresses are assigned from them, and none are translated",
}
"""What an operator would be wrong to believe, by kind."""

_QOS = "qos.projectcalico.org/"
"""Annotations of a pod that become its endpoint's `qosControls` (Calico: Configure QoS controls)."""
_SHOWN = 10
"""Policies in one message."""


def not_enforced(keys: Iterable[ResourceKey]) -> list[Condition]:
    """A condition for each document that is valid and has no effect."""
    return [
        Condition(
            type=ConditionType.NOT_ENFORCED,
            is_true=True,
            reason="KindNotEnforced",
            message=NOT_ENFORCED[key.kind],
            subject=str(key),
        )
        for key in keys
        if key.kind in NOT_ENFORCED
    ]


def settings_without_effect(resources: Iterable[Resource]) -> list[Condition]:
    """A condition for each document of configuration that gives what is no setting here."""
    return [
        Condition(
            type=ConditionType.NOT_ENFORCED,
            is_true=True,
            reason="SettingsWithoutEffect",
            message=f"these settings have no effect here: {', '.join(idle)}",
            subject=str(item.key),
        )
        for item in resources
        if isinstance(item, FelixConfiguration) and (idle := without_effect(item))
    ]


def missing_tier(tier: str, policies: Sequence[ResourceKey]) -> Condition:
    """The condition of a tier that these policies name and nobody made, or somebody deleted while it was in use.

    Calico's API server refuses to delete such a tier, and to make such a policy; behind files nobody can refuse.
    """
    shown = ", ".join(map(str, policies[:_SHOWN])) + (f" and {len(policies) - _SHOWN} more" * (len(policies) > _SHOWN))
    return Condition(
        type=ConditionType.TIER_MISSING,
        is_true=True,
        reason="NoSuchTier",
        message=f"there is no such tier: asked behind all others, with Deny at the end: {shown}",
        subject=f"Tier {tier}",
    )


def endpoints_without_effect(resources: Iterable[Resource]) -> list[Condition]:
    """A condition for each slice that has endpoints or ports which no rule about its service can mean."""
    return [
        Condition(
            type=ConditionType.NOT_ENFORCED,
            is_true=True,
            reason="EndpointsWithoutEffect",
            message=message,
            subject=str(item.key),
        )
        for item in resources
        if isinstance(item, EndpointSlice) and item.service and (message := _unsayable(item))
    ]


def _unsayable(endpoints: EndpointSlice) -> str:
    """What a set of addresses and ports cannot hold."""
    if endpoints.address_type is AddressType.FQDN:
        return "endpoints that are names belong to no rule: services are matched by address"
    if any(port.port is None for port in endpoints.ports):
        return "ports without a number belong to no egress rule: neither allowed nor denied by the service's name"
    return ""


def limits_without_effect(resources: Iterable[Resource], node: str) -> list[Condition]:
    """A condition for each workload of this node for which limits on its traffic are asked."""
    return [
        Condition(
            type=ConditionType.NOT_ENFORCED,
            is_true=True,
            reason="LimitsWithoutEffect",
            message=f"these limits are not enforced: {', '.join(limits)}",
            subject=str(item.key),
        )
        for item in resources
        if (limits := limits_asked(item, node))
    ]


def limits_asked(item: Resource | None, node: str) -> tuple[str, ...]:
    """The limits that a workload of this node is given in its document: rates, bandwidths, connections."""
    if isinstance(item, WorkloadEndpoint) and item.spec.node == node:
        return item.spec.qos_controls + _annotated(item)
    if isinstance(item, Pod) and item.spec.node_name == node:
        return _annotated(item)
    return ()


def _annotated(item: Resource) -> tuple[str, ...]:
    return tuple(sorted(key for key in item.metadata.annotations if key.startswith(_QOS)))
