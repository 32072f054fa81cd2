"""Which documents are read and do nothing yet: valid, and not in force. Pure.

Whoever writes a policy believes that it is in force. Where it is not, status says so.
"""

from collections.abc import Iterable, Sequence

from policy.resources.felix import FelixConfiguration
from policy.resources.kube import Pod
from policy.resources.kube_service import AddressType, EndpointSlice
from policy.resources.metadata import Resource, ResourceKey
from policy.resources.qos import CALICO_PREFIX, PREFIX, QoSControls, asked_limits
from policy.resources.workload import HostEndpoint, WorkloadEndpoint
from tidegate.config.felix import without_effect
from tidegate.sync.conditions import Condition, ConditionType

NOT_ENFORCED = {
    "IPPool": "pools are checked and do nothing: no addresses are assigned from them, and none are translated",
}
"""What an operator would be wrong to believe, by kind."""

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
    """A condition for each workload of this node whose limits are not enforced as they were asked for."""
    return [
        Condition(
            type=ConditionType.NOT_ENFORCED,
            is_true=True,
            reason="LimitsWithoutEffect",
            message="; ".join(faults),
            subject=str(item.key),
        )
        for item in resources
        if (faults := idle_limits(item, node))
    ]


def idle_limits(item: Resource | None, node: str) -> tuple[str, ...]:
    """What a workload of this node asks for in its document and does not get: bandwidths, numbers that are none."""
    if isinstance(item, WorkloadEndpoint) and item.spec.node == node:
        return asked_limits(item.spec.qos_controls, item.metadata.annotations).faults
    if isinstance(item, Pod) and item.spec.node_name == node:
        if item.spec.host_network:
            return _all_idle(item, "the pod is in its host's network")
        return asked_limits(QoSControls(), item.metadata.annotations).faults
    if isinstance(item, HostEndpoint) and item.spec.node == node:
        return _all_idle(item, "only workloads have limits")
    return ()


def _all_idle(item: Resource, reason: str) -> tuple[str, ...]:
    asked = sorted(key for key in item.metadata.annotations if key.startswith((CALICO_PREFIX, PREFIX)))
    return tuple(f"{key} is not enforced: {reason}" for key in asked)
