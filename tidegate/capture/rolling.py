"""Capture files that take no more room than they may: after so many bytes or seconds the next begins. Shell.

    <directory>/<namespace>/<capture>/<endpoint>_<interface>.000001.pcap, .000002.pcap, ...

Payloads are other people's: directories and files are their owner's alone.
"""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, final

from reconcile.instant import Instant
from tidegate.capture import pcap
from tidegate.capture.pcap import CapturedPacket
from tidegate.capture.program import SNAPLEN_BYTES

_DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of the files of one interface (Calico Enterprise: captureMaxSizeBytes and so on)."""

    max_bytes: int
    """Of one file. A packet larger than that has a file of its own."""
    max_seconds: float
    """From the opening of a file to the next one; 0 is no limit."""
    max_files: int
    """The one that is written included."""


@final
class RollingFiles:
    """The files of one interface. Goes on behind what an earlier run left."""

    def __init__(self, directory: Path, stem: str, limits: Limits, link_type: int) -> None:
        self._directory = directory
        self._stem = stem
        self._limits = limits
        self._link_type = link_type
        self._file: BinaryIO | None = None
        self._size = 0
        self._opened_at = Instant(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, packet: CapturedPacket, now: Instant) -> None:
        """Appends; what is written is in the file after `flush`.

        Raises:
            OSError: the file cannot be written.
        """
        length = pcap.RECORD_HEADER_BYTES + len(packet.data)
        file = self._file
        if file is None or self._is_full(length, now):
            file = self._next(now)
        file.write(pcap.record(packet))
        self._size += length

    def flush(self) -> None:
        """Makes what was written visible to readers.

        Raises:
            OSError: the disk is full.
        """
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Ends the current file; the next packet would begin another. Safe to call twice."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def paths(self) -> list[Path]:
        """The files that there are, the oldest first."""
        return sorted(self._directory.glob(f"{glob_escaped(self._stem)}.{'[0-9]' * _DIGITS}.pcap"))

    def _is_full(self, more_bytes: int, now: Instant) -> bool:
        is_too_large = self._size > pcap.FILE_HEADER_BYTES and self._size + more_bytes > self._limits.max_bytes
        return is_too_large or 0 < self._limits.max_seconds <= now - self._opened_at

    def _next(self, now: Instant) -> BinaryIO:
        self.close()
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        there = self.paths()
        number = int(there[-1].name.split(".")[-2]) + 1 if there else 1
        for path in there[: max(0, len(there) - self._limits.max_files + 1)]:
            path.unlink(missing_ok=True)
        path = self._directory / f"{self._stem}.{number:0{_DIGITS}}.pcap"
        path.touch(mode=0o600)
        self._file = path.open("wb")
        self._file.write(pcap.file_header(self._link_type, SNAPLEN_BYTES))
        self._size, self._opened_at = pcap.FILE_HEADER_BYTES, now
        return self._file


def glob_escaped(text: str) -> str:
    """The text as a pattern that only it matches."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in text)
