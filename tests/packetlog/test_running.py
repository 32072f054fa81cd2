"""Log rules on the real kernel: every connection is recorded, once for each rule, and the verdict stays."""

import json
from ipaddress import ip_address

import pytest

from nfq.nflog import LogSettings, RawLog
from tests.agent.test_running_agent import WORLD
from tests.packetlog.site import RULES, flood, logging_site, of_port
from tidegate.demo.client import connect

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(180)]

FLOOD = 3000
"""Datagrams of a port of their own each: as many connections."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with logging_site(tmp_path_factory.mktemp("packetlog"), logTransport="nflog") as site:
        yield site


def test_an_allowed_and_a_denied_connection_are_recorded_and_the_verdict_stays(site):
    namespace = site.lab.pod("a").namespace
    assert connect(namespace, ip_address(WORLD), 443, 5).is_connected
    assert not connect(namespace, ip_address(WORLD), 80, 0.3).is_connected
    allowed, denied = (site.until(lambda port=port: of_port(site, port), 20)[0] for port in (443, 80))
    for record in (allowed, denied):
        assert record["endpoint"] == "t/a", record
        assert record["interface"] == site.lab.pod("a").interface_name
        assert (record["prefix"], record["direction"], record["rule"]) == ("gnp/first", "egress", 1)
        assert (record["source"], record["destination"]) == (str(site.lab.pod("a").address4), WORLD)
        assert "SYN" in record["tcp_flags"]
        assert record["mac"]
    assert not any("ACK" in item["tcp_flags"] for item in of_port(site, 443)), "what is established is not logged"


def test_every_connection_of_a_flood_is_recorded_by_each_of_three_rules_or_its_loss_is_counted(site):
    ports = range(20_000, 20_000 + FLOOD)
    before = site.status()["counters"]
    flood(site, ports)

    def lost():
        return site.status()["counters"]["log_records_lost"] - before["log_records_lost"]

    site.until(lambda: len(of_port(site, 9999)) + lost() >= 3 * FLOOD, 60)
    found = of_port(site, 9999)
    assert len(found) + lost() == 3 * FLOOD
    assert lost() == 0, "at this pace the buffer holds them all"
    each = {(item["source_port"], item["policy"], item["rule"]) for item in found}
    wanted = {(port, *rule) for port in ports for rule in RULES}
    assert each == wanted


def test_the_command_shows_what_the_file_has_and_follows(site):
    namespace = site.lab.pod("a").namespace
    connect(namespace, ip_address(WORLD), 81, 0.2)
    site.until(lambda: of_port(site, 81), 20)

    def shown():
        lines = site.agent.call("logs", "-o", "json", "--endpoint", "t/a", "--policy", "first").stdout.splitlines()
        return [found for found in map(json.loads, lines) if found["destination_port"] == 81]

    assert site.until(shown, 20)[0] == of_port(site, 81)[0]
    assert "gnp/first: t/a egress TCP" in site.agent.call("logs").stdout
    assert site.agent.call("logs", "--endpoint", "nobody/here").stdout == ""


def test_a_group_that_another_program_reads_is_said_loudly_and_taken_when_it_is_free(site):
    site.agent.stop()
    with site.lab.node.entered():
        other = RawLog(LogSettings(group=5))
    try:
        site.start()
        (condition,) = site.until(lambda: site.conditions("LogRecords"))
        assert condition["reason"] == "NotRead"
        assert not condition["normal"]
    finally:
        other.close()
    site.until(lambda: all(item["normal"] for item in site.conditions("LogRecords")), 20)
