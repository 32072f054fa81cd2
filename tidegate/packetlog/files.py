"""JSON lines in a file that is rotated by size: `log`, `log.1` (the last but one), `log.2`, ..."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, final


@final
class RotatedFile:
    """The file of lines and those before it; all of mode 0600, for addresses are nobody else's business."""

    def __init__(self, path: Path, max_bytes: int, max_files: int) -> None:
        """Opens nothing yet."""
        self._path = path
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._file: BinaryIO | None = None
        self._size = 0

    def write(self, lines: Iterable[bytes]) -> None:
        """Appends the lines, each ended by a newline; they are in the file when this returns.

        Raises:
            OSError: they, or a part of them, could not be written.
        """
        try:
            for line in lines:
                if self._size + len(line) > self._max_bytes and self._size:
                    self._rotate()
                self._opened().write(line)
                self._size += len(line)
            if self._file is not None:
                self._file.flush()
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Closes the file; the next line opens it again. What cannot be written any more is lost."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:
                return

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(descriptor, "ab")
            self._size = os.fstat(descriptor).st_size
            if self._size >= self._max_bytes:
                self._rotate()
                return self._opened()
        return self._file

    def _rotate(self) -> None:
        self.close()
        for number in range(self._max_files - 1, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        if self._max_files == 1:
            self._path.unlink(missing_ok=True)
        self._size = 0

    def _numbered(self, number: int) -> Path:
        return self._path if number == 0 else self._path.with_name(f"{self._path.name}.{number}")
