"""Moves a selector into another name space of labels.

`env == 'x'` about a namespace is `pcns.env == 'x'` about the pods in it.
"""

from dataclasses import replace
from typing import assert_never

from policy.selectors.ast import (
    All,
    And,
    Contains,
    EndsWith,
    Equals,
    Expression,
    Global,
    Has,
    In,
    Not,
    NotEquals,
    NotIn,
    Or,
    StartsWith,
)


def with_prefix(expression: Expression, prefix: str) -> Expression:
    """The same expression about labels whose names begin with `prefix`."""
    match expression:
        case All() | Global():
            return expression
        case Not(operand):
            return Not(with_prefix(operand, prefix))
        case And(operands):
            return And(tuple(with_prefix(operand, prefix) for operand in operands))
        case Or(operands):
            return Or(tuple(with_prefix(operand, prefix) for operand in operands))
        case Equals() | NotEquals() | Contains() | StartsWith() | EndsWith() | In() | NotIn() | Has():
            return replace(expression, label=prefix + expression.label)
        case _:
            assert_never(expression)
