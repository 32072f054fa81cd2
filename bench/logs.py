"""What Log rules cost, and whether they tell of everything: connections a second, and how many of them have records.

just bench-logs             rates by transport, then 100,000 connections through three Log rules (root)
just bench-logs --rates     the rates alone
just bench-logs --records   the records alone
"""

import os
import select
import signal
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from tidegate.demo.agent import RunningAgent
from tidegate.demo.lab import Lab
from tidegate.demo.namespace import Namespace
from tidegate.demo.servers import listen

WORLD, PORT = "198.51.100.1", 9
CONNECTIONS = 100_000
RATE_SECONDS, ROUNDS, IN_FLIGHT = 3.0, 5, 64
ENOUGH = {"nflog": 0.8, "nfqueue": 0.35}
"""Of the rate without a Log rule."""
WAIT_SECONDS = 120
_ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER: closing sends RST, so that ports are free again at once."""


@contextmanager
def logging_node(transport: str, log_rules: int) -> Iterator[tuple[Lab, RunningAgent]]:
    """An agent with one workload, whose connections meet so many Log rules and are allowed."""
    lab, scratch = Lab.create(("ep",)), Path(tempfile.mkdtemp(prefix="tidegate-logs-"))
    pod, resources = lab.pod("ep"), scratch / "resources"
    resources.mkdir()
    metadata = {"name": "ep", "namespace": "test"}
    spec = {"node": "demo", "interfaceName": pod.interface_name, "ipNetworks": [f"{pod.address4}/32"]}
    policy = {"types": ["Egress"], "egress": [*[{"action": "Log"}] * log_rules, {"action": "Allow"}]}
    kinds = (("WorkloadEndpoint", metadata, spec), ("NetworkPolicy", {**metadata, "name": "p"}, policy))
    documents = [
        {"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": name, "spec": what}
        for kind, name, what in kinds
    ]
    (resources / "all.yaml").write_text(yaml.safe_dump_all(documents))
    agent = RunningAgent(lab.node, resources, scratch)
    options = {
        "dnsTrustedServers": "10.0.53.53",
        "logTransport": transport,
        "logFile": str(scratch / "log.json"),
        "logFileMaxBytes": "1000000000",
    }
    try:
        agent.start(*(word for name, value in options.items() for word in ("--set", f"{name}={value}")))
        agent.wait_until_ready()
        yield lab, agent
    finally:
        agent.stop()
        agent.call("remove", check=False)
        lab.delete()


# --- rates ---


@contextmanager
def acceptor(world: Namespace) -> Iterator[None]:
    """A process that accepts connections and ends them."""
    listener = listen(world, socket.AF_INET, socket.SOCK_STREAM, PORT)
    listener.listen(4096)
    listener.setblocking(True)  # noqa: FBT003 - the standard library's own
    child = os.fork()
    if child == 0:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            connection.close()
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        listener.close()


def connections_per_second(client: Namespace, seconds: float) -> float:
    """TCP connections that were set up, always so many under way."""
    done, poll, under_way = 0, select.epoll(), {}

    def begin() -> None:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        connection.connect_ex((WORLD, PORT))
        under_way[connection.fileno()] = connection
        poll.register(connection.fileno(), select.EPOLLOUT)

    with client.entered():
        started = time.perf_counter()
        for _ in range(IN_FLIGHT):
            begin()
        while time.perf_counter() - started < seconds:
            for descriptor, events in poll.poll(1):
                # A server that has closed already has accepted before.
                done += bool(events & select.EPOLLOUT)
                poll.unregister(descriptor)
                under_way.pop(descriptor).close()
                begin()
        took = time.perf_counter() - started
    for connection in under_way.values():
        connection.close()
    poll.close()
    return done / took


def bench_rates() -> bool:
    """Whether Log rules leave enough of the rate; rounds take turns, so that the machine's moods even out."""
    rates: dict[str, list[float]] = {"none": [], "nflog": [], "nfqueue": []}
    for _ in range(ROUNDS):
        for name, found in rates.items():
            transport, rules = ("nflog", 0) if name == "none" else (name, 1)
            with logging_node(transport, rules) as (lab, agent), acceptor(lab.world):
                connections_per_second(lab.pod("ep").namespace, 0.5)
                found.append(connections_per_second(lab.pod("ep").namespace, RATE_SECONDS))
                lost = agent.get("status")["counters"].get("log_records_lost", 0)
            print(f"{name:8} {found[-1]:8,.0f} connections/s, {lost:,} records lost so far")
    shares = {
        name: median(rate / base for rate, base in zip(found, rates["none"], strict=True))
        for name, found in rates.items()
    }
    for name, enough in ENOUGH.items():
        print(f"{name}: {shares[name]:.2f} of the rate without a Log rule (wanted: {enough})")
    return all(shares[name] >= enough for name, enough in ENOUGH.items())


# --- records ---


def bench_records() -> bool:
    """Whether every connection has a record of each of three Log rules, or its loss is counted."""
    is_good = True
    for transport in ENOUGH:
        with logging_node(transport, 3) as (lab, agent):
            began = time.perf_counter()
            sent = send(lab)
            took = time.perf_counter() - began
            counters = told(agent, 3 * sent)
        records, lost = counters["log_records"], counters["log_records_lost"]
        print(
            f"{transport}: {sent:,} connections through 3 Log rules at {sent / took:,.0f}/s: {records:,} records, "
            f"{lost:,} lost, {records + lost:,} of {3 * sent:,} accounted for; {counters}"
        )
        is_good &= records + lost == 3 * sent
    return is_good


def send(lab: Lab) -> int:
    """New connections as fast as they go: another source port each, of one packet that nobody answers."""
    with lab.pod("ep").namespace.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    lab.world.command(
        "sh", "-c", "nft add table inet t; nft add chain inet t c '{type filter hook input priority 0; policy drop;}'"
    )
    with sender:
        for number in range(CONNECTIONS):
            port, address = 1024 + number % 60_000, f"198.51.100.{1 + number // 60_000}"
            sender.sendto(struct.pack("!HHHH", port, PORT, 8, 0), (address, 0))
    return CONNECTIONS


def told(agent: RunningAgent, expected: int) -> dict[str, Any]:
    """What status says of records, when all are accounted for or no more come."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        counters = {name: n for name, n in agent.get("status")["counters"].items() if name.startswith("log_")}
        if counters["log_records"] + counters["log_records_lost"] >= expected or time.monotonic() > deadline:
            return counters
        time.sleep(1)


if __name__ == "__main__":
    good = "--records" in sys.argv or bench_rates()
    good &= "--rates" in sys.argv or bench_records()
    sys.exit(not good)
