"""Flow records of real connections: who, how much, why; and what is lost is in the stream."""

import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from ipaddress import ip_address

import pytest
import yaml

from tests.lab.scripted import ScriptedServer, ask
from tidegate.demo import servers
from tidegate.demo.agent import RunningAgent
from tidegate.demo.client import connect
from tidegate.demo.lab import Lab

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]

WORLD = "198.51.100.7"
CONFIG = {
    "dnsTrustedServers": ["10.0.53.53"],
    "flowLogsFileEnabled": True,
    "flowLogsFlushInterval": "500ms",
}


def until(holds, seconds=30):
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)
    return found


def endpoint(pod):
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "WorkloadEndpoint",
        "metadata": {"name": pod.name, "namespace": "test", "labels": {"ep": pod.name}},
        "spec": {
            "orchestrator": "cni", "workload": pod.name, "node": "n1", "endpoint": "eth0",
            "interfaceName": pod.interface_name, "ipNetworks": [f"{pod.address4}/32", f"{pod.address6}/128"],
        },
    }  # fmt: skip


def document(kind, name, spec, namespace="test"):
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata, "spec": spec}


RULES = [
    {"action": "Allow", "protocol": "UDP", "destination": {"ports": [53, "7000:7999"]}},
    {"action": "Allow", "protocol": "TCP", "destination": {"ports": [443], "nets": ["198.51.100.0/24"]}},
    {"action": "Allow", "protocol": "TCP", "destination": {"ports": [443], "domains": ["named.test"]}},
]
DOCUMENTS = [
    document("NetworkPolicy", "out", {"selector": "ep == 'ep1'", "types": ["Egress"], "egress": RULES}),
    document("NetworkPolicy", "in", {
        "selector": "ep == 'ep2'", "types": ["Ingress"],
        "ingress": [{"action": "Allow", "protocol": "UDP", "destination": {"ports": ["7000:7998"]}}],
    }),
    document("StagedNetworkPolicy", "later", {
        "selector": "ep == 'ep1'", "types": ["Egress"], "order": 1,
        "egress": [{"action": "Deny", "protocol": "TCP", "destination": {"ports": [443], "nets": [f"{WORLD}/32"]}}],
    }),
    document("GlobalNetworkSet", "partners", {"nets": [f"{WORLD}/32"]}, namespace=""),
]  # fmt: skip


class Site:
    def __init__(self, lab, server, scratch):
        self.lab, self.server, self.scratch = lab, server, scratch
        self.resources = scratch / "resources"
        self.resources.mkdir()
        self.agent = RunningAgent(lab.node, self.resources, scratch, "n1")
        (self.resources / "all.yaml").write_text(yaml.safe_dump_all([*DOCUMENTS, *map(endpoint, lab.pods)]))
        (scratch / "config.yaml").write_text(yaml.safe_dump(CONFIG))

    def start(self, *flags):
        self.agent.start("--config", str(self.scratch / "config.yaml"), *flags)
        self.agent.wait_until_ready()
        until(lambda: self.conditions().get("FlowLogs", {}).get("reason") == "Recording")

    def conditions(self):
        return {item["type"]: item for item in self.agent.get("status")["conditions"]}

    def flows(self, *words):
        done = self.agent.call("flows", *words, "-o", "json")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def records(self, *words):
        return [item for item in self.flows(*words) if item["type"] == "flow"]

    def namespace(self, pod):
        return self.lab.pod(pod).namespace


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with ExitStack() as stack:
        lab = Lab.create(("ep1", "ep2"))
        stack.callback(lab.delete)
        server = ScriptedServer()
        stack.enter_context(server.running(lab.world))
        stack.enter_context(servers.tcp_acceptors(lab.world, (443,), keep=False))
        # Conntrack is there before the agent, with short timeouts: ended connections are told of at once.
        lab.node.command("nft", "add", "table", "inet", "t")
        lab.node.command("sh", "-c", "nft add chain inet t c '{type filter hook forward priority 5;}';"
                                     "nft add rule inet t c ct state new counter")  # fmt: skip
        lab.node.sysctl(
            net__netfilter__nf_conntrack_tcp_timeout_time_wait=1,
            net__netfilter__nf_conntrack_udp_timeout=3,
            net__netfilter__nf_conntrack_udp_timeout_stream=3,
            net__netfilter__nf_conntrack_tcp_timeout_close=1,
        )
        made = Site(lab, server, tmp_path_factory.mktemp("flows"))
        stack.callback(made.agent.call, "remove", check=False)
        stack.callback(made.agent.stop)
        made.start()
        yield made


