"""Which rules name a name: patterns by reversed labels, at the cost of the name's length and not of their number.

Exact names stand in one dictionary, wildcards in another under what follows the `*`. A name is looked up whole, then
by each of its ends from the longest to the shortest:

    www.q.c.test  ->  exact["www.q.c.test"];  below["q.c.test"], below["c.test"], below["test"]
"""

from collections.abc import Iterable, Mapping
from typing import final

from policy.domains import DomainPattern, Wildcard

RuleNumber = int


@final
class _Wildcard:
    __slots__ = ("is_single_label", "prefix", "rules")

    def __init__(self, prefix: bytes, rules: frozenset[RuleNumber], *, is_single_label: bool) -> None:
        self.prefix = prefix
        """Wire key of the labels before the `*`; empty as a rule."""
        self.is_single_label = is_single_label
        self.rules = rules


def wire_key(labels: Iterable[bytes]) -> bytes:
    """The wire key (see `dnsagent.codec`) of folded labels."""
    return b"".join(bytes((len(label),)) + label for label in labels)


def labels_of(name: bytes) -> list[bytes]:
    """The labels of a wire key."""
    labels, at = [], 0
    while at < len(name):
        labels.append(name[at + 1 : at + 1 + name[at]])
        at += name[at] + 1
    return labels


class PatternIndex:
    """Immutable after construction: patterns to the numbers of the rules that have them."""

    __slots__ = ("_below", "_exact")

    def __init__(self, rules: Mapping[RuleNumber, Iterable[DomainPattern]]) -> None:
        exact: dict[bytes, set[RuleNumber]] = {}
        below: dict[bytes, dict[tuple[bytes, bool], set[RuleNumber]]] = {}
        for number, patterns in rules.items():
            for pattern in patterns:
                suffix = wire_key(pattern.suffix)
                if pattern.wildcard is None:
                    exact.setdefault(suffix, set()).add(number)
                    continue
                kind = (wire_key(pattern.prefix), pattern.wildcard is Wildcard.SINGLE_LABEL)
                below.setdefault(suffix, {}).setdefault(kind, set()).add(number)
        self._exact = {name: frozenset(numbers) for name, numbers in exact.items()}
        self._below = {
            suffix: [
                _Wildcard(prefix, frozenset(numbers), is_single_label=single)
                for (prefix, single), numbers in kinds.items()
            ]
            for suffix, kinds in below.items()
        }

    def find(self, name: bytes) -> frozenset[RuleNumber]:
        """The rules that name this wire key."""
        found = self._exact.get(name, _NONE)
        below = self._below
        if below:
            size = len(name)
            at = name[0] + 1 if size else 1
            while at < size:
                wildcards = below.get(name[at:])
                if wildcards is not None:
                    for item in wildcards:
                        if _spans(item, name, at):
                            found = found | item.rules if found else item.rules
                at += name[at] + 1
        return found


def _spans(item: _Wildcard, name: bytes, end: int) -> bool:
    """Whether the labels of the name before `end` are the prefix and at least (or exactly) one label more."""
    start = len(item.prefix)
    if start >= end or not name.startswith(item.prefix):
        return False
    return not item.is_single_label or start + name[start] + 1 == end


_NONE: frozenset[RuleNumber] = frozenset()
