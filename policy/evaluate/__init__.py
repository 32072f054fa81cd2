"""The reference semantics of policy: slow, obvious, the oracle that everything else is compared with.

    >>> verdict = judge(World(resources), packet, names)
    >>> verdict.is_allowed, verdict.egress.deciding

It reads resources directly and shares no code with the calculation graph but the spelling of labels and the order of
tiers, so that a mistake in either shows as a difference.
"""

from policy.evaluate.frame import Frame
from policy.evaluate.judge import judge
from policy.evaluate.packet import LearnedName, Packet, Party
from policy.evaluate.verdict import DirectionVerdict, Happened, TraceStep, Verdict
from policy.evaluate.world import Holder, World

__all__ = [
    "DirectionVerdict",
    "Frame",
    "Happened",
    "Holder",
    "LearnedName",
    "Packet",
    "Party",
    "TraceStep",
    "Verdict",
    "World",
    "judge",
]
