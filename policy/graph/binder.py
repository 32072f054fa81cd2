"""Gives out compiled policies, with those domain sets only that have patterns at present.

An egress Allow rule with a destination selector may be about names: it depends on the network sets that it selects.
Most select none that has domains, and those rules must not cost the kernel a lookup in a set that is always empty.
"""

from collections.abc import Iterable
from dataclasses import replace

from policy.graph.sequencer import Sequencer
from policy.rules import CompiledPolicy, CompiledRule, DomainSetID, PolicyID


class PolicyBinder:
    """Holds every policy as it was compiled; tells the sequencer what is left of it without the empty domain sets."""

    def __init__(self, sequencer: Sequencer) -> None:
        self._sequencer = sequencer
        self._templates: dict[PolicyID, CompiledPolicy] = {}
        self._users: dict[DomainSetID, dict[PolicyID, None]] = {}
        self._existing: set[DomainSetID] = set()

    def put(self, template: CompiledPolicy) -> None:
        """A policy became active or changed."""
        self._forget_uses(template.id)
        self._templates[template.id] = template
        for identity in _domain_sets(template):
            self._users.setdefault(identity, {})[template.id] = None
        self._tell(template.id)

    def drop(self, identity: PolicyID) -> None:
        """A policy is not active any more."""
        self._forget_uses(identity)
        del self._templates[identity]
        self._sequencer.policies.drop(identity)

    def on_domain_set(self, identity: DomainSetID, *, exists: bool) -> None:
        """A domain set has its first pattern, or has lost its last."""
        (self._existing.add if exists else self._existing.discard)(identity)
        for user in self._users.get(identity, ()):
            self._tell(user)

    def _forget_uses(self, identity: PolicyID) -> None:
        template = self._templates.get(identity)
        for domain_set in _domain_sets(template) if template else ():
            del self._users[domain_set][identity]
            if not self._users[domain_set]:
                del self._users[domain_set]

    def _tell(self, identity: PolicyID) -> None:
        template = self._templates[identity]
        egress = tuple(map(self._bound, template.egress))
        self._sequencer.policies.put(identity, replace(template, egress=egress))

    def _bound(self, rule: CompiledRule) -> CompiledRule:
        domain_set = rule.destination.domain_set
        if domain_set is None or domain_set in self._existing:
            return rule
        return replace(rule, destination=replace(rule.destination, domain_set=None))


def _domain_sets(policy: CompiledPolicy) -> Iterable[DomainSetID]:
    found = (rule.destination.domain_set for rule in policy.egress)
    return {identity: None for identity in found if identity is not None}
