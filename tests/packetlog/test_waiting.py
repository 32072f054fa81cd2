"""`logTransport: nfqueue` on the real kernel: what passes is recorded, whatever happens to the reader."""

import os
import re
import signal
import socket
from collections import Counter
from contextlib import closing
from ipaddress import ip_address

import pytest

from tests.agent.test_running_agent import WORLD
from tests.packetlog.site import RULES, flood, kill_reader, logging_site, of_port
from tidegate.demo.client import connect

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(240)]

FLOOD = 3000
"""Datagrams of a port of their own each: as many connections."""
_SO_RCVBUFFORCE = 33


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("waiting")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as syslog:
        syslog.bind(str(scratch / "log"))
        settings = {"logTransport": "nfqueue", "logSinks": [f"syslog:{scratch / 'log'}"]}
        with logging_site(scratch, **settings) as site:
            site.syslog = syslog
            yield site


def counter(site, name):
    return site.status()["counters"][name]


def came_to_wait(site):
    """By the rules' own count."""
    listing = site.lab.node.command("nft", "list", "chain", "inet", "tidegate", "log-hold")
    return int(re.search(r"counter packets (\d+)", listing)[1])


def sink(site, port=9999):
    """Where datagrams to the port arrive."""
    with site.lab.world.entered():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
    receiver.bind((WORLD, port))
    receiver.setblocking(False)
    return closing(receiver)


def arrived(receiver):
    found = set()
    while True:
        try:
            found.add(receiver.recvfrom(10)[1][1])
        except BlockingIOError:
            return found


def test_an_allowed_and_a_denied_connection_are_recorded_and_the_verdict_stays(site):
    namespace = site.lab.pod("a").namespace
    waited = came_to_wait(site)
    assert connect(namespace, ip_address(WORLD), 443, 5).is_connected
    assert not connect(namespace, ip_address(WORLD), 80, 0.3).is_connected
    for port in (443, 80):
        record = site.until(lambda port=port: of_port(site, port), 20)[0]
        assert (record["endpoint"], record["policy"], record["rule"]) == ("t/a", "first", 1)
        assert "SYN" in record["tcp_flags"]
    assert not any("ACK" in item["tcp_flags"] for item in of_port(site, 443)), "what is established is not logged"
    assert came_to_wait(site) == waited + 1, "only the first packet of what policy allows waits"


def test_every_connection_that_passes_has_a_record_of_each_of_three_rules(site):
    ports = range(20_000, 20_000 + FLOOD)
    before = counter(site, "log_records_lost")

    def told():
        return [item for item in of_port(site, 9999) if item["source_port"] in ports]

    with sink(site) as receiver:
        flood(site, ports)
        site.until(lambda: len(told()) >= 3 * FLOOD, 60)
        assert counter(site, "log_records_lost") == before
        found: set[int] = set()
        site.until(lambda: found.update(arrived(receiver)) or found == set(ports), 20)
    records = told()
    assert len(records) == 3 * FLOOD
    each = {(item["source_port"], item["policy"], item["rule"]) for item in records}
    assert each == {(port, *rule) for port in ports for rule in RULES}


def test_the_command_shows_what_waits(site):
    connect(site.lab.pod("a").namespace, ip_address(WORLD), 82, 0.2)
    site.until(lambda: of_port(site, 82), 20)
    site.until(lambda: "rule" in site.agent.call("logs", "--policy", "first").stdout, 20)
    assert "gnp/first: t/a egress TCP" in site.agent.call("logs").stdout
    inspected = site.agent.call("logs", "--policy", "first", "--inspect").stdout
    assert f"dst       = {WORLD}" in inspected
    assert "flags     = S" in inspected


def test_a_sink_has_the_record_too_and_one_that_does_not_read_is_no_ones_trouble(site):
    connect(site.lab.pod("a").namespace, ip_address(WORLD), 83, 0.2)
    site.until(lambda: of_port(site, 83), 20)
    site.syslog.setblocking(False)

    def is_told():
        try:
            while b'"destination_port": 83,' not in site.syslog.recv(65536):
                pass
        except BlockingIOError:
            return False
        return True

    # The flood before has filled the socket: what waits comes as it is read.
    site.until(is_told, 60)


def test_with_the_packet_process_killed_nothing_passes_unrecorded_and_soon_all_is_as_before(site):
    ports = range(30_000, 30_400)
    with sink(site) as receiver:
        pid = kill_reader(site)
        flood(site, ports)
        site.until(lambda: (site.status()["packets"]["pid"] or pid) != pid, 30)

        def passes():
            flood(site, (40_000,))
            return 40_000 in arrived(receiver)

        site.until(passes, 10)
        passed = arrived(receiver) & set(ports)
    logged = {item["source_port"] for item in of_port(site, 9999)}
    assert passed <= logged
    site.until(lambda: site.status()["ready"], 20)


def test_a_packet_process_that_ends_in_order_leaves_its_copies_and_none_is_told_twice(site):
    ports = range(52_000, 52_400)
    with sink(site) as receiver:
        pid = site.status()["packets"]["pid"]
        flood(site, ports)
        os.kill(pid, signal.SIGTERM)
        site.until(lambda: (site.status()["packets"]["pid"] or pid) != pid, 30)
        passed = arrived(receiver) & set(ports)

    def told():
        return Counter(
            (item["source_port"], item["policy"], item["rule"])
            for item in of_port(site, 9999)
            if item["source_port"] in passed
        )

    assert passed
    site.until(lambda: len(told()) >= 3 * len(passed), 20)
    site.until(lambda: site.status()["ready"], 20)
    assert set(told().values()) == {1}


def test_packets_that_no_log_rule_names_do_not_wait(site):
    pid = site.status()["packets"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        with sink(site, 9998) as receiver:
            receiver.settimeout(5)
            flood(site, (50_000,), (WORLD, 9998))
            assert receiver.recvfrom(10)[1][1] == 50_000
    finally:
        os.kill(pid, signal.SIGCONT)
