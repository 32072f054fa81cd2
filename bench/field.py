"""The field on which resolvers and the agent are measured: a client, a node, an upstream, each a namespace.

client 10.0.1.2 --- node --- upstream 10.0.53.53   (bench/responder.c; the rivals forward to it from the node)
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tidegate.demo.lab import Lab
from tidegate.demo.namespace import Namespace

UPSTREAM = "10.0.53.53"
ANSWERED_NETWORK = "11.64.0.0/10"
"""Where all answered addresses lie; the world answers for each of them."""


@dataclass(frozen=True, slots=True)
class Field:
    """The namespaces, and a directory for what the measured programs need."""

    lab: Lab
    scratch: Path
    responder: int
    """The upstream's process."""

    @property
    def client(self) -> Namespace:
        """Where queries come from."""
        return self.lab.pods[0].namespace


@contextmanager
def field() -> Iterator[Field]:
    """Builds the field with its responder; everything is gone afterwards."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-bench-")))
        lab = Lab.create(("client",))
        stack.callback(lab.delete)
        lab.world.ip("route", "add", "local", ANSWERED_NETWORK, "dev", "lo")
        responder = stack.enter_context(running(lab.world, [str(build_responder(scratch)), UPSTREAM, "53"]))
        wait_for_dns(lab.pods[0].namespace, UPSTREAM)
        yield Field(lab, scratch, responder.pid)


def build_responder(scratch: Path) -> Path:
    """Compiles the upstream server."""
    program = scratch / "responder"
    source = Path(__file__).parent / "responder.c"
    subprocess.run(["gcc", "-O2", "-o", str(program), str(source)], check=True)
    return program


@contextmanager
def running(namespace: Namespace, words: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A program inside the namespace, ended afterwards."""
    process = namespace.start(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def wait_for_dns(client: Namespace, server: str, seconds: float = 10) -> None:
    """Returns when the server answers.

    Raises:
        TimeoutError: it does not.
    """
    query = b"\x12\x34\x01\x00\0\1\0\0\0\0\0\0\4wait\5bench\4test\0\0\1\0\1"
    with client.entered():
        asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with asker:
        asker.settimeout(0.1)
        asker.connect((server, 53))
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                asker.send(query)
                if asker.recv(4096):
                    return
            except OSError:
                time.sleep(0.05)
    raise TimeoutError(f"cannot reach a DNS server at {server}")


def cpu_seconds(pids: Sequence[int]) -> float:
    """What the processes, with all their threads, have spent on processors."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def resident_mb(pid: int) -> float:
    """Memory of the process that is in the machine's."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def processes_named(name: str, namespace: Namespace) -> list[int]:
    """The processes of that program that live in the namespace."""
    home = Path(f"/run/netns/{namespace.name}").stat().st_ino
    found = []
    for entry in Path("/proc").iterdir():
        try:
            is_named = entry.name.isdigit() and (entry / "comm").read_text().strip() == name
            if is_named and (entry / "ns" / "net").stat().st_ino == home:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def missing_programs(names: Sequence[str]) -> list[str]:
    """Which of the programs are not installed."""
    return [name for name in names if shutil.which(name) is None]
