r"""Domain names and the patterns that policy names them by.

A name is a tuple of labels, never a string with dots in it: a label may hold a dot (`evil\.a.test` has the two labels
`evil.a` and `test`), and then no pattern for `a.test` may take it for one of its own.

A pattern is a name in which at most one whole label, never the last, is `*` (Calico: destination.domains):

    a.test          that name only
    *.a.test        every name below a.test, at any depth; not a.test itself
    www.*.a.test    one or more labels between
    *{1}.a.test     exactly one label (the `single-label` flavour)

The last line is canonical text only: a user chooses the flavour by an annotation, and braces are refused in what users
write, so canonical text never means something else than what it was made from.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import idna

from policy.errors import DecodeError

MAX_LABEL_BYTES = 63
"""RFC 1035 2.3.4."""
MAX_NAME_BYTES = 255
"""RFC 1035 2.3.4: on the wire, with a length byte before each label and the root at the end."""
_MAX_TEXT = 4 * MAX_NAME_BYTES + 4
"""A name of 255 bytes with every byte written as an escape; longer texts are not looked at."""

_LABEL = re.compile(r"(?:[^.\\]|\\[0-9]{3}|\\[^0-9])*", re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:([0-9]{3})|(.))", re.DOTALL)
_LABEL_ESCAPES = re.compile(r"\\[0-9]{3}|\\.", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z0-9_-]*")
_DOTS = str.maketrans(dict.fromkeys("\u3002\uff0e\uff61", "."))  # label separators of other scripts, UTS 46 2.3
_ONE_LABEL = "*{1}"


class DomainError(DecodeError):
    """The text is no domain name or pattern; the message says why and what to write instead."""


class Wildcard(StrEnum):
    """What `*` stands for (annotation `dns.tidegate.io/wildcard`)."""

    LABELS = "labels"
    """One or more labels: Calico's meaning."""
    SINGLE_LABEL = "single-label"
    """Exactly one label."""


@dataclass(frozen=True, slots=True)
class DomainName:
    """A name: labels as on the wire, leftmost first, without the root, ASCII letters in lower case (RFC 4343)."""

    labels: tuple[bytes, ...]

    @classmethod
    def of(cls, labels: Sequence[bytes]) -> "DomainName":
        """Folds the labels of a message. They are taken as they are: the reader of the message has bounded them."""
        return cls(tuple(label.lower() for label in labels))

    @classmethod
    def parse(cls, text: str) -> "DomainName":
        r"""Reads a name as people write it: with or without the last dot, in any script, with `\.` and `\032` escapes.

        Raises:
            DomainError: The text is no name that can be asked for.
        """
        raw = _split(text)
        if "*" in raw:
            raise DomainError("cannot have a wildcard in a name")
        labels = _labels(raw)
        _check_length(labels, has_wildcard=False)
        return cls(labels)

    def __str__(self) -> str:
        return ".".join(map(_escaped, self.labels)) or "."


@dataclass(frozen=True, slots=True)
class DomainPattern:
    """Names that end in `suffix`, and with a wildcard begin with `prefix` and have labels between.

    Equal patterns match the same names. Without a wildcard `prefix` is empty and `suffix` is the whole name.
    """

    prefix: tuple[bytes, ...]
    wildcard: Wildcard | None
    suffix: tuple[bytes, ...]

    @classmethod
    def parse(cls, text: str, wildcard: Wildcard = Wildcard.LABELS) -> "DomainPattern":
        """Reads a pattern as users write it; `wildcard` is what its `*` shall mean.

        Raises:
            DomainError: The text is no pattern.
        """
        return _pattern(_split(text), wildcard)

    @classmethod
    def from_canonical(cls, text: str) -> "DomainPattern":
        """Reads what `str` of a pattern gave.

        Raises:
            DomainError: The text is no pattern.
        """
        raw = _split(text)
        if _ONE_LABEL in raw:
            return _pattern(["*" if label == _ONE_LABEL else label for label in raw], Wildcard.SINGLE_LABEL)
        return _pattern(raw, Wildcard.LABELS)

    def with_wildcard(self, wildcard: Wildcard) -> "DomainPattern":
        """The same pattern in the other flavour; an exact name has none and stays as it is."""
        return DomainPattern(self.prefix, self.wildcard and wildcard, self.suffix)

    def matches(self, labels: Sequence[bytes]) -> bool:
        """Whether a name is meant. `labels` are those of a `DomainName`: folded, leftmost first, without the root."""
        if self.wildcard is None:
            return tuple(labels) == self.suffix
        spanned = len(labels) - len(self.prefix) - len(self.suffix)
        if spanned < 1 or (self.wildcard is Wildcard.SINGLE_LABEL and spanned > 1):
            return False
        head, tail = tuple(labels[: len(self.prefix)]), tuple(labels[-len(self.suffix) :])
        return head == self.prefix and tail == self.suffix

    def __str__(self) -> str:
        star = {None: (), Wildcard.LABELS: ("*",), Wildcard.SINGLE_LABEL: (_ONE_LABEL,)}[self.wildcard]
        return ".".join((*map(_escaped, self.prefix), *star, *map(_escaped, self.suffix)))


