"""The soak: `python -m bench.soak [--pairs 1000000] [--seconds N] [--json FILE]`, as root.

Four endpoints resolve names and connect at once, while policies change every second, the control process is killed
every minute and started again, and a fifth endpoint is denied 200 connections a second to the addresses that the four
are told. SYNs are counted by the kernel: where they leave, and on the far side. Stops at so many pairs or seconds,
whatever comes first; 1 where a promise is broken.
"""

import argparse
import json
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from bench import pairs
from bench.field import UPSTREAM, build_responder, running, wait_for_dns
from bench.soak_policies import DENIED, ENDPOINTS, TAGS, ZONE, Policies, resident_mb
from tidegate.api.client import AgentUnreachableError
from tidegate.demo.agent import RunningAgent
from tidegate.demo.lab import Lab
from tidegate.demo.namespace import Namespace

TTL_SECONDS, DENIED_RATE = 5, 200
KILL_EVERY_SECONDS, CHANGE_EVERY_SECONDS, SAMPLE_EVERY_SECONDS = 60.0, 1.0, 2.0
MAX_GROWTH_MB, MAX_DESCRIPTORS_MORE = 8.0, 8
ADDRESSES_PER_PAIR, LINGER_SECONDS = 3.0, 4.0
"""What the responder gives on average, and how long after its TTL an element may still be counted, with room."""
_TABLE = """
table inet soak {
    counter hits { }
    chain watch { type filter hook %s priority -300; %s counter name hits; }
}
"""
_SYN = "tcp flags & (syn | ack) == syn"
_LEFT = f"ip daddr 11.64.0.0/10 tcp dport 443 {_SYN}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at everything. MB and counts."""

    at: float
    pairs: int
    packets_pid: int
    packets_mb: float
    packets_descriptors: int
    control_mb: float
    elements: int


@dataclass(slots=True)
class Result:
    """What happened."""

    pairs: int = 0
    seconds: float = 0.0
    kills: int = 0
    changes: int = 0
    denied: int = 0
    probes: int = 0
    retransmitted: int = 0
    late: int = 0
    failed: int = 0
    unanswered: int = 0
    worst_ms: float = 0.0
    wrong_allows: int = 0
    packet_processes: int = 0
    growth_mb: float = 0.0
    mb_per_100_000_pairs: float = 0.0
    most_elements: int = 0
    elements_left: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


