"""The stage of the host endpoints' scenarios: a node with the real agent, two pods, and the world beyond its uplink."""

import itertools
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import yaml

from tidegate.demo import servers
from tidegate.demo.agent import RunningAgent
from tidegate.demo.client import connect
from tidegate.demo.lab import Lab
from tidegate.demo.namespace import Namespace

NODE = "node-1"
UPLINK = "uplink"
HOST = {4: ip_address("10.0.53.1"), 6: ip_address("fd00:53::1")}
WORLD = {4: ip_address("198.51.100.7"), 6: ip_address("2001:db8:1::7")}
"""What runs in the world answers on every address of these networks."""
SERVICE = {4: ip_address("10.96.0.9"), 6: ip_address("fd00:96::9")}
PORTS = (22, 80, 8080, 6443)
DENIED_WITHIN_SECONDS = 0.4
ALLOWED_WITHIN_SECONDS = 5.0

IPAddress = IPv4Address | IPv6Address
Document = dict[str, Any]


def resource(kind: str, name: str, spec: Document, **metadata: Any) -> Document:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": kind,
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }


def host_endpoint(interface: str = UPLINK, **spec: Any) -> Document:
    """A host endpoint of the node, labelled `role: host`."""
    named = {"interfaceName": interface} if interface else {}
    return resource("HostEndpoint", "host", {"node": NODE, **named, **spec}, labels={"role": "host"})


def policy(selector: str = "role == 'host'", **spec: Any) -> Document:
    return resource("GlobalNetworkPolicy", "p", {"selector": selector, **spec})


def tcp(port: int, action: str = "Allow", **destination: Any) -> Document:
    return {"action": action, "protocol": "TCP", "destination": {"ports": [port], **destination}}


EVERYTHING = {"action": "Allow"}
OPEN_PODS = policy("has(pod)", order=1000, types=["Ingress", "Egress"], ingress=[EVERYTHING], egress=[EVERYTHING])


