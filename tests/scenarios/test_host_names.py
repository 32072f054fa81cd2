"""Scenario D76: names for the node's own processes, under host endpoints; what the agent asks itself opens nothing."""

import json
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address

import pytest

from tests.lab.scripted import ScriptedServer, Step, ask, ask_stream, framed_query, read_reply, stream_client
from tests.lab.wire import Wire
from tests.scenarios.hosts import EVERYTHING, NODE, OPEN_PODS, UPLINK, HostStage, host_endpoint, policy, staged, tcp
from tidegate.demo.client import connect

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]
CONFIG = {"dnsTrustedServers": ["10.0.53.53", "[fd00:53::53]:53", "127.0.0.53"], "dnsTTLFloor": "0s"}
SERVERS = {4: "10.0.53.53", 6: "fd00:53::53"}
FAR = {4: "198.51.100.{}", 6: "2001:db8:1::{}"}
BOTH = pytest.mark.parametrize("version", [4, 6])


@dataclass
class Names:
    """The hosts' stage with a DNS server in the world and a stub on the node, both of which say the same."""

    stage: HostStage
    server: ScriptedServer
    wire: Wire

    def permit(self, *domains, **annotations):
        """The host may send TCP to these names, port 80, to any server of DNS, and nothing else but to failsafe ports."""
        allowed = tcp(80, domains=list(domains))
        document = policy(types=["Egress"], egress=[allowed, tcp(53)])
        document["metadata"]["annotations"] = {f"dns.tidegate.io/{key}": value for key, value in annotations.items()}
        self.stage.enforce(OPEN_PODS, host_endpoint(), document)

    def resolve(self, name, version=4, server=None):
        reply = ask(self.stage.lab.node, name, "A" if version == 4 else "AAAA", server or SERVERS[version])
        return [str(record.rdata) for record in reply.rr]

    def passes(self, address, port=80):
        """Connects with exactly one SYN on the far side."""
        before = self.wire.syns(address, port)
        self.stage.passes(self.stage.lab.node, ip_address(address), port)
        self.stage.until(lambda: self.wire.syns(address, port) > before, "the observer has seen the SYN")
        assert self.wire.syns(address, port) - before == 1

    def denied(self, address, port=80):
        before = self.wire.syns(address, port)
        self.stage.denied(self.stage.lab.node, ip_address(address), port)
        assert self.wire.syns(address, port) == before

    def counters(self):
        return self.stage.agent.get("status")["packets"]["counters"]


@pytest.fixture(scope="module")
def _names():
    with ExitStack() as stack:
        stage = stack.enter_context(staged())
        server = ScriptedServer()
        stack.enter_context(server.running(stage.lab.world))
        stack.enter_context(server.running(stage.lab.node))
        stack.enter_context(server.streaming(stage.lab.world))
        yield Names(stage, server, stack.enter_context(Wire(stage.lab.world, "uplink")))


@pytest.fixture
def names(_names):
    _names.stage.configure(**CONFIG)
    return _names


@BOTH
def test_d76_a_host_may_reach_what_it_was_told_and_nothing_else(names, version):
    address, other, name = FAR[version].format(31), FAR[version].format(32), f"d76-{version}.test"
    names.server.address(name, address, ttl=60)
    names.server.address(f"other-{name}", other, ttl=60)
    names.permit(name)
    names.denied(address)
    assert names.resolve(name, version) == [address]
    names.passes(address)
    names.denied(address, 8080)
    names.resolve(f"other-{name}", version)
    names.denied(other)


def test_no_first_packet_is_lost(names):
    names.permit("*.first.test")
    for number in range(40, 60):
        address = FAR[4].format(number)
        names.server.address(f"n{number}.first.test", address, ttl=60)
        assert names.resolve(f"n{number}.first.test") == [address]
        names.passes(address)


def test_an_address_closes_with_its_ttl_and_its_policy(names):
    first, second = FAR[4].format(61), FAR[4].format(62)
    names.server.address("brief.test", first, ttl=1)
    names.server.address("long.test", second, ttl=60)
    names.permit("brief.test", "long.test")
    names.resolve("brief.test")
    names.resolve("long.test")
    names.passes(second)
    time.sleep(2)
    names.denied(first)
    names.permit("elsewhere.test")
    names.denied(second)


def test_a_stub_on_a_loopback_address_is_a_server_like_others(names):
    address = FAR[4].format(63)
    names.server.address("stub.test", address, ttl=60)
    names.permit("stub.test")
    assert names.resolve("stub.test", server="127.0.0.53") == [address]
    names.passes(address)


