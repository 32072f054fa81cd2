"""What governs each local endpoint, in order: tiers, their policies by direction, profiles.

Changes only mark endpoints; `flush` resolves the marked ones. Endpoints that are governed by the same policies share
one answer, so a policy of a thousand that moves within its tier costs one sort, not one for each endpoint.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from policy import tiers
from policy.graph.sequencer import Sequencer
from policy.resources.policies import Tier
from policy.rules import (
    Action,
    Direction,
    Endpoint,
    EndpointID,
    EndpointPolicy,
    EndpointTier,
    HostEndpoint,
    HostEndpointID,
    HostEndpointPolicy,
    PolicyID,
    Stage,
)
from policy.tiers import Policy, TierOrder

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the order depends on, of a policy."""

    tier: str
    sort_key: tuple[float, str]
    is_ingress: bool
    is_egress: bool
    stage: Stage
    is_forward: bool


@dataclass(frozen=True, slots=True)
class LocalEndpoint:
    """What is said of an endpoint besides its policies."""

    endpoint: Endpoint
    profiles: tuple[PolicyID, ...]


@dataclass(frozen=True, slots=True)
class LocalHostEndpoint:
    """What is said of a host endpoint besides its policies."""

    endpoint: HostEndpoint
    profiles: tuple[PolicyID, ...]


GovernedID = EndpointID | HostEndpointID


