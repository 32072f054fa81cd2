"""Network namespaces as hosts and pods: made, entered for as long as it takes to open a socket, and removed.

A socket stays in the namespace in which it was opened, so one process can be client, server and observer of a whole
small network: it enters, opens, leaves, and uses the socket like any other.
"""

import ctypes
import os
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWNET = 0x40000000
_RUN_NETNS = Path("/run/netns")
_libc = ctypes.CDLL(None, use_errno=True)


class LabError(RuntimeError):
    """The small network cannot be built: the command and what it said are in the message."""


def _setns(descriptor: int) -> None:
    # os.setns came with Python 3.12.
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise LabError(f"cannot enter a network namespace: {os.strerror(code)}")


@dataclass(frozen=True, slots=True)
class Namespace:
    """A named network namespace, as `ip netns` lists it."""

    name: str

    @classmethod
    def create(cls, label: str) -> "Namespace":
        """Makes a namespace with its loopback up; the name is `tg-`, random digits and the label.

        Raises:
            LabError: ip(8) refused, for want of privileges as a rule.
        """
        namespace = cls(f"tg-{secrets.token_hex(3)}-{label}")
        run_command("ip", "netns", "add", namespace.name)
        namespace.ip("link", "set", "lo", "up")
        # Without this every new address waits a second for duplicates that cannot exist.
        namespace.sysctl(net__ipv6__conf__default__accept_dad=0)
        return namespace

    def delete(self) -> None:
        """Removes it; what still runs inside keeps it alive, unnamed, until it ends."""
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)  # noqa: S603, S607

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is inside; sockets opened meanwhile stay there."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            inside = os.open(_RUN_NETNS / self.name, os.O_RDONLY | os.O_CLOEXEC)
            try:
                _setns(inside)
            finally:
                os.close(inside)
            try:
                yield
            finally:
                _setns(own)
        finally:
            os.close(own)

    def ip(self, *words: str) -> None:
        """Configures addresses, links and routes of the inside.

        Raises:
            LabError: it refused.
        """
        self.command("ip", *words)

    def sysctl(self, **values: int) -> None:
        """Sets kernel parameters inside; `__` stands for the dots of a name.

        Raises:
            LabError: there is no such parameter.
        """
        with self.entered():
            for name, value in values.items():
                try:
                    Path("/proc/sys", *name.split("__")).write_text(str(value))
                except OSError as error:
                    raise LabError(f"cannot set {name.replace('__', '.')}: {error.strerror}") from error

    def inside(self, *words: str) -> tuple[str, ...]:
        """The command that runs a program inside.

        By nsenter(1), because `ip netns exec` mounts /sys anew, and cannot where / is no mount point: in a chroot.
        """
        return ("nsenter", f"--net={_RUN_NETNS / self.name}", *words)

    def command(self, *words: str) -> str:
        """Runs a program inside and returns what it printed.

        Raises:
            LabError: it ended with another status than 0.
        """
        return run_command(*self.inside(*words))

    def start(self, words: Sequence[str], **options: object) -> subprocess.Popen[bytes]:
        """Starts a program inside; `options` are those of `subprocess.Popen`."""
        return subprocess.Popen(self.inside(*words), **options)  # type: ignore[call-overload,no-any-return]  # noqa: S603


def run_command(*words: str) -> str:
    """Runs a program and returns what it printed.

    Raises:
        LabError: it ended with another status than 0, or is not installed.
    """
    try:
        done = subprocess.run(words, check=False, capture_output=True, text=True)  # noqa: S603
    except OSError as error:
        raise LabError(f"cannot run {words[0]}: {error.strerror}") from error
    if done.returncode != 0:
        raise LabError(f"cannot run {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
