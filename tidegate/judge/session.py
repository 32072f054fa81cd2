"""A sitting of the judges: resources and learned names once, then one probe after another."""

from collections.abc import Iterable
from enum import StrEnum

from policy.evaluate import LearnedName, World, judge
from policy.resources.metadata import Resource
from tidegate.config.settings import Settings
from tidegate.judge.answer import Answer, of_evaluation
from tidegate.judge.configured import frame_of
from tidegate.judge.probe import Probe
from tidegate.judge.roster import Roster
from tidegate.judge.simulated import Simulation
from tidegate.render.settings import from_configuration


class Oracle(StrEnum):
    """Who judges."""

    EVALUATE = "evaluate"
    """The reference semantics, read directly off the resources."""
    SIMULATE = "simulate"
    """The rules that would be in the kernel, run in Python."""
    BOTH = "both"


class Session:
    """Judges probes by the chosen oracles."""

    def __init__(
        self,
        resources: Iterable[Resource],
        roster: Roster,
        learned: Iterable[LearnedName],
        oracle: Oracle,
        settings: Settings | None = None,
    ) -> None:
        """`roster` is of the same resources; `settings` are those of every node."""
        known, facts = tuple(resources), tuple(learned)
        self._roster = roster
        self._facts = facts
        self._frame = None if settings is None else frame_of(settings)
        rendered = None if settings is None else from_configuration(settings, ())
        self._world = None if oracle is Oracle.SIMULATE else World(known, roster.links)
        self._simulation = None if oracle is Oracle.EVALUATE else Simulation(known, facts, rendered, links=roster.links)

    def answers(self, probe: Probe) -> dict[Oracle, Answer]:
        """Each oracle's answer, the reference's first.

        Raises:
            ProbeError: the probe means no packet.
        """
        packet = self._roster.packet(probe)
        answers = {}
        if self._world is not None:
            answers[Oracle.EVALUATE] = of_evaluation(judge(self._world, packet, self._facts, self._frame))
        if self._simulation is not None:
            answers[Oracle.SIMULATE] = self._simulation.judge(packet)
        return answers


def disagree(answers: dict[Oracle, Answer]) -> bool:
    """Whether two oracles gave different verdicts, or the same for different reasons."""
    first, *others = answers.values()
    return not all(first.agrees(other) for other in others)
