"""What a client's first bytes say: the name that it wants to speak to, in TLS or in HTTP.

    read_spoken(first bytes)  ->  Spoken            they name somebody, or nobody
                              ->  None              more bytes are needed to know
                              ->  UnspokenError     they are neither, or say it in a way on which servers differ

A name is only worth something if the server reads the same one. So whatever two readers could understand differently is
refused, not repaired. Pure; memory and time are linear in the bytes, which the caller bounds.
"""

from dataclasses import dataclass
from typing import Final

from policy.domains import MAX_LABEL_BYTES, MAX_NAME_BYTES

_LABEL: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")
_DIGITS: Final = frozenset(b"0123456789")


class UnspokenError(ValueError):
    """The bytes name nobody in a way that all servers would understand alike; `reason` is a counter's name."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"cannot read a name: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Spoken:
    """What was said."""

    name: bytes | None
    """Lower case, without a last dot; None where the client names nobody."""
    has_ech: bool = False
    """An encrypted greeting is inside, or what looks like one."""
    is_whole: bool = True
    """Everything was read that could say so."""

    @property
    def labels(self) -> tuple[bytes, ...]:
        """Of the name."""
        return () if self.name is None else tuple(self.name.split(b"."))


def checked_name(text: bytes) -> bytes:
    """A host name as in RFC 6066 3 and RFC 9110 7.2, in lower case.

    Raises:
        UnspokenError: an address, a name in another script, or nothing that DNS could have resolved.
    """
    name = text.lower()
    labels = name.split(b".")
    is_name = len(name) <= MAX_NAME_BYTES - 2 and all(
        0 < len(label) <= MAX_LABEL_BYTES and _LABEL.issuperset(label) for label in labels
    )
    # A last label of digits is an address to whoever resolves it (WHATWG URL, "ends in a number").
    if not is_name or _DIGITS.issuperset(labels[-1]):
        raise UnspokenError("bad-name")
    return name
