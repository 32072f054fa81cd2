"""Three nodes that encrypt to each other by real agents: what the workloads notice (nothing) and what the wire shows.

    pod a 10.0.1.2  --- node a 192.0.2.1 --\
    pod b 10.0.2.2  --- node b 192.0.2.2 ----- underlay (a bridge; everything between nodes is seen there)
    pod c 10.0.3.2  --- node c 192.0.2.3 --/
"""

import json
import os
import secrets
import signal
import socket
import struct
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address

import pytest
import yaml

from tests.wg import lab as devices
from tidegate.api.client import AgentUnreachableError, ApiClient
from tidegate.demo import servers
from tidegate.demo.agent import RunningAgent
from tidegate.demo.client import connect
from tidegate.demo.namespace import LabError, Namespace

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

NAMES = ("a", "b", "c")
KEYS = {4: "projectcalico.org/WireguardPublicKey", 6: "projectcalico.org/WireguardPublicKeyV6"}
TUNNEL = {4: "projectcalico.org/IPv4WireguardInterfaceAddr", 6: "projectcalico.org/IPv6WireguardInterfaceAddr"}
PORT = 8080
PATIENCE_SECONDS = 30.0


@dataclass
class Site:
    """A node, its pod, its agent."""

    name: str
    number: int
    node: Namespace
    pod: Namespace
    agent: RunningAgent
    config: dict

    def underlay(self, version):
        return f"192.0.2.{self.number}" if version == 4 else f"2001:db8::{self.number}"

    def network(self, version):
        return f"10.0.{self.number}.0/24" if version == 4 else f"fd00:{self.number}::/64"

    def own(self, version):
        return f"10.0.{self.number}.1" if version == 4 else f"fd00:{self.number}::1"

    def pod_address(self, version=4):
        return ip_address(f"10.0.{self.number}.2" if version == 4 else f"fd00:{self.number}::2")

    def start(self):
        self.agent.start("--config", str(self.agent.scratch / "config.yaml"))
        self.agent.wait_until_ready(120)

    def tunnel(self, version=4):
        return next(each for each in self.agent.get("wireguard") if each["version"] == version)


class Underlay:
    """Counts what goes over the bridge: WireGuard's UDP, and everything of the pods' networks that is in clear."""

    def __init__(self, namespace):
        with namespace.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        # On every port of the bridge: its own device is shown only what is for itself.
        self._socket.settimeout(0.1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self.clear, self.encrypted = [], 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _loop(self):
        while not self._stop.is_set():
            try:
                data = self._socket.recv(256)
            except TimeoutError:
                continue
            if not data or data[0] >> 4 not in (4, 6):
                continue
            is_v4 = data[0] >> 4 == 4
            protocol, source, target = (
                (data[9], data[12:16], data[16:20]) if is_v4 else (data[6], data[8:24], data[24:40])
            )
            rest = data[(data[0] & 15) * 4 if is_v4 else 40 :]
            inner = source[:1] in (b"\x0a", b"\xfd") and target[:1] in (b"\x0a", b"\xfd")
            if inner:
                self.clear.append((str(ip_address(source)), str(ip_address(target))))
            elif protocol == 17 and len(rest) > 8 and struct.unpack_from("!H", rest, 2)[0] in (51820, 51821):
                self.encrypted += 1


class Cluster:
    """The nodes, one directory of documents for all, and the wire between them."""

    def __init__(self, sites, resources, underlay):
        self.sites = {site.name: site for site in sites}
        self.resources = resources
        self.underlay = underlay

    def __getitem__(self, name):
        return self.sites[name]

    def put(self, file, *documents):
        scratch = self.resources / f".{file}"
        scratch.write_text(yaml.safe_dump_all(documents))
        scratch.rename(self.resources / file)

    def publish(self, **keys):
        """Each node's document says its networks and its devices' keys, or these: another IPv4 one, "" for none."""
        for site in self.sites.values():
            annotations = {TUNNEL[version]: site.own(version) for version in (4, 6)}
            for tunnel in site.agent.get("wireguard"):
                given, key = keys.get(site.name), tunnel["public_key"]
                if given and tunnel["version"] == 4:
                    key = given
                if given != "":
                    annotations[KEYS[tunnel["version"]]] = key
            self.put(f"node-{site.name}.yaml", node_document(site, annotations))

    def until(self, holds, what):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                found = holds()
            except (OSError, LabError, AgentUnreachableError):
                found = None
            if found:
                return found
            assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s: {what}\n" + "\n".join(
                f"{site.name}: {site.agent.log.read_text()[-1500:]}" for site in self.sites.values()
            )
            time.sleep(0.05)

    def until_peers(self, name, *others):
        self.until(
            lambda: (
                all(
                    {peer["node"] for peer in each["peers"]} == set(others)
                    for each in self[name].agent.get("wireguard")
                )
                and self[name].agent.get("status")["ready"]
            ),
            f"{name} has the peers {others}",
        )

    def until_all_encrypt(self):
        self.publish()
        for name in NAMES:
            self.until_peers(name, *(other for other in NAMES if other != name))

    def connects(self, source, target, version=4, seconds=10.0):
        found = connect(self[source].pod, self[target].pod_address(version), PORT, seconds)
        return found.is_connected

    def clear_packets(self):
        time.sleep(0.15)  # what is on the way is counted
        found, self.underlay.clear[:] = list(self.underlay.clear), []
        return found


