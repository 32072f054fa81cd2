"""What the packet process needs of the node's state: endpoints with domain rules, their patterns and sets. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from dnsagent.snapshot import Mode, Snapshot, SnapshotEndpoint, SnapshotRule, TrustedServer
from policy.rules import DomainOptions, DomainSet, DomainSetID, EndpointPolicy, NodeState
from tidegate.config.settings import Settings
from tidegate.render import names
from tidegate.render.settings import RenderSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSettings:
    """What the configuration says to the packet process."""

    settings: Settings
    render: RenderSettings
    """Table, queue numbers and marks must be the ones in the rules; the mode is the one in force."""

    @property
    def trusted_servers(self) -> tuple[TrustedServer, ...]:
        """The servers in the rules' sets."""
        return self.render.trusted_servers

    @property
    def mode(self) -> Mode:
        """The mode in force, which may be less than the one wanted."""
        return self.render.dns_mode


def build_snapshot(state: NodeState, generation: int, given: SnapshotSettings) -> Snapshot:
    """The snapshot of this state."""
    endpoints = {
        str(endpoint_id): _endpoint(endpoint, rules)
        for endpoint_id, endpoint in state.endpoints.items()
        if (rules := tuple(dict.fromkeys(domain_sets_of(endpoint, state))))
    }
    used = {rule for endpoint in endpoints.values() for rule in endpoint.rules}
    settings = given.settings
    return Snapshot(
        generation=generation,
        table=given.render.table_name,
        mode=given.mode,
        trusted_servers=given.trusted_servers,
        endpoints=endpoints,
        rules={str(item.id): _rule(item, settings) for item in state.domain_sets.values() if item.id in used},
        guarded_networks=settings.dns_guard_networks,
        answer_queue=given.render.answer_queue,
        denied_queue=given.render.denied_queue,
        query_group=given.render.query_group,
        repeated_mark=given.render.repeated_mark,
        is_strict=settings.dns_pending_strict,
        learn_delay_seconds=settings.debug_dns_response_delay_seconds,
        max_elements_per_endpoint=settings.dns_max_elements_per_endpoint,
        max_elements=settings.dns_max_elements,
        max_hold_seconds=settings.dns_packets_nfqueue_max_hold_seconds,
        max_denied_hold_seconds=settings.dns_policy_nfqueue_max_hold_seconds,
    )


def domain_sets_of(endpoint: EndpointPolicy, state: NodeState) -> Iterator[DomainSetID]:
    """The domain sets in the egress rules that may decide about the endpoint, those of missing policies aside."""
    policies = [policy for tier in endpoint.tiers for policy in tier.egress]
    for policy_id in (*policies, *endpoint.profiles):
        policy = state.policies.get(policy_id)
        for rule in policy.egress if policy is not None else ():
            domain_set = rule.destination.domain_set
            if domain_set is not None and domain_set in state.domain_sets:
                yield domain_set


def _endpoint(endpoint: EndpointPolicy, rules: tuple[DomainSetID, ...]) -> SnapshotEndpoint:
    told = endpoint.endpoint
    return SnapshotEndpoint(
        id=told.id, interface_name=told.interface_name, addresses=told.addresses, rules=tuple(map(str, rules))
    )


def _rule(domain_set: DomainSet, settings: Settings) -> SnapshotRule:
    options = domain_set.options
    floor, ceiling = _bounds(options, settings)
    return SnapshotRule(
        id=domain_set.id,
        patterns=tuple(sorted(domain_set.patterns)),
        set4=names.domain_set(domain_set.id, 4),
        set6=names.domain_set(domain_set.id, 6),
        ttl_floor_seconds=floor,
        ttl_ceiling_seconds=ceiling,
        extra_ttl_seconds=_or(options.extra_ttl_seconds, settings.dns_extra_ttl_seconds),
        allow_private=options.allow_private,
        scope=options.scope or "endpoint",
    )


def _bounds(options: DomainOptions, settings: Settings) -> tuple[float, float]:
    """Floor and ceiling: a policy's bound moves the node's other one out of its way; the ceiling is the last word."""
    own_floor = 0.0 if options.ttl_floor_seconds is None else options.ttl_floor_seconds
    ceiling = _or(options.ttl_ceiling_seconds, max(settings.dns_ttl_ceiling_seconds, own_floor))
    return min(_or(options.ttl_floor_seconds, settings.dns_ttl_floor_seconds), ceiling), ceiling


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
