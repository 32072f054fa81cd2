"""The tree of a selector: every node knows its truth for a set of labels and its canonical text (`str`).

Missing labels make `==`, `in`, `has` and the substring operators false, `!=` and `not in` true. `global()` is true
here: it has a meaning only as a rule's namespaceSelector, where `policy.scopes` rewrites it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Labels = Mapping[str, str]


def quoted(value: str) -> str:
    """The value in double quotes, or in single ones where it contains a double one (it never contains both)."""
    return f"'{value}'" if '"' in value else f'"{value}"'


def _braced(values: frozenset[str]) -> str:
    return "{" + ", ".join(quoted(value) for value in sorted(values)) + "}"


@dataclass(frozen=True, slots=True)
class Equals:
    """`label == 'value'`."""

    label: str
    value: str

    def matches(self, labels: Labels) -> bool:
        """Whether the label is there with exactly this value."""
        return labels.get(self.label) == self.value

    def __str__(self) -> str:
        return f"{self.label} == {quoted(self.value)}"


@dataclass(frozen=True, slots=True)
class NotEquals:
    """`label != 'value'`."""

    label: str
    value: str

    def matches(self, labels: Labels) -> bool:
        """Whether the label is missing or differs."""
        return labels.get(self.label) != self.value

    def __str__(self) -> str:
        return f"{self.label} != {quoted(self.value)}"


@dataclass(frozen=True, slots=True)
class Contains:
    """`label contains 'value'`."""

    label: str
    value: str

    def matches(self, labels: Labels) -> bool:
        """Whether the label is there and holds the substring."""
        return self.label in labels and self.value in labels[self.label]

    def __str__(self) -> str:
        return f"{self.label} contains {quoted(self.value)}"


@dataclass(frozen=True, slots=True)
class StartsWith:
    """`label starts with 'value'`."""

    label: str
    value: str

    def matches(self, labels: Labels) -> bool:
        """Whether the label is there and begins so."""
        return self.label in labels and labels[self.label].startswith(self.value)

    def __str__(self) -> str:
        return f"{self.label} starts with {quoted(self.value)}"


@dataclass(frozen=True, slots=True)
class EndsWith:
    """`label ends with 'value'`."""

    label: str
    value: str

    def matches(self, labels: Labels) -> bool:
        """Whether the label is there and ends so."""
        return self.label in labels and labels[self.label].endswith(self.value)

    def __str__(self) -> str:
        return f"{self.label} ends with {quoted(self.value)}"


@dataclass(frozen=True, slots=True)
class In:
    """`label in {'a', 'b'}`; the empty set is legal and matches nothing."""

    label: str
    values: frozenset[str]

    def matches(self, labels: Labels) -> bool:
        """Whether the label is there and its value is a member."""
        return labels.get(self.label) in self.values

    def __str__(self) -> str:
        return f"{self.label} in {_braced(self.values)}"


@dataclass(frozen=True, slots=True)
class NotIn:
    """`label not in {'a', 'b'}`."""

    label: str
    values: frozenset[str]

    def matches(self, labels: Labels) -> bool:
        """Whether the label is missing or its value is no member."""
        return labels.get(self.label) not in self.values

    def __str__(self) -> str:
        return f"{self.label} not in {_braced(self.values)}"


@dataclass(frozen=True, slots=True)
class Has:
    """`has(label)`."""

    label: str

    def matches(self, labels: Labels) -> bool:
        """Whether the label is there, even with an empty value."""
        return self.label in labels

    def __str__(self) -> str:
        return f"has({self.label})"


@dataclass(frozen=True, slots=True)
class All:
    """`all()`, and the empty selector."""

    def matches(self, _labels: Labels) -> bool:
        """Always."""
        return True

    def __str__(self) -> str:
        return "all()"


@dataclass(frozen=True, slots=True)
class Global:
    """`global()`."""

    def matches(self, _labels: Labels) -> bool:
        """Always; see the module's docstring."""
        return True

    def __str__(self) -> str:
        return "global()"


@dataclass(frozen=True, slots=True)
class Not:
    """`!operand`; `negation` never nests it, so pairs cancel."""

    operand: "Expression"

    def matches(self, labels: Labels) -> bool:
        """Whether the operand does not."""
        return not self.operand.matches(labels)

    def __str__(self) -> str:
        return f"!{self.operand}"


@dataclass(frozen=True, slots=True)
class And:
    """Two or more operands, all of which must match."""

    operands: "tuple[Expression, ...]"

    def matches(self, labels: Labels) -> bool:
        """Whether every operand does."""
        for operand in self.operands:  # noqa: SIM110  twice as fast as all() over a generator, and indexes call this often
            if not operand.matches(labels):
                return False
        return True

    def __str__(self) -> str:
        return "(" + " && ".join(map(str, self.operands)) + ")"


@dataclass(frozen=True, slots=True)
class Or:
    """Two or more operands, one of which must match."""

    operands: "tuple[Expression, ...]"

    def matches(self, labels: Labels) -> bool:
        """Whether any operand does."""
        for operand in self.operands:  # noqa: SIM110  as above
            if operand.matches(labels):
                return True
        return False

    def __str__(self) -> str:
        return "(" + " || ".join(map(str, self.operands)) + ")"


Expression = Equals | NotEquals | Contains | StartsWith | EndsWith | In | NotIn | Has | All | Global | Not | And | Or


def negation(operand: Expression) -> Expression:
    """The opposite; a double negation is none."""
    return operand.operand if isinstance(operand, Not) else Not(operand)


def conjunction(operands: tuple[Expression, ...]) -> Expression:
    """All of them at once; `all()` adds nothing and is left out."""
    relevant = tuple(operand for operand in operands if not isinstance(operand, All))
    match relevant:
        case ():
            return All()
        case (only,):
            return only
        case _:
            return And(relevant)