def node_document(site, annotations):
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": site.name, "annotations": annotations},
        "spec": {"podCIDRs": [site.network(4), site.network(6)]},
        "status": {"addresses": [{"type": "InternalIP", "address": site.underlay(version)} for version in (4, 6)]},
    }


def build_site(name, number, bridge, scratch, resources, suffix, stack):
    node, pod = Namespace.create(f"wg{name}"), Namespace.create(f"wgp{name}")
    stack.callback(node.delete)
    stack.callback(pod.delete)
    node.ip("link", "add", "uplink", "type", "veth", "peer", "name", f"to-{name}", "netns", bridge.name)
    bridge.ip("link", "set", f"to-{name}", "master", "underlay", "up")
    node.ip("addr", "add", f"192.0.2.{number}/24", "dev", "uplink")
    node.ip("addr", "add", f"2001:db8::{number}/64", "dev", "uplink", "nodad")
    node.ip("link", "set", "uplink", "up")
    node.ip("link", "add", "pod0", "type", "veth", "peer", "name", "eth0", "netns", pod.name)
    node.ip("addr", "add", f"10.0.{number}.254/24", "dev", "pod0")
    node.ip("addr", "add", f"fd00:{number}::fe/64", "dev", "pod0", "nodad")
    node.ip("link", "set", "pod0", "up")
    pod.ip("addr", "add", f"10.0.{number}.2/24", "dev", "eth0")
    pod.ip("addr", "add", f"fd00:{number}::2/64", "dev", "eth0", "nodad")
    pod.ip("link", "set", "eth0", "up")
    pod.ip("route", "add", "default", "via", f"10.0.{number}.254")
    pod.ip("-6", "route", "add", "default", "via", f"fd00:{number}::fe")
    node.sysctl(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
    for other in (1, 2, 3):
        if other != number:
            # The way in clear: what nodes without encryption take.
            node.ip("route", "add", f"10.0.{other}.0/24", "via", f"192.0.2.{other}")
            node.ip("-6", "route", "add", f"fd00:{other}::/64", "via", f"2001:db8::{other}")
    own = scratch / name
    own.mkdir()
    config = {
        "wireguardEnabled": True,
        "wireguardEnabledV6": True,
        "wireguardInterfaceName": f"wgt{suffix}{name}4",
        "wireguardInterfaceNameV6": f"wgt{suffix}{name}6",
        "dnsTrustedServers": ["10.0.53.53"],
    }
    (own / "config.yaml").write_text(yaml.safe_dump(config))
    return Site(name, number, node, pod, RunningAgent(node, resources, own, name), config)


@contextmanager
def make_cluster(scratch):
    lacks = devices.userspace_lacks() if devices.kernel_lacks() else ""
    if lacks:
        pytest.fail(lacks)
    resources, suffix = scratch / "resources", secrets.token_hex(3)
    resources.mkdir()
    with ExitStack() as stack:
        bridge = Namespace.create("wgbr")
        stack.callback(bridge.delete)
        bridge.ip("link", "add", "underlay", "type", "bridge")
        bridge.ip("link", "set", "underlay", "up")
        sites = []
        for number, name in enumerate(NAMES, 1):
            site = build_site(name, number, bridge, scratch, resources, suffix, stack)
            sites.append(site)
            stack.callback(take_out, site)
            stack.enter_context(servers.tcp_acceptors(site.pod, (PORT,)))
        cluster = Cluster(sites, resources, stack.enter_context(Underlay(bridge)))
        for site in sites:
            cluster.put(f"node-{site.name}.yaml", node_document(site, {}))
            site.agent.start("--config", str(site.agent.scratch / "config.yaml"))
        for site in sites:
            site.agent.wait_until_ready(120)
        yield cluster


def take_out(site):
    site.agent.stop()
    site.agent.call("remove", check=False)


@pytest.fixture(scope="module")
def _cluster(tmp_path_factory):
    with make_cluster(tmp_path_factory.mktemp("wireguard")) as cluster:
        yield cluster


@pytest.fixture
def cluster(_cluster):
    """All nodes encrypt to each other, and the wire was quiet."""
    _cluster.until_all_encrypt()
    _cluster.clear_packets()
    return _cluster


@pytest.mark.parametrize("version", [4, 6])
def test_all_pods_reach_each_other_and_the_wire_shows_no_word_of_it(cluster, version):
    before = cluster.underlay.encrypted
    for source in NAMES:
        for target in NAMES:
            if source != target:
                assert cluster.connects(source, target, version), f"{source} -> {target}"
    assert cluster.clear_packets() == []
    assert cluster.underlay.encrypted > before


def test_a_node_without_a_key_is_reached_in_clear_and_only_that_one(cluster):
    cluster.publish(c="")
    cluster.until_peers("a", "b")
    cluster.until_peers("b", "a")
    cluster.until(lambda: len(cluster["c"].tunnel()["unencrypted"]) == 2, "c knows that it takes no part")
    for source, target in (("a", "c"), ("c", "b")):
        assert cluster.connects(source, target), f"{source} -> {target}"
    clear = cluster.clear_packets()
    assert clear
    assert {"10.0.3.2"} == set.intersection(*map(set, clear))
    assert cluster.connects("a", "b")
    assert cluster.clear_packets() == []
    (left,) = cluster["a"].tunnel()["unencrypted"]
    assert (left["node"], left["reason"], left["blocked"]) == ("c", "NoKey", False)
    told = [item for item in cluster["c"].agent.get("status")["conditions"] if item["type"] == "NotEncrypted"]
    assert "KeyNotPublished" in {item["reason"] for item in told}


def test_a_connection_outlives_its_node_leaving_and_joining_the_encrypted_ones(cluster):
    with talking(cluster, "a", "c") as talk:
        talk()
        cluster.publish(c="")
        cluster.until_peers("a", "b")
        cluster.until(lambda: cluster["c"].tunnel()["unencrypted"], "c knows")
        talk()
        assert cluster.clear_packets()
        cluster.until_all_encrypt()
        talk()
        cluster.clear_packets()
        talk()
        assert cluster.clear_packets() == []


@contextmanager
def talking(cluster, source, target):
    """A TCP connection from pod to pod; calling it sends a word each way."""
    with cluster[target].pod.entered():
        listener = socket.create_server(("0.0.0.0", 0))
    with cluster[source].pod.entered():
        client = socket.socket()
    with listener, client:
        for each in (listener, client):
            each.settimeout(PATIENCE_SECONDS)
        client.connect((str(cluster[target].pod_address()), listener.getsockname()[1]))
        server, _ = listener.accept()
        server.settimeout(PATIENCE_SECONDS)

        def talk():
            for one, other in ((client, server), (server, client)):
                one.sendall(b"word")
                assert other.recv(4) == b"word"

        with server:
            yield talk


def test_a_restart_of_the_agent_loses_no_handshake_and_no_packet(cluster):
    site = cluster["a"]
    with talking(cluster, "a", "b") as talk:
        talk()
        age = peer(cluster, "a", "b")["handshake_age_seconds"]
        began = time.monotonic()
        site.agent.stop()
        talk()
        site.start()
        talk()
        cluster.until_peers("a", "b", "c")
        found = peer(cluster, "a", "b")
        assert site.tunnel()["made"] == 0
        # The same handshake, older by the time that passed: clocks are rounded to a tenth.
        assert found["handshake_age_seconds"] >= age
        assert found["handshake_age_seconds"] >= time.monotonic() - began - 1
    assert cluster.clear_packets() == []


def peer(cluster, name, other):
    return next(each for each in cluster[name].tunnel()["peers"] if each["node"] == other)


def test_a_device_that_dies_is_made_again_with_its_key_and_is_talked_to_at_once(cluster):
    site = cluster["b"]
    before = site.tunnel()
    with talking(cluster, "a", "b") as talk:
        talk()
        site.node.ip("link", "del", before["interface"])
        after = cluster.until(
            lambda: site.tunnel()["made"] > before["made"] and not site.tunnel()["error"] and site.tunnel(),
            "a new device",
        )
        assert after["public_key"] == before["public_key"]
        cluster.until_peers("b", "a", "c")
        talk()


def test_a_new_key_resets_no_connection(cluster):
    site = cluster["b"]
    former = site.tunnel()["public_key"]
    with talking(cluster, "a", "b") as talk:
        talk()
        shown = json.loads(site.agent.call("wireguard", "--rotate", "-o", "json").stdout)
        rotated = next(each["public_key"] for each in shown if each["version"] == 4)
        assert rotated != former
        assert not any(each["published"] for each in shown)
        cluster.publish()
        cluster.until(lambda: peer(cluster, "a", "b")["public_key"] == rotated, "a knows the new key")
        talk()
    assert cluster.clear_packets() == []
    site.agent.stop()
    site.start()
    assert site.tunnel()["public_key"] == rotated


def test_keys_that_two_nodes_claim_disable_both_and_say_so(cluster):
    stolen = cluster["b"].tunnel()["public_key"]
    cluster.publish(c=stolen)
    cluster.until(lambda: not cluster["a"].tunnel()["peers"], "a encrypts to neither")
    found = {left["node"]: (left["reason"], left["others"]) for left in cluster["a"].tunnel()["unencrypted"]}
    assert found == {"b": ("DuplicateKey", ["c"]), "c": ("DuplicateKey", ["b"])}
    told = {item["reason"] for item in cluster["a"].agent.get("status")["conditions"] if item["type"] == "NotEncrypted"}
    assert "DuplicateKey" in told
    cluster.until(lambda: not cluster["b"].tunnel()["peers"], "b encrypts to nobody")
    assert {peer["node"] for peer in cluster["a"].tunnel(6)["peers"]} == {"b", "c"}
    assert {left["reason"] for left in cluster["b"].tunnel()["unencrypted"]} == {"OwnKeyTaken"}
    assert cluster.connects("a", "b")


def test_a_node_that_goes_is_no_peer_any_more_and_one_that_comes_is(cluster):
    (cluster.resources / "node-c.yaml").unlink()
    cluster.until_peers("a", "b")
    assert cluster["a"].tunnel()["unencrypted"] == []
    cluster.until_all_encrypt()
    assert cluster.connects("a", "c")


def test_a_node_with_another_address_is_followed(cluster):
    site = cluster["c"]
    site.node.ip("addr", "add", "192.0.2.33/24", "dev", "uplink")
    try:
        with talking(cluster, "a", "c") as talk:
            talk()
            annotations = {TUNNEL[4]: site.own(4), KEYS[4]: site.tunnel()["public_key"]}
            document = node_document(site, annotations)
            document["status"]["addresses"] = [{"type": "InternalIP", "address": "192.0.2.33"}]
            cluster.put("node-c.yaml", document)
            cluster.until(lambda: peer(cluster, "a", "c")["endpoint"] == "192.0.2.33:51820", "a seeks c elsewhere")
            talk()
    finally:
        cluster.until_all_encrypt()
        site.node.ip("addr", "del", "192.0.2.33/24", "dev", "uplink")


def test_a_large_stream_passes_whole(cluster):
    """The MTU leaves room for the tunnel's headers on every path."""
    data = os.urandom(1 << 20)
    with cluster["b"].pod.entered():
        listener = socket.create_server(("0.0.0.0", 0))
    with cluster["a"].pod.entered():
        client = socket.socket()
    with listener, client:
        client.settimeout(PATIENCE_SECONDS)
        listener.settimeout(PATIENCE_SECONDS)
        client.connect((str(cluster["b"].pod_address()), listener.getsockname()[1]))
        server, _ = listener.accept()
        sender = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)), daemon=True)
        sender.start()
        with server:
            server.settimeout(PATIENCE_SECONDS)
            received = b"".join(iter(lambda: server.recv(1 << 16), b""))
        sender.join(PATIENCE_SECONDS)
    assert received == data
    assert cluster["a"].tunnel()["mtu"] == 1440
    assert cluster["a"].tunnel(6)["mtu"] == 1420
    assert cluster.clear_packets() == []