def test_an_allowed_connection_is_told_with_both_ends_its_size_and_why(site):
    assert connect(site.namespace("ep1"), ip_address(WORLD), 443, 5.0).is_connected

    def completed():
        found = site.records("test/ep1", "--dest", WORLD, "--port", "443")
        return found if sum(item["num_flows_completed"] for item in found) == 1 else None

    found = until(completed)
    assert sum(item["num_flows_started"] for item in found) == 1
    assert {(item["reporter"], item["action"], item["proto"]) for item in found} == {("src", "allow", "tcp")}
    first = found[0]
    assert first["source"] == {
        "type": "wep", "namespace": "test", "name": "ep1", "name_aggr": "ep1", "ip": "10.0.1.2", "port": None,
    }  # fmt: skip
    assert first["dest"] == {
        "type": "ns", "namespace": "", "name": "partners", "name_aggr": "partners", "ip": WORLD, "port": 443,
    }  # fmt: skip
    assert sum(item["packets_out"] for item in found) >= 3
    assert sum(item["packets_in"] for item in found) >= 2
    assert sum(item["bytes_out"] for item in found) >= 3 * 40
    assert first["policies"]["enforced"] == ["0|default|np:test/out|allow|1"]
    assert first["policies"]["pending"] == ["0|default|snp:test/later|deny|0"]
    assert first["policies"]["agrees"] is True
    assert first["policies"]["enforced_hits"][0]["name"] == "out"
    told = site.agent.call("flows", "test/ep1", "--dest", WORLD, "--why").stdout
    assert f"src allow  test/ep1 10.0.1.2 > partners {WORLD}:443/tcp" in told
    assert "    0|default|np:test/out|allow|1\n    if staged policies were enforced:\n" in told
    brief = site.agent.call("flows", "test/ep1", "--dest", WORLD).stdout
    assert "bytes  0|default|np:test/out|allow|1\n" in brief


def test_exact_sizes_of_datagrams_both_ways_and_a_record_for_each_local_end(site):
    to = str(site.lab.pod("ep2").address4)
    with site.namespace("ep2").entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((to, 7100))
        receiver.settimeout(10)
        with site.namespace("ep1").entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for size in (10, 20, 30):
                sender.sendto(bytes(size), (to, 7100))
                _, back = receiver.recvfrom(100)
            receiver.sendto(bytes(100), back)
            sender.settimeout(10)
            sender.recv(200)

    def completed():
        found = site.records("--dest", "test/ep2", "--port", "7100")
        return found if sum(item["num_flows_completed"] for item in found) == 2 else None

    found = until(completed)
    for reporter, out, back in (("src", (3, 144), (1, 128)), ("dst", (1, 128), (3, 144))):
        mine = [item for item in found if item["reporter"] == reporter]
        assert tuple(sum(item[name] for item in mine) for name in ("packets_out", "bytes_out")) == out
        assert tuple(sum(item[name] for item in mine) for name in ("packets_in", "bytes_in")) == back
        assert sum(item["num_flows_started"] for item in mine) == 1
    policies = {item["reporter"]: item["policies"]["enforced"] for item in found}
    assert policies == {"src": ["0|default|np:test/out|allow|0"], "dst": ["0|default|np:test/in|allow|0"]}


def test_denied_packets_are_told_by_whoever_denied_them(site):
    to = str(site.lab.pod("ep2").address4)
    with site.namespace("ep1").entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x" * 12, (WORLD, 8100))
        sender.sendto(b"x" * 12, (WORLD, 8100))
        sender.sendto(b"x" * 12, (to, 7999))

    def denied(port):
        found = site.records("--action", "deny", "--port", port)
        return found or None

    [egress] = until(lambda: denied("8100"))
    assert (egress["reporter"], egress["packets_out"], egress["bytes_out"], egress["num_flows"]) == ("src", 2, 80, 1)
    assert egress["policies"]["enforced"] == ["0|default|np:test/out|deny|-1"]
    assert egress["policies"]["enforced_hits"][0]["kind"] == "EndOfTier"
    assert egress["policies"]["agrees"] is True
    [ingress] = until(lambda: denied("7999"))
    assert (ingress["reporter"], ingress["packets_in"], ingress["dest"]["name"]) == ("dst", 1, "ep2")
    assert ingress["policies"]["enforced"] == ["0|default|np:test/in|deny|-1"]