def _pattern(raw: list[str], wildcard: Wildcard) -> DomainPattern:
    if "*" not in raw:
        labels = _labels(raw)
        _check_length(labels, has_wildcard=False)
        return DomainPattern((), None, labels)
    if raw.count("*") > 1:
        raise DomainError("cannot have more than one wildcard: one `*` already stands for any number of labels")
    if raw[-1] == "*":
        raise DomainError("cannot end in a wildcard: name the domain that the `*` stands below, as in `*.example.com`")
    at = raw.index("*")
    prefix, suffix = _labels(raw[:at]), _labels(raw[at + 1 :])
    _check_length(prefix + suffix, has_wildcard=True)
    return DomainPattern(prefix, wildcard, suffix)


# --- From text to labels, and back ---


def _split(text: str) -> list[str]:
    """The labels of a text as they are written; the root's dot is taken away."""
    if len(text) > _MAX_TEXT:
        raise DomainError(f"cannot be longer than {MAX_NAME_BYTES} bytes: this text has {len(text)} characters")
    text = text.translate(_DOTS)
    raw, at = [], 0
    while found := _LABEL.match(text, at):
        raw.append(found.group())
        at = found.end() + 1
        if found.end() == len(text):
            break
        if text[found.end()] != ".":
            raise DomainError(r"cannot read this escape: write `\.` for a dot in a label, or three digits as in `\046`")
    if len(raw) > 1 and not raw[-1]:
        raw.pop()
    if raw == [""]:
        raise DomainError("cannot be empty: write a name such as `example.com`")
    if "" in raw:
        raise DomainError("cannot have an empty label: take out the dot that is one too many")
    return raw


def _labels(raw: list[str]) -> tuple[bytes, ...]:
    return tuple(map(_label, raw))


def _label(raw: str) -> bytes:
    label = _unescaped(raw) if "\\" in raw else _plain(raw)
    if len(label) > MAX_LABEL_BYTES:
        raise DomainError(f"cannot have a label of {len(label)} bytes: the longest has {MAX_LABEL_BYTES}")
    return label


def _plain(raw: str) -> bytes:
    if "*" in raw:
        raise DomainError(
            f"cannot have a wildcard inside the label `{raw}`: `*` stands for whole labels, as in `*.test`"
        )
    ascii_form = raw if raw.isascii() else _a_label(raw)
    if not _PLAIN.fullmatch(ascii_form):
        wrong = next(char for char in ascii_form if not _PLAIN.fullmatch(char))
        raise DomainError(f"cannot have {wrong!r} in a name: write only the name, without scheme, port or path")
    return ascii_form.lower().encode("ascii")


def _a_label(raw: str) -> str:
    """The label in the form that is asked for on the wire: mapped by UTS 46 (non-transitional), then RFC 5891."""
    try:
        mapped = idna.uts46_remap(raw, std3_rules=False, transitional=False)
        if not mapped:
            raise DomainError(f"cannot use the label {raw!r}: its characters mean nothing in a name")
        return mapped if mapped.isascii() else idna.alabel(mapped).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise DomainError(f"cannot use the label {raw!r} as an international name: {error}") from error


def _unescaped(raw: str) -> bytes:
    if not raw.isascii():
        raise DomainError("cannot have escapes and letters beyond ASCII in one label: write its A-label (`xn--...`)")
    plain = "".join(_LABEL_ESCAPES.split(raw))
    if not _PLAIN.fullmatch(plain):
        raise DomainError(f"cannot have these characters without a backslash in the label `{raw}`")
    return _ESCAPE.sub(_byte, raw.encode("ascii")).lower()


def _byte(escape: re.Match[bytes]) -> bytes:
    number, literal = escape.groups()
    if number and int(number) > 255:
        raise DomainError(f"cannot escape a byte as `\\{number.decode()}`: the largest is `\\255`")
    return bytes([int(number)]) if number else bytes(literal)


def _check_length(labels: tuple[bytes, ...], *, has_wildcard: bool) -> None:
    shortest_wildcard = 2 if has_wildcard else 0
    size = sum(len(label) + 1 for label in labels) + 1 + shortest_wildcard
    if size > MAX_NAME_BYTES:
        raise DomainError(
            f"cannot be a name of {size} bytes: the longest has {MAX_NAME_BYTES}, counting every label's length"
        )


def _escaped(label: bytes) -> str:
    return "".join(_escaped_byte(byte) for byte in label)


def _escaped_byte(byte: int) -> str:
    char = chr(byte)
    if char.isascii() and (char.isalnum() or char in "-_"):
        return char
    return f"\\{char}" if 0x21 <= byte <= 0x7E else f"\\{byte:03d}"
