"""What a selector demands of single labels, so that an index need not try every selector on every change.

Demands are necessary, not sufficient: whoever satisfies them may still not match.

    >>> demands(parse("a == 'b' && has(c)").expression)
    {'a': frozenset({'b'}), 'c': None}
"""

from collections.abc import Mapping

from policy.selectors.ast import And, Contains, EndsWith, Equals, Expression, Has, In, Or, StartsWith

Demands = Mapping[str, frozenset[str] | None]
"""Label to the values it may have, or None for any value; the label must be there in both cases."""


def demands(expression: Expression) -> Demands:
    """The labels without which `expression` is false. Empty if it may match something without labels."""
    match expression:
        case Equals(label, value):
            return {label: frozenset((value,))}
        case In(label, values):
            return {label: values}
        case Has(label) | Contains(label) | StartsWith(label) | EndsWith(label):
            return {label: None}
        case And(operands):
            return _all_of([demands(operand) for operand in operands])
        case Or(operands):
            return _any_of([demands(operand) for operand in operands])
        case _:
            return {}


def _all_of(parts: list[Demands]) -> Demands:
    merged: dict[str, frozenset[str] | None] = {}
    for part in parts:
        for label, values in part.items():
            known = merged.get(label)
            if known is None or values is None:
                merged[label] = known if values is None else values
            else:
                merged[label] = known & values
    return merged


def _any_of(parts: list[Demands]) -> Demands:
    shared = set(parts[0]).intersection(*parts[1:])
    return {label: _either([part[label] for part in parts]) for label in sorted(shared)}


def _either(choices: list[frozenset[str] | None]) -> frozenset[str] | None:
    values: frozenset[str] = frozenset()
    for choice in choices:
        if choice is None:
            return None
        values |= choice
    return values
