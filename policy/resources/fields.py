"""The types of single fields: what a document may say in each, read strictly as the Kubernetes API server does.

A number is no text and text is no number, except where Calico takes both (see `transport`). Every check raises
`ValueError` with a message for the author of the document, which pydantic gathers; `decode` gives it its path.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, PlainValidator, Strict

from policy import selectors
from policy.resources import names
from policy.selectors import ast

T = TypeVar("T")

MAX_SELECTOR_CHARACTERS = 1024
"""Calico: the CRDs' maxLength."""

_INTERFACE = re.compile(r"[a-zA-Z0-9_.-]{0,15}")
_HOST_INTERFACE = re.compile(r"\*|[a-zA-Z0-9_.-]{0,15}")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")


def shown(value: object) -> str:
    """A value in a message: short, and safe whatever the document holds (deep nesting, numbers of 5,000 digits)."""
    match value:
        case str():
            return repr(value) if len(value) <= 60 else f"{value[:57]!r}..."
        case bool() | None:
            return {True: "true", False: "false", None: "nothing"}[value]
        case int() if value.bit_length() > 128:
            return "a very large number"
        case int() | float():
            return repr(value)
        case list() | tuple():
            return "a list"
        case _:
            return "a mapping" if isinstance(value, Mapping) else f"a {type(value).__name__}"


def unlike(expected: str, value: object) -> ValueError:
    """The error about a value of the wrong type; no TypeError, because pydantic gathers ValueErrors only."""
    return ValueError(f"must be {expected}, not {shown(value)}")


