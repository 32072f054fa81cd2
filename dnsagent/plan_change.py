"""What a new plan takes away and what it gives, found by comparing plans instead of walking over what was learned.

A policy change that touches no names must cost the packet path nothing: a walk over 250,000 elements is 100 ms in which
no answer passes. Every element that is there was allowed by the plan before, so the two plans tell whether any must go.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dnsagent.plan import Plan, RulePlan
from dnsagent.snapshot import Snapshot

Permission = tuple[str, bytes]
"""(set name, packed endpoint address): elements of that owner may be in that set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanChange:
    """From one plan to the next."""

    moved: frozenset[bytes]
    """Addresses that have become another endpoint's: it was not told what the former owner was told."""
    withdrawn: frozenset[Permission]
    """What has elements and may not; those of moved addresses among them, even where the new owner may have its own."""
    dead_sets: frozenset[str]
    """Sets that go with all their elements."""
    narrowed: frozenset[int]
    """Numbers of rules that have lost patterns: some of their elements may belong to no pattern any more."""
    fresh: Mapping[str, frozenset[int]]
    """By endpoint id: numbers of its rules under which answers of the past may open something new; none is empty."""

    @property
    def takes_away(self) -> bool:
        """Whether there may be elements that must go."""
        return bool(self.withdrawn or self.dead_sets)


def plan_change(before: Plan, after: Plan) -> PlanChange:
    """Compares; linear in the size of the plans."""
    moved = frozenset(
        address
        for address, endpoint in after.endpoints.items()
        if address in before.endpoints and before.endpoints[address].id != endpoint.id
    )
    live = _set_names(after)
    kept = {permission for permission in permissions(after) if permission[1] not in moved}
    return PlanChange(
        moved=moved,
        withdrawn=frozenset(each for each in permissions(before) - kept if each[0] in live),
        dead_sets=_set_names(before) - live,
        narrowed=_narrowed(before, after),
        fresh=_fresh(before, after),
    )


def permissions(plan: Plan) -> frozenset[Permission]:
    """Who may have elements in which set."""
    return frozenset(
        (set_name, address)
        for endpoint in plan.endpoints_by_id.values()
        for number in endpoint.rules
        for set_name, family in ((plan.rules[number].set4, 0), (plan.rules[number].set6, 1))
        for address in endpoint.addresses[family]
    )


def is_same_policy(before: Snapshot, after: Snapshot) -> bool:
    """Whether the two differ in their generation alone."""
    return replace(before, generation=after.generation) == after


def _set_names(plan: Plan) -> frozenset[str]:
    return frozenset(name for rule in plan.rules for name in (rule.set4, rule.set6))


def _fresh(before: Plan, after: Plan) -> dict[str, frozenset[int]]:
    former = before.endpoints_by_id
    unchanged = _unchanged_rules(before, after)
    found = {}
    for endpoint in after.endpoints_by_id.values():
        old = former.get(endpoint.id)
        if old is None or old.addresses != endpoint.addresses:
            fresh = endpoint.rules
        else:
            had = {before.rules[number].id for number in old.rules}
            fresh = frozenset(n for n in endpoint.rules if n not in unchanged or after.rules[n].id not in had)
        if fresh:
            found[endpoint.id] = fresh
    return found


def _narrowed(before: Plan, after: Plan) -> frozenset[int]:
    old, new = before.snapshot.rules, after.snapshot.rules
    return frozenset(
        number
        for number, rule in enumerate(after.rules)
        if rule.id in old and not set(old[rule.id].patterns) <= set(new[rule.id].patterns)
    )


def _unchanged_rules(before: Plan, after: Plan) -> frozenset[int]:
    """Numbers, in the plan after, of the rules that open what they opened: the guards count as well."""
    old, new = before.snapshot, after.snapshot
    if old.guarded_networks != new.guarded_networks:
        return frozenset()
    former: dict[str, RulePlan] = {rule.id: rule for rule in before.rules}
    return frozenset(
        number
        for number, rule in enumerate(after.rules)
        if former.get(rule.id) == rule and old.rules[rule.id].patterns == new.rules[rule.id].patterns
    )
