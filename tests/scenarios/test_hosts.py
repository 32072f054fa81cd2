"""Host endpoints on real packets, each scenario named after the fact that it shows (Calico: protect hosts)."""

import socket
import time
from ipaddress import ip_address

import pytest
import yaml

from tests.scenarios.hosts import (
    EVERYTHING,
    HOST,
    NODE,
    OPEN_PODS,
    SERVICE,
    UPLINK,
    WORLD,
    host_endpoint,
    policy,
    resource,
    staged,
    tcp,
    udp_echoes,
)
from tidegate.demo.client import connect

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]
BOTH = pytest.mark.parametrize("version", [4, 6])
LOOPBACK = {4: ip_address("127.0.0.1"), 6: ip_address("::1")}
DENY = {"action": "Deny"}


@pytest.fixture(scope="module")
def _stage():
    with staged() as made:
        yield made


@pytest.fixture
def stage(_stage):
    _stage.configure()
    return _stage


@BOTH
def test_policy_without_a_host_endpoint_never_touches_the_host(stage, version):
    deny_all = policy("all()", types=["Ingress", "Egress"], order=1, ingress=[DENY], egress=[DENY])
    stage.enforce(OPEN_PODS, deny_all)
    stage.passes(stage.lab.world, HOST[version], 80)
    stage.passes(stage.lab.node, WORLD[version], 80)
    stage.denied(stage.pod("p1"), WORLD[version], 80)


@BOTH
def test_without_policy_and_profile_only_failsafe_ports_pass(stage, version):
    stage.enforce(OPEN_PODS, host_endpoint())
    stage.passes(stage.lab.world, HOST[version], 22)
    stage.denied(stage.lab.world, HOST[version], 80)
    stage.passes(stage.lab.node, WORLD[version], 6443)
    stage.denied(stage.lab.node, WORLD[version], 80)


@BOTH
def test_what_is_forwarded_is_accepted_without_a_policy_for_it(stage, version):
    stage.enforce(OPEN_PODS, host_endpoint())
    stage.passes(stage.pod("p1"), WORLD[version], 80)
    stage.passes(stage.lab.world, stage.address_of("p1", version), 80)


@BOTH
def test_an_endpoint_is_found_by_the_address_it_expects(stage, version):
    stage.enforce(OPEN_PODS, host_endpoint("", expectedIPs=[str(HOST[version])]))
    stage.denied(stage.lab.world, HOST[version], 80)
    [shown] = [item for item in stage.agent.get("endpoints") if item["kind"] == "HostEndpoint"]
    assert shown["interface"] == UPLINK


def test_an_address_that_moves_moves_the_protection(stage):
    stage.enforce(OPEN_PODS, host_endpoint("", expectedIPs=["10.0.77.1"]))
    stage.passes(stage.lab.world, HOST[4], 80)
    conditions = [item for item in stage.agent.get("status")["conditions"] if item["type"] == "HostEndpointIdle"]
    assert [item["reason"] for item in conditions] == ["NoInterface"]
    stage.lab.node.ip("address", "add", "10.0.77.1/32", "dev", UPLINK)
    try:
        stage.until(lambda: "iifname vmap @host-in" in stage.table() and f'"{UPLINK}"' in stage.table(), "protected")
        stage.denied(stage.lab.world, HOST[4], 80)
    finally:
        stage.lab.node.ip("address", "del", "10.0.77.1/32", "dev", UPLINK)


@BOTH
def test_normal_policy_is_about_local_processes_alone(stage, version):
    web = policy(types=["Ingress", "Egress"], ingress=[tcp(80)], egress=[tcp(8080)])
    stage.enforce(OPEN_PODS, host_endpoint(), web)
    stage.passes(stage.lab.world, HOST[version], 80)
    stage.denied(stage.lab.world, HOST[version], 8080)
    stage.passes(stage.lab.node, WORLD[version], 8080)
    stage.denied(stage.lab.node, WORLD[version], 80)
    stage.passes(stage.pod("p1"), WORLD[version], 80)
    stage.passes(stage.lab.world, stage.address_of("p1", version), 8080)


@BOTH
def test_a_profile_opens_what_policy_leaves_open(stage, version):
    stage.enforce(OPEN_PODS, host_endpoint(profiles=["projectcalico-default-allow"]))
    stage.passes(stage.lab.world, HOST[version], 80)
    stage.passes(stage.lab.node, WORLD[version], 80)


