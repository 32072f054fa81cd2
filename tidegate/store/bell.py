"""Wakes somebody when something in a directory changes (inotify(7)).

Only a hint: what has changed is found by looking. So nothing is lost where the kernel has no watches left, where a link
leads out of the watched directories, or on a network file system: the next look in turn finds it.
"""

import asyncio
import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

# include/uapi/linux/inotify.h. Not IN_MODIFY: a writer that is not done yet need not be looked at.
_ATTRIB, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = (
    *(0x004, 0x008, 0x040, 0x080),
    *(0x100, 0x200, 0x400, 0x800),
)
_EVENTS = _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
_READ_BYTES = 65536


class Bell:
    """Holds state: an inotify descriptor and its watches. Without inotify it only lets time pass."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._descriptor: int | None = descriptor if descriptor >= 0 else None

    @property
    def is_working(self) -> bool:
        """Whether the kernel gave us a descriptor."""
        return self._descriptor is not None

    def watch(self, directories: Iterable[Path]) -> None:
        """Watches these directories too. Watches on those that are gone end by themselves; repeats do no harm."""
        if self._descriptor is not None:
            for directory in directories:
                self._libc.inotify_add_watch(self._descriptor, os.fsencode(directory), _EVENTS)

    async def wait(self, timeout_seconds: float) -> bool:
        """Returns as soon as something happened since the last wait (True), or when the time is over."""
        if self._descriptor is None:
            await asyncio.sleep(timeout_seconds)
            return False
        rung = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._descriptor, rung.set)
        try:
            async with asyncio.timeout(timeout_seconds):
                await rung.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(self._descriptor)
        self._drain(self._descriptor)
        return True

    def close(self) -> None:
        """Gives the descriptor back; more than once does no harm."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @staticmethod
    def _drain(descriptor: int) -> None:
        try:
            while os.read(descriptor, _READ_BYTES):
                pass
        except BlockingIOError:
            return
