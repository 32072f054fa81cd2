"""What a policy looks like from outside: all that the chains which ask it, and the interfaces it governs, depend on.

A changed rule changes the policy's own chains; only a changed outline touches anything else.
"""

from dataclasses import dataclass

from policy.rules import Action, CompiledPolicy, Direction, DomainSetID
from tidegate.render.policy import rules_of


@dataclass(frozen=True, slots=True)
class Outline:
    """A policy in one direction."""

    has_rules: bool
    passes: bool
    """A rule says Pass, so that the tier must look for the mark it leaves."""
    protocol: int | None
    """The protocol that all its rules ask for: packets of others need not be brought to it."""


def outline(policy: CompiledPolicy, direction: Direction) -> Outline:
    """The policy in one direction."""
    rules = rules_of(policy, direction)
    protocols = {rule.protocol for rule in rules}
    return Outline(
        has_rules=bool(rules),
        passes=any(rule.action is Action.PASS for rule in rules),
        protocol=protocols.pop() if len(protocols) == 1 else None,
    )


def domain_sets(policy: CompiledPolicy) -> frozenset[DomainSetID]:
    """The sets of learned names that the policy's egress rules look into; names are learned for staged rules, too."""
    return frozenset(rule.destination.domain_set for rule in policy.egress if rule.destination.domain_set)
