"""The agent at the size of a large cluster: `python -m bench.growth [policies]`, as root.

10,000 policies, 1,000 namespaces, 20,000 pods of which 250 are local; then a tenth and a third of all but the local
ones, so that the growth shows. Real files, the real agent, a real kernel table in a namespace of its own.

"Computed" is what the graph and the renderer take for one change, documents to table, in this process; "applied" what
the agent takes from the first word of a change to the kernel's and the packet process's acknowledgement. The exponent
says how a figure grows from the smallest to the largest size: 1 is linear, 0 does not grow.
"""

import argparse
import gc
import math
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from policy.resources.decode import decode
from policy.resources.metadata import Resource
from tidegate.config.settings import Settings
from tidegate.demo.agent import RunningAgent
from tidegate.demo.lab import Lab
from tidegate.render.settings import from_configuration
from tidegate.store.files import FileSource
from tidegate.sync.desired import Desired
from tidegate.sync.snapshots import SnapshotSettings

NODE, LOCAL, APPS = "bench", 250, 50
CHANGES, COMPUTED = 40, 200
COLD_SECONDS, CHANGE_P99_MS, RESIDENT_MB = 20.0, 20.0, 400.0
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
    table_seconds: float
    """What nft(8) takes to load the agent's table into an empty namespace."""
    largest_set: int
    """Members."""
    policy_seconds: tuple[float, ...]
    pod_seconds: tuple[float, ...]
    policy_computed: tuple[float, ...]
    pod_computed: tuple[float, ...]


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
        listing = lab.node.command("nft", "list", "table", "inet", "tidegate")
        step = max(1, min(LOCAL, size.namespaces) // CHANGES)
        chosen = [number * step for number in range(CHANGES)]
        policies = tuple(
            applied_seconds(agent, resources / f"p{number}.yaml", [policy(size, number, 1)]) for number in chosen
        )
        pods = tuple(_relabelled(agent, resources, size, number) for number in chosen)
        resident = resident_mb(agent)
        agent.stop()
        policy_computed, pod_computed = computed(
            resources,
            (policy(size, number, 2) for number in range(COMPUTED)),
            (pod(size, number, 2) for number in range(COMPUTED)),
        )
        return Measured(
            cold_seconds=cold,
            resident_mb=resident,
            rules=listing.count("counter packets"),
            table_seconds=loaded_seconds(lab, scratch, listing),
            largest_set=max(entry.count(",") + 1 for entry in re.findall(r"elements = \{([^}]*)\}", listing)),
            policy_seconds=policies,
            pod_seconds=pods,
            policy_computed=policy_computed,
            pod_computed=pod_computed,
        )


def loaded_seconds(lab: Lab, scratch: Path, listing: str) -> float:
    """What the table costs to load at once, after the agent took it out."""
    script = scratch / "table.nft"
    script.write_text(listing)
    started = time.perf_counter()
    lab.node.command("nft", "-f", str(script))
    return time.perf_counter() - started


def computed(resources: Path, *batches: Iterable[dict[str, Any]]) -> list[tuple[float, ...]]:
    """Seconds of processor time for each change, from the decoded document to what changes in the table."""
    desired = Desired(NODE, SnapshotSettings(settings=Settings(), render=from_configuration(Settings(), ())))
    for update in FileSource(resources).load().updates:
        desired.on_update(update.key, update.resource)
    desired.in_sync()
    desired.advance()
    gc.collect()
    gc.freeze()
    costs = [tuple(_computed_seconds(desired, document) for document in batch) for batch in batches]
    gc.unfreeze()
    return costs


def _computed_seconds(desired: Desired, document: dict[str, Any]) -> float:
    resource = decode(document)
    if not isinstance(resource, Resource):
        raise SystemExit(f"the benchmark's document is faulty: {resource}")
    started = time.process_time()
    desired.on_update(resource.key, resource)
    desired.advance()
    return time.process_time() - started


def _p99(seconds: tuple[float, ...]) -> float:
    return sorted(seconds)[len(seconds) * 99 // 100]


def _relabelled(agent: RunningAgent, resources: Path, size: Size, number: int) -> float:
    """One local pod gets another label; the file's other documents are as they were."""
    numbers = range(number, size.pods, size.namespaces)
    pods = [pod(size, each, 1 if each == number else 0) for each in numbers]
    return applied_seconds(
        agent, resources / f"ns{number}.yaml", [_document("v1", "Namespace", f"ns{number}", ""), *pods]
    )


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    label: str
    value: Callable[[Measured], float]
    target: float | None = None


ROWS = (
    Row("cold start to in force, s", lambda one: one.cold_seconds, COLD_SECONDS),
    Row("resident, MB", lambda one: one.resident_mb, RESIDENT_MB),
    Row("rules with a counter", lambda one: one.rules),
    Row("members of the largest set", lambda one: one.largest_set),
    Row("the table loaded by nft, s", lambda one: one.table_seconds),
    Row("a policy computed, median ms", lambda one: 1000 * statistics.median(one.policy_computed)),
    Row("a policy computed, p99 ms", lambda one: 1000 * _p99(one.policy_computed), CHANGE_P99_MS),
    Row("a pod's label computed, median ms", lambda one: 1000 * statistics.median(one.pod_computed)),
    Row("a pod's label computed, p99 ms", lambda one: 1000 * _p99(one.pod_computed), CHANGE_P99_MS),
    Row("a policy applied, median ms", lambda one: 1000 * statistics.median(one.policy_seconds)),
    Row("a policy applied, p99 ms", lambda one: 1000 * _p99(one.policy_seconds)),
    Row("a pod's label applied, median ms", lambda one: 1000 * statistics.median(one.pod_seconds)),
    Row("a pod's label applied, p99 ms", lambda one: 1000 * _p99(one.pod_seconds)),
)


def main() -> int:
    """Measures all sizes; 1 where a target is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policies", type=int, nargs="?", default=10_000)
    largest = parser.parse_args().policies
    sizes = [largest // 10, largest * 3 // 10, largest]
    results = [measure(Size(policies)) for policies in sizes]
    failed = 0
    print(f"{'policies':34} " + " ".join(f"{policies:>9}" for policies in sizes) + "  exponent")
    for row in ROWS:
        values = [row.value(result) for result in results]
        is_met = row.target is None or values[-1] <= row.target
        failed += not is_met
        exponent = math.log(values[-1] / values[0]) / math.log(sizes[-1] / sizes[0])
        verdict = "" if row.target is None else f"  target <= {row.target:g}  {'met' if is_met else 'NOT MET'}"
        print(f"{row.label:34} " + " ".join(f"{value:9.3f}" for value in values) + f"  {exponent:8.2f}{verdict}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
