"""The real program on a real kernel: what happens around policy when processes die, files are wrong, tables vanish."""

import json
import os
import signal
import socket
import struct
import time
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml

from tidegate.api.client import AgentUnreachableError, ApiClient
from tidegate.demo import servers
from tidegate.demo.agent import RunningAgent
from tidegate.demo.client import connect
from tidegate.demo.lab import Lab
from tidegate.demo.namespace import LabError

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]

CONFIG = {"dnsTrustedServers": ["10.0.53.53"]}
WORLD = "198.51.100.1"


def wep(pod, name=None):
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "WorkloadEndpoint",
        "metadata": {"name": name or pod.name, "namespace": "t", "labels": {"ep": pod.name}},
        "spec": {
            "orchestrator": "cni", "workload": pod.name, "node": "n1", "endpoint": "eth0",
            "interfaceName": pod.interface_name, "ipNetworks": [f"{pod.address4}/32", f"{pod.address6}/128"],
        },
    }  # fmt: skip


def policy(name, *ports, selector="all()"):
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "selector": selector,
            "types": ["Egress"],
            "egress": [{"action": "Allow", "protocol": "TCP", "destination": {"ports": list(ports)}}] if ports else [],
        },
    }


class Site:
    """A lab, a resource directory, an agent."""

    def __init__(self, lab, scratch):
        self.lab = lab
        self.resources = scratch / "resources"
        self.resources.mkdir()
        self.config = scratch / "config.yaml"
        self.config.write_text(yaml.safe_dump(CONFIG))
        self.agent = RunningAgent(lab.node, self.resources, scratch, "n1")

    def put(self, file, *documents):
        scratch = self.resources / f".{file}"
        scratch.write_text(yaml.safe_dump_all(documents))
        scratch.rename(self.resources / file)

    def start(self, *flags):
        self.agent.start("--config", str(self.config), *flags)
        self.agent.wait_until_ready()

    def status(self):
        return self.agent.get("status")

    def conditions(self, of_type):
        return [item for item in self.status()["conditions"] if item["type"] == of_type]

    def until(self, holds, seconds=10):
        deadline = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < deadline, self.agent.log.read_text()[-4000:]
            time.sleep(0.02)
        return found

    def is_open(self, port, pod="a"):
        return connect(self.lab.pod(pod).namespace, ip_address(WORLD), port, 0.3).is_connected

    def rules(self):
        """What is in force, in no order; None while there is no table."""
        try:
            listing = self.lab.node.command("nft", "-s", "list", "table", "inet", "tidegate")
        except LabError:
            return None
        return sorted(listing.splitlines())


@contextmanager
def make_site(scratch, *pods):
    lab = Lab.create(pods)
    site = Site(lab, scratch)
    try:
        with servers.tcp_acceptors(lab.world, (80, 443)):
            yield site
    finally:
        site.agent.stop()
        site.agent.call("remove", check=False)
        lab.delete()


@pytest.fixture(scope="module")
def _site(tmp_path_factory):
    with make_site(tmp_path_factory.mktemp("site"), "a", "b") as site:
        site.put("pods.yaml", wep(site.lab.pod("a")), wep(site.lab.pod("b")))
        site.put("policy.yaml", policy("web", 443))
        site.start()
        yield site


@pytest.fixture
def site(_site):
    if _site.agent.process is None or _site.agent.process.poll() is not None:
        _site.start()
    _site.put("policy.yaml", policy("web", 443))
    _site.until(lambda: _site.is_open(443) and not _site.is_open(80))
    return _site


def test_policy_is_in_force_and_counted(site):
    assert site.status()["ready"]
    web = next(item for item in site.agent.get("policies") if item["name"] == "web")
    assert web["endpoints"] == 2
    before = web["rules"][0]["packets"]
    assert site.is_open(443)
    assert not site.is_open(80)
    web = next(item for item in site.agent.get("policies") if item["name"] == "web")
    assert web["rules"][0]["packets"] == before + 1
    end = next(rule for rule in web["rules"] if rule["index"] == -1)
    assert end["action"] == "EndOfTier"
    assert end["packets"] > 0