def test_policy_is_about_inner_packets_and_host_endpoints_let_the_outer_ones_pass(cluster):
    site, blocked = cluster["b"], cluster["c"]
    protected = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "HostEndpoint",
        "metadata": {"name": "b", "labels": {"host": "b"}},
        "spec": {"node": "b", "interfaceName": "uplink"},
    }
    workload = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "WorkloadEndpoint",
        "metadata": {"name": "pod-b", "namespace": "t", "labels": {"ep": "b"}},
        "spec": {
            "orchestrator": "cni", "workload": "b", "node": "b", "endpoint": "eth0", "interfaceName": "pod0",
            "ipNetworks": [f"{site.pod_address()}/32"],
        },
    }  # fmt: skip
    deny = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "not-from-c"},
        "spec": {
            "selector": "ep == 'b'",
            "types": ["Ingress"],
            "ingress": [
                {"action": "Deny", "source": {"nets": [f"{blocked.pod_address()}/32"]}},
                {"action": "Allow"},
            ],
        },
    }
    cluster.put("policy.yaml", protected, workload, deny)
    try:
        in_force = lambda: {item["name"] for item in site.agent.get("policies")} >= {"not-from-c"}  # noqa: E731
        cluster.until(in_force, "the policy is in force")
        # The host endpoint has no policy of its own: everything but failsafes and tunnels is denied there.
        assert not connect(cluster["a"].node, ip_address(site.underlay(4)), PORT, 0.5).is_connected
        assert cluster.connects("a", "b")
        assert not cluster.connects("c", "b", seconds=0.5)
        assert cluster.clear_packets() == []
    finally:
        (cluster.resources / "policy.yaml").unlink()
        cluster.until(lambda: not site.agent.get("endpoints"), "policy is gone")


