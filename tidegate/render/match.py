"""The conditions of one policy rule as nft matches.

nft has conjunctions only, so each criterion becomes a list of alternatives, and a rule becomes the product of its
criteria: `[()]` is a criterion that holds always, `[]` one that never does. Alternatives of one criterion exclude each
other, so that a Log rule writes one line for a packet that two of them would match.

    destination ports 80, 443, 8000-8010, named "web":
        th dport @p-1f..                                              (80, 443)
        th dport 8000-8010
        th dport != @p-1f.. th dport != 8000-8010 ip daddr . meta l4proto . th dport @s4-9c..
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from nft import expr
from nft.expr import Field, Op
from policy.rules import CompiledRule, Direction, EntityMatch, ICMPMatch, IPSetID
from tidegate.render import names
from tidegate.render.content import ContentSets
from tidegate.render.family import FAMILIES, Family, is_family

Atom = expr.Compare | expr.Lookup
Conjunction = tuple[Atom, ...]
Alternatives = list[Conjunction]

ALWAYS: Alternatives = [()]
NEVER: Alternatives = []


@dataclass(frozen=True, slots=True)
class Side:
    """One end of the packet in one family."""

    family: Family
    address: Field
    port: Field


def conditions(rule: CompiledRule, content: ContentSets, *, has_grace: bool = False) -> Iterator[Conjunction]:
    """Every conjunction under which the rule matches; none if it can never match.

    With grace, an address that was learned and used admits too, behind one that is learned now: only where it is not.
    """
    for family in families(rule):
        criteria = [protocol(rule, family)]
        if family is None:
            criteria += [_ports(Field.SPORT, rule.source, content), _ports(Field.DPORT, rule.destination, content)]
        else:
            criteria += _of_family(rule, family, content, has_grace=has_grace)
        for combination in product(*criteria):
            yield tuple(atom for conjunction in combination for atom in conjunction)


def families(rule: CompiledRule) -> tuple[Family | None, ...]:
    """The families the rule must be written for; None alone is one rule for both.

    The family is the rule's own, or the one that ICMP or ICMPv6 implies (Calico: IPVersion of a rule).
    """
    possible = tuple(
        family
        for family in FAMILIES
        if rule.ip_version in (None, family.version)
        and all(rule.protocol != other.icmp_protocol for other in FAMILIES if other is not family)
    )
    has_icmp = rule.icmp is not None or rule.not_icmp is not None
    if len(possible) < len(FAMILIES) or has_icmp or names_addresses(rule.source) or names_addresses(rule.destination):
        return possible
    return (None,)


@dataclass(frozen=True, slots=True)
class LearnedMatch:
    """What a condition of a rule says about addresses that were learned."""

    pair: tuple[Field, ...]
    """Endpoint's address and learned address."""
    grace_set: str
    is_graced: bool
    """It looks into the grace set itself, not into the learned one."""


def learned_match(rule: CompiledRule, condition: Conjunction) -> LearnedMatch | None:
    """The part of one of the rule's conditions that is about addresses that were learned; None where none is."""
    domains = rule.destination.domain_set
    if domains is None:
        return None
    for family in FAMILIES:
        learned, graced = names.domain_set(domains, family.version), names.grace_set(domains, family.version)
        for atom in condition:
            if isinstance(atom, expr.Lookup) and atom.set_name in (learned, graced):
                return LearnedMatch(atom.fields, graced, atom.set_name == graced)
    return None


def names_addresses(entity: EntityMatch) -> bool:
    """Whether the side is about addresses, which exist only in a family."""
    return bool(
        entity.nets
        or entity.not_nets
        or entity.sets
        or entity.not_sets
        or entity.port_sets
        or entity.not_port_sets
        or entity.service_set
        or entity.domain_set
    )


def protocol(rule: CompiledRule, family: Family | None) -> Alternatives:
    """The rule's protocol, the one it must not be, and the family: cheap, and most packets fail here.

    An ICMP type alone implies ICMP.
    """
    number = rule.protocol
    if number is None and family is not None and (rule.icmp or rule.not_icmp):
        number = family.icmp_protocol
    atoms = []
    if number is not None:
        atoms.append(expr.Compare(Field.L4PROTO, Op.EQ, number))
    if rule.not_protocol is not None:
        atoms.append(expr.Compare(Field.L4PROTO, Op.NE, rule.not_protocol))
    return [(*atoms, *((is_family(family),) if family is not None else ()))]


def _of_family(rule: CompiledRule, family: Family, content: ContentSets, *, has_grace: bool) -> list[Alternatives]:
    source = Side(family, family.source, Field.SPORT)
    destination = Side(family, family.destination, Field.DPORT)
    return [
        _icmp(rule.icmp, family),
        _not_icmp(rule.not_icmp, family),
        _ports(Field.SPORT, rule.source, content, source),
        _ports(Field.DPORT, rule.destination, content, destination),
        _excluded(rule.source, source, content),
        _excluded(rule.destination, destination, content),
        _services(rule, source, destination),
        _place(rule.source, source, content),
        _destination(rule, destination, content, has_grace=has_grace),
    ]