def test_a_changed_file_is_in_force_soon_and_a_removed_one_no_more(site):
    site.put("more.yaml", policy("more", 80))
    site.until(lambda: site.is_open(80), 3)
    (site.resources / "more.yaml").unlink()
    site.until(lambda: not site.is_open(80), 3)


def test_a_file_that_becomes_invalid_keeps_its_meaning_and_status_is_loud(site):
    broken = policy("web", 443)
    broken["spec"]["selector"] = "has("
    site.put("policy.yaml", broken)
    (stale,) = site.until(lambda: site.conditions("StaleResource"))
    assert (stale["subject"], stale["path"]) == ("policy.yaml#0", "spec.selector")
    assert not stale["normal"]
    assert site.is_open(443)
    assert not site.is_open(80)
    site.put("bad.yaml", {"apiVersion": "projectcalico.org/v3", "kind": "Nonsense", "metadata": {"name": "x"}})
    (invalid,) = site.until(lambda: site.conditions("InvalidResource"))
    assert invalid["subject"] == "bad.yaml#0"
    (site.resources / "bad.yaml").unlink()
    site.put("policy.yaml", policy("web", 443))
    site.until(lambda: not site.conditions("InvalidResource") and not site.conditions("StaleResource"))


def test_kill_9_and_restart_change_nothing_and_the_packet_process_is_adopted(site):
    before, packets = site.rules(), site.status()["packets"]["pid"]
    generation = site.status()["generation"]["applied"]
    site.agent.process.send_signal(signal.SIGKILL)
    site.agent.process.wait()
    assert site.is_open(443)
    assert not site.is_open(80)
    assert site.agent.call("status", check=False).returncode == 4
    site.start()
    assert site.status()["packets"]["pid"] == packets
    assert site.status()["generation"]["applied"] > generation
    assert site.rules() == before
    assert site.status()["counters"]["applies"] == 0


def test_sigterm_leaves_policy_in_force(site):
    packets = site.status()["packets"]["pid"]
    assert site.agent.stop() == 0
    assert not site.agent.socket.exists()
    assert site.is_open(443)
    assert not site.is_open(80)
    os.kill(packets, 0)


def test_policy_that_changed_while_the_agent_was_away_is_in_force_after_its_start(site):
    site.agent.stop()
    site.put("policy.yaml", policy("other", 80))
    site.start()
    assert site.is_open(80)
    assert not site.is_open(443)


@pytest.mark.parametrize(
    "blow",
    [
        "flush ruleset",
        "delete table inet tidegate",
        "flush chain inet tidegate filter-forward",
        "flush map inet tidegate from-endpoint",
        "insert rule inet tidegate filter-forward accept",
    ],
)
def test_what_another_program_does_to_the_table_is_repaired_within_a_second(site, blow):
    before, repairs = site.rules(), site.status()["counters"]["repairs"]
    site.lab.node.command("nft", blow)
    started = time.monotonic()
    site.until(lambda: site.rules() == before, 1.0)
    assert time.monotonic() - started < 1.0
    assert not site.is_open(80)
    assert site.is_open(443)
    assert site.status()["counters"]["repairs"] > repairs
    assert "nft" in site.conditions("TableRepaired")[0]["message"]


def test_the_packet_process_is_started_again_when_it_dies(site):
    packets = site.status()["packets"]["pid"]
    os.kill(packets, signal.SIGKILL)
    site.until(lambda: site.status()["ready"] and site.status()["packets"]["pid"] not in (None, packets))
    assert site.status()["generation"]["packets"] == site.status()["generation"]["applied"]


def test_sighup_takes_a_good_configuration_and_refuses_a_bad_one(site):
    pid = site.status()["pid"]
    site.config.write_text(yaml.safe_dump(CONFIG | {"dnsTrustedServers": ["10.0.53.54"]}))
    site.agent.process.send_signal(signal.SIGHUP)
    try:
        site.until(lambda: _servers(site) == ["10.0.53.54:53"])
        assert site.status()["pid"] == pid
        site.agent.wait_until_ready()
        site.config.write_text("dnsTrustedServer: []")
        site.agent.process.send_signal(signal.SIGHUP)
        (refused,) = site.until(lambda: site.conditions("Configuration"))
        assert "did you mean dnsTrustedServers?" in refused["message"]
        assert _servers(site) == ["10.0.53.54:53"]
        assert not site.is_open(80)
    finally:
        site.config.write_text(yaml.safe_dump(CONFIG))
        site.agent.process.send_signal(signal.SIGHUP)
        site.until(lambda: _servers(site) == ["10.0.53.53:53"])
        site.agent.wait_until_ready()


