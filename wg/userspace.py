"""WireGuard in a program of its own (wireguard-go, boringtun): devices are reached through a Unix socket each.

The sockets' directory is not part of a network namespace: two namespaces of one machine need devices of different
names, or directories of their own. A program that was killed leaves its socket behind; nobody answers there (ENODEV).
Blocks; the deadline is for a program that hangs.
"""

import errno
import os
import socket
import subprocess
from pathlib import Path
from typing import final

from wg import uapi
from wg.changes import DeviceChange
from wg.errors import WireGuardError
from wg.model import DeviceState

SOCKETS = Path("/var/run/wireguard")
PROGRAM = "wireguard-go"
_DEADLINE_SECONDS = 10.0
_CHUNK_BYTES = 1 << 16
_MOST_BYTES = 1 << 26
"""Of one answer: 100,000 peers with a dozen networks each. A program that sends more is not what we think it is."""


@final
class Userspace:
    """A `WireGuard` whose devices are programs."""

    def __init__(self, directory: Path = SOCKETS) -> None:
        self._directory = directory

    def read(self, name: str) -> DeviceState:
        """See `WireGuard.read`."""
        return uapi.get_answer(name, self._ask("read", name, bytearray(uapi.GET)))

    def change(self, change: DeviceChange) -> None:
        """See `WireGuard.change`. One message; a program that refuses a line has done those before it."""
        answer = self._ask("change", change.name, uapi.set_request(change))
        try:
            code = uapi.set_answer(answer)
        except ValueError as error:
            raise WireGuardError("change", change.name, errno.EBADMSG) from error
        if code:
            raise WireGuardError("change", change.name, code)

    def _ask(self, operation: str, name: str, request: bytearray) -> str:
        """The answer to a request, which is zeroed: it may hold a key."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as link:
                link.settimeout(_DEADLINE_SECONDS)
                link.connect(str(self._directory / f"{name}.sock"))
                link.sendall(request)
                return _receive(link)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise WireGuardError(operation, name, errno.ENODEV) from error
        except TimeoutError as error:
            raise WireGuardError(operation, name, errno.ETIMEDOUT) from error
        except (OSError, UnicodeDecodeError) as error:
            code = error.errno if isinstance(error, OSError) and error.errno else errno.EBADMSG
            raise WireGuardError(operation, name, code) from error
        finally:
            request[:] = bytes(len(request))


def _receive(link: socket.socket) -> str:
    """Up to the empty line, or the end."""
    answer = bytearray()
    while not answer.endswith(b"\n\n"):
        chunk = link.recv(_CHUNK_BYTES)
        if not chunk:
            break
        answer += chunk
        if len(answer) > _MOST_BYTES:
            raise OSError(errno.EMSGSIZE, "the answer has no end")
    return answer.decode("ascii")


def start_program(name: str) -> None:
    """Has wireguard-go make a device in this network namespace; it goes on when we end, and ends with its device.

    Raises:
        WireGuardError: ENOENT, it is not installed; EPROTO, it did not come up.
    """
    try:
        # It starts itself once more in the background, and returns when that one listens.
        done = subprocess.run(  # noqa: S603 - the name was checked with the settings
            [PROGRAM, name],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            timeout=_DEADLINE_SECONDS,
            # It advises against itself where the kernel has a module, and does not care whether that is so here.
            env={**os.environ, "WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD": "1"},
        )
    except FileNotFoundError as error:
        raise WireGuardError(f"run {PROGRAM} for", name, errno.ENOENT) from error
    except subprocess.TimeoutExpired as error:
        raise WireGuardError(f"run {PROGRAM} for", name, errno.ETIMEDOUT) from error
    if done.returncode != 0:
        raise WireGuardError(f"run {PROGRAM} for", name, errno.EPROTO)
