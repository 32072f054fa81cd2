"""Real devices in network namespaces: in the kernel where it has WireGuard, and by wireguard-go."""

import secrets
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from wg.errors import WireGuardError
from wg.kernel import KernelWireGuard
from wg.userspace import SOCKETS, Userspace

PATIENCE_SECONDS = 20.0


def device_name():
    """One that no other namespace of the machine has: sockets of userspace devices share a directory."""
    return f"wgt{secrets.token_hex(5)}"


def wait_until(is_true, what, seconds=PATIENCE_SECONDS):
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, f"{what} did not come true in {seconds} s"
        time.sleep(0.02)


def kernel_lacks():
    """Why the kernel's own WireGuard cannot be tested; empty if it can."""
    try:
        KernelWireGuard().close()
    except WireGuardError as error:
        return f"this kernel has no WireGuard: {error}"
    return ""


def userspace_lacks():
    """Why wireguard-go cannot be tested; empty if it can."""
    if shutil.which("wireguard-go") is None:
        return "wireguard-go is not installed (deploy/setup.sh)"
    return "" if Path("/dev/net/tun").exists() else "this kernel has no /dev/net/tun"


@contextmanager
def wireguard_go(namespace, name):
    """A userspace device in the namespace."""
    process = namespace.start(
        ("wireguard-go", "-f", name), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: _answers(name), f"wireguard-go of {name}")
        yield process
    finally:
        process.kill()
        process.wait()
        (SOCKETS / f"{name}.sock").unlink(missing_ok=True)


def _answers(name):
    try:
        Userspace().read(name)
    except WireGuardError:
        return False
    return True