@BOTH
def test_policy_for_every_interface_holds_on_the_loopback_too(stage, version):
    stage.enforce(OPEN_PODS, host_endpoint("*"))
    stage.denied(stage.lab.world, HOST[version], 80)
    stage.denied(stage.lab.node, LOOPBACK[version], 80)


@BOTH
def test_an_interface_of_its_own_stands_before_that_for_every_interface(stage, version):
    mine = host_endpoint(profiles=["projectcalico-default-allow"])
    stage.enforce(OPEN_PODS, mine, host_endpoint("*"))
    stage.passes(stage.lab.world, HOST[version], 80)


# --- Forwarded ---


@BOTH
def test_policy_that_applies_on_forward_judges_both_kinds(stage, version):
    web = policy(applyOnForward=True, types=["Ingress"], ingress=[tcp(80)])
    stage.enforce(OPEN_PODS, host_endpoint(), web)
    pod = stage.address_of("p1", version)
    stage.passes(stage.lab.world, pod, 80)
    stage.denied(stage.lab.world, pod, 8080)
    stage.denied(stage.lab.world, pod, 22)  # no failsafe where packets are forwarded
    stage.passes(stage.lab.world, HOST[version], 80)
    stage.denied(stage.lab.world, HOST[version], 8080)
    stage.passes(stage.pod("p1"), WORLD[version], 8080)  # nothing is said about the other direction


@BOTH
def test_forwarded_packets_are_judged_where_they_leave(stage, version):
    web = policy(applyOnForward=True, types=["Egress"], egress=[tcp(80)])
    stage.enforce(OPEN_PODS, host_endpoint(), web)
    stage.passes(stage.pod("p1"), WORLD[version], 80)
    stage.denied(stage.pod("p1"), WORLD[version], 8080)
    stage.passes(stage.lab.world, stage.address_of("p1", version), 8080)


@BOTH
def test_policy_for_every_interface_judges_what_pods_forward_to_each_other(stage, version):
    web = policy(applyOnForward=True, types=["Egress"], egress=[tcp(80)])
    stage.enforce(OPEN_PODS, host_endpoint("*"), web)
    stage.passes(stage.pod("p1"), stage.address_of("p2", version), 80)
    stage.denied(stage.pod("p1"), stage.address_of("p2", version), 8080)


# --- Before DNAT ---


@BOTH
def test_policy_before_dnat_sees_the_address_before_it(stage, version):
    early = policy(preDNAT=True, applyOnForward=True, types=["Ingress"], ingress=[tcp(8000, "Deny")])
    pod = stage.address_of("p1", version)
    with stage.translating("prerouting", HOST[version], 8000, pod, 80):
        stage.enforce(OPEN_PODS, host_endpoint())
        stage.passes(stage.lab.world, HOST[version], 8000)
        stage.enforce(OPEN_PODS, host_endpoint(), early)
        stage.denied(stage.lab.world, HOST[version], 8000)
        stage.passes(stage.lab.world, pod, 80)


@BOTH
def test_what_is_allowed_before_dnat_needs_no_more_of_the_host_endpoint(stage, version):
    early = policy(preDNAT=True, applyOnForward=True, types=["Ingress"], ingress=[tcp(8080)])
    strict = policy(applyOnForward=True, types=["Ingress"], ingress=[DENY])
    stage.enforce(OPEN_PODS, host_endpoint(), early, strict)
    stage.passes(stage.lab.world, HOST[version], 8080)
    stage.passes(stage.lab.world, stage.address_of("p1", version), 8080)
    stage.denied(stage.lab.world, HOST[version], 80)
    stage.denied(stage.lab.world, stage.address_of("p1", version), 80)


@BOTH
def test_what_is_allowed_before_dnat_still_needs_the_workload(stage, version):
    early = policy(preDNAT=True, applyOnForward=True, types=["Ingress"], ingress=[EVERYTHING])
    closed = policy("pod == 'p1'", types=["Ingress"], order=1, ingress=[DENY])
    stage.enforce(OPEN_PODS, host_endpoint(), early, closed)
    stage.denied(stage.lab.world, stage.address_of("p1", version), 80)
    stage.passes(stage.lab.world, stage.address_of("p2", version), 80)