@dataclass
class HostStage:
    """Documents are put in force all together, under names of their own, so that it can be seen when they are."""

    lab: Lab
    agent: RunningAgent
    resources: Path
    config_path: Path
    config: Document = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    # --- policy ---

    def enforce(self, *documents: Document) -> None:
        """These documents and no others are in force, beside the pods' endpoints."""
        number = next(self.numbers)
        named = [
            {
                **document,
                "metadata": {**document["metadata"], "name": f"{document['metadata']['name']}-{number}-{index}"},
            }
            for index, document in enumerate(documents)
        ]
        scratch = self.resources / "hosts.tmp"
        scratch.write_text(yaml.safe_dump_all(named))
        scratch.rename(self.resources / "hosts.yaml")
        wanted = {
            document["metadata"]["name"]
            for document in named
            if document["kind"] in ("HostEndpoint", "GlobalNetworkPolicy")
        }
        self.until(lambda: self._in_force() == wanted, f"{wanted} in force")

    def _in_force(self) -> set[str] | None:
        if not self.agent.get("status")["ready"]:
            return None
        hosts = {item["name"] for item in self.agent.get("endpoints") if item["kind"] == "HostEndpoint"}
        return hosts | {item["name"] for item in self.agent.get("policies") if item["kind"] == "GlobalNetworkPolicy"}

    def until(self, holds: Any, what: str, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{self.agent.log.read_text()[-3000:]}"
            time.sleep(0.02)

    def configure(self, **config: Any) -> None:
        """Has the agent run with this configuration."""
        wanted = {"dnsTrustedServers": ["10.0.53.53"]} | config
        if self.agent.process is not None and self.config == wanted:
            return
        self.agent.stop()
        self.config = wanted
        self.config_path.write_text(yaml.safe_dump(wanted))
        self.agent.start("--config", str(self.config_path))
        self.agent.wait_until_ready()

    # --- traffic ---

    def pod(self, name: str) -> Namespace:
        return self.lab.pod(name).namespace

    def address_of(self, pod: str, version: int) -> IPAddress:
        return self.lab.pod(pod).address4 if version == 4 else self.lab.pod(pod).address6

    def passes(self, source: Namespace, address: IPAddress, port: int) -> None:
        outcome = connect(source, address, port, ALLOWED_WITHIN_SECONDS)
        assert outcome.is_connected, f"{address}:{port} is closed: {outcome.error}\n{self.table()}"

    def denied(self, source: Namespace, address: IPAddress, port: int) -> None:
        outcome = connect(source, address, port, DENIED_WITHIN_SECONDS)
        assert not outcome.is_connected, f"{address}:{port} is open\n{self.table()}"
        assert "refused" not in outcome.error, f"{address}:{port} was reached, and nobody listens there"

    def table(self) -> str:
        return self.lab.node.command("nft", "list", "table", "inet", "tidegate")

    def conntrack(self) -> str:
        return self.lab.node.command("cat", "/proc/net/nf_conntrack")

    @contextmanager
    def translating(self, hook: str, address: IPAddress, port: int, to: IPAddress, to_port: int) -> Iterator[None]:
        """A service address, as kube-proxy makes it: destination NAT in a table of its own, and hairpin masquerade."""
        family, target = ("ip", f"{to}:{to_port}") if address.version == 4 else ("ip6", f"[{to}]:{to_port}")
        lines = [
            "add table inet services",
            f"add chain inet services d {{ type nat hook {hook} priority -100; }}",
            f"add rule inet services d {family} daddr {address} tcp dport {port} dnat {family} to {target}",
            "add chain inet services s { type nat hook postrouting priority 100; }",
            f"add rule inet services s {family} saddr {to} {family} daddr {to} masquerade",
        ]
        for line in lines:
            self.lab.node.command("nft", line)
        try:
            yield
        finally:
            self.lab.node.command("nft", "delete table inet services")


@contextmanager
def staged() -> Iterator[HostStage]:
    """A stage with a running agent, open pods and no policy for hosts; it takes everything away at the end."""
    with ExitStack() as stack:
        lab = Lab.create(("p1", "p2"))
        stack.callback(lab.delete)
        for namespace in (lab.node, lab.world, lab.pod("p1").namespace, lab.pod("p2").namespace):
            stack.enter_context(servers.tcp_acceptors(namespace, PORTS, keep=False))
            for port in (4789, 9000):
                stack.enter_context(servers.udp_service(namespace, port, lambda data: data))
        scratch = Path(tempfile.mkdtemp(prefix="tidegate-hosts-"))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        resources = scratch / "resources"
        resources.mkdir()
        (resources / "pods.yaml").write_text(yaml.safe_dump_all(map(_endpoint, lab.pods)))
        agent = RunningAgent(lab.node, resources, scratch, NODE)
        stage = HostStage(lab, agent, resources, scratch / "config.yaml")
        stack.callback(lambda: (agent.stop(), agent.call("remove", check=False)))
        stage.configure()
        yield stage


def _endpoint(pod: Any) -> Document:
    spec = {
        "orchestrator": "cni",
        "workload": pod.name,
        "node": NODE,
        "endpoint": "eth0",
        "interfaceName": pod.interface_name,
        "ipNetworks": [f"{pod.address4}/32", f"{pod.address6}/128"],
    }
    return resource("WorkloadEndpoint", pod.name, spec, namespace="test", labels={"pod": pod.name})


def udp_echoes(
    source: Namespace, address: IPAddress, port: int = 9000, timeout_seconds: float = 0.4, sender: str = ""
) -> bool:
    """Whether a datagram from the sender's address comes back."""
    with source.entered():
        client = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    with client:
        client.settimeout(timeout_seconds)
        client.bind((sender, 0))
        client.sendto(b"hello", (str(address), port))
        try:
            return client.recv(100) == b"hello"
        except (TimeoutError, ConnectionRefusedError):
            return False