class Soak:
    """The network with its clients; `run` is the soak."""

    def __init__(self, stack: ExitStack) -> None:
        self.scratch = Path(stack.enter_context(TemporaryDirectory(prefix="tidegate-soak-")))
        self.lab = Lab.create((*ENDPOINTS, DENIED))
        stack.callback(self.lab.delete)
        for network in ("11.64.0.0/10", "11.128.0.0/16"):
            self.lab.world.ip("route", "add", "local", network, "dev", "lo")
        self._count_packets()
        responder = [str(build_responder(self.scratch)), UPSTREAM, "53", str(TTL_SECONDS)]
        stack.enter_context(running(self.lab.world, responder))
        self.policies = Policies(self.scratch / "resources")
        self.policies.write_all(self.lab)
        self.agent = RunningAgent(self.lab.node, self.policies.directory, self.scratch, "bench")
        self.config = self.scratch / "config.yaml"
        self.config.write_text(yaml.safe_dump(self._configuration()))
        stack.callback(self._end)
        self.start_agent()
        self.agent.wait_until_ready()
        wait_for_dns(self.lab.pods[0].namespace, UPSTREAM)
        self.counts = {tag: pairs.shared_counts() for tag in TAGS}
        self.denied = pairs.shared_counts()
        self.result = Result()

    def run(self, most_pairs: int, most_seconds: float) -> Result:
        """Soaks until one of both is reached."""
        result, started = self.result, time.monotonic()
        change_at = sample_at = started
        kill_at = started + KILL_EVERY_SECONDS / 2
        with ExitStack() as clients:
            self._start_clients(clients)
            while (now := time.monotonic()) < started + most_seconds and self._pairs() < most_pairs:
                if now >= change_at:
                    change_at = now + CHANGE_EVERY_SECONDS
                    self.policies.change()
                    result.changes += 1
                if now >= kill_at:
                    kill_at = now + KILL_EVERY_SECONDS
                    self._kill()
                if now >= sample_at:
                    sample_at = now + SAMPLE_EVERY_SECONDS
                    self._sample(now - started)
                    self._progress(now - started, most_pairs, most_seconds)
                time.sleep(0.05)
            result.seconds = time.monotonic() - started
        self._conclude()
        return result

    def start_agent(self) -> None:
        """As the service manager does."""
        self.agent.start("--config", str(self.config))

    # --- parts ---

    @staticmethod
    def _configuration() -> dict[str, Any]:
        return {
            "dnsTrustedServers": [UPSTREAM],
            "dnsTTLFloor": "0s",
            "dnsMaxElementsPerEndpoint": 200_000,
            "dnsLearnedSetSize": 1_000_000,
        }

    def _count_packets(self) -> None:
        denied = self.lab.pod(DENIED).address4
        wrong = f"ip saddr {denied} ip daddr 11.64.0.0/10 counter name hits; ip daddr 11.128.0.0/16"
        _load(self.lab.world, self.scratch, _TABLE % ("prerouting", wrong))
        for name in ENDPOINTS:
            _load(self.lab.pod(name).namespace, self.scratch, _TABLE % ("output", _LEFT))

    def _start_clients(self, stack: ExitStack) -> None:
        for tag, name in zip(TAGS, ENDPOINTS, strict=True):
            client = (self.lab.pod(name).namespace, UPSTREAM, ZONE, tag, self.counts[tag])
            stack.enter_context(pairs.running(pairs.resolve_and_connect, *client))
        fifth = (self.lab.pod(DENIED).namespace, UPSTREAM, ZONE, self.counts, DENIED_RATE, self.denied)
        stack.enter_context(pairs.running(pairs.be_denied, *fifth))

    def _kill(self) -> None:
        assert self.agent.process is not None
        self.agent.process.send_signal(signal.SIGKILL)
        self.agent.process.wait()
        self.result.kills += 1
        self.start_agent()

    def _pairs(self) -> int:
        return sum(counts[pairs.PAIRS] for counts in self.counts.values())

    def _sample(self, at: float) -> None:
        """Looks, unless the control process is just coming up."""
        assert self.agent.process is not None
        try:
            status = self.agent.get("status")
            packets = status["packets"]
            pid = packets["pid"]
            sample = Sample(
                round(at, 1),
                self._pairs(),
                pid,
                resident_mb(pid),
                len(list(Path(f"/proc/{pid}/fd").iterdir())),
                resident_mb(self.agent.process.pid),
                status["counts"]["learned addresses"],
            )
        except (AgentUnreachableError, OSError, KeyError, TypeError):
            return
        self.result.counters = dict(packets["counters"])
        self.result.samples.append(sample)

    def _progress(self, seconds: float, most_pairs: int, most_seconds: float) -> None:
        done = min(1.0, max(self._pairs() / most_pairs, seconds / most_seconds))
        last = self.result.samples[-1:]
        memory = f"{last[0].packets_mb:.0f} MB, {last[0].elements} elements" if last else ""
        bar = "#" * int(done * 30)
        print(f"\r[{bar:30}] {done:4.0%} {self._pairs()} pairs, {memory}   ", end="", file=sys.stderr, flush=True)

    def _conclude(self) -> None:
        print(file=sys.stderr)
        result = self.result
        _settle(self)
        result.pairs = self._pairs()
        result.denied, result.probes = self.denied[pairs.PAIRS], self._sum(pairs.PROBES)
        result.late, result.failed = self._sum(pairs.LATE), self._sum(pairs.FAILED)
        result.unanswered = self._sum(pairs.UNANSWERED) + self.denied[pairs.UNANSWERED]
        result.worst_ms = max(counts[pairs.WORST_US] for counts in self.counts.values()) / 1000
        left = sum(_hits(self.lab.pod(name).namespace) for name in ENDPOINTS)
        # A client that was stopped in the midst of a connection has sent the SYN and not counted the pair.
        result.retransmitted = max(0, left - result.pairs - len(ENDPOINTS))
        result.wrong_allows = _hits(self.lab.world)
        result.broken = broken_promises(result)

    def _sum(self, place: int) -> int:
        return sum(counts[place] for counts in self.counts.values())

    def _end(self) -> None:
        self.agent.stop()
        self.agent.call("remove", check=False)


