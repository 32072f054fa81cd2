"""From kubectl to packets: the real agent follows a real API server, and pods are namespaces of a node."""

import json
import os
import signal
import time
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml

from tests.kube.cluster import ADMIN, running
from tests.kube.conftest import install
from tests.lab.scripted import ScriptedServer, Step
from tidegate.api.client import AgentUnreachableError
from tidegate.demo import servers
from tidegate.demo.agent import RunningAgent
from tidegate.demo.client import connect, resolve
from tidegate.demo.lab import Lab
from tidegate.demo.namespace import Namespace

pytestmark = [pytest.mark.kernel, pytest.mark.kube, pytest.mark.timeout(240)]

NODE = "node-1"
CONFIG = {"dnsTrustedServers": ["10.0.53.53", "[fd00:53::53]:53"], "dnsTTLFloor": "0s"}
WORLD = "198.51.100.7"
SECONDS = 20


class Contained(Namespace):
    """The node's namespace, entered with no more capabilities than the shipped DaemonSet has."""

    def inside(self, *words):
        nsenter, net, *rest = super().inside(*words)
        allowed = ",".join(["-all", *(f"+{name.lower()}" for name in capabilities())])
        return (nsenter, net, "setpriv", "--no-new-privs", f"--bounding-set={allowed}", *rest)


def capabilities():
    text = (Path(__file__).parents[2] / "deploy/kubernetes/tidegate.yaml").read_text()
    (daemons,) = [each for each in yaml.safe_load_all(text) if each["kind"] == "DaemonSet"]
    return daemons["spec"]["template"]["spec"]["containers"][0]["securityContext"]["capabilities"]["add"]


class Stage:
    """A cluster, a node of it with two pods, and the world."""

    def __init__(self, stack, scratch, root):
        self.lab = Lab.create(("a", "b"))
        stack.callback(self.lab.delete)
        self.cluster = stack.enter_context(running(scratch / "cluster", self.lab.node))
        install(self.cluster, root)
        # What the agent needs of the manifests that are shipped: its account, and what that may do.
        self.cluster.kubectl("apply", "-f", str(root / "deploy/kubernetes/tidegate.yaml"))
        self.server = ScriptedServer()
        stack.enter_context(self.server.running(self.lab.world))
        stack.enter_context(servers.tcp_acceptors(self.lab.world, (80, 443), keep=False))
        self.cluster.apply(
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}},
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod", "labels": {"env": "prod"}}},
        )
        for pod in self.lab.pods:
            self.run_pod(pod.name, pod)
        config = scratch / "config.yaml"
        config.write_text(yaml.safe_dump(CONFIG))
        self.flags = ("--config", str(config), "--kubeconfig", str(self.identify()))
        self.agent = RunningAgent(Contained(self.lab.node.name), None, scratch, NODE)
        stack.callback(self.end)
        self.agent.start(*self.flags)
        self.agent.wait_until_ready(60)

    def identify(self, token=None):
        """The agent's kubeconfig, with a token of its account."""
        words = ("create", "token", "tidegate-node", "-n", "tidegate-system")
        return self.cluster.kubeconfig(token or self.cluster.kubectl(*words).stdout.strip(), "agent.kubeconfig")

    def end(self):
        self.agent.stop()
        self.agent.call("remove", check=False)

    def run_pod(self, name, place):
        """What a scheduler and a kubelet do."""
        document = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "prod", "labels": {"app": name}},
            "spec": {"nodeName": NODE, "containers": [{"name": "c", "image": "i"}]},
        }
        self.cluster.apply(document)
        addresses = [{"ip": str(place.address4)}, {"ip": str(place.address6)}]
        status = {"phase": "Running", "podIP": str(place.address4), "podIPs": addresses}
        self.cluster.set_status("pod", name, "prod", status)

    def connects(self, pod="a", port=443, address=WORLD, seconds=0.6):
        return connect(self.lab.pod(pod).namespace, ip_address(address), port, seconds).is_connected

    def reaches(self, pod="a", port=443, address=WORLD):
        """The same for what is open: a busy machine may take its time."""
        return self.connects(pod, port, address, 10)

    def until(self, holds, what, seconds=SECONDS):
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{self.agent.log.read_text()[-3000:]}"
            time.sleep(0.05)

    def conditions(self, of_type):
        try:
            status = self.agent.get("status")
        except AgentUnreachableError:  # it starts
            return []
        return [each for each in status["conditions"] if each["type"] == of_type]


@pytest.fixture(scope="module")
def _stage(tmp_path_factory, pytestconfig):
    with ExitStack() as stack:
        yield Stage(stack, tmp_path_factory.mktemp("enforcement"), pytestconfig.rootpath)


