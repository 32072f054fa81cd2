"""Runs the soak: builds the network, starts everybody, changes policy, kills the control process, and adds up.

every second       one endpoint's policy is written anew, and another policy that has nothing to do with it
every minute       the control process is killed and started again
every five seconds memory, descriptors and elements of both processes are noted
"""

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from tests.scenarios.conftest import NODE, endpoint
from tests.soak import plan
from tests.soak.near_side import LATE_SECONDS, Told
from tidegate.demo.agent import RunningAgent
from tidegate.demo.lab import DNS4, DNS6, Lab

KILL_EVERY_SECONDS, SAMPLE_EVERY_SECONDS = 60.0, 5.0
WARM_UP = 0.4
"""Of the run, until tables, caches and allocators have their size; what comes then must be flat."""
MAX_GROWTH, MAX_GROWTH_BYTES = 1.10, 4 << 20
MAX_DESCRIPTORS_MORE = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """The packet process at one moment."""

    seconds: float
    resident_bytes: int
    descriptors: int
    elements: int
    control_bytes: int


@dataclass
class Outcome:
    """What the soak found."""

    seconds: float = 0.0
    killed_at: list[float] = field(default_factory=list)
    """Seconds since 1970, from the kill until it was ready again: two for each."""
    policy_changes: int = 0
    endpoints: list[Told] = field(default_factory=list)
    """The last is the one that is denied everything."""
    far_side: dict[str, Any] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """How often the control process was killed."""
        return len(self.killed_at) // 2

    @property
    def pairs(self) -> int:
        """Resolved and connected to."""
        return sum(told.pairs for told in self.endpoints)

    def faults(self) -> list[str]:
        """What must not be, in words; nothing where all is well."""
        *working, refused = self.endpoints
        found = {
            "connections failed": sum(told.failed for told in working),
            f"connections took over {LATE_SECONDS} s": sum(told.late for told in working),
            "SYNs of allowed connections were sent again": sum(told.retransmitted_syns for told in working),
            "questions had to be asked again": sum(told.unanswered for told in working),
            "attempts at what is closed came through": sum(told.wrong for told in self.endpoints),
            "connections came that should not": self.far_side.get("wrong_count", 0),
        }
        faults = [f"{count} {what}" for what, count in found.items() if count]
        faults += [told.why for told in working if told.why] + self.far_side.get("wrong", [])
        if not refused.denied or not all(told.pairs for told in working):
            faults.append("an endpoint did nothing")
        return faults + self._growth()

    def _growth(self) -> list[str]:
        """Memory and descriptors after the warm-up: the later half against the earlier."""
        steady = [each for each in self.samples if each.seconds > self.seconds * WARM_UP]
        if len(steady) < 8:
            return []
        half = len(steady) // 2
        faults = []
        for what, values in (
            ("packet process", [each.resident_bytes for each in steady]),
            ("control process", [each.control_bytes for each in steady]),
        ):
            before, after = median(values[:half]), median(values[half:])
            if after > before * MAX_GROWTH and after > before + MAX_GROWTH_BYTES:
                faults.append(f"the {what} grew from {before / 1e6:.1f} to {after / 1e6:.1f} MB")
        descriptors = [each.descriptors for each in steady]
        if max(descriptors[half:]) > max(descriptors[:half]) + MAX_DESCRIPTORS_MORE:
            faults.append(
                f"the packet process has {max(descriptors[half:])} descriptors, before {max(descriptors[:half])}"
            )
        return faults

    def document(self) -> dict[str, Any]:
        """Its JSON."""
        return asdict(self) | {"pairs": self.pairs, "kills": self.kills, "faults": self.faults()}


class Soak:
    """The network with the agent in it, and what is done to them."""

    def __init__(self, lab: Lab, scratch: Path) -> None:
        self.lab = lab
        self.resources = scratch / "resources"
        self.resources.mkdir()
        self._config = scratch / "config.yaml"
        self._config.write_text(yaml.safe_dump({"dnsTrustedServers": [str(DNS4), f"[{DNS6}]:53"], "dnsTTLFloor": "0s"}))
        self.agent = RunningAgent(lab.node, self.resources, scratch, NODE)
        self.outcome = Outcome()
        self._edition = 0

    def prepare(self) -> None:
        """Policy in force for everybody."""
        for pod in self.lab.pods:
            self._write(pod.name, endpoint(pod))
        for owner in range(len(self.lab.pods)):
            self._write(f"policy-{owner}", policy(owner, 0))
        self.start_agent()

    def start_agent(self) -> None:
        """The control process, and the packet process where there is none."""
        self.agent.start("--config", str(self._config))
        self.agent.wait_until_ready(60)

    def change_policy(self) -> None:
        """One endpoint's policy says the same in another way; another policy comes, goes or changes."""
        self._edition += 1
        owner = self._edition % len(self.lab.pods)
        self._write(f"policy-{owner}", policy(owner, self._edition))
        self._write("other", other_policy(self._edition))
        self.outcome.policy_changes += 2

    def kill(self) -> None:
        """Ends the control process as a crash does, and starts it again as a supervisor does."""
        process = self.agent.process
        assert process is not None
        begun = time.time()
        process.kill()
        process.wait()
        self.start_agent()
        self.outcome.killed_at += [begun, time.time()]

    def sample(self, seconds: float) -> None:
        """Notes how large the processes are."""
        status = self.agent.get("status")
        pid = status["packets"]["pid"]
        if pid is None:
            return
        self.outcome.samples.append(
            Sample(
                seconds,
                resident_bytes(pid),
                len(list(Path(f"/proc/{pid}/fd").iterdir())),
                status["counts"]["learned addresses"],
                resident_bytes(status["pid"]),
            )
        )

    def _write(self, file: str, document: dict[str, Any]) -> None:
        path = self.resources / f"{file}.yaml"
        scratch = path.with_suffix(".tmp")
        scratch.write_text(yaml.safe_dump(document))
        scratch.rename(path)


