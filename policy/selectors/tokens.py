"""Splits selector text into tokens; knows nothing of their order.

One rule needs the token before: words such as `in` or `contains` are operators directly after a label and labels
everywhere else, so `in in {'in'}` asks whether the label `in` has the value `in`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from policy.errors import DecodeError

MAX_LABEL_LENGTH = 512
"""Calico's bound on a label name in a selector."""


class SelectorError(DecodeError):
    """A selector cannot be parsed. `offset` counts characters from 0."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"cannot parse selector at offset {offset}: {message}")
        self.message = message
        self.offset = offset


class Kind(StrEnum):
    """What a token is; the value is how an error message calls it."""

    LABEL = "a label"
    STRING = "a string"
    EQUALS = "'=='"
    NOT_EQUALS = "'!='"
    CONTAINS = "'contains'"
    STARTS_WITH = "'starts with'"
    ENDS_WITH = "'ends with'"
    IN = "'in'"
    NOT_IN = "'not in'"
    HAS = "'has('"
    ALL = "'all()'"
    GLOBAL = "'global()'"
    NOT = "'!'"
    AND = "'&&'"
    OR = "'||'"
    LEFT_PAREN = "'('"
    RIGHT_PAREN = "')'"
    LEFT_BRACE = "'{'"
    RIGHT_BRACE = "'}'"
    COMMA = "','"
    END = "the end of the selector"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text. `text` is the label's name or the string's contents, else empty."""

    kind: Kind
    offset: int
    text: str = ""


_SYMBOLS = {
    "==": Kind.EQUALS,
    "!=": Kind.NOT_EQUALS,
    "&&": Kind.AND,
    "||": Kind.OR,
    "!": Kind.NOT,
    "(": Kind.LEFT_PAREN,
    ")": Kind.RIGHT_PAREN,
    "{": Kind.LEFT_BRACE,
    "}": Kind.RIGHT_BRACE,
    ",": Kind.COMMA,
}
_BLANK = re.compile(r"[ \t]*")
_SYMBOL = re.compile(r"==|!=|&&|\|\||[!(){},]")
_STRING = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_LABEL = re.compile(r"[A-Za-z0-9_./-]+")
_CALLS = (
    (re.compile(r"has\("), Kind.HAS),
    (re.compile(r"all\([ \t]*\)"), Kind.ALL),
    (re.compile(r"global\([ \t]*\)"), Kind.GLOBAL),
)
# A word ends where no further label character follows; `a inb` is no membership test.
_WORD_END = r"(?![A-Za-z0-9_./-])"
_WORDS = (
    (re.compile(r"contains" + _WORD_END), Kind.CONTAINS),
    (re.compile(r"starts[ \t]*with" + _WORD_END), Kind.STARTS_WITH),
    (re.compile(r"ends[ \t]*with" + _WORD_END), Kind.ENDS_WITH),
    (re.compile(r"not[ \t]*in" + _WORD_END), Kind.NOT_IN),
    (re.compile(r"in" + _WORD_END), Kind.IN),
)


def tokenize(text: str) -> Iterator[Token]:
    """Yields the tokens of `text` and then END; time is linear in its length.

    Raises:
        SelectorError: a character cannot begin a token, or a string has no end.
    """
    offset = _skip_blanks(text, 0)
    is_after_label = False
    while offset < len(text):
        token, end = _next_token(text, offset, is_after_label=is_after_label)
        yield token
        is_after_label = token.kind is Kind.LABEL
        offset = _skip_blanks(text, end)
    yield Token(Kind.END, len(text))


def _skip_blanks(text: str, offset: int) -> int:
    blank = _BLANK.match(text, offset)
    return blank.end() if blank else offset


def _next_token(text: str, offset: int, *, is_after_label: bool) -> tuple[Token, int]:
    if symbol := _SYMBOL.match(text, offset):
        return Token(_SYMBOLS[symbol.group()], offset), symbol.end()
    if text[offset] in "'\"":
        return _string(text, offset)
    for pattern, kind in _WORDS if is_after_label else _CALLS:
        if word := pattern.match(text, offset):
            return Token(kind, offset), word.end()
    if label := _LABEL.match(text, offset):
        return _label(label.group(), offset, is_after_label=is_after_label), label.end()
    raise SelectorError(_why_no_token(text[offset]), offset)


def _string(text: str, offset: int) -> tuple[Token, int]:
    string = _STRING.match(text, offset)
    if string is None:
        raise SelectorError("the string has no closing quote", offset)
    return Token(Kind.STRING, offset, string.group()[1:-1]), string.end()


def _label(name: str, offset: int, *, is_after_label: bool) -> Token:
    if is_after_label:
        raise SelectorError(f"expected an operator after the label, found {name[:40]!r}", offset)
    if len(name) > MAX_LABEL_LENGTH:
        raise SelectorError(f"the label is longer than {MAX_LABEL_LENGTH} characters", offset)
    return Token(Kind.LABEL, offset, name)


def _why_no_token(character: str) -> str:
    if character in "=&|":
        return f"single {character!r}; did you mean {character * 2!r}?"
    return f"unexpected character {character!r}"
