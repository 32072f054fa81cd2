"""What is known about a setting beside its value, and how a field of a dataclass becomes one."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

from tidegate.config.kinds import Kind

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Knob:
    """What is known about one setting beside its value."""

    name: str
    kind: Kind[Any]
    reason: str
    aliases: tuple[str, ...]
    group: str

    @property
    def names(self) -> tuple[str, ...]:
        """Every name it answers to."""
        return (self.name, *self.aliases)

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return f"TIDEGATE_{self.name.upper()}"


def knob(name: str, group: str, kind: Kind[T], default: T, reason: str, *, aliases: tuple[str, ...] = ()) -> T:
    """A field of `Settings` with that default."""
    # The dataclass sees a field, the type checker sees the default's type.
    made: T = field(default=default, metadata={"knob": Knob(name, kind, reason, aliases, group)})
    return made
