"""100,000 live names of four addresses each: `python -m bench.names [--names N]`, as root.

The real agent with its default limits but for the size of the one set that all share, twenty endpoints that are told
5,000 names each; then what the packet process keeps in memory, and the round trips of an endpoint of its own before
and after. 1 where a target is missed.
"""

import argparse
import gc
import socket
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from bench import questions
from bench.field import UPSTREAM, build_responder, resident_mb, running, wait_for_dns
from bench.load import round_trips, urgent
from tidegate.demo.agent import RunningAgent
from tidegate.demo.lab import Lab

ENDPOINTS, ADDRESSES, TTL_SECONDS, ZONE = 20, 4, 3600, "bench.test"
ROUNDS, RATE, SECONDS = 5, 1000, 3.0
SET_SIZE = 500_000
"""All endpoints have one rule, and so one set; 65,536 is the default."""
WINDOW = 50
"""Questions on their way at a time."""
RESIDENT_MB, P99_RATIO = 150.0, 1.2


def write_resources(directory: Path, lab: Lab) -> None:
    """An endpoint for each pod, and one policy for all."""
    for pod in lab.pods:
        document = yaml.safe_load((Path(__file__).parent / "resources" / "client.yaml").read_text())
        document["metadata"] = {"name": pod.name, "namespace": "bench", "labels": {"role": "client"}}
        document["spec"] |= {
            "workload": pod.name,
            "interfaceName": pod.interface_name,
            "ipNetworks": [f"{pod.address4}/32", f"{pod.address6}/128"],
        }
        (directory / f"{pod.name}.yaml").write_text(yaml.safe_dump(document))
    (directory / "names.yaml").write_text((Path(__file__).parent / "resources" / "names.yaml").read_text())


def tell(lab: Lab, names: int) -> int:
    """Has every endpoint but the last ask for its share, a few at a time; how many were not answered."""
    suffix, lost = questions.wire_name(ZONE), 0
    for place, pod in enumerate(lab.pods[:-1]):
        with pod.namespace.entered():
            asker = questions.open_asker(UPSTREAM, None)
        with asker:
            for start in range(0, names // ENDPOINTS, WINDOW):
                for number in range(start, start + WINDOW):
                    asker.send(questions.query(f"live{place}x{number}".encode(), suffix, number))
                lost += WINDOW - _answers(asker, WINDOW)
    return lost


def _answers(asker: socket.socket, most: int) -> int:
    """How many came before one did not."""
    for count in range(most):
        try:
            asker.recv(4096)
        except TimeoutError:
            return count
    return most


def p99_us(lab: Lab, tag: str, pids: Sequence[int]) -> list[float]:
    """Of each round, at a thousand new names a second."""
    client, found = lab.pods[-1].namespace, []
    with urgent(pids):
        for number in range(ROUNDS):
            times = sorted(round_trips(client, UPSTREAM, ZONE, f"{tag}{number}x", RATE, SECONDS))
            found.append(times[len(times) * 99 // 100] * 1e6)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", type=int, default=100_000)
    options = parser.parse_args(arguments)
    gc.freeze()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="tidegate-names-")))
        lab = Lab.create(tuple(f"n{number}" for number in range(ENDPOINTS + 1)))
        stack.callback(lab.delete)
        words = [str(build_responder(scratch)), UPSTREAM, "53", str(TTL_SECONDS), str(ADDRESSES)]
        responder = stack.enter_context(running(lab.world, words))
        resources = scratch / "resources"
        resources.mkdir()
        write_resources(resources, lab)
        (scratch / "config.yaml").write_text(
            yaml.safe_dump({"dnsTrustedServers": [UPSTREAM], "dnsLearnedSetSize": SET_SIZE})
        )
        agent = RunningAgent(lab.node, resources, scratch, "bench")
        stack.callback(agent.stop)
        agent.start("--remove-on-exit", "--config", str(scratch / "config.yaml"))
        agent.wait_until_ready()
        wait_for_dns(lab.pods[0].namespace, UPSTREAM)
        return _measure(agent, lab, responder.pid, options.names)


def _measure(agent: RunningAgent, lab: Lab, responder: int, names: int) -> int:
    pid = agent.get("status")["packets"]["pid"]
    empty = resident_mb(pid)
    before = p99_us(lab, "before", [pid, responder])
    started = time.monotonic()
    lost = tell(lab, names)
    seconds = time.monotonic() - started
    status = agent.get("status")
    elements, counters = status["counts"]["learned addresses"], status["packets"]["counters"]
    full = resident_mb(pid)
    after = p99_us(lab, "after", [pid, responder])
    ratio = statistics.median(after) / statistics.median(before)
    caps = {name: count for name, count in counters.items() if "cap-" in name or "forgotten" in name}
    print(f"{names} names told in {seconds:.1f} s, {lost} unanswered; {elements} elements; bounds: {caps}")
    print(f"resident: {empty:.1f} MB before, {full:.1f} MB with all names (target {RESIDENT_MB:.0f})")
    print(
        f"p99 us before: {_figures(before)}; after: {_figures(after)}; medians' ratio {ratio:.2f} (target {P99_RATIO})"
    )
    return 0 if full < RESIDENT_MB and ratio <= P99_RATIO and not lost else 1


def _figures(values: Sequence[float]) -> str:
    return " ".join(f"{value:.0f}" for value in values)


if __name__ == "__main__":
    sys.exit(main())
