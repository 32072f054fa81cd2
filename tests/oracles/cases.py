"""A world made ready to be judged: decoded, with its packets."""

import json
from dataclasses import dataclass
from functools import cached_property

from policy.errors import Faults
from policy.evaluate import LearnedName, Links, Packet, judge
from policy.evaluate import World as Reference
from policy.resources.decode import decode
from policy.resources.metadata import Resource
from tests.oracles.worlds import Probe, World
from tidegate.judge.answer import Answer, of_evaluation
from tidegate.judge.errors import ProbeError
from tidegate.judge.names import parse_name
from tidegate.judge.probe import parse_probe
from tidegate.judge.roster import Roster
from tidegate.judge.simulated import Simulation
from tidegate.render import RenderSettings


@dataclass(frozen=True)
class Case:
    """A random world as the oracles take it."""

    world: World
    links: Links | None = None
    """What is known of the nodes' interfaces beside what host endpoints say."""

    @cached_property
    def resources(self) -> list[Resource]:
        made = [(document, decode(document)) for document in self.world.documents]
        faulty = [(document, found) for document, found in made if isinstance(found, Faults)]
        assert not faulty, faulty
        return [found for _, found in made]

    @cached_property
    def reference(self) -> Reference:
        return Reference(self.resources, self.roster.links)

    @cached_property
    def roster(self) -> Roster:
        return Roster(self.resources, self.links)

    def simulation(self, settings: RenderSettings | None = None) -> Simulation:
        return Simulation(self.resources, self.names, settings, links=self.roster.links)

    @cached_property
    def names(self) -> list[LearnedName]:
        return [parse_name(json.dumps(name)) for name in self.world.names]

    @cached_property
    def packets(self) -> list[tuple[Probe, Packet]]:
        """The probes that mean a packet; some parties have no address in the probe's family."""
        made = []
        for probe in self.world.probes:
            try:
                made.append((probe, self.roster.packet(parse_probe(json.dumps(probe)))))
            except ProbeError:
                continue
        return made

    def evaluated(self, packet: Packet) -> Answer:
        return of_evaluation(judge(self.reference, packet, self.names))