@pytest.fixture
def stage(_stage):
    """With no policy."""
    yield _stage
    for kind in ("networkpolicies.networking.k8s.io", "networkpolicies.projectcalico.org"):
        _stage.cluster.kubectl("delete", kind, "-n", "prod", "--all")
    for kind in ("gnp", "gns", "felixconfigurations"):
        _stage.cluster.kubectl("delete", kind, "--all")
    _stage.until(lambda: _stage.connects("a") and _stage.connects("b"), "everything is open again")


def networking(name, pod, **spec):
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "prod"},
        "spec": {"podSelector": {"matchLabels": {"app": pod}}, "policyTypes": ["Egress"], **spec},
    }


def calico(name, pod, *rules):
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "prod"},
        "spec": {"selector": f"app == '{pod}'", "types": ["Egress"], "egress": list(rules)},
    }


def test_without_policy_pods_reach_the_world(stage):
    assert stage.reaches("a")
    assert stage.reaches("b")


def test_a_policy_of_kubernetes_is_enforced_on_its_pods_and_goes_again(stage):
    stage.cluster.apply(networking("closed", "a"))
    stage.until(lambda: not stage.connects("a"), "the policy closes the pod")
    assert stage.reaches("b")
    only = {"egress": [{"to": [{"ipBlock": {"cidr": f"{WORLD}/32"}}], "ports": [{"port": 443}]}]}
    stage.cluster.apply(networking("closed", "a", **only))
    stage.until(lambda: stage.connects("a"), "the rule opens the port")
    assert not stage.connects("a", 80)
    stage.cluster.kubectl("delete", "networkpolicy", "closed", "-n", "prod")
    stage.until(lambda: stage.connects("a", 80), "nothing is closed any more")


def test_names_in_a_policy_of_the_cluster_are_learned_and_enforced(stage):
    stage.server.script("api.example", "A", Step(answer=["api.example 60 A 198.51.100.20"]))
    dns = {"action": "Allow", "protocol": "UDP", "destination": {"ports": [53]}}
    names = {"action": "Allow", "protocol": "TCP", "destination": {"domains": ["api.example"], "ports": [443]}}
    stage.cluster.apply(calico("names", "a", dns, names))
    stage.until(lambda: not stage.connects("a", address="198.51.100.20"), "the policy is in force")
    assert [str(one) for one in resolve(stage.lab.pod("a").namespace, "api.example")] == ["198.51.100.20"]
    assert stage.reaches("a", address="198.51.100.20")
    assert not stage.connects("a", address="198.51.100.21")


def test_a_policy_that_the_server_refuses_changes_nothing(stage):
    rule = {"action": "Deny", "destination": {"domains": ["api.example"]}}
    done = stage.cluster.apply(calico("bad", "a", rule), check=False)
    assert "cannot be in a rule of another action than Allow" in done.stderr
    assert stage.reaches("a")


def test_a_selector_that_only_the_agent_can_read_is_told_and_not_enforced(stage):
    document = calico("bad", "a")
    document["spec"]["selector"] = "app = 'a'"
    stage.cluster.apply(document)
    stage.until(lambda: stage.conditions("InvalidResource"), "the policy is told to be invalid")
    (told,) = stage.conditions("InvalidResource")
    assert told["subject"] == "networkpolicies.projectcalico.org/prod/bad#0"
    assert told["path"] == "spec.selector"


def test_a_pods_labels_change_what_it_may_do(stage):
    stage.cluster.apply(networking("closed", "late"))
    stage.cluster.kubectl("label", "pod", "b", "-n", "prod", "app=late", "--overwrite")
    stage.until(lambda: not stage.connects("b"), "the label brings the policy")
    stage.cluster.kubectl("label", "pod", "b", "-n", "prod", "app=b", "--overwrite")
    stage.until(lambda: stage.connects("b"), "and takes it away")


def test_a_node_is_configured_by_the_cluster(stage):
    stage.cluster.apply(
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": "FelixConfiguration",
            "metadata": {"name": "default"},
            "spec": {"nftablesFilterDenyAction": "Reject"},
        }
    )
    stage.cluster.apply(networking("closed", "a"))

    def is_rejected():
        return "refused" in connect(stage.lab.pod("a").namespace, ip_address(WORLD), 443, 0.3).error

    stage.until(is_rejected, "the agent rejects instead of dropping")


def test_a_server_that_goes_away_takes_no_policy_along_and_brings_what_was_missed(stage):
    stage.cluster.apply(networking("closed", "a"))
    stage.until(lambda: not stage.connects("a"), "the policy closes the pod")
    stage.cluster.stop("kube-apiserver")
    try:
        stage.until(lambda: stage.conditions("StaleResource"), "the agent says that it cannot ask")
        (first, *_) = stage.conditions("StaleResource")
        assert "cannot ask the API server" in first["message"]
        assert not stage.connects("a")
        assert stage.reaches("b")
    finally:
        stage.cluster.start_server()
    stage.cluster.kubectl("delete", "networkpolicy", "closed", "-n", "prod")
    stage.cluster.apply(networking("other", "b"))
    stage.until(lambda: stage.connects("a") and not stage.connects("b"), "what happened meanwhile counts", 90)
    stage.until(lambda: not stage.conditions("StaleResource"), "all is well again", 90)


