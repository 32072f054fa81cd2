"""What can be wrong with what the user wrote.

A wrong document is not an exception but a value: a tuple of `Fault`, all of them at once, because whoever mends a file
wants to mend it once. `PolicyError` is the root for the parts that raise: the parsers of single texts.
"""

from dataclasses import dataclass


class PolicyError(Exception):
    """Root of the errors of this room."""


class DecodeError(PolicyError):
    """A text (a name, a network, a port) that does not say what it should; the message is for its author."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing wrong with a document."""

    path: str
    """Where, as `spec.egress[0].destination.ports[1]`; "" is the document as a whole."""
    message: str
    """What is wrong and how to mend it."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


@dataclass(frozen=True, slots=True)
class Faults:
    """Everything wrong with one document; never empty. The other half of what decoding gives."""

    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        return "; ".join(map(str, self.faults))
