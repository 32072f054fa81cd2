"""What a user must know of an imported policy beside its text."""

from dataclasses import dataclass
from enum import StrEnum

from policy.errors import PolicyError


class Effect(StrEnum):
    """How what was made differs from what was read."""

    NARROWER = "narrower"
    """It allows less."""
    WIDER = "wider"
    """It allows more."""
    DIFFERENT = "different"
    """It says it in another way; read whether that is meant."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One difference, at one place of the document that was read."""

    path: str
    effect: Effect
    message: str


class CannotError(PolicyError):
    """A part has no counterpart; whoever can do without it catches this."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason
