"""The domain sets: patterns of rules and of the network sets that they select, and whether there are any at all.

A set without patterns does not exist for the kernel: rules are given out without it (`policy.graph.binder`).
"""

from collections import Counter
from typing import Protocol

from policy.domains import DomainPattern, Wildcard
from policy.graph.definitions import DomainDefinition
from policy.graph.items import Contribution
from policy.graph.sequencer import Sequencer
from policy.rules import DomainSet, DomainSetID


class Existence(Protocol):
    """Told when a domain set begins or ceases to have patterns."""

    def on_domain_set(self, identity: DomainSetID, *, exists: bool) -> None:
        """The set has patterns now, or has none any more."""


class NameMembers:
    """The patterns of one domain set; tells the sequencer about every change."""

    def __init__(self, definition: DomainDefinition, existence: Existence, sequencer: Sequencer) -> None:
        self._definition = definition
        self._existence = existence
        self._sequencer = sequencer
        self._counts = Counter(definition.own)
        self._is_there = False
        self._tell()

    def add(self, contribution: Contribution) -> None:
        """A network set is selected."""
        if contribution.domains:
            self._counts.update(self._patterns(contribution))
            self._tell()

    def discard(self, contribution: Contribution) -> None:
        """A network set is selected no more."""
        if contribution.domains:
            self._counts.subtract(self._patterns(contribution))
            self._counts = +self._counts
            self._tell()

    def close(self) -> None:
        """Nobody wants the set any more."""
        self._counts.clear()
        self._tell()

    def _patterns(self, contribution: Contribution) -> tuple[str, ...]:
        if not self._definition.is_single_label:
            return contribution.domains
        patterns = map(DomainPattern.from_canonical, contribution.domains)
        return tuple(str(pattern.with_wildcard(Wildcard.SINGLE_LABEL)) for pattern in patterns)

    def _tell(self) -> None:
        identity = self._definition.id
        if self._counts:
            patterns = frozenset(self._counts)
            self._sequencer.domain_sets.put(
                identity, DomainSet(id=identity, patterns=patterns, options=self._definition.options)
            )
        else:
            self._sequencer.domain_sets.drop(identity)
        if self._is_there != bool(self._counts):
            self._is_there = bool(self._counts)
            self._existence.on_domain_set(identity, exists=self._is_there)
