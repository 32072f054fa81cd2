"""Does something in the network namespace of another process (setns(2); Python has it from 3.12 on)."""

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path

_CLONE_NEWNET = 0x40000000


def namespace_of(pid: int) -> int:
    """A descriptor of the process's network namespace; the caller closes it.

    Raises:
        OSError: there is no such process, or we may not.
    """
    return os.open(Path("/proc") / str(pid) / "ns" / "net", os.O_RDONLY | os.O_CLOEXEC)


def in_namespace(descriptor: int, work: Callable[[], None]) -> None:
    """Does the work in a thread that has entered the namespace; the calling thread stays where it is.

    Raises:
        OSError: the namespace cannot be entered.
        Exception: what the work raised.
    """
    failures: list[BaseException] = []

    def enter_and_work() -> None:
        try:
            _enter(descriptor)
            work()
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            failures.append(error)

    thread = threading.Thread(target=enter_and_work, name="namespace")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
