"""What the packet process works by while the rules change under it: what it learns is good before and after. Pure.

    sets     a.test -> d:1                                   what the rules ask
    overlap  a.test -> d:1, and a.test, b.test -> d:2        filled, and not asked yet
    rules                                                    now they ask d:2
    load     a.test, b.test -> d:2                           d:1 goes

Without it a connection to a name that is allowed before and after would find the new set empty for a moment.
"""

from dataclasses import replace

from dnsagent.snapshot import Snapshot, SnapshotEndpoint, SnapshotRule


def overlap(before: Snapshot, after: Snapshot) -> Snapshot | None:
    """A snapshot by which endpoints that stay learn for both; None where none of these learns anything new.

    It gives nobody what neither gives, and takes nothing from an endpoint that stays. Endpoints that go, or whose
    addresses change, are as they are after.
    """
    staying = {
        identity: endpoint
        for identity, endpoint in after.endpoints.items()
        if identity in before.endpoints and before.endpoints[identity].addresses == endpoint.addresses
    }
    if not any(set(endpoint.rules) - set(before.endpoints[name].rules) for name, endpoint in staying.items()):
        return None
    endpoints = {name: _both(before.endpoints[name], endpoint) for name, endpoint in staying.items()}
    used = {rule for endpoint in endpoints.values() for rule in endpoint.rules}
    former = {name: rule for name, rule in before.rules.items() if name in used}
    return replace(
        after,
        generation=before.generation,
        endpoints={**after.endpoints, **endpoints},
        rules={**former, **{name: _wider(former.get(name), rule) for name, rule in after.rules.items()}},
    )


def new_sets(before: Snapshot, after: Snapshot) -> frozenset[str]:
    """The kernel's names of learned sets that only the later one fills."""
    return _sets(after) - _sets(before)


def _both(before: SnapshotEndpoint, after: SnapshotEndpoint) -> SnapshotEndpoint:
    return replace(after, rules=tuple(dict.fromkeys((*after.rules, *before.rules))))


def _wider(before: SnapshotRule | None, after: SnapshotRule) -> SnapshotRule:
    """Of a rule that has other patterns now and the same sets, both."""
    if before is None or before.patterns == after.patterns:
        return after
    return replace(after, patterns=tuple(dict.fromkeys((*after.patterns, *before.patterns))))


def _sets(snapshot: Snapshot) -> frozenset[str]:
    return frozenset(name for rule in snapshot.rules.values() for name in (rule.set4, rule.set6))
