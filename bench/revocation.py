"""Open connections at size: what a look at them costs after policy changed: `python -m bench.revocation` (root).

50,000 entries of 250 workloads in a connection table, each to an address of its own, a table of 21 rules for each
workload. One look because a workload changed, one at everything, and one that ends half of them: how long each takes,
and how long another thread of the interpreter waited at most.
"""

import random
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address

from nfq.connection import Connection
from nfq.conntrack import Conntrack
from nft.model import Key
from policy.resources.decode import decode
from policy.resources.metadata import Resource
from policy.rules import EndpointID, NodeState
from tests.lab.entries import Entry, insert
from tidegate.agent.revocation import Look
from tidegate.demo.namespace import Namespace
from tidegate.judge.nodes import node_state
from tidegate.render import RenderSettings
from tidegate.revoke.hearing import Hearing
from tidegate.revoke.part import surroundings
from tidegate.revoke.scope import BEGINNING, Scope
from tidegate.revoke.way import no_routes

ENTRIES, WORKLOADS = 50_000, 250
CHANGE_SECONDS, EVERYTHING_SECONDS, WAIT_SECONDS = 1.0, 2.0, 0.1
_TRACKING = "add table inet t; add chain inet t c { type filter hook input priority 0; ct state new accept; }"
_FIRST = ip_address("198.51.0.0")


class NoSets:
    """There is no table of ours here, nothing is learned, and far ends are not remembered."""

    def learned(self, part: NodeState) -> dict[str, list[Key]]:
        """Nothing."""
        del part
        return {}

    def remember(self, doomed: Iterable[Connection]) -> int:
        """Had room for all."""
        del doomed
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one look cost."""

    judged: int
    ended: int
    seconds: float
    longest_wait: float
    """Of another thread that wants to run every millisecond."""


def node(network: str) -> NodeState:
    """Workloads that may go to the network on port 443, behind twenty rules that do not match."""
    others = [
        {"action": "Allow", "protocol": "TCP", "destination": {"nets": [f"203.0.113.{n}/32"], "ports": [80, n + 1]}}
        for n in range(20)
    ]
    last = {"action": "Allow", "protocol": "TCP", "destination": {"nets": [network], "ports": [443]}}
    policy = _decoded("NetworkPolicy", "p", {"selector": "all()", "types": ["Egress"], "egress": [*others, last]})
    return node_state([*map(_workload, range(WORKLOADS)), policy], "n")


def _workload(number: int) -> Resource:
    spec = {"orchestrator": "cni", "workload": f"w{number}", "node": "n", "endpoint": "eth0"}
    where = {"interfaceName": f"cali{number}", "ipNetworks": [f"{_address(number)}/32"]}
    return _decoded("WorkloadEndpoint", f"w{number}", {**spec, **where})


def _address(number: int) -> str:
    return f"10.1.{number // 200}.{number % 200 + 1}"


def _decoded(kind: str, name: str, spec: dict[str, object]) -> Resource:
    metadata = {"name": name, "namespace": "ns"}
    made = decode({"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata, "spec": spec})
    if not isinstance(made, Resource):
        raise SystemExit(f"the benchmark's document is faulty: {made}")
    return made


def entries(count: int) -> Iterator[Entry]:
    """Connections of all workloads to as many addresses."""
    chance = random.Random(1)
    for number in range(count):
        source = ip_address(_address(chance.randrange(WORKLOADS)))
        yield Entry(source=source, destination=_FIRST + chance.randrange(1 << 16), source_port=1024 + number % 60_000)


@contextmanager
def tracked(count: int) -> Iterator[int]:
    """The thread is in a namespace with so many entries; how many there really are."""
    namespace = Namespace.create("bench")
    try:
        namespace.command("nft", _TRACKING)
        with namespace.entered():
            insert(entries(count))
            with Conntrack() as table:
                there = len(table.connections())
            yield there
    finally:
        namespace.delete()


def look(before: NodeState, now: NodeState, scope: Scope) -> Measured:
    """One look in the present namespace. It runs in this thread; another one tries to run meanwhile."""
    with _waiting() as longest:
        started = time.perf_counter()
        hearing = Hearing(before, now, scope, RenderSettings())
        one = Look(hearing, surroundings(hearing.part, (), no_routes), NoSets(), lambda _: (), lambda _: None)
        one.run()
        seconds = time.perf_counter() - started
    return Measured(judged=one.judged, ended=one.ended, seconds=seconds, longest_wait=longest())


@contextmanager
def _waiting() -> Iterator[Callable[[], float]]:
    stop, longest = threading.Event(), [0.0]

    def run() -> None:
        while not stop.is_set():
            before = time.perf_counter()
            time.sleep(0.001)
            longest[0] = max(longest[0], time.perf_counter() - before)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield lambda: longest[0]
    finally:
        stop.set()
        thread.join()


def main() -> int:
    """Prints what was measured; 1 where a bound was passed."""
    wide, half = node("198.51.0.0/16"), node("198.51.0.0/17")
    one = Scope(endpoints=frozenset({EndpointID("ns/w3")}), standing=frozenset())
    with tracked(ENTRIES) as count:
        print(f"{count} connections of {WORKLOADS} workloads")
        changed, nothing, ended = look(wide, half, one), look(wide, wide, BEGINNING), look(wide, half, BEGINNING)
    for name, found in (
        ("one workload changed", changed),
        ("everything, all stay", nothing),
        ("half of them end", ended),
    ):
        print(
            f"{name}: {found.judged} judged, {found.ended} ended in {found.seconds:.2f} s;"
            f" another thread waited {found.longest_wait * 1000:.0f} ms at most"
        )
    is_quick = changed.seconds < CHANGE_SECONDS and nothing.seconds < EVERYTHING_SECONDS
    return 0 if is_quick and max(changed.longest_wait, nothing.longest_wait) < WAIT_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
