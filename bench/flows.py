"""Flow records under load: how fast a store of a million answers, and whether 20,000 connections a second are all told.

just bench-flows            the store (needs no root), then the kernel (root)
just bench-flows --store    the store alone
"""

import json
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from reconcile.instant import WallInstant
from tidegate.demo.agent import RunningAgent
from tidegate.demo.lab import Lab
from tidegate.flows.question import read_question
from tidegate.flows.record import FlowParty, FlowRecord, PartyKind, Reporter, Trace
from tidegate.flows.store import FlowStore, Retention, ask
from tidegate.flows.table import NO_LOSS

RECORDS, WINDOW = 1_000_000, 5_000
NOW = 1_800_000_000.0
BUDGET_SECONDS = 0.2
RATE, SECONDS = 20_000, 5
WAIT_SECONDS = 150
"""The kernel's cleaner takes its time to tell that a connection is over."""
QUESTIONS: dict[str, dict[str, str]] = {
    "the latest": {},
    "a workload, either end": {"party": "ns7/pod-77"},
    "a source in an hour": {"source": "ns7/pod-77", "since": "2027-01-15T08:10:00Z"},
    "a destination's address": {"destination": "198.51.100.77"},
    "denied": {"action": "deny"},
    "a port": {"port": "8077"},
    "a policy": {"policy": "np:ns7/p7|"},
    "a rare policy": {"policy": "np:rare/p|"},
    "no such workload": {"party": "none/none"},
    "behind a number": {"after": "999000"},
    "added up, the last two minutes": {"level": "2", "since": "2027-01-15T08:14:40Z"},
}


def records(first: int) -> Iterator[FlowRecord]:
    """A window's: 100 namespaces of 100 pods, 250 destinations."""
    at = WallInstant(NOW + first / WINDOW * 5)
    for number in range(first, first + WINDOW):
        mixed = number * 2_654_435_761 % (1 << 32)
        namespace = mixed % 100
        rule = (
            "0|default|np:rare/p|allow|0"
            if number % 200_000 == 77
            else f"0|default|np:ns{namespace}/p{namespace % 10}|allow|0"
        )
        yield FlowRecord(
            started_at=at,
            ended_at=at,
            reporter=Reporter.SOURCE,
            is_allowed=number % 50 != 0,
            protocol=6,
            source=FlowParty(PartyKind.WORKLOAD, f"ns{namespace}", f"pod-{mixed // 100 % 100}", "pod-*", "10.0.0.2"),
            destination=FlowParty(PartyKind.NETWORK, "", "", "pub", f"198.51.100.{mixed // 10_000 % 250}"),
            destination_port=8000 + mixed // 7 % 100,
            packets_out=10,
            bytes_out=1000,
            packets_in=10,
            bytes_in=9000,
            flows=1,
            started=1,
            completed=1,
            trace=Trace(enforced=(rule,), pending=(rule,), agrees=True),
        )  # fmt: skip


