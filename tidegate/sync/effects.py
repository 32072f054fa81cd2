"""What is valid and does less than its author may think, kept up to date document by document. Pure.

    document  ->  its conditions (`enforcement`)
    policies' tiers, tiers that exist  ->  tiers that are missing

A look at all documents for each change would cost 50 ms at 30,000 of them.
"""

from policy.resources.metadata import Resource, ResourceKey
from policy.resources.policies import RESERVED_TIERS, GlobalNetworkPolicy, NetworkPolicy, Tier
from tidegate.sync.conditions import Condition
from tidegate.sync.enforcement import (
    endpoints_without_effect,
    limits_without_effect,
    missing_tier,
    not_enforced,
    settings_without_effect,
)


class Effects:
    """Holds the conditions of each document that has any, and who names which tier. Bounded by the documents."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._idle: dict[ResourceKey, list[Condition]] = {}
        self._tier_of: dict[ResourceKey, str] = {}
        self._users: dict[str, dict[ResourceKey, None]] = {}
        self._tiers = set(RESERVED_TIERS)

    def on_update(self, key: ResourceKey, resource: Resource | None) -> None:
        """A document came, changed, or went (None)."""
        found = [] if resource is None else self._conditions(resource)
        if found:
            self._idle[key] = found
        else:
            self._idle.pop(key, None)
        self._note_tier(key, resource)

    @property
    def idle(self) -> list[Condition]:
        """Of documents that have no effect, or not all that they ask for."""
        return [condition for conditions in self._idle.values() for condition in conditions]

    @property
    def missing_tiers(self) -> list[Condition]:
        """Of tiers that policies name and nobody made."""
        return [missing_tier(tier, sorted(self._users[tier])) for tier in sorted(self._users.keys() - self._tiers)]

    def _conditions(self, resource: Resource) -> list[Condition]:
        each = (resource,)
        return [
            *not_enforced((resource.key,)),
            *settings_without_effect(each),
            *endpoints_without_effect(each),
            *limits_without_effect(each, self._node),
        ]

    def _note_tier(self, key: ResourceKey, resource: Resource | None) -> None:
        if key.kind == Tier.KIND and key.name not in RESERVED_TIERS:
            (self._tiers.discard if resource is None else self._tiers.add)(key.name)
        before = self._tier_of.pop(key, None)
        if before is not None:
            del self._users[before][key]
            if not self._users[before]:
                del self._users[before]
        if isinstance(resource, NetworkPolicy | GlobalNetworkPolicy):
            self._tier_of[key] = resource.spec.tier
            self._users.setdefault(resource.spec.tier, {})[key] = None
