"""How far what is wanted has come: the loop writes it, everybody else reads it."""

from dataclasses import dataclass, field

from policy.rules import NodeState


@dataclass(slots=True, kw_only=True)
class Counters:
    """What the loop counted since it began."""

    applies: int = 0
    apply_seconds: float = 0.0
    apply_failures: int = 0
    repairs: int = 0
    connections_cut: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LastApply:
    """The last step that reached the kernel."""

    generation: int
    seconds: float
    """From the first word of the change to the kernel's acknowledgement."""


@dataclass(slots=True, kw_only=True)
class Progress:
    """Generations: `wanted` goes up with each step; the others follow."""

    wanted: int = 0
    applied: int = 0
    """In the kernel."""
    packets: int = 0
    """Loaded by the packet process."""
    in_force: NodeState = field(default_factory=NodeState)
    """The state of the last generation that was both applied and loaded."""
    is_settled: bool = False
    """Nothing is left to do for the latest generation."""
    last_apply: LastApply | None = None
    counters: Counters = field(default_factory=Counters)
