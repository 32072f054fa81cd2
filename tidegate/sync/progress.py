"""How far what is wanted has come: the loop writes it, everybody else reads it."""

from dataclasses import dataclass, field

from policy.rules import IPAddress, NodeState
from reconcile.instant import WallInstant


@dataclass(slots=True, kw_only=True)
class Counters:
    """What the loop counted since it began."""

    applies: int = 0
    apply_seconds: float = 0.0
    apply_failures: int = 0
    repairs: int = 0
    connections_cut: int = 0


@dataclass(frozen=True, slots=True)
class EndedConnection:
    """For people who ask what became of it."""

    source: IPAddress
    destination: IPAddress
    """Behind destination NAT."""
    protocol: int
    port: int
    """0 for protocols without ports."""
    reason: str
    """The rule that denies it, as its counter is called."""
    at: WallInstant


@dataclass(slots=True, kw_only=True)
class Revocation:
    """How far open connections have been judged by the policy in force, and what came of it since the beginning."""

    wanted: int = 0
    """The generation whose policy came into force last."""
    done: int = 0
    """The generation by which open connections were judged last."""
    looks: int = 0
    failures: int = 0
    seconds: float = 0.0
    """Spent in looks, all together."""
    last_seconds: float = 0.0
    judged: int = 0
    """Entries that may have lost their permission."""
    ended: int = 0
    excused: int = 0
    """Entries that the rules deny, and that a name which is remembered, but whose time is over, has opened."""
    unguarded: int = 0
    """Ended without memory of their far end: it had no room."""
    widened: int = 0
    """Looks at all connections, because too many addresses changed to look for each."""


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
