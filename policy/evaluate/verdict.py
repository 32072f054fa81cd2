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


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceStep:
    """One step. A rule of -1 is no rule: the end of a tier or of the profiles, or the frame around the walk."""

    happened: Happened
    tier: str = ""
    """"" outside tiers."""
    policy: PolicyID | None = None
    """At the end of a tier: its last policy that governs this direction."""
    rule: int = -1
    reason: str = ""
    """For NOT_MATCHED, the first criterion that failed, as `destination.ports`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionVerdict:
    """How one endpoint judged a packet in one direction. `trace` ends with the step that decided."""

    is_allowed: bool
    trace: tuple[TraceStep, ...]
    staged: tuple[TraceStep, ...] = ()
    """The walk as it would be if staged policies were enforced; empty where none selects the endpoint."""

    @property
    def deciding(self) -> TraceStep:
        """The step that decided."""
        return self.trace[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Both endpoints' judgement, each without regard to the other; None where that side is no workload endpoint."""

    egress: DirectionVerdict | None
    ingress: DirectionVerdict | None

    @property
    def is_allowed(self) -> bool:
        """Whether the packet arrives: nobody denies it."""
        return all(side is None or side.is_allowed for side in (self.egress, self.ingress))
