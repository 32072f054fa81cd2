"""The reference semantics of policy: slow, obvious, the oracle that everything else is compared with.

    >>> verdict = judge(World(resources), packet, names)
    >>> verdict.is_allowed, verdict.egress.deciding

It reads resources directly and shares no code with the calculation graph but the spelling of labels and the order of
tiers, so that a mistake in either shows as a difference.
"""

from policy.evaluate.frame import Frame
from policy.evaluate.judge import judge
from policy.evaluate.packet import LearnedName, Packet, Party
from policy.evaluate.verdict import DECIDING, DirectionVerdict, Happened, TraceStep, Verdict
from policy.evaluate.world import Holder, Links, World

__all__ = [
    "DECIDING",
    "DirectionVerdict",
    "Frame",
    "Happened",
    "Holder",
    "LearnedName",
    "Links",
    "Packet",
    "Party",
    "TraceStep",
    "Verdict",
    "World",
    "judge",
]