@BOTH
def test_policy_before_dnat_for_every_interface_is_about_pods_too(stage, version):
    early = policy(preDNAT=True, applyOnForward=True, types=["Ingress"], ingress=[tcp(8080, "Deny")])
    stage.enforce(OPEN_PODS, host_endpoint("*", profiles=["projectcalico-default-allow"]), early)
    stage.denied(stage.pod("p1"), WORLD[version], 8080)
    stage.passes(stage.pod("p1"), WORLD[version], 80)


# --- Before conntrack ---


def untracked(*ports, **fields):
    """Requests from and to both sides of these UDP ports."""
    there = [{"action": "Allow", "protocol": "UDP", "destination": {"ports": list(ports)}}]
    back = [{"action": "Allow", "protocol": "UDP", "source": {"ports": list(ports)}}]
    return policy(doNotTrack=True, applyOnForward=True, types=["Ingress", "Egress"], ingress=there, egress=back)


@BOTH
def test_untracked_packets_skip_all_other_policy_and_conntrack(stage, version):
    strict = policy(types=["Ingress", "Egress"], ingress=[DENY], egress=[DENY])
    stage.enforce(OPEN_PODS, host_endpoint(), strict)
    assert not udp_echoes(stage.lab.world, HOST[version])
    stage.enforce(OPEN_PODS, host_endpoint(), strict, untracked(9000))
    assert udp_echoes(stage.lab.world, HOST[version], timeout_seconds=5), stage.table()
    counted = [item for item in stage.agent.get("policies") if item["name"].startswith("p-") and item["rules"]]
    assert any(rule["packets"] for item in counted for rule in item["rules"] if rule["action"] == "Allow")


@BOTH
def test_untracked_policy_needs_rules_for_the_replies(stage, version):
    there = [{"action": "Allow", "protocol": "UDP", "destination": {"ports": [9000]}}]
    one_way = policy(doNotTrack=True, applyOnForward=True, types=["Ingress"], ingress=there)
    stage.enforce(OPEN_PODS, host_endpoint(), one_way)
    assert not udp_echoes(stage.lab.world, HOST[version])


@BOTH
def test_untracked_policy_denies_before_everything_else(stage, version):
    deny = [{"action": "Deny", "protocol": "UDP", "destination": {"ports": [9000]}}]
    early = policy(doNotTrack=True, applyOnForward=True, types=["Ingress"], ingress=deny)
    stage.enforce(OPEN_PODS, host_endpoint(profiles=["projectcalico-default-allow"]))
    assert udp_echoes(stage.lab.world, HOST[version], timeout_seconds=5)
    assert udp_echoes(stage.lab.world, stage.address_of("p1", version), timeout_seconds=5)
    stage.enforce(OPEN_PODS, host_endpoint(profiles=["projectcalico-default-allow"]), early)
    assert not udp_echoes(stage.lab.world, HOST[version])
    assert not udp_echoes(stage.lab.world, stage.address_of("p1", version))
    stage.passes(stage.lab.world, HOST[version], 80)  # what no rule matches goes on


@BOTH
def test_untracked_policy_is_not_for_every_interface(stage, version):
    deny = policy(doNotTrack=True, applyOnForward=True, types=["Ingress"], ingress=[DENY])
    stage.enforce(OPEN_PODS, host_endpoint("*", profiles=["projectcalico-default-allow"]), deny)
    stage.passes(stage.lab.world, HOST[version], 80)


# --- Failsafe ports ---


@BOTH
def test_failsafe_ports_cannot_be_locked_out_anywhere(stage, version):
    denials = [
        policy(doNotTrack=True, applyOnForward=True, types=["Ingress", "Egress"], ingress=[DENY], egress=[DENY]),
        policy(preDNAT=True, applyOnForward=True, types=["Ingress"], ingress=[DENY]),
        policy(types=["Ingress", "Egress"], ingress=[DENY], egress=[DENY]),
    ]
    stage.enforce(OPEN_PODS, host_endpoint(), *denials)
    stage.lab.node.command("ip", "neigh", "flush", "dev", UPLINK)  # neighbours must be found anew
    stage.passes(stage.lab.world, HOST[version], 22)
    stage.passes(stage.lab.node, WORLD[version], 6443)
    stage.denied(stage.lab.world, HOST[version], 80)