def _icmp(wanted: ICMPMatch | None, family: Family) -> Alternatives:
    if wanted is None:
        return ALWAYS
    atoms = [expr.Compare(family.icmp_type, Op.EQ, wanted.type)]
    if wanted.code is not None:
        atoms.append(expr.Compare(family.icmp_code, Op.EQ, wanted.code))
    return [tuple(atoms)]


def _not_icmp(unwanted: ICMPMatch | None, family: Family) -> Alternatives:
    if unwanted is None:
        return ALWAYS
    other_type = expr.Compare(family.icmp_type, Op.NE, unwanted.type)
    if unwanted.code is None:
        return [(other_type,)]
    return [(other_type,), (_negated(other_type), expr.Compare(family.icmp_code, Op.NE, unwanted.code))]


def _ports(where: Field, entity: EntityMatch, content: ContentSets, side: Side | None = None) -> Alternatives:
    """Ports and named ports, and those excluded. Without a side the rule has no named ports."""
    numbers: list[Atom] = [*content.ports(where, entity.ports)]
    unwanted: list[Atom] = [*content.ports(where, entity.not_ports)]
    named: list[Atom] = []
    if side is not None:
        named = [_address_port(side, port_set) for port_set in entity.port_sets]
        unwanted += [_address_port(side, port_set) for port_set in entity.not_port_sets]
    elsewhere = tuple(_negated(atom) for atom in unwanted)
    if not numbers and not named:
        return [elsewhere]
    return [(*elsewhere, *alternative) for alternative in _exclusive(numbers, named)]


def _excluded(entity: EntityMatch, side: Side, content: ContentSets) -> Alternatives:
    """Networks and sets that the address must not be in.

    A list of networks of which none is of this family rules the family out, as Calico does it.
    """
    atoms: list[Atom] = [expr.Lookup((side.address,), _set(item, side), negated=True) for item in entity.not_sets]
    if entity.not_nets:
        match = content.nets(side.address, side.family, entity.not_nets)
        if match is None or side.family.everything in entity.not_nets:
            return NEVER
        atoms.append(_negated(match))
    return [tuple(atoms)]


def _services(rule: CompiledRule, source: Side, destination: Side) -> Alternatives:
    """A Service's endpoints: addresses as the source; address, protocol and port as the destination."""
    atoms: list[Atom] = []
    if rule.source.service_set is not None:
        atoms.append(expr.Lookup((source.address,), _set(rule.source.service_set, source)))
    if rule.destination.service_set is not None:
        atoms.append(_address_port(destination, rule.destination.service_set))
    return [tuple(atoms)]


def _place(entity: EntityMatch, side: Side, content: ContentSets) -> Alternatives:
    """Networks and sets that the address must be in. Names alone are in no network: see `_destination`."""
    if entity.domain_set is not None and not (entity.nets or entity.sets):
        return NEVER
    atoms: list[Atom] = [expr.Lookup((side.address,), _set(item, side)) for item in entity.sets]
    if entity.nets and side.family.everything not in entity.nets:
        match = content.nets(side.address, side.family, entity.nets)
        if match is None:
            return NEVER
        atoms.append(match)
    return [tuple(atoms)]


def _destination(rule: CompiledRule, side: Side, content: ContentSets, *, has_grace: bool) -> Alternatives:
    """Where the packet may go: networks and sets, or an address that this endpoint has learned for one of the names."""
    known = _place(rule.destination, side, content)
    domains, nets = rule.destination.domain_set, rule.destination.nets
    is_out = bool(nets) and not any(net.version == side.family.version for net in nets)
    if domains is None or is_out or rule.id.direction is not Direction.EGRESS:
        return known
    pair, version = (side.family.source, side.address), side.family.version
    learned: Alternatives = [(expr.Lookup(pair, names.domain_set(domains, version)),)]
    if has_grace:
        learned.append((expr.Lookup(pair, names.grace_set(domains, version)),))
    return [*known, *learned]


def _set(ip_set: IPSetID, side: Side) -> str:
    return names.ip_set(ip_set, side.family.version)


def _address_port(side: Side, ip_set: IPSetID) -> expr.Lookup:
    return expr.Lookup((side.address, Field.L4PROTO, side.port), _set(ip_set, side))


def _exclusive(apart: Sequence[Atom], overlapping: Iterable[Atom]) -> Iterator[Conjunction]:
    """The atoms so that at most one holds: the first ones do by themselves, the others exclude those before them."""
    before: Conjunction = tuple(_negated(atom) for atom in apart)
    yield from ((atom,) for atom in apart)
    for atom in overlapping:
        yield (*before, atom)
        before = (*before, _negated(atom))


def _negated(atom: Atom) -> Atom:
    if isinstance(atom, expr.Lookup):
        return replace(atom, negated=not atom.negated)
    return replace(atom, op=Op.NE if atom.op is Op.EQ else Op.EQ)
