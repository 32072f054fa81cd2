"""Writes the packets of many interfaces into their files, in a thread of its own. Shell.

    want(jobs)  --->  taps opened and closed as wanted, packets into rolling files, standing of each job

Reading costs processor time in proportion to what is captured, so it must not be done where policy is applied. An
interface that is gone and a disk that is full are the trouble of one job: it is told, and tried again at the next
`want`.
"""

import os
import selectors
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, final

from reconcile.clock import Clock
from tidegate.capture.plan import Job
from tidegate.capture.rolling import Limits, RollingFiles
from tidegate.capture.tap import Tap, TapError

_COUNT_SECONDS: Final = 1.0
"""Between looks at what the kernel dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a job stands."""

    packets: int = 0
    """Written since this process began."""
    dropped: int = 0
    """Lost for want of room, likewise."""
    is_listening: bool = False
    """Its packets are copied: from the moment that this is said none is missed unseen."""
    error: str = ""
    """Why it is not captured now."""


class _Recording:
    """A job at work."""

    def __init__(self, job: Job, tap: Tap, files: RollingFiles, earlier: Standing) -> None:
        self.job = job
        self.tap = tap
        self.files = files
        self.standing = replace(earlier, is_listening=True, error="")
        self._dropped_before = earlier.dropped

    def take(self, clock: Clock) -> None:
        """Writes what waits; raises TapError and OSError."""
        now, count = clock.now(), 0
        for packet in self.tap.packets():
            self.files.write(packet, now)
            count += 1
        self.files.flush()
        self.standing = replace(self.standing, packets=self.standing.packets + count)

    def count(self) -> None:
        """Looks at what was lost."""
        self.standing = replace(self.standing, dropped=self._dropped_before + self.tap.count_dropped())

    def close(self) -> None:
        """Ends it."""
        self.tap.close()
        self.files.close()


@final
class Recorder:
    """Does what is wanted. `want` and `standings` may be called from any thread, the rest belongs to its own."""

    def __init__(self, directory: Path, limits: Limits, clock: Clock) -> None:
        self._directory = directory
        self._limits = limits
        self._clock = clock
        self._wanted: frozenset[Job] = frozenset()
        self._is_over = False
        self._has_news = threading.Event()
        self._standings: Mapping[Job, Standing] = MappingProxyType({})
        self._recordings: dict[Job, _Recording] = {}
        self._selector = selectors.DefaultSelector()
        self._bell, self._ring = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._bell, selectors.EVENT_READ, None)
        self._thread: threading.Thread | None = None

    @property
    def standings(self) -> Mapping[Job, Standing]:
        """Of all jobs that are wanted, as of a moment ago."""
        return self._standings

    @property
    def limits(self) -> Limits:
        """Of the files."""
        return self._limits

    def want(self, jobs: frozenset[Job]) -> None:
        """From now on these and no others; those that are in error are tried again."""
        self._wanted = jobs
        if self._thread is None and jobs:
            self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
            self._thread.start()
        self._has_news.set()
        self._wake()

    def close(self) -> None:
        """Ends all; files are complete afterwards. Safe to call twice."""
        if self._is_over:
            return
        self._is_over = True
        if self._thread is not None:
            self._wake()
            self._thread.join()
        self._selector.close()
        for descriptor in (self._bell, self._ring):
            os.close(descriptor)

    def files(self, job: Job) -> list[Path]:
        """What there is of it, the oldest first; other runs' files too."""
        return self._files_of(job, 0).paths()

    def _wake(self) -> None:
        try:
            os.write(self._ring, b"!")
        except BlockingIOError:
            return  # a full pipe wakes as well

    def _run(self) -> None:
        count_at = self._clock.now() + _COUNT_SECONDS
        while not self._is_over:
            if self._has_news.is_set():
                self._has_news.clear()
                self._reconcile(self._wanted)
            for key, _ in self._selector.select(_COUNT_SECONDS if self._recordings else None):
                if key.data is None:
                    os.read(self._bell, 4096)
                else:
                    self._take(key.data)
            if self._clock.now() >= count_at:
                count_at = self._clock.now() + _COUNT_SECONDS
                for recording in self._recordings.values():
                    recording.count()
            self._publish()
        self._reconcile(frozenset())

    def _reconcile(self, wanted: frozenset[Job]) -> None:
        for job in self._recordings.keys() - wanted:
            recording = self._recordings[job]
            self._take(recording)
            self._drop(job)
        self._standings = {job: standing for job, standing in self._standings.items() if job in wanted}
        for job in wanted - self._recordings.keys():
            self._open(job)

    def _open(self, job: Job) -> None:
        earlier = self._standings.get(job, Standing())
        try:
            tap = Tap(job.interface, job.wanted)
        except TapError as error:
            self._standings = {**self._standings, job: replace(earlier, is_listening=False, error=str(error))}
            return
        recording = _Recording(job, tap, self._files_of(job, tap.link_type), earlier)
        self._recordings[job] = recording
        self._selector.register(tap, selectors.EVENT_READ, recording)

    def _take(self, recording: _Recording) -> None:
        if recording.job not in self._recordings:
            return
        try:
            recording.take(self._clock)
        except (TapError, OSError) as error:
            message = str(error) if isinstance(error, TapError) else f"cannot write {recording.job.stem}: {error}"
            self._drop(recording.job)
            self._standings = {
                **self._standings,
                recording.job: replace(recording.standing, is_listening=False, error=message),
            }

    def _drop(self, job: Job) -> None:
        recording = self._recordings.pop(job)
        self._selector.unregister(recording.tap)
        recording.close()

    def _files_of(self, job: Job, link_type: int) -> RollingFiles:
        directory = self._directory / job.capture.namespace / job.capture.name
        return RollingFiles(directory, job.stem, self._limits, link_type)

    def _publish(self) -> None:
        now = {job: recording.standing for job, recording in self._recordings.items()}
        self._standings = MappingProxyType({**self._standings, **now})