def test_limits_of_a_workload_are_in_force_and_counted_until_they_are_taken_out(site):
    pod = site.lab.pod("a")
    limited = wep(pod)
    limited["spec"]["qosControls"] = {"egressMaxConnections": 2, "egressBandwidth": 1000}
    limited["metadata"]["annotations"] = {"qos.tidegate.io/ingressConnectionRate": "50"}

    def shown():
        return {limit["name"]: limit for item in site.agent.get("endpoints") for limit in item["limits"]}

    try:
        site.put("pods.yaml", limited, wep(site.lab.pod("b")))
        (idle,) = site.until(lambda: site.conditions("NotEnforced"))
        assert (idle["subject"], idle["reason"]) == (f"WorkloadEndpoint t/{pod.name}", "LimitsWithoutEffect")
        assert idle["message"] == "egressBandwidth is not enforced"
        site.until(lambda: len(shown()) == 2)
        assert (shown()["ingressConnectionRate"]["limit"], shown()["ingressConnectionRate"]["burst"]) == (50, 50)
        with ExitStack() as stack:
            for _ in range(2):
                with pod.namespace.entered():
                    held = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
                held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # ends with a reset
                held.settimeout(10)
                held.connect((WORLD, 443))
            assert not site.is_open(443)
            assert site.is_open(443, "b")
            assert shown()["egressMaxConnections"]["dropped"] >= 1
            assert [item["dropped"] > 0 for item in site.status()["limits"]] == [False, True]
            metrics = ApiClient(site.agent.socket).text("/metrics")
            assert f'tidegate_limited_packets_total{{endpoint="t/{pod.name}",limit="egressMaxConnections"}}' in metrics
            rules = [line for line in metrics.splitlines() if line.startswith("tidegate_rule_packets_total{")]
            assert any('action="Allow"' in line and 'direction="egress"' in line for line in rules)
        site.until(lambda: site.is_open(443))
    finally:
        site.put("pods.yaml", wep(pod), wep(site.lab.pod("b")))
    site.until(lambda: not site.conditions("NotEnforced") and not shown())


def felix(name="default", **spec):
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "FelixConfiguration",
        "metadata": {"name": name},
        "spec": spec,
    }


def test_a_document_of_configuration_is_put_in_force_while_running_and_taken_out_again(site):
    pid = site.status()["pid"]
    try:
        site.put("felix.yaml", felix(logPrefix="mine", nftablesFilterDenyAction="Reject", bpfEnabled=True))
        site.until(lambda: _rejects(site))
        site.agent.wait_until_ready()
        assert site.status()["pid"] == pid
        assert _servers(site) == ["10.0.53.53:53"]  # the file's
        (idle,) = site.conditions("NotEnforced")
        assert (idle["subject"], idle["reason"]) == ("FelixConfiguration default", "SettingsWithoutEffect")
        assert "bpfEnabled" in idle["message"]
        site.put("felix.yaml", felix(dnsPolicyNfqueueID=101))
        (refused,) = site.until(lambda: site.conditions("Configuration"))
        assert "FelixConfiguration default: dnsPolicyNfqueueID" in refused["message"]
        assert _rejects(site)
    finally:
        (site.resources / "felix.yaml").unlink()
        site.until(lambda: _rejects(site) is False)
        site.agent.wait_until_ready()
    assert site.status()["pid"] == pid


def _rejects(site):
    rules = site.rules()
    return None if rules is None else any("reject" in rule for rule in rules)


def _servers(site):
    try:
        return site.status()["trusted_servers"]
    except AgentUnreachableError:
        return None


def test_a_second_agent_on_the_socket_is_refused(site):
    other = RunningAgent(site.lab.node, site.resources, site.agent.scratch, "n1")
    other.start("--config", str(site.config))
    assert other.process.wait(10) == 1
    assert site.status()["ready"]


