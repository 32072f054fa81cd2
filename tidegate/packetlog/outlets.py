"""Hands records to the file and to the sinks. A sink that is slow or away loses records itself, counted; no more."""

import json
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import final

from tidegate.packetlog.files import RotatedFile
from tidegate.packetlog.formats import Record
from tidegate.packetlog.sinks import Sink, SinkRefusedError

WAITING_LIMIT = 50_000
"""Records that wait for one sink, at about two kilobytes each; what comes then is lost to it."""
_RETRY_SECONDS = 1.0
_LAST_SECONDS = 2.0
"""For what waits when the agent ends."""


@final
class SinkThread:
    """Owns a sink, what waits for it, and the thread between."""

    def __init__(
        self, name: str, sink: Sink, limit: int = WAITING_LIMIT, retry_seconds: float = _RETRY_SECONDS
    ) -> None:
        """Nothing runs before the first record."""
        self.name = name
        """As the configuration has it."""
        self.error = ""
        """Why it does not take records now; "" while it does."""
        self.sent = 0
        self.refused = 0
        """Records that the sink will never take."""
        self.overflowed = 0
        """Records that found no room."""
        self._sink = sink
        self._limit = limit
        self._retry_seconds = retry_seconds
        self._waiting: deque[Record] = deque()
        self._change = threading.Condition()
        self._is_over = False
        self._thread: threading.Thread | None = None

    def offer(self, records: Sequence[Record]) -> None:
        """Records for the sink, oldest first; never waits for it."""
        with self._change:
            room = max(0, self._limit - len(self._waiting))
            self.overflowed += max(0, len(records) - room)
            self._waiting.extend(records[:room])
            self._change.notify()
        if self._thread is None and records:
            self._thread = threading.Thread(target=self._run, name=f"log sink {self.name}", daemon=True)
            self._thread.start()

    def close(self, seconds: float = _LAST_SECONDS) -> None:
        """Gives what waits a last chance, for so long; the thread does not outlive its present `send`."""
        with self._change:
            self._is_over = True
            self._change.notify()
        if self._thread is not None:
            self._thread.join(seconds)

    @property
    def lost(self) -> int:
        """Records that this sink has not got and will not get."""
        return self.overflowed + self.refused

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._waiting and not self._is_over:
                    self._change.wait()
                batch = [self._waiting[index] for index in range(min(self._sink.most, len(self._waiting)))]
            if not batch:
                break
            if self._has_sent(batch):
                with self._change:
                    for _ in batch:
                        self._waiting.popleft()
            elif self._pause():
                break
        self._sink.close()

    def _has_sent(self, batch: Sequence[Record]) -> bool:
        """Whether they are no longer ours."""
        try:
            self._sink.send(batch)
        except SinkRefusedError as error:
            self.refused += error.records
            self.sent += len(batch) - error.records
            self.error = f"{self.name}: {error}"
            return True
        except OSError as error:
            self.error = f"{self.name}: {error}"
            return False
        self.sent += len(batch)
        self.error = ""
        return True

    def _pause(self) -> bool:
        """Before the next attempt; whether there is none."""
        with self._change:
            self._change.wait_for(lambda: self._is_over, self._retry_seconds)
            if self._is_over:
                self.overflowed += len(self._waiting)
                self._waiting.clear()
            return self._is_over


@final
class Outlets:
    """The file and the sinks. Used by one thread at a time."""

    def __init__(self, file: RotatedFile | None, sinks: Iterable[SinkThread] = ()) -> None:
        self._file = file
        self._sinks = tuple(sinks)
        self._unwritten = 0
        self.file_error = ""
        """Why the file lacks records; "" when it was written to the last time."""

    def write(self, records: Sequence[Record]) -> None:
        """The records are in the file when this returns, or counted; the sinks get them when they can."""
        if not records:
            return
        for sink in self._sinks:
            sink.offer(records)
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(record).encode() + b"\n" for record in records)
            self.file_error = ""
        except OSError as error:
            # How many of them are in the file nobody knows: those that may be missing are counted.
            self._unwritten += len(records)
            self.file_error = f"cannot write the log file: {error}"

    def close(self) -> None:
        """Ends all."""
        for sink in self._sinks:
            sink.close()
        if self._file is not None:
            self._file.close()

    @property
    def sink_error(self) -> str:
        """What keeps records from sinks now."""
        return "; ".join(sink.error for sink in self._sinks if sink.error)

    @property
    def counters(self) -> Mapping[str, int]:
        """For status and metrics."""
        counts = {"log_records_unwritten": self._unwritten}
        if self._sinks:
            counts |= {
                "log_sink_records": sum(sink.sent for sink in self._sinks),
                "log_sink_records_lost": sum(sink.lost for sink in self._sinks),
            }
        return counts
