"""What the oracle answers, with everything that led to it."""

from dataclasses import dataclass
from enum import StrEnum

from policy.rules import PolicyID


class Happened(StrEnum):
    """What one step of the walk did."""

    NOT_MATCHED = "rule does not match"
    LOGGED = "rule logs"
    ALLOWED = "rule allows"
    DENIED = "rule denies"
    PASSED = "rule passes"
    END_OF_TIER_DENIED = "end of tier denies"
    END_OF_TIER_PASSED = "end of tier passes"
    PROFILE_MISSING = "profile is missing and denies"
    NO_PROFILE_MATCHED = "no profile allows"
    ENCAPSULATION_DENIED = "workload sends encapsulated packets"
    NEIGHBOUR_DISCOVERY_ALLOWED = "host needs these ICMPv6 types"
    HOST_DENIED = "traffic to the own host is denied"
    FAILSAFE_ALLOWED = "failsafe port"
    TUNNEL_ALLOWED = "tunnel between nodes"
    TUNNEL_DENIED = "tunnel from no known node"


ALLOWING = frozenset(
    (Happened.ALLOWED, Happened.NEIGHBOUR_DISCOVERY_ALLOWED, Happened.FAILSAFE_ALLOWED, Happened.TUNNEL_ALLOWED)
)
DENYING = frozenset(
    (
        Happened.DENIED,
        Happened.END_OF_TIER_DENIED,
        Happened.PROFILE_MISSING,
        Happened.NO_PROFILE_MATCHED,
        Happened.ENCAPSULATION_DENIED,
        Happened.HOST_DENIED,
        Happened.TUNNEL_DENIED,
    )
)
DECIDING = ALLOWING | DENYING


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceStep:
    """One step. A rule of -1 is no rule: the end of a tier or of the profiles, or the frame around the walk."""

    happened: Happened
    tier: str = ""
    """"" outside tiers."""
    policy: PolicyID | None = None
    """At the end of a tier: its last policy that governs this direction; in the pending walk the first."""
    rule: int = -1
    reason: str = ""
    """For NOT_MATCHED, the first criterion that failed, as `destination.ports`."""
    at: str = ""
    """The host endpoint that was asked, and where; "" is a workload."""
    must_name: bool = False
    """It allows because of a learned name, on condition that the connection names an allowed one itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionVerdict:
    """How one side judged a packet: all who were asked there, in order, until one denied."""

    is_allowed: bool
    trace: tuple[TraceStep, ...]
    staged: tuple[TraceStep, ...] = ()
    """The walk as it would be if staged policies were enforced; empty where that is the same walk."""

    @property
    def must_name(self) -> bool:
        """Whether the connection must name itself before its data pass: one who allowed it says so."""
        return any(step.must_name for step in self.trace)

    @property
    def deciding(self) -> TraceStep:
        """The step that decided: the denial, or the last who allowed. Host endpoints may have let it pass undecided."""
        return next((step for step in reversed(self.trace) if step.happened in DECIDING), self.trace[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Both endpoints' judgement, each without regard to the other; None where nobody there is asked."""

    egress: DirectionVerdict | None
    ingress: DirectionVerdict | None
    pending: "Verdict | None" = None
    """As it would be if staged policies were enforced; None where nothing is staged."""

    @property
    def is_allowed(self) -> bool:
        """Whether the packet arrives: nobody denies it."""
        return all(side is None or side.is_allowed for side in (self.egress, self.ingress))
