"""Recursive descent over the tokens.

```
expr   := and { "||" and }
and    := op { "&&" op }
op     := { "!" } ( "has(" L ")" | "all()" | "global()" | L compare STR | L ("in" | "not in") set | "(" expr ")" )
set    := "{" [ STR { "," STR } [","] ] "}"
```

`!` covers one operand: `!a == 'b'` is not (a == 'b').
"""

from collections.abc import Callable, Iterator

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
    NotEquals,
    NotIn,
    Or,
    StartsWith,
    negation,
)
from policy.selectors.selector import Selector
from policy.selectors.tokens import Kind, SelectorError, Token, tokenize

MAX_DEPTH = 100
"""Nested brackets. Each costs three frames of Python's stack, which ends at 1,000; people write two or three."""

_COMPARISONS: dict[Kind, Callable[[str, str], Expression]] = {
    Kind.EQUALS: Equals,
    Kind.NOT_EQUALS: NotEquals,
    Kind.CONTAINS: Contains,
    Kind.STARTS_WITH: StartsWith,
    Kind.ENDS_WITH: EndsWith,
}
_MEMBERSHIPS: dict[Kind, Callable[[str, frozenset[str]], Expression]] = {Kind.IN: In, Kind.NOT_IN: NotIn}


def parse(text: str) -> Selector:
    """The selector that `text` says; empty or blank text is `all()`. Time is linear in the length.

    Raises:
        SelectorError: the text is no selector; says where and why.
    """
    parser = _Parser(tokenize(text))
    if parser.next.kind is Kind.END:
        return Selector(All())
    expression = parser.disjunction()
    parser.take(Kind.END)
    return Selector(expression)


class _Parser:
    """Holds the tokens not yet read, one ahead, and how deep the brackets are."""

    def __init__(self, tokens: Iterator[Token]) -> None:
        self._tokens = tokens
        self._depth = 0
        self.next = next(tokens)

    def take(self, kind: Kind) -> Token:
        """The next token, which must be of this kind."""
        taken = self.next
        if taken.kind is not kind:
            raise self._unexpected(kind.value)
        if kind is not Kind.END:
            self.next = next(self._tokens)
        return taken

    def disjunction(self) -> Expression:
        """`expr` of the grammar."""
        operands = [self._conjunction()]
        while self._accepts(Kind.OR):
            operands.append(self._conjunction())
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def _conjunction(self) -> Expression:
        operands = [self._operand()]
        while self._accepts(Kind.AND):
            operands.append(self._operand())
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def _operand(self) -> Expression:
        is_negated = False
        while self._accepts(Kind.NOT):
            is_negated = not is_negated
        operand = self._positive_operand()
        return negation(operand) if is_negated else operand

    def _positive_operand(self) -> Expression:
        match self.next.kind:
            case Kind.LABEL:
                return self._label_test()
            case Kind.HAS:
                return self._has()
            case Kind.ALL:
                self.take(Kind.ALL)
                return All()
            case Kind.GLOBAL:
                self.take(Kind.GLOBAL)
                return Global()
            case Kind.LEFT_PAREN:
                return self._bracket()
            case _:
                raise self._unexpected("a label, 'has(', 'all()', 'global()', '!' or '('")

    def _has(self) -> Expression:
        self.take(Kind.HAS)
        label = self.take(Kind.LABEL)
        self.take(Kind.RIGHT_PAREN)
        return Has(label.text)

    def _bracket(self) -> Expression:
        opening = self.take(Kind.LEFT_PAREN)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise SelectorError(f"brackets are nested more than {MAX_DEPTH} deep", opening.offset)
        inner = self.disjunction()
        self.take(Kind.RIGHT_PAREN)
        self._depth -= 1
        return inner

    def _label_test(self) -> Expression:
        label = self.take(Kind.LABEL)
        operator = self.next.kind
        if comparison := _COMPARISONS.get(operator):
            self.take(operator)
            return comparison(label.text, self.take(Kind.STRING).text)
        if membership := _MEMBERSHIPS.get(operator):
            self.take(operator)
            return membership(label.text, self._set())
        raise self._unexpected("an operator after the label")

    def _set(self) -> frozenset[str]:
        self.take(Kind.LEFT_BRACE)
        values: list[str] = []
        while self.next.kind is Kind.STRING:
            values.append(self.take(Kind.STRING).text)
            if not self._accepts(Kind.COMMA):
                break
        self.take(Kind.RIGHT_BRACE)
        return frozenset(values)

    def _accepts(self, kind: Kind) -> bool:
        if self.next.kind is not kind:
            return False
        self.take(kind)
        return True

    def _unexpected(self, wanted: str) -> SelectorError:
        return SelectorError(f"expected {wanted}, found {self.next.kind.value}", self.next.offset)
