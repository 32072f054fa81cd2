"""The hold path against no interception, dnsmasq, smartdns and unbound, in one run: `python -m bench.dns [--rounds N]`.

Prints answers per second, processor time per answer, round trips at 1,000 answers a second and first connections
lost, as medians over interleaved rounds and as ratios, each with its target. Absolute figures mean nothing on a shared
machine.

"Without interception" is `policy-only`: the same tables, endpoints and conntrack, a policy that names networks instead
of domains. `direct` is a node without any rules, where the kernel does not even track connections.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import rivals
from bench.field import Field, missing_programs
from bench.field import field as open_field
from bench.load import Throughput, full_speed, round_trips, urgent, write_queries
from bench.race import misses
from tidegate.demo.agent import RunningAgent

SECONDS, UNIQUE_NAMES, RATE = 3, 250_000, 1000
EXAMPLE = Path(__file__).parent / "resources"


@dataclass
class Result:
    """The rounds of one variant."""

    rounds: list[Throughput] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    misses: int = 0

    def median(self, of: str) -> float:
        """The median over the rounds of a figure of `Throughput`."""
        return statistics.median(getattr(round_, of) for round_ in self.rounds)


@contextmanager
def tidegate(field: Field) -> Iterator[rivals.Running]:
    """The agent, holding every answer; the policy selects them all."""
    with _agent(field) as pids:
        yield rivals.Running(rivals.UPSTREAM, pids)


@contextmanager
def policy_only(field: Field) -> Iterator[rivals.Running]:
    """The agent with a policy of networks: nothing is intercepted."""
    with _agent(field, policy="networks"):
        yield rivals.Running(rivals.UPSTREAM, ())


@contextmanager
def tidegate_busy(field: Field) -> Iterator[rivals.Running]:
    """The same while the control process has all it can do: policy changes without a pause."""
    with _agent(field, busy=True) as pids:
        yield rivals.Running(rivals.UPSTREAM, pids)


@contextmanager
def tidegate_proxy(field: Field) -> Iterator[rivals.Running]:
    """The agent's own forwarder, keeping nothing, for the same workload."""
    with _agent(field, dnsPolicyMode="Proxy", dnsProxyCacheBytes=0) as pids:
        yield rivals.Running(rivals.UPSTREAM, pids)


@contextmanager
def _agent(
    field: Field, *, policy: str = "names", busy: bool = False, **settings: str | int
) -> Iterator[tuple[int, ...]]:
    scratch = field.scratch / "agent"
    scratch.mkdir(exist_ok=True)
    resources = scratch / "resources"
    resources.mkdir(exist_ok=True)
    for old in resources.iterdir():
        old.unlink()
    for source in ("client", policy):
        (resources / f"{source}.yaml").write_text((EXAMPLE / f"{source}.yaml").read_text())
    config = scratch / "config.yaml"
    config.write_text(
        json.dumps(
            {
                "dnsTrustedServers": [rivals.UPSTREAM],
                "dnsLearnedSetSize": 4_000_000,
                "dnsMaxElements": 4_000_000,
                "dnsMaxElementsPerEndpoint": 4_000_000,
                **settings,
            }
        )
    )
    agent = RunningAgent(field.lab.node, resources, scratch, "bench")
    agent.start("--remove-on-exit", "--config", str(config))
    churn = None
    try:
        agent.wait_until_ready()
        if busy:
            churn = subprocess.Popen([sys.executable, "-m", "bench.churn", str(resources)])
        yield (agent.get("status")["packets"]["pid"],)
    finally:
        if churn is not None:
            churn.terminate()
            churn.wait()
        agent.stop()


VARIANTS = {
    "direct": rivals.direct,
    "policy-only": policy_only,
    "tidegate": tidegate,
    "tidegate-busy": tidegate_busy,
    "tidegate-proxy": tidegate_proxy,
    "dnsmasq": rivals.plain_dnsmasq,
    "dnsmasq-nftset": rivals.dnsmasq,
    "smartdns-nftset": rivals.smartdns,
    "unbound": rivals.unbound,
}


