"""The node's state in force as JSON: endpoints, policies with their counters, sets. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from nft.counts import Count
from policy.rules import (
    AddressPort,
    CompiledPolicy,
    CompiledRule,
    Direction,
    DomainSet,
    EndpointPolicy,
    EndpointTier,
    HostEndpointPolicy,
    IPSetID,
    IPSetKind,
    NodeState,
    PolicyID,
    SetMember,
)
from tidegate.api.limits import LimitView
from tidegate.api.views import JSONObject
from tidegate.render import RenderSettings, names
from tidegate.render.grace import grace_seconds

MAX_SHOWN_MEMBERS = 1000
"""Of one set: a set of a hundred thousand networks is not read by anybody, and must not stall the agent."""


Counts = Mapping[str, Count]
"""By the comment that the rule carries in the kernel, `names.comment`."""

_NONE = Count()


def endpoints(state: NodeState, limits: Iterable[LimitView] = ()) -> list[JSONObject]:
    """Every local endpoint with the policies that decide about it and its limits, host endpoints last."""
    limits_of: defaultdict[str, list[LimitView]] = defaultdict(list)
    for limit in limits:
        limits_of[limit.endpoint].append(limit)
    workloads = [_endpoint(item, limits_of[identity]) for identity, item in sorted(state.endpoints.items())]
    return workloads + [_host_endpoint(item) for _, item in sorted(state.host_endpoints.items())]


def _endpoint(item: EndpointPolicy, limits: Iterable[LimitView]) -> JSONObject:
    endpoint = item.endpoint
    return {
        "id": endpoint.id,
        "kind": "WorkloadEndpoint",
        "namespace": endpoint.namespace,
        "name": endpoint.name,
        "node": endpoint.node,
        "interface": endpoint.interface_name,
        "addresses": [str(address) for address in endpoint.addresses],
        "active": endpoint.is_active,
        "limits": [
            {"name": limit.name, "limit": limit.limit, "burst": limit.burst, "dropped": limit.dropped}
            for limit in limits
        ],
        "tiers": [_tier(tier) for tier in item.tiers],
        "profiles": [profile.name for profile in item.profiles],
    }


def _host_endpoint(item: HostEndpointPolicy) -> JSONObject:
    endpoint = item.endpoint
    return {
        "id": endpoint.id,
        "kind": "HostEndpoint",
        "namespace": "",
        "name": endpoint.id,
        "node": endpoint.node,
        "interface": ", ".join(endpoint.interfaces),
        "addresses": [str(address) for address in endpoint.expected_ips],
        "active": bool(endpoint.interfaces),
        "tiers": [_tier(tier) for tier in item.normal],
        "forward": [_tier(tier) for tier in item.forward],
        "preDNAT": [_tier(tier) for tier in item.pre_dnat],
        "untracked": [_tier(tier) for tier in item.untracked],
        "profiles": [profile.name for profile in item.profiles],
    }


def _tier(tier: EndpointTier) -> JSONObject:
    return {
        "name": tier.name,
        "default_action": tier.default_action.value,
        "ingress": [policy_reference(policy) for policy in tier.ingress],
        "egress": [policy_reference(policy) for policy in tier.egress],
    }


def policy_reference(policy: PolicyID) -> JSONObject:
    """Kind, namespace and name."""
    return {"kind": policy.kind, "namespace": policy.namespace, "name": policy.name}


def policies(state: NodeState, counts: Counts) -> list[JSONObject]:
    """Every policy and profile in force, rule by rule."""
    governed = _governed(state)
    order = sorted(state.policies.values(), key=lambda policy: (policy.tier == "", policy.tier, policy.id))
    return [_policy(policy, governed[policy.id], counts) for policy in order]


def _governed(state: NodeState) -> Counter[PolicyID]:
    """How many endpoints each policy acts on."""
    workloads = ((endpoint.tiers, endpoint.profiles) for endpoint in state.endpoints.values())
    hosts = (
        ((*host.untracked, *host.pre_dnat, *host.normal, *host.forward), host.profiles)
        for host in state.host_endpoints.values()
    )
    return Counter(
        policy
        for tiers, profiles in (*workloads, *hosts)
        for policy in {*(policy for tier in tiers for policy in (*tier.ingress, *tier.egress)), *profiles}
    )


def _policy(policy: CompiledPolicy, endpoint_count: int, counts: Counts) -> JSONObject:
    return {
        **policy_reference(policy.id),
        "tier": policy.tier,
        "staged": policy.is_staged,
        "stage": policy.stage.value,
        "endpoints": endpoint_count,
        "rules": [_rule(rule, counts, is_staged=policy.is_staged) for rule in (*policy.ingress, *policy.egress)]
        + list(_ends_of_tier(policy, counts)),
    }


def _rule(rule: CompiledRule, counts: Counts, *, is_staged: bool) -> JSONObject:
    """`would` is what a staged rule would do with the packets that it counts; enforced rules do not have it."""
    count = counts.get(names.comment(rule.id), _NONE)
    return {
        "direction": rule.id.direction.value,
        "index": rule.id.index,
        "action": rule.action.value,
        **({"would": rule.action.value.lower()} if is_staged else {}),
        "packets": count.packets,
        "bytes": count.bytes,
    }


def _ends_of_tier(policy: CompiledPolicy, counts: Counts) -> Iterator[JSONObject]:
    """What fell off the end of the tier belongs to the tier's last policy (index -1), if anything did.

    What would fall off it, if staged policies were enforced, belongs to the first (`PendingEndOfTier`).
    """
    for direction in Direction:
        end = names.end_of_tier(policy.tier, policy.id, direction)
        for action, comment in (("EndOfTier", names.comment(end)), ("PendingEndOfTier", names.pending_comment(end))):
            count = counts.get(comment)
            if count is not None:
                yield {
                    "direction": direction.value,
                    "index": -1,
                    "action": action,
                    "packets": count.packets,
                    "bytes": count.bytes,
                }


def sets(state: NodeState, settings: RenderSettings) -> list[JSONObject]:
    """Every set that rules look things up in; of the learned ones the patterns, for their members see `names`."""
    known = [_ip_set(set_id, kind, members) for set_id, (kind, members) in sorted(state.ip_sets.items())]
    return known + [_domain_set(domain_set, settings) for _, domain_set in sorted(state.domain_sets.items())]


def _ip_set(set_id: IPSetID, kind: IPSetKind, members: frozenset[SetMember]) -> JSONObject:
    return {
        "id": set_id,
        "kind": kind.value,
        "kernel_sets": [names.ip_set(set_id, version) for version in (4, 6)],
        "count": len(members),
        "members": sorted(_shown(members))[:MAX_SHOWN_MEMBERS],
        "patterns": [],
    }


def _shown(members: Iterable[SetMember]) -> Iterator[str]:
    for member in members:
        if isinstance(member, AddressPort):
            yield f"{member.address} protocol {member.protocol} port {member.port}"
        else:
            yield str(member)


def _domain_set(domain_set: DomainSet, settings: RenderSettings) -> JSONObject:
    grace = grace_seconds(domain_set.options, settings)
    kinds = (names.domain_set, names.grace_set) if grace else (names.domain_set,)
    return {
        "id": domain_set.id,
        "kind": "domains",
        "kernel_sets": [name(domain_set.id, version) for name in kinds for version in (4, 6)],
        "grace_seconds": grace,
        "count": len(domain_set.patterns),
        "members": [],
        "patterns": sorted(domain_set.patterns),
    }
