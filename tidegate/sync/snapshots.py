"""What the packet process needs of the node's state: endpoints with domain rules, their patterns and sets. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from dnsagent.snapshot import Snapshot, SnapshotEndpoint, SnapshotRule, TrustedServer
from policy.rules import (
    CompiledPolicy,
    DomainOptions,
    DomainSet,
    DomainSetID,
    EndpointID,
    EndpointPolicy,
    NodeState,
    PolicyID,
    host_learner,
)
from policy.staged import is_staged
from tidegate.config.forwarder import AskableNames
from tidegate.config.settings import Settings
from tidegate.render import names
from tidegate.render.grace import grace_seconds
from tidegate.render.places import governing_own
from tidegate.render.settings import RenderSettings
from tidegate.sync.doors import Door, doors_of, joined
from tidegate.sync.forwarding import forwarder_options

_LOOPBACK = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
"""What the kernel has a process speak from to a stub on a loopback address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSettings:
    """What the configuration says to the packet process."""

    settings: Settings
    render: RenderSettings
    """Table, queue numbers and marks must be the ones in the rules; the mode is the one in force."""


class SnapshotBuilder:
    """Builds snapshots of one state after another; remembers what did not change. Holds state."""

    def __init__(self, given: SnapshotSettings) -> None:
        self._given = given
        self._naming: dict[PolicyID, _Naming] = {}
        """Of each policy in the last state."""
        self._users: dict[EndpointID, tuple[EndpointPolicy, tuple[DomainSetID, ...]]] = {}

    def trust(self, servers: tuple[TrustedServer, ...]) -> None:
        """The next snapshot has these trusted servers."""
        self._given = replace(self._given, render=replace(self._given.render, trusted_servers=servers))

    def build(self, state: NodeState, generation: int) -> Snapshot:
        """The snapshot of this state. Proportional to what changed, and to the number of policies and endpoints."""
        naming = {identity: self._naming_of(identity, policy) for identity, policy in state.policies.items()}
        sets_of = {identity: item.sets for identity, item in naming.items() if item.sets}
        if sets_of != {identity: item.sets for identity, item in self._naming.items() if item.sets}:
            self._users.clear()
        self._naming = naming
        self._users = {identity: self._user(item, sets_of) for identity, item in state.endpoints.items()}
        return self._snapshot(state, generation)

    def _naming_of(self, identity: PolicyID, policy: CompiledPolicy) -> "_Naming":
        known = self._naming.get(identity)
        if known is not None and known.policy is policy:
            return known
        if policy.is_staged and self._given.settings.dns_proxy_names is AskableNames.POLICY:
            return _Naming(policy, ())  # what is on trial must not open a question, either
        named = (rule.destination.domain_set for rule in policy.egress)
        return _Naming(policy, tuple(dict.fromkeys(item for item in named if item is not None)), doors_of(policy))

    def _user(
        self, endpoint: EndpointPolicy, sets_of: Mapping[PolicyID, tuple[DomainSetID, ...]]
    ) -> tuple[EndpointPolicy, tuple[DomainSetID, ...]]:
        known = self._users.get(endpoint.endpoint.id)
        if known is not None and known[0] is endpoint:
            return known
        return endpoint, domain_sets_of(endpoint, sets_of)

    def _snapshot(self, state: NodeState, generation: int) -> Snapshot:
        proxied = {identity for identity, policy in state.policies.items() if policy.is_proxied}
        endpoints = {
            str(identity): _endpoint(item, sets, is_proxied=self._is_proxied(item, proxied))
            for identity, (item, wanted) in self._users.items()
            if (sets := tuple(one for one in wanted if one in state.domain_sets))
        }
        endpoints |= {host.id: host for host in self._host(state)}
        used = {rule for endpoint in endpoints.values() for rule in endpoint.rules}
        settings, render = self._given.settings, self._given.render
        doors = joined(naming.doors for naming in self._naming.values())
        return Snapshot(
            generation=generation,
            table=render.table_name,
            mode=render.dns_mode,
            trusted_servers=render.trusted_servers,
            endpoints=endpoints,
            rules={
                str(item.id): _rule(item, settings, grace_seconds(item.options, render), doors.get(item.id, ()))
                for item in state.domain_sets.values()
                if item.id in used
            },
            guarded_networks=settings.dns_guard_networks,
            answer_queue=render.answer_queue,
            denied_queue=render.denied_queue,
            named_queue=render.named_queue,
            named_mark=render.named_mark,
            unnamed_mark=render.unnamed_mark,
            max_named_hold_seconds=settings.dns_named_max_hold_seconds,
            query_group=render.query_group,
            log_queue=render.log_queue if render.holds_logged and render.log_queue is not None else -1,
            log_group=render.log_group or 0,
            log_drops_overflow=render.log_drops_overflow,
            intercept_port=render.intercept_port if render.intercepts else 0,
            reads_tcp=render.reads_tcp,
            forwarder=forwarder_options(settings),
            intercept_mark=render.intercept_mark,
            intercept_table=settings.dns_intercept_routing_table,
            agent_mark=render.agent_mark,
            repeated_mark=render.repeated_mark,
            remembers_aliases=settings.dns_cname_memory,
            learns_hints=settings.dns_learn_hints,
            fails_closed=settings.dns_fail_closed,
            is_strict=settings.dns_pending_strict,
            learn_delay_seconds=settings.debug_dns_response_delay_seconds,
            grace_max_seconds=settings.dns_grace_max_seconds,
            set_size=render.learned_set_size,
            max_elements_per_endpoint=settings.dns_max_elements_per_endpoint,
            max_elements=settings.dns_max_elements,
            max_hold_seconds=settings.dns_packets_nfqueue_max_hold_seconds,
            max_denied_hold_seconds=settings.dns_policy_nfqueue_max_hold_seconds,
        )

    def _host(self, state: NodeState) -> Iterator[SnapshotEndpoint]:
        """The node's own processes, as one client that has the names of all host endpoints.

        Each set belongs to a rule, and a rule is asked by its own host endpoints alone.
        """
        asked = dict.fromkeys(policy for host in state.host_endpoints.values() for policy in governing_own(host))
        named = dict.fromkeys(one for policy in asked if policy in self._naming for one in self._naming[policy].sets)
        rules = tuple(one for one in named if one in state.domain_sets)
        if rules and state.own_addresses:
            yield SnapshotEndpoint(
                id=host_learner(next(iter(state.host_endpoints.values())).endpoint.node),
                interface_name="",
                addresses=tuple(sorted(state.own_addresses, key=lambda address: (address.version, int(address)))),
                rules=tuple(map(str, rules)),
                asks_from=_LOOPBACK,
            )

    def _is_proxied(self, endpoint: EndpointPolicy, proxied: set[PolicyID]) -> bool:
        governing = (*(policy for tier in endpoint.tiers for policy in tier.egress), *endpoint.profiles)
        has_names = any(self._naming[one].sets for one in governing if one in self._naming and not is_staged(one))
        by_policy = bool(proxied) and not proxied.isdisjoint(governing)
        return has_names and self._given.render.is_proxied(by_policy=by_policy)


