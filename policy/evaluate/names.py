"""Whether an endpoint knows an address by a name that a rule allows.

A rule's names are its own domains and those of the network sets that it selects. A name counts if the endpoint itself
learned it; under the option `scope: node` also if another endpoint of the node did, for a rule of the same names and
options.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from policy import options, scopes
from policy.domains import DomainPattern, Wildcard
from policy.evaluate.packet import LearnedName
from policy.evaluate.select import is_scoped, is_subject, selection_mismatch
from policy.evaluate.world import Holder, World
from policy.resources.metadata import ObjectMeta
from policy.resources.rule import Rule
from policy.rules import Action, Direction, DomainOptions, EndpointID, IPAddress, Stage, host_learner
from policy.selectors import Selector
from policy.tiers import governs, stage_of


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the names of a rule come from; rules of equal sources share what they learn."""

    own: frozenset[DomainPattern]
    sets: Selector | None
    wildcard: Wildcard
    options: DomainOptions


class Knowledge:
    """Names learned so far, in a world."""

    def __init__(self, world: World, names: Iterable[LearnedName], grace_seconds: float = 0.0) -> None:
        """`grace_seconds` is the node's, of rules that say nothing else."""
        self._world = world
        self._names = tuple(names)
        self._grace_seconds = grace_seconds

    def is_known(self, owner: ObjectMeta, rule: Rule, endpoint: Holder, address: IPAddress) -> bool:
        """Whether `endpoint` may reach `address` by a name that this rule allows. `owner` is of the rule's policy."""
        known = [learned for learned in self._names if learned.address == address]
        if not known:
            return False
        if _source(owner, rule) not in map(_source_of, self._naming_rules(endpoint)):
            return False  # a host endpoint asks about a workload that has no such rule itself
        patterns = self._patterns(owner, rule)
        learners = self._learners(owner, rule, endpoint)
        # Grace is one's own connection's, whoever else was told the name.
        graced = {_learner(endpoint)} if self._has_grace(owner) else set()
        return any(
            learned.endpoint in (graced if learned.is_past else learners)
            and any(pattern.matches(learned.name.labels) for pattern in patterns)
            for learned in known
        )

    def _has_grace(self, owner: ObjectMeta) -> bool:
        own = options.domain_options(owner.annotations).grace_seconds
        return (self._grace_seconds if own is None else own) > 0

    def _patterns(self, owner: ObjectMeta, rule: Rule) -> list[DomainPattern]:
        entity = rule.destination
        patterns = list(entity.domains)
        if is_scoped(entity, owner.namespace):
            for holder in self._world.holders:
                if selection_mismatch(entity, holder, self._world, owner.namespace) is None:
                    patterns.extend(holder.domains)
        flavour = options.wildcard(owner.annotations)
        return [pattern.with_wildcard(flavour) for pattern in patterns]

    def _learners(self, owner: ObjectMeta, rule: Rule, endpoint: Holder) -> set[EndpointID]:
        if options.domain_options(owner.annotations).scope != "node":
            return {_learner(endpoint)}
        source = _source(owner, rule)
        everybody = (*self._world.endpoints, *self._world.hosts)
        neighbours = [other for other in everybody if other.node == endpoint.node]
        return {_learner(endpoint)} | {
            _learner(other) for other in neighbours if source in map(_source_of, self._naming_rules(other))
        }

    def _naming_rules(self, endpoint: Holder) -> Iterator[tuple[ObjectMeta, Rule]]:
        """The egress Allow rules of all policies and profiles that act on the endpoint.

        A node's host endpoints are one here: its processes learn for all of them.
        """
        if endpoint.endpoint is None:
            for host in self._world.hosts:
                if host.node == endpoint.node:
                    yield from self._rules_on(host)
        else:
            yield from self._rules_on(endpoint)

    def _rules_on(self, endpoint: Holder) -> Iterator[tuple[ObjectMeta, Rule]]:
        for policy in self._world.policies:
            acts = stage_of(policy) is Stage.NORMAL and governs(policy, Direction.EGRESS)
            if acts and is_subject(policy, endpoint, self._world):
                yield from ((policy.metadata, rule) for rule in policy.spec.egress if rule.action is Action.ALLOW)
        nobody = ObjectMeta.model_construct(name="")  # profiles have no DNS options
        for name in endpoint.profiles:
            if profile := self._world.profiles.get(name):
                yield from ((nobody, rule) for rule in profile.spec.egress if rule.action is Action.ALLOW)


def _learner(who: Holder) -> EndpointID:
    return host_learner(who.node) if who.endpoint is None else who.endpoint


def _source_of(item: tuple[ObjectMeta, Rule]) -> _Source:
    return _source(*item)


def _source(owner: ObjectMeta, rule: Rule) -> _Source:
    flavour = options.wildcard(owner.annotations)
    return _Source(
        frozenset(pattern.with_wildcard(flavour) for pattern in rule.destination.domains),
        scopes.entity_scope(rule.destination, owner.namespace).positive,
        flavour,
        options.domain_options(owner.annotations),
    )
