"""The calculation graph at size: first load, and one change of each sort: `python -m bench.graph`.

1,000 policies, 100 local endpoints, 10,000 pods elsewhere. Process time, so that a busy machine changes little.
"""

import gc
import statistics
import sys
import time
from collections.abc import Iterable

from policy.graph import CalcGraph
from policy.resources.decode import decode
from policy.resources.metadata import Resource, ResourceKey

POLICIES, LOCAL, REMOTE, APPS, NAMESPACES = 1000, 100, 10_000, 50, 20
LOAD_SECONDS, POLICY_MS, POD_MS = 3.0, 5.0, 2.0


def resource(
    kind: str, name: str, namespace: str = "", labels: dict[str, str] | None = None, **rest: object
) -> Resource:
    """Decodes a document."""
    version = "projectcalico.org/v3" if kind == "NetworkPolicy" else "v1"
    metadata = {"name": name, "namespace": namespace, "labels": labels or {}}
    made = decode({"apiVersion": version, "kind": kind, "metadata": metadata, **rest})
    if not isinstance(made, Resource):
        raise SystemExit(f"the benchmark's document is faulty: {made}")
    return made


def pod(number: int, node: str, app: int) -> Resource:
    """A pod with an address and a named port."""
    labels = {"app": f"app{app % APPS}", "pod-template-hash": f"h{number % 500}"}
    containers = [{"ports": [{"name": "http", "containerPort": 8080}]}]
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    spec = {"nodeName": node, "serviceAccountName": "default", "containers": containers}
    status = {"podIPs": [{"ip": address}]}
    return resource("Pod", f"pod{number}", f"ns{number % NAMESPACES}", labels, spec=spec, status=status)


def policy(number: int, edition: int = 0) -> Resource:
    """Selects the pods of an app in its namespace; its rules select three other apps, names and networks."""
    app = number % APPS
    other = f"app in {{'app{(app + 2 + edition) % APPS}', 'app{(app + 3) % APPS}'}}"
    spec = {
        "order": number,
        "selector": f"app == 'app{app}'",
        "ingress": [
            {
                "action": "Allow",
                "protocol": "TCP",
                "source": {"selector": f"app == 'app{(app + 1) % APPS}'"},
                "destination": {"ports": [80, "http"]},
            }
        ],
        "egress": [
            {"action": "Allow", "destination": {"selector": other, "namespaceSelector": "all()"}},
            {"action": "Allow", "destination": {"domains": [f"*.d{number}.test"]}},
            {"action": "Deny", "destination": {"nets": ["192.0.2.0/24"]}},
        ],
    }
    return resource("NetworkPolicy", f"p{number}", f"ns{number % NAMESPACES}", spec=spec)


def changes_ms(graph: CalcGraph, changes: Iterable[tuple[ResourceKey, Resource | None]]) -> list[float]:
    """What each change and its flush cost."""
    costs = []
    for key, changed in changes:
        started = time.process_time()
        graph.on_update(key, changed)
        graph.flush()
        costs.append((time.process_time() - started) * 1000)
    return costs


def report(what: str, costs: list[float], budget: float) -> bool:
    """Prints a line; the 99th percentile must be within the budget."""
    median, worst = statistics.median(costs), sorted(costs)[int(len(costs) * 0.99)]
    is_within = worst < budget
    print(
        f"{what:24} median {median:7.3f} ms  p99 {worst:7.3f} ms  budget {budget} ms  {'ok' if is_within else 'OVER'}"
    )
    return is_within


def main() -> int:
    """Measures all and compares with the budgets."""
    namespaces = [resource("Namespace", f"ns{number}", labels={"team": "a"}) for number in range(NAMESPACES)]
    local = [pod(number, "here", number) for number in range(LOCAL)]
    remote = [pod(LOCAL + number, f"node{number % 99}", number) for number in range(REMOTE)]
    policies = [policy(number) for number in range(POLICIES)]
    gc.collect()
    gc.freeze()  # the documents are the benchmark's, not the graph's
    graph = CalcGraph("here")
    started = time.process_time()
    for loaded in (*namespaces, *local, *remote, *policies):
        graph.on_update(loaded.key, loaded)
    graph.in_sync()
    graph.flush()
    seconds = time.process_time() - started
    print(f"first load {seconds:.2f} s, budget {LOAD_SECONDS} s")
    gc.collect()
    gc.freeze()
    some, pods = policies[:200], remote[:1000]
    moved = [(item.key, pod(LOCAL + number, "node1", number + 1)) for number, item in enumerate(pods)]
    good = [
        seconds < LOAD_SECONDS,
        report("policy changed", changes_ms(graph, [(p.key, policy(n, 1)) for n, p in enumerate(some)]), POLICY_MS),
        report("policy removed", changes_ms(graph, [(p.key, None) for p in some]), POLICY_MS),
        report("policy added", changes_ms(graph, [(p.key, p) for p in some]), POLICY_MS),
        report("remote pod relabelled", changes_ms(graph, moved), POD_MS),
        report("remote pod removed", changes_ms(graph, [(p.key, None) for p in pods]), POD_MS),
        report("remote pod added", changes_ms(graph, [(p.key, p) for p in pods]), POD_MS),
    ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
