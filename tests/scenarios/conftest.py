"""The stage of the DNS scenarios: two endpoints, a node with the real agent, a scripted DNS server, and the world."""

import itertools
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.scripted import ScriptedServer, ask
from tests.lab.wire import Wire
from tidegate.demo import servers
from tidegate.demo.agent import RunningAgent
from tidegate.demo.client import ConnectOutcome, connect
from tidegate.demo.lab import Lab, Pod

NODE = "node-1"
CONFIG = {"dnsTrustedServers": ["10.0.53.53", "[fd00:53::53]:53"], "dnsTTLFloor": "0s"}
EXACT = os.environ.get("EXACT_SCENARIOS") == "1"
"""Scenarios at their full length, and with the latencies that are promised: for a machine that does nothing else."""
ANSWERS, DENIED = 101, 100
"""The queues."""
LAST_FRESH = 509
DENIED_WITHIN_SECONDS = 0.3
"""A denied SYN is never answered; nothing is learned by waiting longer for nothing."""


def endpoint(pod: Pod, name: str | None = None) -> dict[str, Any]:
    """The WorkloadEndpoint of a pod."""
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "WorkloadEndpoint",
        "metadata": {"name": name or pod.name, "namespace": "test", "labels": {"ep": pod.name}},
        "spec": {
            "orchestrator": "cni",
            "workload": pod.name,
            "node": NODE,
            "endpoint": "eth0",
            "interfaceName": pod.interface_name,
            "ipNetworks": [f"{pod.address4}/32", f"{pod.address6}/128"],
        },
    }


def policy(
    name: str,
    pod: str,
    domains: Sequence[str],
    *,
    port: int | Sequence[int] = 443,
    annotations: Mapping[str, str] = {},
    protocol: str = "TCP",
) -> dict[str, Any]:
    """P(domains): DNS anywhere, TCP (or another protocol) to the names on the port, nothing else."""
    ports = [port] if isinstance(port, int) else list(port)
    allow_names = {"action": "Allow", "protocol": protocol, "destination": {"domains": list(domains), "ports": ports}}
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "test", "annotations": dict(annotations)},
        "spec": {
            "selector": f"ep == '{pod}'",
            "types": ["Egress"],
            "egress": [
                {"action": "Allow", "protocol": "UDP", "destination": {"ports": [53]}},
                {"action": "Allow", "protocol": "TCP", "destination": {"ports": [53]}},
                *([allow_names] if domains else []),
            ],
        },
    }


