"""Turns the rules of a policy into compiled rules and the sets that they need. A function of the policy alone.

Selectors, service accounts, named ports, services and domains become ids of sets. What can never match is left out:
rules whose nets exclude each other's family, and rules that exclude every address.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from policy import options, scopes, staged
from policy.domains import Wildcard
from policy.graph.definitions import (
    Definition,
    DomainDefinition,
    NetsDefinition,
    NodesDefinition,
    PortsDefinition,
    ServiceDefinition,
)
from policy.resources.metadata import ObjectMeta
from policy.resources.rule import EntityRule, ICMPFields, NodePeer, Rule
from policy.resources.transport import Port
from policy.rules import (
    Action,
    CompiledRule,
    Direction,
    DomainOptions,
    DomainSetID,
    EntityMatch,
    ICMPMatch,
    IPNetwork,
    IPSetID,
    PolicyID,
    PortRange,
    RuleID,
)
from policy.selectors import ALL, Selector, parse

_FAMILY_OF_PROTOCOL = {1: 4, 58: 6}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSource:
    """Whose rules these are."""

    id: PolicyID
    tier: str
    """"" for a profile."""
    owner: ObjectMeta
    """The policy's: namespace and annotations."""


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """The rules of one direction, and the sets they refer to."""

    rules: tuple[CompiledRule, ...]
    definitions: frozenset[Definition]


def compile_rules(source: RuleSource, direction: Direction, rules: Iterable[Rule]) -> CompiledRules:
    """Compiles the rules of one direction; each keeps its place in the policy as its index."""
    compiler = _Compiler(source, direction)
    numbered = [compiler.rule(index, rule) for index, rule in enumerate(rules)]
    return CompiledRules(tuple(rule for rule in numbered if rule is not None), frozenset(compiler.definitions.values()))


def _families(rule: Rule) -> frozenset[Literal[4, 6]]:
    """The address families in which the rule can match at all."""
    families: set[Literal[4, 6]] = {4, 6}
    if rule.ip_version is not None:
        families &= {rule.ip_version}
    if rule.protocol in _FAMILY_OF_PROTOCOL:
        families &= {_FAMILY_OF_PROTOCOL[rule.protocol]}
    for nets in (rule.source.nets, rule.source.not_nets, rule.destination.nets, rule.destination.not_nets):
        if nets:
            families &= {net.version for net in nets}
    for net in (*rule.source.not_nets, *rule.destination.not_nets):
        if net.prefixlen == 0:
            families -= {net.version}
    return frozenset(families)


def _of(families: Iterable[int], nets: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    return tuple(net for net in nets if net.version in families)


def _icmp(fields: ICMPFields | None) -> ICMPMatch | None:
    """A criterion without a type says nothing."""
    return None if fields is None or fields.type is None else ICMPMatch(fields.type, fields.code)


def _ranges(ports: Iterable[Port]) -> tuple[PortRange, ...]:
    return tuple(port for port in ports if isinstance(port, PortRange))


@dataclass(slots=True)
class _Compiler:
    """Remembers the definitions that the rules asked for."""

    source: RuleSource
    direction: Direction
    definitions: dict[IPSetID | DomainSetID, Definition] = field(default_factory=dict)

    def rule(self, index: int, rule: Rule) -> CompiledRule | None:
        """None for a rule that can never match."""
        families = _families(rule)
        if not families or rule.source.domains or (rule.destination.domains and not self._may_name(rule)):
            return None
        annotations = rule.metadata.annotations if rule.metadata else {}
        domain_set = self._domain_set(rule)
        return CompiledRule(
            id=RuleID(self.source.tier, self.source.id, self.direction, index),
            action=rule.action,
            ip_version=next(iter(families)) if len(families) == 1 else None,
            protocol=rule.protocol,
            not_protocol=rule.not_protocol,
            icmp=_icmp(rule.icmp),
            not_icmp=_icmp(rule.not_icmp),
            source=self._entity(rule, rule.source, families, domain_set=None),
            destination=self._entity(rule, rule.destination, families, domain_set=domain_set),
            annotations=tuple(sorted(annotations.items())),
            is_bound=domain_set is not None and self._options().binding is not None,
            grace_seconds=None if domain_set is None else self._options().grace_seconds,
        )

    def _options(self) -> DomainOptions:
        return options.domain_options(self.source.owner.annotations)

    def _may_name(self, rule: Rule) -> bool:
        return self.direction is Direction.EGRESS and rule.action is Action.ALLOW

    def _entity(
        self, rule: Rule, entity: EntityRule, families: Iterable[int], domain_set: DomainSetID | None
    ) -> EntityMatch:
        scope = scopes.entity_scope(entity, self.source.owner.namespace)
        selected = scope.positive or ALL
        return EntityMatch(
            nets=_of(families, entity.nets),
            not_nets=_of(families, entity.not_nets),
            sets=(*self._nets_sets(scope.positive), *self._nodes_sets(entity)),
            not_sets=self._nets_sets(scope.negative),
            ports=_ranges(entity.ports),
            port_sets=self._port_sets(rule, entity.ports, selected),
            not_ports=_ranges(entity.not_ports),
            not_port_sets=self._port_sets(rule, entity.not_ports, selected),
            service_set=self._service_set(entity),
            domain_set=domain_set,
        )

    def _nets_sets(self, selector: Selector | None) -> tuple[IPSetID, ...]:
        if selector is None:
            return ()
        definition = NetsDefinition(selector)
        self.definitions[definition.id] = definition
        return (definition.id,)

    def _nodes_sets(self, entity: EntityRule) -> tuple[IPSetID, ...]:
        if not isinstance(entity, NodePeer):
            return ()
        definition = NodesDefinition(parse(entity.node_selector))
        self.definitions[definition.id] = definition
        return (definition.id,)

    def _port_sets(self, rule: Rule, ports: Iterable[Port], selected: Selector) -> tuple[IPSetID, ...]:
        definitions = [PortsDefinition(selected, rule.protocol, port) for port in ports if isinstance(port, str)]
        self.definitions.update((definition.id, definition) for definition in definitions)
        return tuple(definition.id for definition in definitions)

    def _service_set(self, entity: EntityRule) -> IPSetID | None:
        if entity.services is None:
            return None
        namespace = entity.services.namespace or self.source.owner.namespace
        definition = ServiceDefinition(namespace, entity.services.name, has_ports=self.direction is Direction.EGRESS)
        self.definitions[definition.id] = definition
        return definition.id

    def _domain_set(self, rule: Rule) -> DomainSetID | None:
        """The set of names that the destination may be known by, whether there are any at present or not."""
        if not self._may_name(rule):
            return None
        entity, owner = rule.destination, self.source.owner
        selector = scopes.entity_scope(entity, owner.namespace).positive
        if not entity.domains and selector is None:
            return None
        flavour = options.wildcard(owner.annotations)
        definition = DomainDefinition(
            own=frozenset(str(pattern.with_wildcard(flavour)) for pattern in entity.domains),
            selector=selector,
            is_single_label=flavour is Wildcard.SINGLE_LABEL,
            options=options.domain_options(owner.annotations),
            is_staged=staged.is_staged(self.source.id),
        )
        self.definitions[definition.id] = definition
        return definition.id
