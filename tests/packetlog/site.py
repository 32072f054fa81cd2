"""A node with one workload whose new connections meet three Log rules."""

import json
import os
import signal
import socket
from contextlib import contextmanager

import yaml

from nfq.queue_table import read_queues
from tests.agent.test_running_agent import WORLD, make_site, wep

LOG_UDP = {"action": "Log", "protocol": "UDP", "destination": {"ports": [9999]}}
LOG_TCP = {"action": "Log", "protocol": "TCP"}
ALLOW = {"action": "Allow", "protocol": "TCP", "destination": {"ports": [443]}}
ALLOW_UDP = {"action": "Allow", "protocol": "UDP", "destination": {"ports": [9999, 9998]}}
RULES = (("first", 0), ("second", 0), ("second", 2))
"""The Log rules that a datagram to port 9999 meets."""


def logging_policy(name, order, *rules, **spec):
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": name},
        "spec": {"selector": "all()", "order": order, "types": ["Egress"], "egress": list(rules), **spec},
    }


@contextmanager
def logging_site(scratch, **settings):
    """The agent runs and the policies are in force."""
    with make_site(scratch, "a") as site:
        config = yaml.safe_load(site.config.read_text())
        config |= {"logPrefix": "%k/%n", "logFile": str(scratch / "records" / "log.json")}
        site.config.write_text(yaml.safe_dump(config | {"logFileMaxBytes": 100_000_000} | settings))
        site.file = scratch / "records" / "log.json"
        site.put("pods.yaml", wep(site.lab.pod("a")))
        site.put(
            "policy.yaml",
            logging_policy("first", 1, LOG_UDP, LOG_TCP),
            logging_policy("second", 2, LOG_UDP, ALLOW, LOG_UDP, ALLOW_UDP),
        )
        site.start()
        yield site


def records(site):
    """Those that are whole: one may be on its way into the file."""
    whole = site.file.read_text().rpartition("\n")[0] if site.file.exists() else ""
    return [json.loads(line) for line in whole.splitlines()]


def of_port(site, port):
    return [item for item in records(site) if item["destination_port"] == port]


def kill_reader(site):
    """Kills the packet process; when this returns the kernel has closed its queues. The pid that it had."""
    pid = site.status()["packets"]["pid"]

    def port():
        with site.lab.node.entered():
            row = (read_queues() or {}).get(103)
        return None if row is None else row.port

    before = port()
    os.kill(pid, signal.SIGKILL)
    site.until(lambda: port() != before, 20)
    return pid


def flood(site, ports, destination=(WORLD, 9999)):
    """One datagram from each port: as many connections."""
    for port in ports:
        with site.lab.pod("a").namespace.entered():
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sender:
            sender.bind(("0.0.0.0", port))
            sender.sendto(b"x", destination)