def bench_store() -> bool:
    """Whether every question is answered in its time."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "flows.sqlite")
        started = time.perf_counter()
        with FlowStore(path, Retention(seconds=1e9, max_bytes=1 << 40)) as store:
            for first in range(0, RECORDS, WINDOW):
                window = list(records(first))
                store.append(window, NO_LOSS, window[0].ended_at, window[0].ended_at)
            size = store.used_bytes()
        took = time.perf_counter() - started
        print(f"written: {RECORDS:,} records in {took:.1f} s, {RECORDS / took:,.0f}/s, {size / RECORDS:.0f} bytes each")
        is_good = True
        for name, given in QUESTIONS.items():
            times = []
            for _ in range(5):
                started = time.perf_counter()
                found = ask(path, read_question(given))
                times.append(time.perf_counter() - started)
            is_good &= max(times) < BUDGET_SECONDS
            print(
                f"{name:32} {len(found):5} records  median {median(times) * 1000:6.1f} ms,"
                f" worst {max(times) * 1000:6.1f} ms"
            )
    return is_good


def bench_kernel() -> bool:
    """Whether every connection is told of."""
    lab = Lab.create(("ep",))
    pod, scratch = lab.pod("ep"), Path(tempfile.mkdtemp(prefix="tidegate-flows-"))
    resources = scratch / "resources"
    resources.mkdir()
    metadata = {"name": "ep", "namespace": "test"}
    spec = {"node": "demo", "interfaceName": pod.interface_name, "ipNetworks": [f"{pod.address4}/32"]}
    policy = {"types": ["Egress"], "egress": [{"action": "Allow"}]}
    kinds = (("WorkloadEndpoint", metadata, spec), ("NetworkPolicy", {**metadata, "name": "p"}, policy))
    documents = [
        {"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": name, "spec": what}
        for kind, name, what in kinds
    ]
    (resources / "all.yaml").write_text(yaml.safe_dump_all(documents))
    agent = RunningAgent(lab.node, resources, scratch)
    try:
        agent.start(
            "--set",
            "flowLogsFileEnabled=true",
            "--set",
            "flowLogsFlushInterval=5s",
            "--set",
            "dnsTrustedServers=10.0.53.53",
        )
        agent.wait_until_ready()
        lab.node.sysctl(net__netfilter__nf_conntrack_udp_timeout=1)
        time.sleep(1)
        before = cpu_seconds(agent)
        sent, took = send(lab)
        deadline, flows = time.monotonic() + WAIT_SECONDS, told_by(agent)
        while sum(item.get("num_flows_completed", 0) for item in flows) < sent and time.monotonic() < deadline:
            time.sleep(2)
            flows = told_by(agent)
        used = cpu_seconds(agent) - before
    finally:
        agent.stop()
        agent.call("remove", check=False)
        lab.delete()
    told = [item for item in flows if item["type"] == "flow"]
    started, completed = (sum(item[f"num_flows_{what}"] for item in told) for what in ("started", "completed"))
    packets, losses = sum(item["packets_out"] for item in told), [item for item in flows if item["type"] == "loss"]
    print(
        f"{sent:,} connections in {took:.1f} s ({sent / took:,.0f}/s): "
        f"{started:,} began, {completed:,} ended, {packets:,} packets"
    )
    print(f"losses told: {losses or 'none'}; the control process took {used:.1f} s of processor time")
    return (started, completed, packets) == (sent, sent, sent) and not losses


def told_by(agent: RunningAgent) -> list[dict[str, Any]]:
    """The records of the connections that are sent here, and those of losses."""
    done = agent.call("flows", "--port", "9", "--limit", "10000", "-o", "json")
    return [json.loads(line) for line in done.stdout.splitlines()]


def cpu_seconds(agent: RunningAgent) -> float:
    """Of the control process, so far."""
    assert agent.process is not None
    fields = Path(f"/proc/{agent.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def send(lab: Lab) -> tuple[int, float]:
    """New connections, evenly: another source port each, of one packet."""
    with lab.pod("ep").namespace.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    # Nobody answers, not even that nobody is there.
    lab.world.command(
        "sh", "-c", "nft add table inet t; nft add chain inet t c '{type filter hook input priority 0; policy drop;}'"
    )
    started, sent = time.perf_counter(), 0
    with sender:
        while sent < RATE * SECONDS:
            for _ in range(RATE // 100):
                port, address = 1024 + sent % 60_000, f"198.51.100.{1 + sent // 60_000}"
                sender.sendto(struct.pack("!HHHH", port, 9, 8, 0), (address, 0))
                sent += 1
            time.sleep(max(0.0, started + sent / RATE - time.perf_counter()))
    return sent, time.perf_counter() - started


if __name__ == "__main__":
    good = "--kernel" in sys.argv or bench_store()
    good &= "--store" in sys.argv or bench_kernel()
    sys.exit(not good)