def _settle(soak: Soak) -> None:
    """Waits until what was learned is over, and notes what is left of it."""
    deadline = time.monotonic() + TTL_SECONDS + 30
    while time.monotonic() < deadline:
        try:
            soak.result.elements_left = soak.agent.get("status")["counts"]["learned addresses"]
        except (AgentUnreachableError, KeyError, TypeError):
            soak.result.elements_left = -1
        if soak.result.elements_left == 0:
            break
        time.sleep(0.2)
    else:
        return
    soak.result.elements_left = soak.lab.node.command("nft", "list", "table", "inet", "tidegate").count(" . 11.")


def broken_promises(result: Result) -> list[str]:
    """What was promised and is not so; fills in the figures that it judges by."""
    samples = [each for each in result.samples if each.at > result.seconds / 5]
    result.packet_processes = len({each.packets_pid for each in result.samples})
    none = ("retransmitted", "late", "failed", "unanswered", "wrong_allows", "elements_left")
    broken = [f"{name}: {getattr(result, name)}" for name in none if getattr(result, name)]
    if result.denied < DENIED_RATE * result.seconds * 0.9:
        broken.append(f"only {result.denied} denied connections were tried")
    if len(samples) < 6:
        return [*broken, "too few samples to judge memory by"]
    middle = len(samples) // 2
    early, late = samples[:middle], samples[middle:]
    result.growth_mb = statistics.median(s.packets_mb for s in late) - statistics.median(s.packets_mb for s in early)
    slope = statistics.linear_regression([s.pairs for s in samples], [s.packets_mb for s in samples]).slope
    result.mb_per_100_000_pairs = slope * 1e5
    result.most_elements = max(s.elements for s in samples)
    if result.growth_mb > MAX_GROWTH_MB:
        broken.append(f"the packet process grew by {result.growth_mb:.1f} MB")
    if max(s.packets_descriptors for s in late) > max(s.packets_descriptors for s in early) + MAX_DESCRIPTORS_MORE:
        broken.append("the packet process's descriptors grew")
    fastest = max((b.pairs - a.pairs) / (b.at - a.at) for a, b in zip(samples, samples[4:], strict=False))
    if result.most_elements > fastest * ADDRESSES_PER_PAIR * (TTL_SECONDS + LINGER_SECONDS):
        broken.append(f"{result.most_elements} elements are more than the answers of {TTL_SECONDS} seconds")
    return broken


def _load(namespace: Namespace, scratch: Path, table: str) -> None:
    path = scratch / "watch.nft"
    path.write_text(table)
    namespace.command("nft", "-f", str(path))


def _hits(namespace: Namespace) -> int:
    listing = json.loads(namespace.command("nft", "-j", "list", "counters"))
    return sum(item["counter"]["packets"] for item in listing["nftables"] if "counter" in item)


def main(arguments: Sequence[str] | None = None) -> int:
    """Soaks; 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=24 * 3600)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        result = Soak(stack).run(options.pairs, options.seconds)
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(result), indent=1))
    print(json.dumps({name: value for name, value in asdict(result).items() if name != "samples"}, indent=1))
    return 1 if result.broken else 0


if __name__ == "__main__":
    sys.exit(main())