def test_the_names_by_which_the_sender_knows_the_address_are_told(site):
    site.server.address("named.test", "203.0.113.9", ttl=300)
    ask(site.namespace("ep1"), "named.test")
    assert connect(site.namespace("ep1"), ip_address("203.0.113.9"), 443, 5.0).is_connected
    found = until(lambda: site.records("--dest", "203.0.113.9"))
    assert found[0]["dest_domains"] == ["named.test"]
    assert found[0]["policies"]["enforced"] == ["0|default|np:test/out|allow|2"]
    assert found[0]["policies"]["agrees"] is True
    assert found[0]["dest"]["type"] == "net"
    assert site.records("--domain", "named.te")
    assert not site.records("--domain", "other.test")


def test_an_open_connection_is_told_of_before_it_ends_and_nothing_is_counted_twice(site):
    with site.lab.world.entered():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with site.namespace("ep1").entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stop, sent = threading.Event(), []

    def found():
        return site.records("--dest", WORLD, "--port", "7200")

    def send():
        while not stop.wait(0.1):
            sent.append(sender.send(bytes(72)))

    with sender, receiver:
        receiver.bind((WORLD, 7200))
        sender.connect((WORLD, 7200))
        thread = threading.Thread(target=send)
        thread.start()
        try:
            until(lambda: sum(item["packets_out"] for item in found()) > 5)
            assert sum(item["num_flows_completed"] for item in found()) == 0
        finally:
            stop.set()
            thread.join()
    until(lambda: sum(item["num_flows_completed"] for item in found()) == 1)
    assert sum(item["packets_out"] for item in found()) == len(sent)
    assert sum(item["bytes_out"] for item in found()) == 100 * len(sent)
    assert sum(item["num_flows_started"] for item in found()) == 1


def test_levels_add_up(site):
    with site.namespace("ep1").entered():
        for port in (7301, 7302, 7302):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x", (WORLD, port))
    words = ("--source", "test/ep1", "--protocol", "udp", "--dest", "partners")

    def counted(*more):
        found = site.records(*words, *more)
        return {(item["dest"]["port"], item["dest"]["ip"]): item["num_flows_started"] for item in found}

    until(lambda: counted("--level", "1").get((7302, WORLD)) == 2)
    assert counted("--level", "2")[7302, ""] == 2
    whole = counted("--level", "3")
    assert list(whole) == [(None, "")]
    assert whole[None, ""] >= 3


def test_what_comes_can_be_followed(site):
    command = [sys.executable, "-m", "tidegate", "flows", "--follow", "--port", "7400", "-o", "json"]
    words = [*command, "--socket", str(site.agent.socket)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as running:
        try:
            stop = threading.Event()

            def send():
                while not stop.wait(0.3):
                    with site.namespace("ep1").entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                        sender.sendto(b"x", (WORLD, 7400))

            thread = threading.Thread(target=send)
            thread.start()
            numbers = [json.loads(running.stdout.readline())["id"] for _ in range(3)]
            stop.set()
            thread.join()
        finally:
            running.kill()
    assert numbers == sorted(set(numbers))


def test_top_shows_who_is_busy(site):
    with site.namespace("ep1").entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(bytes(1000), (WORLD, 7500))
    until(lambda: site.records("--port", "7500"))
    found = json.loads(site.agent.call("top", "--by", "source", "-o", "json").stdout)
    assert {item["source"] for item in found} >= {"test/ep1"}
    assert "test/ep1 > partners:7500/udp" in " ".join(site.agent.call("top", "--once").stdout.split())
    by_policy = json.loads(site.agent.call("top", "--by", "policy", "-o", "json").stdout)
    assert "default|np:test/out|allow|0" in {item["policy"] for item in by_policy}


def test_records_outlive_the_agent_and_go_on(site):
    with site.namespace("ep1").entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", (WORLD, 7601))
    before = until(lambda: site.records("--port", "7601"))[-1]["id"]
    site.agent.stop()
    site.start()
    with site.namespace("ep1").entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", (WORLD, 7600))
    [found] = until(lambda: site.records("--port", "7600"))[:1]
    assert found["id"] > before


def test_counters_and_metrics_tell_of_losses(site):
    with site.namespace("ep1").entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", (WORLD, 7700))
    until(lambda: site.agent.get("status")["counters"]["flow_records"] > 0)
    counters = site.agent.get("status")["counters"]
    assert counters["flow_windows_lost"] == counters["flows_without_room"] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--action", "maybe"), "cannot filter by the action"),
        (("--port", "http"), "cannot filter by port"),
        (("--protocol", "xyz"), "cannot filter by the protocol"),
        (("--since", "yesterday"), "cannot read since"),
        (("--level", "4"), "cannot filter by level"),
        (("--follow", "--level", "2"), "cannot follow"),
    ],
)
def test_what_cannot_be_asked_is_said(site, words, told):
    done = site.agent.call("flows", *words, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