@BOTH
def test_answers_over_tcp_open_as_well(names, version):
    name, found = f"long-{version}.test", [FAR[version].format(number) for number in (70, 71)]
    kind = {4: "A", 6: "AAAA"}[version]
    records = [f"{name} 60 {kind} {each}" for each in found]
    names.server.script(name, kind, Step(truncated=True, only_over="UDP"), Step(answer=records, segments=(1, 7, 20)))
    names.permit(name)
    assert names.resolve(name, version) == []
    names.denied(found[0])
    (reply,) = ask_stream(names.stage.lab.node, name, qtype=kind, server=SERVERS[version])
    assert [str(each.rdata) for each in reply.rr] == found
    for address in found:
        names.passes(address)


def test_no_first_packet_is_lost_over_tcp_either(names):
    """One connection, the server's stream cut into small pieces, each name asked when the one before has been used."""
    names.permit("*.stream.test")
    for number in range(80, 90):
        names.server.address(f"n{number}.stream.test", FAR[4].format(number))
    with stream_client(names.stage.lab.node, SERVERS[4]) as client:
        client.settimeout(5)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 88)
        client.connect((SERVERS[4], 53))
        for number in range(80, 90):
            client.sendall(framed_query(f"n{number}.stream.test", "A", number))
            assert [str(each.rdata) for each in read_reply(client).rr] == [FAR[4].format(number)]
            names.passes(FAR[4].format(number))


def test_what_another_server_says_opens_nothing(names):
    address = FAR[4].format(64)
    names.server.address("untrusted.test", address, ttl=60)
    names.permit("untrusted.test")
    assert names.resolve("untrusted.test", server="10.0.53.66") == [address]
    names.denied(address)


def test_what_a_pod_is_told_is_not_the_hosts_and_the_other_way_round(names):
    address = FAR[4].format(65)
    names.server.address("apart.test", address, ttl=60)
    names.permit("apart.test")
    ask(names.stage.pod("p1"), "apart.test")
    names.denied(address)
    names.resolve("apart.test")
    names.passes(address)


def test_what_the_agent_asks_itself_teaches_the_host_nothing(names):
    address = FAR[4].format(66)
    names.server.address("asked.test", address, ttl=60)
    by_name = policy(
        "has(pod)",
        types=["Ingress", "Egress"],
        ingress=[EVERYTHING],
        egress=[
            {"action": "Allow", "protocol": "UDP", "destination": {"ports": [53]}},
            tcp(80, domains=["asked.test"]),
        ],
    )
    by_name["metadata"]["annotations"] = {"dns.tidegate.io/mode": "proxy"}
    own = policy(types=["Egress"], egress=[tcp(80, domains=["asked.test"])])
    names.stage.enforce(by_name, host_endpoint(), own)
    before = names.counters()
    reply = ask(names.stage.pod("p1"), "asked.test")
    assert [str(record.rdata) for record in reply.rr] == [address]
    assert connect(names.stage.pod("p1"), ip_address(address), 80, 5.0).is_connected
    names.stage.until(lambda: names.wire.syns(address, 80) > 0, "the observer has seen the pod's SYN")
    names.denied(address)
    after = names.counters()
    assert after.get("no-query", 0) == before.get("no-query", 0)  # the upstream's answer was not even looked at


def test_a_restart_keeps_what_the_host_learned(names):
    address = FAR[4].format(67)
    names.server.address("restart.test", address, ttl=120)
    names.permit("restart.test")
    names.resolve("restart.test")
    names.passes(address)
    names.stage.agent.stop()
    names.passes(address)
    names.stage.agent.start("--config", str(names.stage.config_path))
    names.stage.agent.wait_until_ready()
    names.passes(address)
    told = json.loads(names.stage.agent.call("names", "--name", "restart.test", "-o", "json").stdout)
    assert [(one["endpoint"], one["ip"]) for one in told] == [(f"host:{NODE}", address)]


def test_grace_is_the_hosts_as_well(names):
    address = FAR[4].format(68)
    names.server.script("graced.test", "A", Step(answer=[f"graced.test 3 A {address}"]))
    names.permit("graced.test", grace="60s")
    names.resolve("graced.test")
    names.passes(address)
    time.sleep(4)
    names.passes(address)


def test_nothing_says_that_a_host_learns_nothing(names):
    names.permit("said.test")
    conditions = names.stage.agent.get("status")["conditions"]
    assert "NamesNotLearned" not in {item["reason"] for item in conditions}


def test_explain_tells_what_the_host_knows(names):
    address = FAR[4].format(69)
    names.server.address("explained.test", address, ttl=60)
    names.permit("explained.test")
    names.resolve("explained.test")
    host = next(item["name"] for item in names.stage.agent.get("endpoints") if item["kind"] == "HostEndpoint")
    told = names.stage.agent.call("explain", "--from", host, "--to", f"{address}:80/TCP", "-o", "json", check=False)
    [path] = json.loads(told.stdout)["paths"]
    assert (path["verdict"], [reason["code"] for reason in path["reasons"]]) == ("allow", ["learned"]), told.stdout
    assert UPLINK in told.stdout or path["names"]