class Resolver:
    """Knows who matches what; puts `EndpointPolicy` values out."""

    def __init__(self, sequencer: Sequencer) -> None:
        self._sequencer = sequencer
        self._tiers: dict[str, Tier] = {}
        self._standings: dict[PolicyID, Standing] = {}
        self._endpoints: dict[EndpointID, LocalEndpoint] = {}
        self._hosts: dict[HostEndpointID, LocalHostEndpoint] = {}
        self._policies_of: dict[GovernedID, set[PolicyID]] = {}
        self._endpoints_of: dict[PolicyID, set[GovernedID]] = {}
        self._leaving: set[PolicyID] = set()
        self._dirty: set[GovernedID] = set()

    # --- Changes ---

    def on_tier(self, name: str, tier: Tier | None) -> None:
        """A tier came, changed or went (None)."""
        if tier is None:
            self._tiers.pop(name, None)
        else:
            self._tiers[name] = tier
        for identity, governed in self._endpoints_of.items():
            if self._standings[identity].tier == name:
                self._dirty |= governed

    def on_policy(self, identity: PolicyID, policy: Policy | None) -> None:
        """A policy came, changed or went (None)."""
        standing = None if policy is None else _standing(identity, policy)
        if standing == self._standings.get(identity):
            return
        if standing is None:
            del self._standings[identity]
        else:
            self._standings[identity] = standing
        self._dirty |= self._endpoints_of.get(identity, set())

    def on_deletion(self, identity: PolicyID, *, is_leaving: bool) -> None:
        """A staged deletion of an enforced policy, which need not exist, came or went."""
        if (identity in self._leaving) != is_leaving:
            self._leaving ^= {identity}
            self._dirty |= self._endpoints_of.get(identity, set())

    def on_match(self, endpoint: GovernedID, identity: PolicyID, *, is_match: bool) -> None:
        """A policy began or ceased to act on an endpoint."""
        if is_match:
            self._policies_of.setdefault(endpoint, set()).add(identity)
            self._endpoints_of.setdefault(identity, set()).add(endpoint)
        else:
            _discard(self._policies_of, endpoint, identity)
            _discard(self._endpoints_of, identity, endpoint)
        self._dirty.add(endpoint)

    def on_endpoint(self, identity: EndpointID, endpoint: LocalEndpoint | None) -> None:
        """A local endpoint came, changed, or went or is no longer local (None)."""
        if endpoint is None:
            self._endpoints.pop(identity, None)
        else:
            self._endpoints[identity] = endpoint
        self._dirty.add(identity)

    def on_host_endpoint(self, identity: HostEndpointID, endpoint: LocalHostEndpoint | None) -> None:
        """A host endpoint of this node came, changed, or went (None)."""
        if endpoint is None:
            self._hosts.pop(identity, None)
        else:
            self._hosts[identity] = endpoint
        self._dirty.add(identity)

    # --- Answers ---

    def flush(self) -> None:
        """Resolves what changed."""
        resolved: dict[frozenset[PolicyID], tuple[EndpointTier, ...]] = {}
        for identity in sorted(self._dirty):
            if isinstance(identity, HostEndpointID):
                self._flush_host(identity)
                continue
            local = self._endpoints.get(identity)
            if local is None:
                self._sequencer.endpoints.drop(identity)
                continue
            governing = frozenset(self._policies_of.get(identity, ()))
            if governing not in resolved:
                resolved[governing] = self._resolve(governing)
            self._sequencer.endpoints.put(
                identity,
                EndpointPolicy(endpoint=local.endpoint, tiers=resolved[governing], profiles=local.profiles),
            )
        self._dirty.clear()

    def _flush_host(self, identity: HostEndpointID) -> None:
        local = self._hosts.get(identity)
        if local is None:
            self._sequencer.host_endpoints.drop(identity)
            return
        told = HostEndpointPolicy(
            endpoint=local.endpoint,
            untracked=tuple(map(_open, self._chosen(identity, lambda policy: policy.stage is Stage.UNTRACKED))),
            pre_dnat=tuple(map(_open, self._chosen(identity, lambda policy: policy.stage is Stage.PRE_DNAT))),
            normal=self._chosen(identity, lambda policy: policy.stage is Stage.NORMAL),
            forward=self._chosen(identity, lambda policy: policy.is_forward),
            profiles=local.profiles,
        )
        self._sequencer.host_endpoints.put(identity, told)

    def _chosen(self, identity: HostEndpointID, belongs: Callable[[Standing], bool]) -> tuple[EndpointTier, ...]:
        governing = self._policies_of.get(identity, ())
        return self._resolve([policy for policy in governing if belongs(self._standings[policy])])

    def _resolve(self, governing: Iterable[PolicyID]) -> tuple[EndpointTier, ...]:
        by_tier: dict[str, list[PolicyID]] = {}
        for identity in sorted(governing, key=lambda policy: self._standings[policy].sort_key):
            by_tier.setdefault(self._standings[identity].tier, []).append(identity)
        orders = [tiers.tier_order(name, self._tiers.get(name)) for name in by_tier]
        orders.sort(key=lambda order: order.sort_key)
        return tuple(self._tier(order, by_tier[order.name]) for order in orders)

    def _tier(self, order: TierOrder, policies: list[PolicyID]) -> EndpointTier:
        return EndpointTier(
            name=order.name,
            default_action=order.default_action,
            ingress=tuple(identity for identity in policies if self._standings[identity].is_ingress),
            egress=tuple(identity for identity in policies if self._standings[identity].is_egress),
            leaving=frozenset(self._leaving.intersection(policies)),
        )


def _standing(identity: PolicyID, policy: Policy) -> Standing:
    return Standing(
        tier=policy.spec.tier,
        sort_key=tiers.policy_sort_key(identity, policy.spec.order),
        is_ingress=tiers.governs(policy, Direction.INGRESS),
        is_egress=tiers.governs(policy, Direction.EGRESS) and tiers.stage_of(policy) is not Stage.PRE_DNAT,
        stage=tiers.stage_of(policy),
        is_forward=tiers.acts_on_forward(policy),
    )


def _open(tier: EndpointTier) -> EndpointTier:
    """Before conntrack and before DNAT no tier denies at its end (Calico: untracked and pre-DNAT policy)."""
    return replace(tier, default_action=Action.PASS)


def _discard(sets: dict[KeyT, set[ValueT]], key: KeyT, value: ValueT) -> None:
    sets[key].discard(value)
    if not sets[key]:
        del sets[key]