# --- Scalars and lists ---


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise unlike("a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("must be a finite number: leave it out to stand behind every number")
    return number


def _listed(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise unlike("a list", value)
    return tuple(value)


def _distinct(value: object) -> object:
    """Compares as written, as the API server does: `10.0.0.1/8` and `10.0.0.2/8` are two."""
    values = _listed(value)
    seen = set()
    for item in values if isinstance(values, tuple) else ():
        if isinstance(item, str) and item in seen:
            raise ValueError(f"cannot list {shown(item)} twice")
        seen.add(item if isinstance(item, str) else None)
    return values


Text = Annotated[str, Strict()]
Flag = Annotated[bool, Strict()]
Integer = Annotated[int, Strict()]
Number = Annotated[float, PlainValidator(_number)]
"""An integer or fraction, never NaN or infinite (JSON has neither)."""

Items = Annotated[tuple[T, ...], BeforeValidator(_listed)]
Distinct = Annotated[tuple[T, ...], BeforeValidator(_distinct)]
"""A list in which nothing stands twice (Kubernetes: list type `set`)."""


@dataclass(frozen=True, slots=True)
class Between:
    """Checks the bounds of an integer, both included."""

    low: int
    high: int

    def __call__(self, value: int) -> int:
        """The value.

        Raises:
            ValueError: It is out of bounds.
        """
        if not self.low <= value <= self.high:
            raise ValueError(f"cannot be {shown(value)}: must be from {self.low} to {self.high}")
        return value


def between(low: int, high: int) -> AfterValidator:
    """Bounds of an integer, both included."""
    return AfterValidator(Between(low, high))


@dataclass(frozen=True, slots=True)
class MaxLength:
    """Checks the number of a list's items or of a text's characters."""

    limit: int

    def __call__(self, value: "tuple[T, ...] | str") -> "tuple[T, ...] | str":
        """The value.

        Raises:
            ValueError: It is too long.
        """
        if len(value) > self.limit:
            unit = "characters" if isinstance(value, str) else "items"
            raise ValueError(f"cannot have {len(value)} {unit}: at most {self.limit}")
        return value


def at_most(limit: int) -> AfterValidator:
    """Bounds the number of a list's items or of a text's characters."""
    return AfterValidator(MaxLength(limit))


def number_of(*numbers: int) -> BeforeValidator:
    """One of these numbers."""

    def check(value: object) -> object:
        if isinstance(value, int) and not isinstance(value, bool) and value in numbers:
            return value
        raise ValueError(f"cannot be {shown(value)}: must be {one_of([str(number) for number in numbers])}")

    return BeforeValidator(check)


@dataclass(frozen=True, slots=True)
class Choice:
    """Reads one of a few texts."""

    members: tuple[StrEnum, ...]
    is_folded: bool
    """Any case will do."""

    def __call__(self, value: object) -> object:
        """The member.

        Raises:
            ValueError: The text is none of them.
        """
        if isinstance(value, str):
            for member in self.members:
                if value == member.value or (self.is_folded and value.lower() == member.value.lower()):
                    return member
        raise ValueError(f"cannot be {shown(value)}: must be {one_of([member.value for member in self.members])}")


def choice(*members: StrEnum) -> BeforeValidator:
    """One of these texts, in exactly this spelling."""
    return BeforeValidator(Choice(members, is_folded=False))


def folded(*members: StrEnum) -> BeforeValidator:
    """One of these texts, in any case."""
    return BeforeValidator(Choice(members, is_folded=True))


def one_of(words: list[str]) -> str:
    """The words as a choice in a sentence."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


# --- Text with a meaning ---


def _matching(pattern: re.Pattern[str], advice: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"cannot be {shown(value)}: {advice}")
        return value

    return AfterValidator(check)


def _named(check: Callable[[str], str | None]) -> AfterValidator:
    def checked(value: str) -> str:
        if wrong := check(value):
            raise ValueError(wrong)
        return value

    return AfterValidator(checked)


def _parsed(value: str) -> selectors.Selector:
    if len(value) > MAX_SELECTOR_CHARACTERS:
        raise ValueError(f"cannot have {len(value)} characters: at most {MAX_SELECTOR_CHARACTERS}")
    try:
        return selectors.parse(value)
    except selectors.SelectorError as error:
        raise ValueError(str(error)) from error


def _selector(value: str) -> str:
    if _has_global(_parsed(value).expression):
        raise ValueError("cannot have global() here: only the namespaceSelector of a rule may be global()")
    return value


def _namespace_selector(value: str) -> str:
    expression = _parsed(value).expression
    if _has_global(expression) and not isinstance(expression, ast.Global):
        raise ValueError("cannot combine global() with anything: it must be the whole selector")
    return value


def _has_global(expression: selectors.Expression) -> bool:
    match expression:
        case ast.Global():
            return True
        case ast.Not(operand):
            return _has_global(operand)
        case ast.And(operands) | ast.Or(operands):
            return any(map(_has_global, operands))
        case _:
            return False


SelectorText = Annotated[str, Strict(), AfterValidator(_selector)]
NamespaceSelectorText = Annotated[str, Strict(), AfterValidator(_namespace_selector)]
"""Of a rule: may be `global()`."""
ObjectName = Annotated[str, Strict(), _named(names.wrong_subdomain)]
LabelName = Annotated[str, Strict(), _named(names.wrong_label)]
InterfaceName = Annotated[str, Strict(), _matching(_INTERFACE, "must have up to 15 letters, digits, '_', '.' and '-'")]
HostInterfaceName = Annotated[
    str, Strict(), _matching(_HOST_INTERFACE, "must be '*' or have up to 15 letters, digits, '_', '.' and '-'")
]
MACAddress = Annotated[str, Strict(), _matching(_MAC, "must be like '0a:1b:2c:3d:4e:5f'")]

LabelKey = Annotated[str, Strict(), _named(names.wrong_key)]
LabelValue = Annotated[str, Strict(), _named(names.wrong_label_value)]
Labels = dict[LabelKey, LabelValue]
Annotations = Annotated[
    dict[Annotated[str, Strict(), _named(names.wrong_annotation_key)], Text], AfterValidator(names.bounded_annotations)
]
