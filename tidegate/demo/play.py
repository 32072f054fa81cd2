"""Plays the story in a fresh lab and compares each outcome with what the policy says."""

import functools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dnsagent import answers
from tidegate.demo import servers
from tidegate.demo.agent import RunningAgent
from tidegate.demo.client import ConnectOutcome, IPAddress, connect, resolve
from tidegate.demo.lab import Lab, Pod
from tidegate.demo.story import STORY, ZONE, Step

POD_NAMES = ("builder", "neighbour")
_CLOSED_AFTER_SECONDS = 1.4
"""A denied connection is dropped without a word; a held one is decided within a second."""


@dataclass(frozen=True, slots=True)
class Played:
    """A step and what became of it."""

    step: Step
    address: IPAddress | None
    outcome: ConnectOutcome

    @property
    def is_as_expected(self) -> bool:
        """Whether policy and packets agree."""
        return self.outcome.is_connected == self.step.is_allowed


def example_directory() -> Path:
    """The example that the demo plays, in a checkout or in an installed package."""
    inside = Path(__file__).parent / "examples" / "01-names"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "examples" / "01-names"


@contextmanager
def stage(example: Path, say: Callable[[str], None]) -> Iterator[tuple[Lab, RunningAgent]]:
    """The lab with its servers and a ready agent; everything is gone afterwards.

    Raises:
        LabError: the lab cannot be built, or the agent does not get ready.
    """
    with ExitStack() as stack:
        say("building namespaces: a node, two pods, the world")
        lab = Lab.create(POD_NAMES)
        stack.callback(lab.delete)
        _serve(lab, stack)
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-demo-"))
        agent = RunningAgent(lab.node, example / "resources", Path(scratch))
        say("starting the agent on the node")
        agent.start("--remove-on-exit", "--config", str(example / "config.yaml"))
        stack.callback(agent.stop)
        agent.wait_until_ready()
        yield lab, agent


def _serve(lab: Lab, stack: ExitStack) -> None:
    zone = answers.build_zone(ZONE)
    stack.enter_context(servers.udp_service(lab.world, 53, functools.partial(answers.answer, zone=zone)))
    stack.enter_context(servers.tcp_acceptors(lab.world, (80, 443)))
    for pod in lab.pods:
        stack.enter_context(servers.tcp_acceptors(pod.namespace, (9100,)))


def play(lab: Lab) -> Iterator[Played]:
    """Plays every step in order, one at a time."""
    for step in STORY:
        yield _play_step(lab.pod(step.pod), step)


def _play_step(pod: Pod, step: Step) -> Played:
    address = step.to
    if step.resolve is not None:
        found = resolve(pod.namespace, step.resolve, step.qtype)
        address = found[0] if found else None
    if address is None:
        return Played(step, None, ConnectOutcome(is_connected=False, seconds=0, error="the name has no address"))
    return Played(step, address, connect(pod.namespace, address, step.port, _CLOSED_AFTER_SECONDS))