def test_failsafe_ports_are_as_configured(stage):
    stage.configure(
        failsafeInboundHostPorts=[{"port": 80, "net": "10.0.53.53/32"}, "8080"], failsafeOutboundHostPorts="none"
    )
    stage.enforce(OPEN_PODS, host_endpoint())
    stage.passes(stage.lab.world, HOST[4], 80)
    stage.denied(stage.lab.world, HOST[6], 80)
    stage.passes(stage.lab.world, HOST[6], 8080)
    stage.denied(stage.lab.world, HOST[4], 22)
    stage.denied(stage.lab.node, WORLD[4], 6443)


# --- Between the host and its workloads ---


@BOTH
@pytest.mark.parametrize(("action", "arrives"), [("Drop", False), ("Return", True), ("Accept", True)])
def test_a_pods_packet_to_its_host_is_judged_by_its_own_policy_and_the_action(stage, version, action, arrives):
    stage.configure(defaultEndpointToHostAction=action)
    closed = policy("pod == 'p2'", types=["Egress"], order=1, egress=[DENY])
    stage.enforce(OPEN_PODS, closed, host_endpoint("*"))  # which has no policy that would let anything in
    (stage.passes if arrives else stage.denied)(stage.pod("p1"), HOST[version], 80)
    stage.denied(stage.pod("p2"), HOST[version], 80)


@BOTH
def test_the_host_reaches_its_own_pods_without_policy(stage, version):
    closed = policy("has(pod)", types=["Ingress"], order=1, ingress=[DENY])
    stage.enforce(OPEN_PODS, closed, host_endpoint("*"))
    stage.passes(stage.lab.node, stage.address_of("p1", version), 80)


@BOTH
def test_a_pod_that_reaches_itself_through_a_service_needs_both_its_policies(stage, version):
    pod = stage.address_of("p1", version)
    with stage.translating("prerouting", SERVICE[version], 80, pod, 80):
        stage.enforce(OPEN_PODS)
        stage.passes(stage.pod("p1"), SERVICE[version], 80)
        for direction in ("Ingress", "Egress"):
            stage.enforce(OPEN_PODS, policy("pod == 'p1'", types=[direction], order=1, **{direction.lower(): [DENY]}))
            stage.denied(stage.pod("p1"), SERVICE[version], 80)


# --- The host's own NAT ---


@BOTH
def test_the_hosts_own_packets_are_judged_behind_its_own_dnat(stage, version):
    with stage.translating("output", SERVICE[version], 80, WORLD[version], 8080):
        behind = policy(
            types=["Egress"], egress=[tcp(8080, nets=[f"{WORLD[version]}" + ("/32" if version == 4 else "/128")])]
        )
        stage.enforce(OPEN_PODS, host_endpoint(), behind)
        stage.passes(stage.lab.node, SERVICE[version], 80)
        before = policy(types=["Egress"], egress=[tcp(80)])
        stage.enforce(OPEN_PODS, host_endpoint(), before)
        stage.denied(stage.lab.node, SERVICE[version], 80)
        stage.passes(stage.lab.node, WORLD[version], 80)


# --- Connections that are open ---


@BOTH
def test_open_connections_go_on_when_host_endpoints_come(stage, version):
    stage.enforce(OPEN_PODS)
    with Conversation(stage, version, 7000) as allowed, Conversation(stage, version, 7001) as denied:
        allowed.says_both_ways()
        denied.says_both_ways()
        stage.enforce(OPEN_PODS, host_endpoint(), policy(types=["Ingress"], ingress=[tcp(7000)]))
        stage.denied(stage.lab.world, HOST[version], 7001)
        allowed.says_both_ways()
        denied.says_both_ways()  # as policy changes cut nothing that is open


