"""Keeps the recorder at what PacketCapture documents want of this node, and tells how each of them stands."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import final

from policy.resources.capture import PacketCapture
from policy.resources.metadata import ResourceKey
from policy.selectors import SelectorError
from reconcile.clock import Clock
from reconcile.instant import WallInstant
from tidegate.api.question import QuestionError
from tidegate.api.server import Document, Query
from tidegate.capture.plan import CaptureState, Plan, plan
from tidegate.capture.recorder import Recorder, Standing
from tidegate.capture.targets import Target, select, targets
from tidegate.sync.desired import Desired
from tidegate.sync.loop import ApplyLoop

LOOK_SECONDS = 0.5
"""Between looks at whether anything changed, at the clock, and attempts at what is in error."""


@final
class Capturer:
    """Owns the recorder."""

    def __init__(self, desired: Desired, loop: ApplyLoop, recorder: Recorder, clock: Clock) -> None:
        self._desired = desired
        self._loop = loop
        self._recorder = recorder
        self._clock = clock
        self._plan = Plan(frozenset(), (), None)
        self._captures: dict[ResourceKey, PacketCapture] = {}
        self._updates = 0
        self._planned_for: tuple[int, int] | None = None
        """The updates and the generation that the plan was made of."""

    def on_update(self, key: ResourceKey, resource: object) -> None:
        """A document came, changed or went (None)."""
        self._updates += 1
        if isinstance(resource, PacketCapture):
            self._captures[key] = resource
        else:
            self._captures.pop(key, None)

    async def run(self) -> None:
        """Looks again and again until cancelled; then nothing is captured any more."""
        try:
            while True:
                await self._look()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await asyncio.to_thread(self._recorder.close)

    async def _look(self) -> None:
        now, made_of = self._clock.wall(), (self._updates, self._loop.progress.applied)
        if made_of != self._planned_for or (self._plan.next_change_at or now + 1) <= now:
            wanted = await self._planned(now) if self._captures else Plan(frozenset(), (), None)
            has_changed, self._plan, self._planned_for = wanted.jobs != self._plan.jobs, wanted, made_of
            if has_changed:
                self._recorder.want(wanted.jobs)
                return
        if any(standing.error for standing in self._recorder.standings.values()):
            self._recorder.want(self._plan.jobs)

    async def _planned(self, now: WallInstant) -> Plan:
        # Taken here, looked at in a thread: ten thousand documents must not hold up the loop.
        captures = tuple(self._captures.values())
        resources, state = tuple(self._desired.resources.values()), self._loop.progress.in_force

        def made() -> Plan:
            namespaces = {capture.metadata.namespace for capture in captures}
            candidates = [target for name in sorted(namespaces) for target in targets(resources, state, name)]
            return plan(captures, candidates, now)

        return await asyncio.to_thread(made)

    # --- what commands ask ---

    @property
    def queries(self) -> Mapping[str, Query]:
        """By the name in the path."""
        return {"captures": self._captures_asked, "capture-targets": self._targets_asked}

    async def _captures_asked(self, _: Mapping[str, str]) -> Document:
        """All captures, and their files on this node."""
        return await asyncio.to_thread(self._documents)

    async def _targets_asked(self, asked: Mapping[str, str]) -> Document:
        """The workloads of `namespace` here that `selector` matches, and their interfaces."""
        namespace, selector = asked.get("namespace", ""), asked.get("selector", "")
        resources, state = tuple(self._desired.resources.values()), self._loop.progress.in_force

        def chosen() -> list[Target]:
            return select(targets(resources, state, namespace), namespace, selector)

        try:
            found = await asyncio.to_thread(chosen)
        except SelectorError as error:
            raise QuestionError(f"cannot read the selector: {error}") from error
        return [{"endpoint": target.endpoint, "interface": target.interface} for target in found]

    def _documents(self) -> list[Mapping[str, object]]:
        states = {key: (state, message) for key, state, message in self._plan.states}
        return [
            self._document(capture, *states.get(key, (CaptureState.WAITING_FOR_TRAFFIC, "")))
            for key, capture in sorted(self._captures.items())
        ]

    def _document(self, capture: PacketCapture, state: CaptureState, message: str) -> Mapping[str, object]:
        standings, planned = self._recorder.standings, self._plan
        jobs = sorted((job for job in planned.jobs if job.capture == capture.key), key=lambda job: job.endpoint)
        files = []
        for job in jobs:
            standing = standings.get(job, Standing())
            message = message or standing.error
            paths = [str(path) for path in self._recorder.files(job)]
            told = {"endpoint": job.endpoint, "interface": job.interface, **asdict(standing), "files": paths}
            files.append(told)
        if message:
            state = CaptureState.ERROR
        elif any(standings.get(job, Standing()).packets for job in jobs):
            state = CaptureState.CAPTURING
        return {
            "namespace": capture.metadata.namespace,
            "name": capture.metadata.name,
            "state": state.value,
            "message": message,
            "interfaces": files,
        }