def test_connections_of_a_removed_endpoint_are_cut(site):
    pod = site.lab.pod("b")
    with pod.namespace.entered():
        client = socket.create_connection((WORLD, 443), 2)
    with client:
        client.send(b"x")
        cut = site.status()["counters"]["connections_cut"]
        site.put("pods.yaml", wep(site.lab.pod("a")), wep(pod, "b2"))
        try:
            site.until(lambda: site.status()["counters"]["connections_cut"] > cut)
        finally:
            site.put("pods.yaml", wep(site.lab.pod("a")), wep(pod))
            site.until(lambda: "t/b" in {item["id"] for item in site.agent.get("endpoints")})


def test_the_commands_print_one_document_each_and_metrics_are_there(site):
    for command in ("status", "endpoints", "policies", "sets", "names"):
        document = json.loads(site.agent.call(command, "-o", "json").stdout)
        assert document == [] or document
        assert site.agent.call(command).stdout
    done = site.agent.call("explain", "--from", "t/a", "--to", f"{WORLD}:80", check=False)
    assert done.returncode == 1
    assert "end of tier denies" in done.stdout
    assert site.agent.call("explain", "--from", "t/a", "--to", f"{WORLD}:443").returncode == 0
    assert site.agent.call("explain", "--from", "t/zzz", "--to", f"{WORLD}:443", check=False).returncode == 2


def test_a_pod_of_any_cni_is_enforced_when_its_route_is_there(tmp_path):
    with make_site(tmp_path, "a") as site:
        pod = site.lab.pod("a")
        document = {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "late", "namespace": "t", "labels": {"ep": "late"}},
            "spec": {"nodeName": "n1", "containers": []},
            "status": {"podIPs": [{"ip": str(pod.address4)}]},
        }  # fmt: skip
        site.lab.node.ip("route", "del", f"{pod.address4}/32", "dev", pod.interface_name)
        site.put("pod.yaml", document)
        site.put("policy.yaml", policy("web", 443))
        site.start()
        (missing,) = site.conditions("InterfaceMissing")
        assert missing["subject"] == "t/late"
        site.lab.node.ip("route", "add", f"{pod.address4}/32", "dev", pod.interface_name)
        site.until(lambda: not site.conditions("InterfaceMissing"), 3)
        site.until(lambda: site.is_open(443), 3)
        assert not site.is_open(80)
        assert site.agent.get("endpoints")[0]["interface"] == pod.interface_name


@pytest.mark.parametrize("is_running", [True, False])
def test_remove_takes_everything_out(tmp_path, is_running):
    with make_site(tmp_path, "a") as site:
        site.put("pods.yaml", wep(site.lab.pod("a")))
        site.put("policy.yaml", policy("none"))
        site.start()
        assert not site.is_open(443)
        packets = site.status()["packets"]["pid"]
        if not is_running:
            site.agent.stop()
        assert site.agent.call("remove").returncode == 0
        assert site.lab.node.command("nft", "list", "ruleset") == ""
        assert not Path(f"/proc/{packets}").exists() or "Z" in Path(f"/proc/{packets}/stat").read_text()
        assert site.is_open(443)
        if is_running:
            assert site.agent.process.wait(5) == 0


def test_remove_on_exit_takes_everything_out(tmp_path):
    with make_site(tmp_path, "a") as site:
        site.put("pods.yaml", wep(site.lab.pod("a")))
        site.put("policy.yaml", policy("none"))
        site.start("--remove-on-exit")
        assert not site.is_open(443)
        assert site.agent.stop() == 0
        assert site.lab.node.command("nft", "list", "ruleset") == ""
        assert site.is_open(443)


def test_without_resources_it_waits_and_says_so(tmp_path):
    with make_site(tmp_path, "a") as site:
        site.resources.rmdir()
        site.agent.start("--config", str(site.config))
        site.until(site.agent.socket.exists)
        assert site.agent.call("status", "--wait", "1", check=False).returncode == 1
        (condition,) = site.conditions("SourcesInSync")
        assert (condition["status"], condition["reason"]) == ("False", "Unreadable")
        assert "tidegate" not in site.lab.node.command("nft", "list", "ruleset")
        site.resources.mkdir()
        site.agent.wait_until_ready()
