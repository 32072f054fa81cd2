"""Many policies: cold apply, one change, and what a packet costs: `python -m bench.scale`.

1,000 policies on 100 endpoints; the pod that sends is governed by one of them, the same in both cases. The packet
figures are ratios to the same node with one policy, measured in turn.
"""

import argparse
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tidegate.demo.agent import RunningAgent
from tidegate.demo.lab import Lab
from tidegate.demo.servers import tcp_acceptors

POLICIES, ENDPOINTS, CHANGES = 1000, 100, 60
COLD_SECONDS, CHANGE_P99_SECONDS, PACKET_RATIO = 3.0, 0.05, 0.95


def endpoint(number: int) -> dict[str, Any]:
    """The first endpoint is the lab's pod, the others exist on paper: their interfaces are not there."""
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "WorkloadEndpoint",
        "metadata": {"name": f"e{number}", "namespace": "bench", "labels": {"app": f"app-{number}", "all": "yes"}},
        "spec": {
            "orchestrator": "cni",
            "workload": f"e{number}",
            "node": "bench",
            "endpoint": "eth0",
            "interfaceName": "cali-client" if number == 0 else f"cali{number:08x}",
            "ipNetworks": ["10.0.1.2/32"] if number == 0 else [f"10.9.{number // 250}.{number % 250 + 1}/32"],
        },
    }


def policy(number: int, endpoints: int, edition: int = 0) -> dict[str, Any]:
    """Five rules. The last policy governs the lab's pod and lets everything out; the others govern the others."""
    is_last = number == POLICIES - 1
    rules: list[dict[str, Any]] = [
        {
            "action": "Allow",
            "protocol": "TCP",
            "destination": {
                "nets": [f"172.{16 + rule}.{number % 250}.0/24"],
                "ports": [1000 + number, 2000 + edition % 1000],
            },
        }
        for rule in range(5)
    ]
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"p{number}", "namespace": "bench"},
        "spec": {
            "order": number,
            "selector": f"app == 'app-{0 if is_last else 1 + number % (endpoints - 1)}'",
            "types": ["Egress"],
            "egress": [*rules, {"action": "Allow"}] if is_last else rules,
        },
    }


def write(resources: Path, policies: int, endpoints: int) -> None:
    """One file of endpoints, one file for each policy."""
    resources.mkdir(parents=True, exist_ok=True)
    (resources / "endpoints.yaml").write_text(yaml.safe_dump_all(map(endpoint, range(endpoints))))
    numbers = range(policies) if policies > 1 else range(POLICIES - 1, POLICIES)
    for number in numbers:
        (resources / f"p{number}.yaml").write_text(yaml.safe_dump(policy(number, endpoints)))


@contextmanager
def running(lab: Lab, scratch: Path, policies: int, endpoints: int) -> Iterator[tuple[RunningAgent, float]]:
    """A ready agent, and the seconds it took from its start to the applied table."""
    resources = scratch / "resources"
    write(resources, policies, endpoints)
    agent = RunningAgent(lab.node, resources, scratch, "bench")
    started = time.perf_counter()
    agent.start("--remove-on-exit")
    try:
        agent.wait_until_ready(60)
        yield agent, time.perf_counter() - started
    finally:
        agent.stop()


def connections_per_second(lab: Lab, seconds: float = 2.0) -> float:
    """TCP connections opened one after the other by one client."""
    opened, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        with lab.pods[0].namespace.entered():
            batch = [socket.socket() for _ in range(64)]
        for client in batch:
            client.connect(("198.51.100.7", 443))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
            opened += 1
    return opened / seconds


def packets_per_second(lab: Lab, seconds: float = 2.0) -> float:
    """UDP datagrams of ever new flows, which walk the whole ruleset: what a new packet costs."""
    with lab.pods[0].namespace.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sent, end = 0, time.perf_counter() + seconds
    with sender:
        while time.perf_counter() < end:
            for port in range(20000, 20512):
                sender.sendto(b"x", ("198.51.100.9", port))
            sent += 512
    return sent / seconds


def change_times(agent: RunningAgent, resources: Path) -> list[float]:
    """Seconds from the control process's knowledge of a changed policy to the kernel's acknowledgement."""
    times = []
    for edition in range(1, CHANGES + 1):
        number = edition * 7 % (POLICIES - ENDPOINTS)
        before = agent.get("status")["generation"]["applied"]
        path = resources / f"p{number}.yaml"
        scratch = path.with_suffix(".tmp")
        scratch.write_text(yaml.safe_dump(policy(number, ENDPOINTS, edition)))
        scratch.rename(path)
        while agent.get("status")["generation"]["applied"] == before:
            time.sleep(0.002)
        times.append(agent.get("status")["last_apply"]["seconds"])
    return times


def main() -> int:
    """Measures everything; 1 where a target is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    many: list[tuple[float, float]] = []
    one: list[tuple[float, float]] = []
    changes: list[float] = []
    cold: list[float] = []
    with ExitStack() as stack:
        lab = Lab.create(("client",))
        stack.callback(lab.delete)
        stack.enter_context(tcp_acceptors(lab.world, (443,), keep=False))
        for _ in range(options.rounds):
            for results, policies, endpoints in ((one, 1, 1), (many, POLICIES, ENDPOINTS)):
                with TemporaryDirectory() as name, running(lab, Path(name), policies, endpoints) as (agent, seconds):
                    results.append((connections_per_second(lab), packets_per_second(lab)))
                    if policies > 1:
                        cold.append(seconds)
                        changes += change_times(agent, Path(name) / "resources")
    return _report(one, many, cold, changes)


def _report(
    one: list[tuple[float, float]], many: list[tuple[float, float]], cold: list[float], changes: list[float]
) -> int:
    connections, packets = (
        statistics.median(x[i] for x in many) / statistics.median(x[i] for x in one) for i in (0, 1)
    )
    p99 = sorted(changes)[len(changes) * 99 // 100]
    rows = [
        ("cold start to applied, s", statistics.median(cold), "<=", COLD_SECONDS),
        ("one changed policy, p99 s", p99, "<=", CHANGE_P99_SECONDS),
        ("connections/s, 1000 to 1", connections, ">=", PACKET_RATIO),
        ("new packets/s, 1000 to 1", packets, ">=", PACKET_RATIO),
    ]
    failed = 0
    for label, value, sense, target in rows:
        met = value >= target if sense == ">=" else value <= target
        failed += not met
        print(f"{label:28} {value:8.3f}  target {sense} {target:.3f}  {'met' if met else 'NOT MET'}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
