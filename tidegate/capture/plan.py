"""Which interfaces are captured now, for whom, and when that changes. Pure.

captures, local workloads, time  --->  jobs for the recorder, a report for each capture, the next instant of change
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from policy.resources.capture import PacketCapture
from policy.resources.metadata import ResourceKey
from policy.rules import EndpointID, PortRange
from reconcile.instant import WallInstant
from tidegate.capture.program import Wanted
from tidegate.capture.targets import Target, select

MAX_JOBS = 64
"""Interfaces captured at a time. Each takes a socket's buffer of 8 MiB and its files; beyond, captures are in error."""


class CaptureState(StrEnum):
    """How a capture stands (Calico: PacketCapture status)."""

    SCHEDULED = "Scheduled"
    """Its start is to come."""
    WAITING_FOR_TRAFFIC = "WaitingForTraffic"
    """No packet came yet, or no workload of this node is selected."""
    CAPTURING = "Capturing"
    FINISHED = "Finished"
    """Its end is past."""
    ERROR = "Error"
    """Not all that it selects is captured; the message says why."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something for the recorder to do: one interface for one capture."""

    capture: ResourceKey
    endpoint: EndpointID
    interface: str
    wanted: tuple[Wanted, ...]

    @property
    def stem(self) -> str:
        """What its files are called, before the number."""
        return f"{self.endpoint.partition('/')[2]}_{self.interface}"


@dataclass(frozen=True, slots=True)
class Plan:
    """As of an instant."""

    jobs: frozenset[Job]
    states: tuple[tuple[ResourceKey, CaptureState, str], ...]
    """Of each capture that is not to be judged by its jobs; the last is why it is in error."""
    next_change_at: WallInstant | None
    """When a start or an end comes."""


def plan(captures: Iterable[PacketCapture], candidates: Sequence[Target], now: WallInstant) -> Plan:
    """What is to be done at the instant."""
    jobs: list[Job] = []
    states: list[tuple[ResourceKey, CaptureState, str]] = []
    changes: list[float] = []
    for capture in sorted(captures, key=lambda item: item.key):
        spec = capture.spec
        changes += [at for at in (spec.start_time, spec.end_time) if at is not None and at > now]
        if spec.end_time is not None and spec.end_time <= now:
            states.append((capture.key, CaptureState.FINISHED, ""))
        elif spec.start_time is not None and spec.start_time > now:
            states.append((capture.key, CaptureState.SCHEDULED, ""))
        else:
            _add(capture, candidates, jobs, states)
    return Plan(frozenset(jobs), tuple(states), WallInstant(min(changes)) if changes else None)


def _add(
    capture: PacketCapture,
    candidates: Sequence[Target],
    jobs: list[Job],
    states: list[tuple[ResourceKey, CaptureState, str]],
) -> None:
    chosen = select(candidates, capture.metadata.namespace, capture.spec.selector)
    reachable = [target for target in chosen if target.interface]
    wanted = wanted_by(capture)
    if len(jobs) + len(reachable) > MAX_JOBS:
        message = f"cannot capture on {len(reachable)} interfaces: {MAX_JOBS} at a time, {len(jobs)} by other captures"
        states.append((capture.key, CaptureState.ERROR, message))
        return
    if len(reachable) < len(chosen):
        lost = next(target for target in chosen if not target.interface)
        states.append((capture.key, CaptureState.ERROR, f"cannot capture {lost.endpoint}: no route leads to it"))
    jobs += [Job(capture.key, target.endpoint, target.interface, wanted) for target in reachable]


def wanted_by(capture: PacketCapture) -> tuple[Wanted, ...]:
    """Its filters, for the program."""
    return tuple(
        Wanted(item.protocol, tuple(port for port in item.ports if isinstance(port, PortRange)))
        for item in capture.spec.filters
    )