class Conversation:
    """A TCP connection from the world to the host, both ends at hand."""

    def __init__(self, stage, version, port):
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        with stage.lab.node.entered():
            self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((str(HOST[version]), port))
        self.listener.listen()
        with stage.lab.world.entered():
            self.client = socket.socket(family, socket.SOCK_STREAM)
        self.client.settimeout(5)
        self.client.connect((str(HOST[version]), port))
        self.server = self.listener.accept()[0]
        self.server.settimeout(5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for end in (self.client, self.server, self.listener):
            end.close()

    def says_both_ways(self):
        token = str(time.monotonic()).encode()
        self.server.sendall(token)
        assert self.client.recv(100) == token
        self.client.sendall(token)
        assert self.server.recv(100) == token


@BOTH
def test_a_failsafe_connection_is_not_silenced_by_an_agent_that_starts(stage, version):
    """Whoever speaks first after conntrack and policy have come at once."""
    stage.enforce(OPEN_PODS, host_endpoint(), policy(types=["Ingress"], ingress=[tcp(7000)]))
    stage.agent.stop()
    stage.agent.call("remove")
    with Conversation(stage, version, 6667) as failsafe, Conversation(stage, version, 7000) as allowed:
        failsafe.says_both_ways()
        allowed.says_both_ways()
        stage.agent.start("--config", str(stage.config_path))
        stage.agent.wait_until_ready()
        stage.denied(stage.lab.world, HOST[version], 80)
        failsafe.says_both_ways()  # the host first
        allowed.client.sendall(b"I am still there")
        assert allowed.server.recv(100) == b"I am still there"
        allowed.says_both_ways()


@BOTH
def test_reject_tells_what_is_denied(stage, version):
    stage.configure(nftablesFilterDenyAction="Reject")
    with stage.translating("output", SERVICE[version], 80, WORLD[version], 8080):
        early = policy(preDNAT=True, applyOnForward=True, types=["Ingress"], ingress=[tcp(8080, "Deny")])
        raw = policy(doNotTrack=True, applyOnForward=True, types=["Ingress"], ingress=[tcp(6443, "Deny")])
        stage.enforce(OPEN_PODS, host_endpoint(), early, raw, policy(types=["Egress"], egress=[tcp(80)]))
        for source, address, port in (
            (stage.lab.world, HOST[version], 80),
            (stage.lab.world, HOST[version], 8080),
            (stage.lab.node, WORLD[version], 8080),
            (stage.lab.node, SERVICE[version], 80),
        ):
            outcome = connect(source, address, port, 5)
            assert "refused" in outcome.error, (address, port, outcome)
        stage.passes(stage.lab.node, WORLD[version], 80)
        stage.passes(stage.lab.world, HOST[version], 22)


@BOTH
def test_tunnels_of_known_nodes_pass_before_policy_and_those_of_strangers_do_not(stage, version):
    stage.configure(vxlanEnabled=True)
    known, stranger = {4: ("10.0.53.53", "10.0.53.66"), 6: ("fd00:53::53", "fd00:53::66")}[version]
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "node"},
        "status": {"addresses": [{"type": "InternalIP", "address": known}]},
    }
    stage.enforce(OPEN_PODS, host_endpoint(), node)
    assert udp_echoes(stage.lab.world, HOST[version], 4789, 5, known)
    assert not udp_echoes(stage.lab.world, HOST[version], 9000, sender=known)
    stage.enforce(OPEN_PODS, host_endpoint(profiles=["projectcalico-default-allow"]), node)
    assert udp_echoes(stage.lab.world, HOST[version], 9000, 5, stranger)
    assert not udp_echoes(stage.lab.world, HOST[version], 4789, sender=stranger)


def test_nodes_get_host_endpoints_by_themselves(stage):
    stage.enforce(OPEN_PODS)
    wanted = {"autoCreate": "Enabled", "templates": [{"generateName": "up", "interfacePattern": "^uplink$"}]}
    configuration = resource(
        "KubeControllersConfiguration", "default", {"controllers": {"node": {"hostEndpoint": wanted}}}
    )
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {"role": "host"}}}
    (stage.resources / "nodes.yaml").write_text(yaml.safe_dump_all([configuration, node]))
    try:
        made = {f"{NODE}-auto-hep": "*", f"{NODE}-up-uplink-auto-hep": UPLINK}
        stage.until(lambda: shown_interfaces(stage) == made, "the node's host endpoints are made")
        stage.until(lambda: stage.agent.get("status")["ready"], "ready")
        stage.passes(stage.lab.world, HOST[4], 80)  # their profile allows what policy leaves open
    finally:
        (stage.resources / "nodes.yaml").unlink()
    stage.until(lambda: f"{NODE}-auto-hep" not in shown_interfaces(stage), "gone")


def shown_interfaces(stage):
    shown = [item for item in stage.agent.get("endpoints") if item["kind"] == "HostEndpoint"]
    return {item["name"]: item["interface"] for item in shown if item["name"].endswith("-auto-hep")}