@dataclass(frozen=True, slots=True)
class _Naming:
    """A policy, and the domain sets in its egress rules."""

    policy: CompiledPolicy
    sets: tuple[DomainSetID, ...]
    doors: tuple[tuple[DomainSetID, Door], ...] = ()
    """Of its bound rules."""


def domain_sets_of(
    endpoint: EndpointPolicy, sets_of: Mapping[PolicyID, tuple[DomainSetID, ...]]
) -> tuple[DomainSetID, ...]:
    """The domain sets in the egress rules that may decide about the endpoint, each once."""
    if not sets_of:
        return ()
    governing = (*(policy for tier in endpoint.tiers for policy in tier.egress), *endpoint.profiles)
    return tuple(dict.fromkeys(item for policy in governing for item in sets_of.get(policy, ())))


def naming_policies(state: NodeState) -> dict[PolicyID, tuple[DomainSetID, ...]]:
    """The domain sets of each policy that has any."""
    return {
        identity: found
        for identity, policy in state.policies.items()
        if (found := tuple(rule.destination.domain_set for rule in policy.egress if rule.destination.domain_set))
    }


def _endpoint(endpoint: EndpointPolicy, rules: tuple[DomainSetID, ...], *, is_proxied: bool) -> SnapshotEndpoint:
    told = endpoint.endpoint
    return SnapshotEndpoint(
        id=told.id,
        interface_name=told.interface_name,
        addresses=told.addresses,
        rules=tuple(map(str, rules)),
        is_proxied=is_proxied,
    )


def _rule(domain_set: DomainSet, settings: Settings, grace: float, doors: tuple[Door, ...]) -> SnapshotRule:
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
        is_bound=options.binding is not None,
        allows_missing=options.binding is not None and options.binding.allows_missing,
        refuses_ech=options.binding is not None and options.binding.refuses_ech,
        reads_quic=options.binding is not None and options.binding.reads_quic,
        doors=doors,
        grace4=names.grace_set(domain_set.id, 4) if grace else "",
        grace6=names.grace_set(domain_set.id, 6) if grace else "",
        grace_seconds=grace,
    )


def _bounds(options: DomainOptions, settings: Settings) -> tuple[float, float]:
    """Floor and ceiling: a policy's bound moves the node's other one out of its way; the ceiling is the last word."""
    own_floor = 0.0 if options.ttl_floor_seconds is None else options.ttl_floor_seconds
    ceiling = _or(options.ttl_ceiling_seconds, max(settings.dns_ttl_ceiling_seconds, own_floor))
    return min(_or(options.ttl_floor_seconds, settings.dns_ttl_floor_seconds), ceiling), ceiling


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