@dataclass
class Stage:
    """Everything a scenario needs; scenarios use names and addresses of their own, so that they do not meet."""

    lab: Lab
    server: ScriptedServer
    wire: Wire
    agent: RunningAgent
    resources: Path
    config_path: Path
    config: dict[str, Any] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    policies: dict[str, str] = field(default_factory=dict)
    """Policy name by the file it stands in."""

    # --- policy ---

    def permit(self, pod: str, *domains: str, wait: bool = True, **options: Any) -> None:
        """Puts P(domains) in force for the pod, instead of the pod's earlier one."""
        self.put(f"policy-{pod}", policy(f"p{next(self.numbers)}", pod, domains, **options), wait=wait)

    def put(self, file: str, *documents: Mapping[str, Any], wait: bool = True) -> None:
        """Writes a resource file as an editor would, and waits until it is in force."""
        path = self.resources / f"{file}.yaml"
        scratch = path.with_suffix(".tmp")
        scratch.write_text(yaml.safe_dump_all(documents))
        scratch.rename(path)
        for document in documents:
            if document["kind"] == "NetworkPolicy":
                self.policies[file] = document["metadata"]["name"]
        if wait:
            self.wait_in_force()

    def remove(self, file: str) -> None:
        """Deletes a resource file and waits."""
        (self.resources / f"{file}.yaml").unlink()
        self.policies.pop(file, None)
        self.wait_in_force()

    def wait_in_force(self, seconds: float = 10) -> None:
        """Until the agent says that exactly the written policies are in force."""
        wanted = set(self.policies.values())
        self.until(lambda: self._policies_in_force() == wanted, seconds, "the written policies are in force")

    def _policies_in_force(self) -> set[str] | None:
        status = self.agent.get("status")
        if not status["ready"]:
            return None
        return {item["name"] for item in self.agent.get("policies") if item["kind"] == "NetworkPolicy"}

    def until(self, holds: Any, seconds: float, what: str) -> None:
        """Waits for a condition; fails with its description."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{self.agent.log.read_text()[-2000:]}"
            time.sleep(0.02)

    # --- the agent ---

    def run_agent(self, **config: Any) -> None:
        """Has the agent run with this configuration; restarts it only where it differs."""
        wanted = CONFIG | config
        if self.agent.process is not None and self.config == wanted:
            return
        self.agent.stop()
        self.config = wanted
        self.config_path.write_text(yaml.safe_dump(wanted))
        self.start_agent()

    def start_agent(self) -> None:
        """Starts the agent as configured and waits until it is ready."""
        self.agent.start("--config", str(self.config_path))
        self.agent.wait_until_ready()

    def replace_packet_process(self) -> None:
        """Kills the packet process and waits until another one is at work."""
        killed = self.agent.get("status")["packets"]["pid"]
        os.kill(killed, signal.SIGKILL)

        def is_replaced() -> bool:
            status = self.agent.get("status")
            return bool(status["ready"]) and status["packets"]["pid"] not in {None, killed}

        self.until(is_replaced, 10, "another packet process is at work")

    def counters(self) -> dict[str, int]:
        """The packet process's counters by name."""
        return dict(self.agent.get("status")["packets"]["counters"])

    def waiting(self, queue_number: int) -> int:
        """How many packets of the queue are held at the moment."""
        queues = self.agent.get("status")["packets"]["queues"]
        return int(next(queue["waiting"] for queue in queues if queue["number"] == queue_number))

    # --- traffic ---

    def fresh4(self) -> str:
        """An address of the world that no scenario has used."""
        number = next(self.numbers)
        assert number < LAST_FRESH, "too many addresses are used: take some of a part of 2001:db8:1::/64"
        return f"198.51.100.{number}" if number < 255 else f"203.0.113.{number - 254}"

    def fresh6(self) -> str:
        """An IPv6 address of the world that no scenario has used."""
        return f"2001:db8:1::{next(self.numbers):x}"

    def ask(self, pod: str, name: Any, qtype: str = "A", **options: Any) -> Any:
        """The endpoint asks the trusted server; the parsed reply."""
        return ask(self.lab.pod(pod).namespace, name, qtype, **options)

    def resolve(self, pod: str, name: Any, qtype: str = "A", **options: Any) -> list[str]:
        """The addresses that the endpoint is told."""
        return [str(record.rdata) for record in self.ask(pod, name, qtype, **options).rr if record.rtype in (1, 28)]

    def connect(self, pod: str, address: str, port: int = 443, timeout_seconds: float = 1.0) -> ConnectOutcome:
        """One TCP connection."""
        return connect(self.lab.pod(pod).namespace, ip_address(address), port, timeout_seconds)

    def assert_passes(self, pod: str, address: str, port: int = 443, within_seconds: float = 0.05) -> None:
        """Connects at once, with exactly one SYN on the far side."""
        self.settle()  # so that an earlier attempt's packets are not counted as this one's
        before = self.wire.syns(address, port)
        outcome = self.connect(pod, address, port)
        assert outcome.is_connected, f"{address}:{port} is closed: {outcome.error}\n{self.why(pod, address, port)}"
        assert outcome.seconds < within_seconds, f"{address}:{port} took {outcome.seconds * 1000:.0f} ms"
        self.settle()
        assert self.wire.syns(address, port) - before == 1

    def assert_denied(self, pod: str, address: str, port: int = 443) -> None:
        """Nothing arrives on the far side."""
        before = self.wire.syns(address, port)
        outcome = self.connect(pod, address, port, DENIED_WITHIN_SECONDS)
        assert not outcome.is_connected, f"{address}:{port} is open\n{self.why(pod, address, port)}"
        self.settle()
        assert self.wire.syns(address, port) == before

    def settle(self) -> None:
        """Gives the observer the moment it needs to count what has arrived."""
        time.sleep(0.02)

    def why(self, pod: str, address: str, port: int) -> str:
        """What the agent says about it, for failure messages."""
        done = self.agent.call(*self._explain(pod, address, port), check=False)
        return done.stdout + done.stderr

    def reasons(self, pod: str, address: str, port: int = 443) -> list[str]:
        """The codes of what the agent says about it, the decisive first."""
        done = self.agent.call(*self._explain(pod, address, port), "-o", "json", check=False)
        return [reason["code"] for path in json.loads(done.stdout)["paths"] for reason in path["reasons"]]

    @staticmethod
    def _explain(pod: str, address: str, port: int) -> tuple[str, ...]:
        host = f"[{address}]" if ":" in address else address
        return "explain", "--from", f"test/{pod}", "--to", f"{host}:{port}/TCP"

    @contextmanager
    def counting(self, *names: str, by: int = 1) -> Iterator[None]:
        """What happens inside is counted under each of these names exactly so often."""
        self.until(lambda: self.waiting(DENIED) == 0, 2, "no earlier attempt's packet is held")
        before = self.counters()
        yield
        after = self.counters()
        assert {name: after.get(name, 0) - before.get(name, 0) for name in names} == dict.fromkeys(names, by)


@pytest.fixture(scope="session")
def _stage() -> Iterator[Stage]:
    with ExitStack() as stack:
        lab = Lab.create(("ep1", "ep2"))
        stack.callback(lab.delete)
        server = ScriptedServer()
        stack.enter_context(server.running(lab.world))
        stack.enter_context(server.streaming(lab.world))
        stack.enter_context(servers.tcp_acceptors(lab.world, (80, 443), keep=False))
        stack.enter_context(servers.udp_service(lab.world, 9000, lambda data: data))
        wire = stack.enter_context(Wire(lab.world, "uplink"))
        scratch = Path(tempfile.mkdtemp(prefix="tidegate-scenarios-"))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        resources = scratch / "resources"
        resources.mkdir()
        agent = RunningAgent(lab.node, resources, scratch, NODE)
        stage = Stage(lab, server, wire, agent, resources, scratch / "config.yaml")
        for pod in lab.pods:
            stage.put(pod.name, endpoint(pod), wait=False)
        stack.callback(_end, agent)
        yield stage


def _end(agent: RunningAgent) -> None:
    agent.stop()
    agent.call("remove", check=False)


@pytest.fixture
def stage(_stage: Stage) -> Iterator[Stage]:
    """The stage with a running agent in its usual configuration, and no policy yet."""
    _stage.run_agent()
    yield _stage
    for file in list(_stage.policies):
        (_stage.resources / f"{file}.yaml").unlink()
        del _stage.policies[file]
