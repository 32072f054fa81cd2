"""The agent at the size of a large cluster: `python -m bench.growth [policies]`, as root.

10,000 policies, 1,000 namespaces, 20,000 pods of which 250 are local; and a tenth of all but the local ones, so that
the growth shows. Real files, the real agent, a real kernel table in a namespace of its own.
"""

import argparse
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tidegate.demo.agent import RunningAgent
from tidegate.demo.lab import Lab

NODE, LOCAL, APPS = "bench", 250, 50
CHANGES = 40
COLD_SECONDS, CHANGE_P99_SECONDS, RESIDENT_MB = 20.0, 0.020, 400.0
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is of everything."""

    policies: int

    @property
    def namespaces(self) -> int:
        """A tenth."""
        return self.policies // 10

    @property
    def pods(self) -> int:
        """Twice as many as policies."""
        return self.policies * 2


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run of the agent cost."""

    cold_seconds: float
    resident_mb: float
    rules: int
    policy_seconds: tuple[float, ...]
    pod_seconds: tuple[float, ...]


def _document(version: str, kind: str, name: str, namespace: str, **rest: object) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **rest}


def pod(size: Size, number: int, edition: int = 0) -> dict[str, Any]:
    """The first 250 are local; each namespace has twenty pods."""
    node = NODE if number < LOCAL else f"node{number % 99}"
    spec = {"nodeName": node, "containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]}
    status = {"podIPs": [{"ip": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"}]}
    made = _document("v1", "Pod", f"pod{number}", f"ns{number % size.namespaces}", spec=spec, status=status)
    made["metadata"]["labels"] = {"app": f"app{(number + edition) % APPS}"}
    return made


def policy(size: Size, number: int, edition: int = 0) -> dict[str, Any]:
    """Selects an app in its namespace; its rules select two others, there and everywhere, and networks."""
    app = number % APPS
    spec = {
        "order": number,
        "selector": f"app == 'app{app}'",
        "ingress": [
            {
                "action": "Allow",
                "protocol": "TCP",
                "source": {"selector": f"app == 'app{(app + 1) % APPS}'"},
                "destination": {"ports": [80 + edition, "http"]},
            }
        ],
        "egress": [
            {
                "action": "Allow",
                "destination": {"selector": f"app == 'app{(app + 2) % APPS}'", "namespaceSelector": "all()"},
            },
            {"action": "Deny", "destination": {"nets": ["192.0.2.0/24"]}},
        ],
    }
    return _document("projectcalico.org/v3", "NetworkPolicy", f"p{number}", f"ns{number % size.namespaces}", spec=spec)


def write(resources: Path, size: Size) -> None:
    """A file for each namespace and its pods, and a file for each policy."""
    for number in range(size.namespaces):
        namespace = _document("v1", "Namespace", f"ns{number}", "")
        pods = [pod(size, each) for each in range(number, size.pods, size.namespaces)]
        _put(resources / f"ns{number}.yaml", [namespace, *pods])
    for number in range(size.policies):
        _put(resources / f"p{number}.yaml", [policy(size, number)])


def _put(path: Path, documents: list[dict[str, Any]]) -> None:
    scratch = path.with_suffix(".tmp")
    scratch.write_text(yaml.dump_all(documents, Dumper=_DUMPER))
    scratch.rename(path)


def resident_mb(agent: RunningAgent) -> float:
    """Of the control process, which `nsenter` became."""
    assert agent.process is not None
    lines = Path(f"/proc/{agent.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def applied_seconds(agent: RunningAgent, path: Path, documents: list[dict[str, Any]]) -> float:
    """Replaces a file; the seconds that the agent says its applying took, the kernel's answer included."""
    before = agent.get("status")["generation"]["applied"]
    _put(path, documents)
    deadline = time.perf_counter() + 60
    while agent.get("status")["generation"]["applied"] == before:
        if time.perf_counter() > deadline:
            raise SystemExit(f"the change of {path.name} was not applied within a minute")
        time.sleep(0.01)
    return float(agent.get("status")["last_apply"]["seconds"])


def measure(size: Size) -> Measured:
    """One run from its start to its end."""
    with ExitStack() as stack:
        lab = Lab.create(("client",))
        stack.callback(lab.delete)
        scratch = Path(stack.enter_context(TemporaryDirectory()))
        resources = scratch / "resources"
        resources.mkdir()
        write(resources, size)
        agent = RunningAgent(lab.node, resources, scratch, NODE)
        started = time.perf_counter()
        agent.start("--remove-on-exit")
        stack.callback(agent.stop)
        agent.wait_until_ready(300)
        cold = time.perf_counter() - started
        rules = lab.node.command("nft", "list", "table", "inet", "tidegate").count("counter packets")
        step = max(1, min(LOCAL, size.namespaces) // CHANGES)
        chosen = [number * step for number in range(CHANGES)]
        policies = tuple(
            applied_seconds(agent, resources / f"p{number}.yaml", [policy(size, number, 1)]) for number in chosen
        )
        pods = tuple(_relabelled(agent, resources, size, number) for number in chosen)
        return Measured(cold, resident_mb(agent), rules, policies, pods)


def _relabelled(agent: RunningAgent, resources: Path, size: Size, number: int) -> float:
    """One local pod gets another label; the file's other documents are as they were."""
    numbers = range(number, size.pods, size.namespaces)
    pods = [pod(size, each, 1 if each == number else 0) for each in numbers]
    return applied_seconds(
        agent, resources / f"ns{number}.yaml", [_document("v1", "Namespace", f"ns{number}", ""), *pods]
    )


def _p99(seconds: tuple[float, ...]) -> float:
    return sorted(seconds)[len(seconds) * 99 // 100]


def main() -> int:
    """Measures both sizes; 1 where a target is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policies", type=int, nargs="?", default=10_000)
    large = Size(parser.parse_args().policies)
    results = [measure(Size(large.policies // 10)), measure(large)]
    rows = [
        ("cold start to in force, s", [one.cold_seconds for one in results], COLD_SECONDS),
        ("resident, MB", [one.resident_mb for one in results], RESIDENT_MB),
        ("rules with a counter", [float(one.rules) for one in results], None),
        ("a policy applied, median s", [statistics.median(one.policy_seconds) for one in results], None),
        ("a policy applied, p99 s", [_p99(one.policy_seconds) for one in results], CHANGE_P99_SECONDS),
        ("a pod's label applied, median s", [statistics.median(one.pod_seconds) for one in results], None),
        ("a pod's label applied, p99 s", [_p99(one.pod_seconds) for one in results], CHANGE_P99_SECONDS),
    ]
    failed = 0
    print(f"{'policies':32} {large.policies // 10:>10} {large.policies:>10}")
    for label, (small_value, large_value), target in rows:
        is_met = target is None or large_value <= target
        failed += not is_met
        verdict = "" if target is None else f"  target <= {target}  {'met' if is_met else 'NOT MET'}"
        print(f"{label:32} {small_value:10.3f} {large_value:10.3f}{verdict}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