def policy(owner: int, edition: int) -> dict[str, Any]:
    """DNS, and TCP to the own zone; each edition has the zone in another set, or another rule in front of it."""
    domains = [f"*.e{owner}.{plan.ZONE}", *([f"edition{edition}.test"] if edition % 3 else [])]
    allowed = {"action": "Allow", "protocol": "TCP", "destination": {"domains": domains, "ports": [plan.PORT]}}
    another = {"action": "Deny", "protocol": "TCP", "destination": {"ports": [1000 + edition % 500]}}
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"soak-{owner}", "namespace": "test"},
        "spec": {
            "selector": f"ep == 'ep{owner}'",
            "types": ["Egress"],
            "egress": [
                {"action": "Allow", "protocol": "UDP", "destination": {"ports": [53]}},
                *([another] if edition % 2 else []),
                *([allowed] if owner < plan.ENDPOINTS else []),
            ],
        },
    }


def other_policy(edition: int) -> dict[str, Any]:
    """Ingress of all endpoints, which nothing here uses."""
    ports = [2000 + (edition + step) % 1000 for step in range(edition % 7 + 1)]
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "other"},
        "spec": {
            "selector": "all()",
            "types": ["Ingress"],
            "ingress": [{"action": "Allow", "protocol": "TCP", "destination": {"ports": [port]}} for port in ports],
        },
    }


def resident_bytes(pid: int) -> int:
    """Of a process (proc(5): VmRSS)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


class Helper:
    """A process that prints JSON lines; the last one counts."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.last: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(b"{"):
                self.last = json.loads(line)

    @property
    def is_running(self) -> bool:
        """Whether it works."""
        return self._process.poll() is None

    def end(self) -> None:
        """Asks it to end, and waits for its last word."""
        self._process.terminate()
        self._process.wait(20)
        self._thread.join(5)
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def _helpers(lab: Lab, pairs: int) -> Iterator[tuple[list[Helper], Helper]]:
    """Everybody who sends and receives: the endpoints, the denied one last, and the far side."""
    servers = [str(DNS4), str(DNS6)]
    with ExitStack() as stack:

        def start(place: Any, module: str, *words: str) -> Helper:
            words = (sys.executable, "-m", f"tests.soak.{module}", *words)
            helper = Helper(place.start(words, stdout=subprocess.PIPE))
            stack.callback(helper.end)
            return helper

        far_side = start(lab.world, "far_side", *servers)
        time.sleep(0.5)
        share = -(-pairs // plan.ENDPOINTS)
        yield (
            [
                start(pod.namespace, "near_side", str(owner), *servers, str(share if owner < plan.ENDPOINTS else 0))
                for owner, pod in enumerate(lab.pods)
            ],
            far_side,
        )


def soak(pairs: int, seconds: float, tell: Callable[[int], None] = lambda _: None) -> Outcome:
    """Runs until so many pairs are done, or so many seconds are over. `tell` hears of the pairs so far."""
    with ExitStack() as stack:
        scratch = Path(tempfile.mkdtemp(prefix="tidegate-soak-"))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        lab = Lab.create(tuple(f"ep{number}" for number in range(plan.ENDPOINTS + 1)))
        stack.callback(lab.delete)
        lab.world.ip("route", "add", "local", plan.NETWORK4, "dev", "lo")
        run = Soak(lab, scratch)
        stack.callback(_end, run.agent)
        run.prepare()
        with _helpers(lab, pairs) as (endpoints, far_side):
            _drive(run, endpoints, seconds, tell)
        run.outcome.endpoints = [Told(**helper.last) for helper in endpoints]
        run.outcome.far_side = far_side.last
        return run.outcome


def _drive(run: Soak, endpoints: list[Helper], seconds: float, tell: Callable[[int], None]) -> None:
    begun = time.monotonic()
    killed = sampled = begun
    with _changing(run):
        while (now := time.monotonic()) - begun < seconds and any(helper.is_running for helper in endpoints[:-1]):
            if now - killed >= KILL_EVERY_SECONDS:
                killed = now
                run.kill()
            if now - sampled >= SAMPLE_EVERY_SECONDS:
                sampled = now
                run.sample(now - begun)
            tell(sum(helper.last.get("pairs", 0) for helper in endpoints))
            time.sleep(1)
    run.outcome.seconds = time.monotonic() - begun


@contextmanager
def _changing(run: Soak) -> Iterator[None]:
    """Policy changes all the time, whether or not anybody reads it at the moment."""
    done = threading.Event()

    def change() -> None:
        while not done.wait(1):
            run.change_policy()

    thread = threading.Thread(target=change, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(5)


def _end(agent: RunningAgent) -> None:
    agent.stop()
    agent.call("remove", check=False)
