"""Three nodes that encrypt to each other by real agents: what the workloads notice (nothing) and what the wire shows."""

import json
import os
import signal
import socket
import threading
import time
from ipaddress import ip_address

import pytest
import yaml

from tests.scenarios.nodes import (
    KEYS,
    NAMES,
    PATIENCE_SECONDS,
    PORT,
    TUNNEL,
    make_cluster,
    node_document,
    peer,
    talking,
)
from tidegate.api.client import ApiClient
from tidegate.demo.client import connect

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]


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
                assert cluster.connects(source, target, version), cluster.told(source, target, version)
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
