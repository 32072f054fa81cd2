"""A snapshot made ready for the packet path: addresses packed, rules numbered, patterns indexed. Immutable."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dnsagent.guard import AddressGuard
from dnsagent.match import PatternIndex
from dnsagent.snapshot import Snapshot, SnapshotEndpoint, SnapshotRule
from policy.domains import DomainPattern

Pair = tuple[tuple[bytes, ...], tuple[bytes, ...]]
"""Packed addresses, IPv4 and IPv6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RulePlan:
    """One domain set. Seconds."""

    id: str
    set4: str
    set6: str
    floor: float
    ceiling: float
    extra: float
    allow_private: bool
    shared_by: Pair | None
    """In node scope: the addresses of all endpoints that have the rule."""
    is_bound: bool = False
    allows_missing: bool = False
    refuses_ech: bool = False
    reads_quic: bool = False
    doors: tuple[tuple[int, int, int], ...] = ()
    grace4: str = ""
    """The set that the kernel's rules fill; "" without grace."""
    grace6: str = ""
    grace: float = 0.0

    def leads_to(self, protocol: int, port: int) -> bool:
        """Whether a connection there may be one that the rule allows."""
        return any(each in {0, protocol} and first <= port <= last for each, first, last in self.doors)

    def lifetime(self, ttl: int) -> float:
        """How long an address of that TTL lives."""
        return max(self.floor, min(ttl, self.ceiling)) + self.extra


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPlan:
    """One endpoint with domain rules."""

    id: str
    addresses: Pair
    rules: frozenset[int]
    is_proxied: bool = False
    asks_from: tuple[bytes, ...] = ()
    """Further packed addresses that are its own when it asks; no elements have them."""

    @property
    def clients(self) -> Iterator[bytes]:
        """Every address that it asks from."""
        for family in self.addresses:
            yield from family
        yield from self.asks_from


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the learner asks on the packet path."""

    snapshot: Snapshot
    rules: tuple[RulePlan, ...]
    index: PatternIndex
    guard: AddressGuard
    endpoints: Mapping[bytes, EndpointPlan]
    """By each packed address of the endpoint."""
    endpoints_by_id: Mapping[str, EndpointPlan]
    servers: frozenset[tuple[bytes, int]]
    """(packed address, port) of the trusted servers."""


def make_plan(snapshot: Snapshot, before: Plan | None = None) -> Plan:
    """Prepares a snapshot; linear in its size. The plan before it lends its index where the rules are the same.

    Raises:
        policy.domains.DomainError: a pattern is none (the snapshot was not written by us).
    """
    ids = sorted(snapshot.rules)
    numbers = {rule_id: number for number, rule_id in enumerate(ids)}
    endpoints = [_endpoint(endpoint, numbers) for endpoint in snapshot.endpoints.values()]
    return Plan(
        snapshot=snapshot,
        rules=tuple(_rule(snapshot.rules[i], numbers[i], endpoints) for i in ids),
        index=before.index if before is not None and before.snapshot.rules == snapshot.rules else _index(snapshot, ids),
        guard=AddressGuard(snapshot.guarded_networks),
        endpoints={address: plan for plan in endpoints for address in plan.clients},
        endpoints_by_id={plan.id: plan for plan in endpoints},
        servers=frozenset((server.address.packed, server.port) for server in snapshot.trusted_servers),
    )


def _index(snapshot: Snapshot, ids: list[str]) -> PatternIndex:
    return PatternIndex(
        {
            number: [DomainPattern.from_canonical(text) for text in snapshot.rules[i].patterns]
            for number, i in enumerate(ids)
        }
    )


def _endpoint(endpoint: SnapshotEndpoint, numbers: Mapping[str, int]) -> EndpointPlan:
    packed = sorted(address.packed for address in endpoint.addresses)
    return EndpointPlan(
        id=endpoint.id,
        addresses=(tuple(a for a in packed if len(a) == 4), tuple(a for a in packed if len(a) == 16)),
        rules=frozenset(numbers[rule] for rule in endpoint.rules if rule in numbers),
        is_proxied=endpoint.is_proxied,
        asks_from=tuple(sorted(address.packed for address in endpoint.asks_from)),
    )


def _rule(rule: SnapshotRule, number: int, endpoints: list[EndpointPlan]) -> RulePlan:
    members = [endpoint.addresses for endpoint in endpoints if number in endpoint.rules]
    shared = (
        tuple(address for four, _ in members for address in four),
        tuple(address for _, six in members for address in six),
    )
    return RulePlan(
        id=rule.id,
        set4=rule.set4,
        set6=rule.set6,
        floor=rule.ttl_floor_seconds,
        ceiling=rule.ttl_ceiling_seconds,
        extra=rule.extra_ttl_seconds,
        allow_private=rule.allow_private,
        is_bound=rule.is_bound,
        doors=rule.doors,
        allows_missing=rule.allows_missing,
        refuses_ech=rule.refuses_ech,
        reads_quic=rule.reads_quic,
        grace4=rule.grace4,
        grace6=rule.grace6,
        grace=rule.grace_seconds,
        shared_by=shared if rule.scope == "node" else None,
    )