def measure(field: Field, name: str, number: int, result: Result) -> None:
    """One round of one variant."""
    tag = f"r{number}{name.replace('-', '')}x"
    with VARIANTS[name](field) as running:
        queries = write_queries(field.scratch / "queries", UNIQUE_NAMES, tag, rivals.ZONE)
        result.rounds.append(full_speed(field.client, running.server, queries, SECONDS, running.pids))
        with urgent([*running.pids, field.responder]):
            times = sorted(round_trips(field.client, running.server, rivals.ZONE, f"{tag}l", RATE, SECONDS))
        result.p50.append(times[len(times) // 2])
        result.p99.append(times[len(times) * 99 // 100])
        if name.startswith("tidegate"):
            result.misses += misses(field, running.server, f"{tag}m")


def report(results: dict[str, Result]) -> None:
    """The table of medians."""
    print(f"{'variant':16} {'answers/s':>10} {'CPU us':>8} {'p50 us':>8} {'p99 us':>8} {'lost':>5} {'misses':>6}")
    for name, result in results.items():
        lost = sum(round_.lost for round_ in result.rounds)
        print(
            f"{name:16} {result.median('answers_per_second'):10.0f} {result.median('cpu_us_per_answer'):8.1f} "
            f"{statistics.median(result.p50) * 1e6:8.0f} {statistics.median(result.p99) * 1e6:8.0f} "
            f"{lost:5} {result.misses:6}"
        )


def verdicts(results: dict[str, Result]) -> bool:
    """Prints each ratio with its target; whether all are met."""
    ours, direct, rival = results.get("tidegate"), results.get("policy-only"), results.get("dnsmasq-nftset")
    rows: list[tuple[str, float, str, float]] = []
    if ours is not None and direct is not None:
        rows += [
            ("rate / policy-only", _ratio(ours, direct, "answers_per_second"), ">=", 0.6),
            ("p50 / policy-only", statistics.median(ours.p50) / statistics.median(direct.p50), "<=", 2.2),
            ("p99 / policy-only", statistics.median(ours.p99) / statistics.median(direct.p99), "<=", 2.5),
            ("first connections lost", float(ours.misses), "<=", 0.0),
        ]
    proxy, forwarder = results.get("tidegate-proxy"), results.get("dnsmasq")
    if proxy is not None and forwarder is not None:
        rows += [
            ("proxy: rate / dnsmasq", _ratio(proxy, forwarder, "answers_per_second"), ">=", 0.5),
            ("proxy: CPU / dnsmasq", _ratio(proxy, forwarder, "cpu_us_per_answer"), "<=", 2.0),
        ]
    if ours is not None and rival is not None:
        rows += [
            ("rate / dnsmasq nftset", _ratio(ours, rival, "answers_per_second"), ">=", 6.0),
            ("CPU / dnsmasq nftset", _ratio(ours, rival, "cpu_us_per_answer"), "<=", 1 / 12),
        ]
    good = True
    for label, value, sense, target in rows:
        met = value >= target if sense == ">=" else value <= target
        good = good and met
        print(f"{label:26} {value:7.3f}  target {sense} {target:.3f}  {'met' if met else 'NOT MET'}")
    return good


def _ratio(one: Result, other: Result, of: str) -> float:
    return one.median(of) / other.median(of)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the rounds; 1 where a target is not met, 2 where a program is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), default=list(VARIANTS))
    options = parser.parse_args(arguments)
    missing = missing_programs(["dnsperf", "gcc", "dnsmasq", "smartdns", "unbound"])
    if missing:
        print(f"cannot measure: not installed: {' '.join(missing)}", file=sys.stderr)
        return 2
    results = {name: Result() for name in options.only}
    with open_field() as field:
        for number in range(options.rounds):
            for name, result in results.items():
                measure(field, name, number, result)
    report(results)
    return 0 if verdicts(results) else 1


if __name__ == "__main__":
    sys.exit(main())