def test_the_command_shows_peers_and_metrics_count_them(cluster):
    assert cluster.connects("a", "b")
    shown = cluster["a"].agent.call("wireguard").stdout
    for word in ("peers of", "b", "c", "public key", "port 51820", "IPv6"):
        assert word in shown
    (row,) = [each for each in cluster["a"].agent.ask("wireguard") if each["version"] == 4]
    assert {each["node"] for each in row["peers"]} == {"b", "c"}
    assert peer(cluster, "a", "b")["has_session"]
    assert row["published"]
    metrics = ApiClient(cluster["a"].agent.socket).text("/metrics")
    name = cluster["a"].config["wireguardInterfaceName"]
    assert f'tidegate_wireguard_peers{{interface="{name}"}} 2.0' in metrics
    assert f'tidegate_wireguard_up{{interface="{name}"}} 1.0' in metrics
    assert f'tidegate_wireguard_handshake_age_seconds{{interface="{name}",node="b"}}' in metrics


def test_strict_leaves_no_way_in_clear_even_without_a_device(cluster):
    site = cluster["a"]
    path = site.agent.scratch / "config.yaml"
    path.write_text(yaml.safe_dump(site.config | {"wireguardStrict": True}))
    try:
        site.agent.process.send_signal(signal.SIGHUP)
        cluster.until(lambda: all(each["strict"] for each in site.agent.get("wireguard")), "strict is in force")
        cluster.until_peers("a", "b", "c")
        assert cluster.connects("a", "b")
        cluster.publish(c="")
        cluster.until_peers("a", "b")
        assert not cluster.connects("a", "c", seconds=0.5)
        assert cluster.connects("a", "b")
        # With nobody there to make the device again.
        site.agent.stop()
        site.node.ip("link", "del", site.config["wireguardInterfaceName"])
        assert not cluster.connects("a", "b", seconds=0.5)
        assert [pair for pair in cluster.clear_packets() if pair[0] == "10.0.1.2"] == []
    finally:
        site.agent.stop()
        path.write_text(yaml.safe_dump(site.config))
        site.start()
    cluster.until_all_encrypt()
    assert cluster.connects("a", "b")


def test_what_is_configured_away_or_removed_leaves_nothing(cluster):
    site = cluster["c"]
    path = site.agent.scratch / "config.yaml"
    try:
        path.write_text(yaml.safe_dump(site.config | {"wireguardEnabledV6": False}))
        site.agent.process.send_signal(signal.SIGHUP)
        cluster.until(lambda: len(site.agent.get("wireguard")) == 1, "one device less")
        cluster.until(lambda: site.config["wireguardInterfaceNameV6"] not in site.node.command("ip", "link"), "gone")
        assert "51821" not in site.node.command("ip", "-6", "rule")
        assert site.config["wireguardInterfaceName"] in site.node.command("ip", "link")
    finally:
        site.agent.stop()
        site.agent.call("remove")
    assert site.config["wireguardInterfaceName"] not in site.node.command("ip", "link")
    assert "51820" not in site.node.command("ip", "rule")
    path.write_text(yaml.safe_dump(site.config))
    site.start()
    cluster.until_all_encrypt()
