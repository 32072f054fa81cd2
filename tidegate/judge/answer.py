"""What a judge says, in the form that people compare and programs read: contract, `eval`.

Both oracles answer in these words, so that a difference between them is a difference of values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from policy.evaluate import DECIDING, DirectionVerdict, Happened, TraceStep, Verdict
from policy.rules import PolicyID
from tidegate.judge.hits import PROFILE_TIER, Hit, hits


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happened on the way; -1 is the end of a tier or of the profiles, or no rule of policy at all."""

    happened: str
    tier: str = ""
    """"" is the frame around policy."""
    policy: PolicyID | None = None
    rule: int = -1
    reason: str = ""
    at: str = ""
    """The host endpoint that was asked, and where; "" is a workload, or an oracle that cannot tell."""

    @property
    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "happened": self.happened,
            **_place(self),
            **({"reason": self.reason} if self.reason else {}),
            **({"at": self.at} if self.at else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionAnswer:
    """The judgement of all who were asked on one side."""

    is_allowed: bool
    trace: tuple[Step, ...]
    staged: tuple[Step, ...] = ()
    """The walk with staged policies, where it is another one; of the simulation, only what they counted."""
    must_name: bool = False
    """The connection's data pass when it has named an allowed name itself (SNI, Host)."""
    hits: tuple[Hit, ...] = ()
    """The decisions in Calico's form; of the reference only, for rules that count do not tell of the others."""

    @property
    def deciding(self) -> Step:
        """The step that denied, or the last that allowed."""
        return next((step for step in reversed(self.trace) if step.happened in DECIDING), self.trace[-1])

    @property
    def decision(self) -> tuple[bool, str, PolicyID | None, int, bool]:
        """What two oracles must agree on."""
        step = self.deciding
        return (self.is_allowed, step.tier, step.policy, step.rule, self.is_allowed and self.must_name)

    @property
    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "verdict": word(is_allowed=self.is_allowed),
            **({"must_name": True} if self.is_allowed and self.must_name else {}),
            **_place(self.deciding),
            "trace": [step.document for step in self.trace],
            "staged": [step.document for step in self.staged],
            "policies": [hit.text for hit in self.hits],
            "hits": [hit.document for hit in self.hits],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The judgement of both sides; None where nobody is asked on that side."""

    egress: DirectionAnswer | None
    ingress: DirectionAnswer | None
    pending: "Answer | None" = None
    """If staged policies were enforced; None where nothing is staged, and of the simulation."""

    @property
    def is_allowed(self) -> bool:
        """Whether the packet arrives."""
        return all(side is None or side.is_allowed for side in (self.egress, self.ingress))

    def agrees(self, other: "Answer") -> bool:
        """Whether the other oracle says the same, for the same reason."""
        mine, theirs = (self.egress, self.ingress), (other.egress, other.ingress)
        return all((one and one.decision) == (two and two.decision) for one, two in zip(mine, theirs, strict=True))

    def document(self, probe_id: object) -> Mapping[str, Any]:
        """The line that answers a probe."""
        return {"id": probe_id, **self.sides, "pending": self.pending and self.pending.sides}

    @property
    def sides(self) -> dict[str, Any]:
        """The verdict and both sides', as JSON has them."""
        return {
            "verdict": word(is_allowed=self.is_allowed),
            "egress": self.egress and self.egress.document,
            "ingress": self.ingress and self.ingress.document,
        }


def of_evaluation(verdict: Verdict) -> Answer:
    """The reference's verdict as an answer."""
    answer = _sides(verdict, is_pending=False)
    return answer if verdict.pending is None else replace(answer, pending=_sides(verdict.pending, is_pending=True))


def word(*, is_allowed: bool) -> str:
    """How the contract calls it."""
    return "allow" if is_allowed else "deny"


def _sides(verdict: Verdict, *, is_pending: bool) -> Answer:
    return Answer(
        egress=_direction(verdict.egress, is_pending=is_pending),
        ingress=_direction(verdict.ingress, is_pending=is_pending),
    )


def _direction(verdict: DirectionVerdict | None, *, is_pending: bool) -> DirectionAnswer | None:
    if verdict is None:
        return None
    return DirectionAnswer(
        is_allowed=verdict.is_allowed,
        trace=_steps(verdict.trace),
        staged=_steps(verdict.staged),
        must_name=verdict.must_name,
        hits=hits(verdict.trace, is_pending=is_pending),
    )


def _steps(steps: tuple[TraceStep, ...]) -> tuple[Step, ...]:
    return tuple(
        Step(
            happened=step.happened,
            tier=_tier(step),
            policy=step.policy,
            rule=step.rule,
            reason=step.reason,
            at=step.at,
        )
        for step in steps
    )


def _tier(step: TraceStep) -> str:
    is_behind_tiers = step.policy is not None or step.happened is Happened.NO_PROFILE_MATCHED
    return step.tier or (PROFILE_TIER if is_behind_tiers else "")


def _place(step: Step) -> dict[str, Any]:
    policy = step.policy
    if policy is None:
        return {"tier": step.tier or None, "policy": None, "kind": None, "rule": step.rule}
    name = f"{policy.namespace}/{policy.name}" if policy.namespace else policy.name
    return {"tier": step.tier, "policy": name, "kind": policy.kind, "rule": step.rule}