def test_a_watch_broken_every_second_opens_and_closes_nothing(stage):
    """With traffic all the while: of a pod that is closed and of one that is open."""
    stage.cluster.apply(networking("closed", "a"))
    stage.until(lambda: not stage.connects("a"), "the policy closes the pod")
    lost = stage.agent.get("status")["counters"]["kubernetes_watches"]
    until = time.monotonic() + 5
    while time.monotonic() < until:
        stage.lab.node.command("ss", "-K", "dst", "127.0.0.1", "dport", "=", "6443")
        started = time.monotonic()
        while time.monotonic() < started + 1:
            assert not stage.connects("a")
            assert stage.reaches("b")
    assert stage.agent.get("status")["counters"]["kubernetes_watches"] > lost + 20
    stage.cluster.kubectl("delete", "networkpolicy", "closed", "-n", "prod")
    stage.until(lambda: stage.connects("a"), "the deletion is not lost")


def test_a_token_that_ends_is_replaced_by_the_next_and_policy_stays(stage):
    stage.cluster.apply(networking("closed", "a"))
    stage.until(lambda: not stage.connects("a"), "the policy closes the pod")
    good = (stage.cluster.scratch / "agent.kubeconfig").read_text()
    stage.identify("expired")
    stage.agent.stop()
    stage.agent.start(*stage.flags)
    try:

        def is_told():
            return any("401" in each["message"] for each in stage.conditions("SourcesInSync"))

        stage.until(is_told, "the agent says that it is nobody")
        assert not stage.connects("a")
    finally:
        (stage.cluster.scratch / "agent.kubeconfig").write_text(good)
    stage.agent.wait_until_ready(60)
    assert not stage.connects("a")
    assert stage.reaches("b")


def test_a_compacted_history_loses_nothing(stage):
    os.kill(stage.agent.process.pid, signal.SIGSTOP)
    try:
        stage.cluster.apply(networking("closed", "a"))
        stage.cluster.stop("kube-apiserver")
        stage.cluster.compact()
        stage.cluster.start_server()
    finally:
        os.kill(stage.agent.process.pid, signal.SIGCONT)
    stage.until(lambda: not stage.connects("a"), "the policy is found by a list", 90)


def test_a_permission_that_is_missing_is_named_and_policy_stays(stage):
    stage.cluster.apply(networking("closed", "a"))
    stage.until(lambda: not stage.connects("a"), "the policy closes the pod")
    role = json.loads(stage.cluster.kubectl("get", "clusterrole", "tidegate-node", "-o", "json").stdout)
    try:
        less = [rule for rule in role["rules"] if "networking.k8s.io" not in rule["apiGroups"]]
        stage.cluster.apply({**role, "metadata": {"name": "tidegate-node"}, "rules": less})
        stage.agent.stop()
        stage.agent.start(*stage.flags)

        def message():
            return next((each["message"] for each in stage.conditions("SourcesInSync")), "")

        stage.until(lambda: "needs the verbs list and watch on networkpolicies.networking.k8s.io" in message(), "told")
        assert not stage.connects("a")
        assert stage.reaches("b")
    finally:
        stage.cluster.apply({**role, "metadata": {"name": "tidegate-node"}})
    stage.agent.wait_until_ready(60)
    assert not stage.connects("a")


def test_definitions_may_come_after_the_agent(stage, pytestconfig):
    stage.cluster.kubectl("delete", "crd", "globalnetworkpolicies.projectcalico.org")
    install(stage.cluster, pytestconfig.rootpath)
    closed = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "late"},
        "spec": {"selector": "app == 'a'", "types": ["Egress"]},
    }
    stage.cluster.until(lambda: stage.cluster.apply(closed, check=False).returncode == 0, 30, "the kind is there")
    stage.until(lambda: not stage.connects("a"), "the kind is followed", 60)


def test_a_second_agent_on_a_node_refuses(stage):
    second = RunningAgent(stage.lab.node, None, stage.agent.scratch, NODE)
    second.start(*stage.flags)
    assert second.process.wait(30) != 0
    second.process = None
    assert stage.agent.get("status")["ready"]


def test_the_agent_has_the_capabilities_of_the_manifest_and_no_others(stage):
    status = Path(f"/proc/{stage.agent.process.pid}/status").read_text()
    effective = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff")), 16)
    assert effective.bit_count() == len(capabilities())


def test_administrators_are_not_needed(stage):
    assert ADMIN not in (stage.cluster.scratch / "agent.kubeconfig").read_text()
