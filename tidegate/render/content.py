"""Sets that are their own name: networks and ports written into rules, hashed, shared by whoever writes the same."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from nft import expr
from nft.expr import Field, KeyType
from nft.model import Key, Set
from policy.rules import IPNetwork, PortRange
from tidegate.render import names
from tidegate.render.family import Family, merged


@dataclass(slots=True)
class ContentSets:
    """Collects the sets that one policy's rules need while they are being written."""

    sets: dict[str, Set] = field(default_factory=dict)
    elements: dict[str, frozenset[Key]] = field(default_factory=dict)

    def nets(self, where: Field, family: Family, nets: Iterable[IPNetwork]) -> expr.Compare | expr.Lookup | None:
        """The match of an address in any of the family's networks; None if it has none of them.

        One network stands in the rule itself, several in a set: a list of rules would cost each packet its length.
        """
        mine = merged(nets, family)
        if not mine:
            return None
        if len(mine) == 1:
            return expr.Compare(where, expr.Op.EQ, mine[0])
        name = f"n{family.version}-{names.digest(*map(str, mine))}"
        self.sets[name] = Set(name=name, key=(family.address,), is_interval=True)
        self.elements[name] = frozenset((net,) for net in mine)
        return expr.Lookup((where,), name)

    def ports(self, where: Field, ports: Iterable[PortRange]) -> list[expr.Compare | expr.Lookup]:
        """Matches of a port in any of the ranges, disjoint, to be or-ed.

        Single ports share a hash set, each true range is a match of its own: an interval set for them is slower than
        the few ranges that people write.
        """
        joined = list(_joined(ports))
        singles = [port.first for port in joined if port.first == port.last]
        matches: list[expr.Compare | expr.Lookup] = []
        if len(singles) == 1:
            matches.append(expr.Compare(where, expr.Op.EQ, singles[0]))
        elif singles:
            name = f"p-{names.digest(*map(str, singles))}"
            self.sets[name] = Set(name=name, key=(KeyType.PORT,))
            self.elements[name] = frozenset((port,) for port in singles)
            matches.append(expr.Lookup((where,), name))
        matches += [
            expr.Compare(where, expr.Op.EQ, expr.Range(port.first, port.last))
            for port in joined
            if port.first != port.last
        ]
        return matches


def _joined(ports: Iterable[PortRange]) -> Iterable[PortRange]:
    """The same ports as ranges that neither overlap nor touch, in order."""
    current: PortRange | None = None
    for port in sorted(ports):
        if current is None:
            current = port
        elif port.first <= current.last + 1:
            current = PortRange(current.first, max(current.last, port.last))
        else:
            yield current
            current = port
    if current is not None:
        yield current
