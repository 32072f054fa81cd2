"""Throughput from pod to pod: nodes between which the agent encrypts, beside nodes where wg(8) and ip(8) set that up.

just bench-tunnels [PAIRS]         the transport that the machine has: the kernel's, or wireguard-go (root)
just bench-tunnels [PAIRS] bare    the nodes by hand have no agent either: what encryption and policy cost together

Otherwise agents judge packets on all nodes, and what differs is who made the tunnel. Transport, MTU, links and pods are
the same, and one connection carries at a time. They run in turns, in pairs that change their order, so that what else
happens on the machine hits both; what counts is the ratio within a pair.
"""

import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from statistics import median

from tests.scenarios import nodes
from tests.wg import lab
from tidegate.demo.namespace import Namespace, run_command
from wg.userspace import start_program

PAIRS, SECONDS, WARM_SECONDS = 30, 2.0, 0.3
MARGIN = 0.03
"""By how much ours may be slower."""
_CHUNK_BYTES = 1 << 18
_PATIENCE_SECONDS = 60.0
_SAMPLES = 10_000
_PORT = 51820


@dataclass(frozen=True, slots=True)
class Way:
    """From one pod to another."""

    source: Namespace
    target: Namespace
    address: IPv4Address


def throughput(path: Way) -> float:
    """Mbit/s of one TCP connection, after it got going.

    Raises:
        OSError: there is no connection.
    """
    with path.target.entered():
        listener = socket.create_server((str(path.address), 0))
    with path.source.entered():
        client = socket.socket()
    with listener, client:
        client.settimeout(_PATIENCE_SECONDS)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        with server:
            server.settimeout(_PATIENCE_SECONDS)
            sender = threading.Thread(target=_send, args=(client,), daemon=True)
            sender.start()
            found = _count(server)
            server.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):  # the other side's end may have arrived
                client.shutdown(socket.SHUT_RDWR)
            sender.join()
    return found


def _send(client: socket.socket) -> None:
    chunk = bytes(_CHUNK_BYTES)
    try:
        while True:
            client.sendall(chunk)
    except OSError:
        return  # the other side has counted enough


def _count(server: socket.socket) -> float:
    buffer, began = bytearray(_CHUNK_BYTES), time.perf_counter()
    while time.perf_counter() - began < WARM_SECONDS:
        server.recv_into(buffer)
    total, begin = 0, time.perf_counter()
    while (spent := time.perf_counter() - begin) < SECONDS:
        total += server.recv_into(buffer)
    return total * 8 / spent / 1e6


@contextmanager
def ours(scratch: Path) -> Iterator[Way]:
    """Two nodes with agents."""
    with nodes.make_cluster(scratch, names=("a", "b"), versions=(4,), is_watched=False) as cluster:
        cluster.until_all_encrypt()
        yield Way(cluster["a"].pod, cluster["b"].pod, cluster["b"].pod_address())


@contextmanager
def by_hand(scratch: Path, *, has_agents: bool) -> Iterator[Way]:
    """Two nodes: a device each, the other as its peer, and a route into it. Their agents encrypt nothing."""
    with ExitStack() as stack:
        if has_agents:
            cluster = nodes.make_cluster(scratch, ("a", "b"), (4,), is_watched=False, encrypts=False)
            sites = list(stack.enter_context(cluster).sites.values())
        else:
            _, sites = nodes.build_sites(scratch, ("a", "b"), (4,), stack)
        keys = [run_command("wg", "genkey").strip() for _ in sites]
        for site, key in zip(sites, keys, strict=True):
            _device(site, key, scratch, stack)
        for site, other, key in ((sites[0], sites[1], keys[1]), (sites[1], sites[0], keys[0])):
            _peer(site, other, key)
        yield Way(sites[0].pod, sites[1].pod, sites[1].pod_address())


def _device(site: nodes.Site, key: str, scratch: Path, stack: ExitStack) -> None:
    name, file = site.config["wireguardInterfaceName"], scratch / f"{site.name}.key"
    file.touch(0o600)
    file.write_text(key)
    if lab.kernel_lacks():
        # As the agent does: in a session of its own, which the scheduler gives a share of its own (sched_autogroup).
        with site.node.entered():
            start_program(name)
    else:
        site.node.ip("link", "add", name, "type", "wireguard")
    stack.callback(site.node.ip, "link", "del", name)
    site.node.command("wg", "set", name, "listen-port", str(_PORT), "private-key", str(file))


def _peer(site: nodes.Site, other: nodes.Site, key: str) -> None:
    name = site.config["wireguardInterfaceName"]
    public = subprocess.run(
        ["wg", "pubkey"],
        check=True, capture_output=True, text=True, input=key,
    ).stdout.strip()  # fmt: skip
    words = ("peer", public, "endpoint", f"{other.underlay(4)}:{_PORT}", "allowed-ips", other.network(4))
    site.node.command("wg", "set", name, *words)
    site.node.ip("link", "set", name, "mtu", "1440", "up")
    site.node.ip("route", "replace", other.network(4), "dev", name)


def pairs(one: Way, other: Way, count: int) -> list[tuple[float, float]]:
    """Mbit/s of both, so many times, each first in every other pair."""
    found = []
    for number in range(count):
        if number % 2:
            second, first = throughput(other), throughput(one)
        else:
            first, second = throughput(one), throughput(other)
        found.append((first, second))
    return found


def confidence(ratios: Sequence[float]) -> tuple[float, float]:
    """Between what the median lies, with 95 percent (bootstrap, with the same numbers every time)."""
    source = random.Random(1)
    medians = sorted(median(source.choices(ratios, k=len(ratios))) for _ in range(_SAMPLES))
    return medians[_SAMPLES * 25 // 1000], medians[_SAMPLES * 975 // 1000]


def verdict(low: float, high: float) -> str:
    """What the interval says of the promise."""
    if low >= 1 - MARGIN:
        return f"within {MARGIN:.0%}"
    return f"slower by more than {MARGIN:.0%}" if high < 1 - MARGIN else "not decided: more pairs, or a calmer machine"


def main() -> None:
    """Prints medians, the ratio and its confidence; fails where ours is surely slower than with the same policy."""
    count, is_bare = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS, "bare" in sys.argv[2:]
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        for each in ("ours", "hand"):
            (scratch / each).mkdir()
        with ours(scratch / "ours") as mine, by_hand(scratch / "hand", has_agents=not is_bare) as theirs:
            for path in (mine, theirs):
                throughput(path)
            found = pairs(mine, theirs, count)
    ratios = [first / second for first, second in found]
    low, high = confidence(ratios)
    kind = "wireguard-go" if lab.kernel_lacks() else "kernel"
    print(f"{kind}, {count} pairs of {SECONDS} s each, one TCP connection")
    print(f"  by the agent  median {median(first for first, _ in found):8.1f} Mbit/s")
    print(f"  by hand{', bare' if is_bare else '      '} median {median(second for _, second in found):8.1f} Mbit/s")
    print(f"  ratio         median {median(ratios):8.3f}, 95 % between {low:.3f} and {high:.3f}: {verdict(low, high)}")
    sys.exit(high < 1 - MARGIN and not is_bare)


if __name__ == "__main__":
    main()
