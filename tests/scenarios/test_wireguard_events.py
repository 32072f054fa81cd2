"""What happens to traffic that flows while nodes, keys, devices and paths change: three nodes, real agents, real packets."""

import os
import signal
import socket
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.scenarios.nodes import KEYS, NAMES, PATIENCE_SECONDS, TUNNEL, make_cluster, node_document, peer
from tests.scenarios.words import Words, both_ways

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

DEAD_SESSION_SECONDS = 15.0
"""For so long a WireGuard peer goes on using a session of which the other side knows nothing (REKEY_TIMEOUT and
KEEPALIVE_TIMEOUT); what takes less was repaired by somebody."""
CALM_SECONDS = 5.0
"""Handshakes are tried again after that time: what takes less needed no second try."""


@pytest.fixture(scope="module")
def _cluster(tmp_path_factory):
    with make_cluster(tmp_path_factory.mktemp("events")) as cluster:
        yield cluster


@pytest.fixture
def cluster(_cluster):
    """All nodes encrypt to each other, and the wire was quiet."""
    _cluster.until_all_encrypt()
    _cluster.clear_packets()
    return _cluster


def calm(cluster, *pairs, version=4):
    """Every pair has a session: what comes afterwards is no first handshake."""
    for one, other in pairs:
        assert cluster.connects(one, other, version, PATIENCE_SECONDS), cluster.told(one, other, version)


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_of_an_agent_loses_no_packet_of_its_node_nor_of_its_peers(cluster, with_signal):
    site = cluster["b"]
    calm(cluster, ("a", "b"))
    handshake = peer(cluster, "a", "b")["handshake_age_seconds"]
    began = time.monotonic()
    with both_ways(cluster, "a", "b", "udp") as (there, back):
        site.agent.stop(with_signal)
        there.hear()
        site.start()
        cluster.until_peers("b", "a", "c")
        there.hear()
        back.hear()
    assert (there.lost, back.lost) == (0, 0)
    assert peer(cluster, "a", "b")["handshake_age_seconds"] >= handshake + time.monotonic() - began - 1
    assert cluster.clear_packets() == []


def test_a_device_that_dies_is_silent_for_less_than_a_dead_session_and_ends_no_connection(cluster):
    site = cluster["b"]
    calm(cluster, ("a", "b"))
    made = site.tunnel()["made"]
    with Words(cluster, "a", "b", "tcp") as stream, Words(cluster, "a", "b", "udp") as words:
        kill_device(site)
        cluster.until(lambda: site.tunnel()["made"] > made and not site.tunnel()["error"], "a new device")
        words.hear()
        stream.hear()
    assert (stream.failure, stream.lost) == (None, 0)
    assert words.longest_silence < DEAD_SESSION_SECONDS


def kill_device(site):
    """The program that is the device, or the kernel's device."""
    name = site.config["wireguardInterfaceName"]
    wanted = f"wireguard-go\0{name}\0".encode()
    programs = [each for each in Path("/proc").glob("[0-9]*/cmdline") if _words_of(each) == wanted]
    if not programs:
        site.node.ip("link", "del", name)
    for program in programs:
        os.kill(int(program.parent.name), signal.SIGKILL)


def _words_of(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""  # it ended meanwhile


def test_a_new_key_under_a_stream_stalls_it_for_no_longer_than_peers_take_to_hear_of_it(cluster):
    site = cluster["b"]
    calm(cluster, ("a", "b"), ("c", "b"))
    with both_ways(cluster, "a", "b", "tcp") as (there, back), Words(cluster, "c", "b", "udp") as words:
        site.agent.call("wireguard", "--rotate")
        rotated = time.monotonic()
        cluster.publish()
        cluster.until(
            lambda: all(peer(cluster, name, "b")["public_key"] == site.tunnel()["public_key"] for name in ("a", "c")),
            "the others know the new key",
        )
        told = time.monotonic()
        for each in (there, back, words):
            each.hear()
    for each in (there, back):
        assert (each.failure, each.lost) == (None, 0)
    # TCP sends again after doubling times: what was silent for a second flows again after two.
    assert words.longest_silence < CALM_SECONDS + told - rotated
    assert max(there.worst_delay, back.worst_delay) < 2 * (CALM_SECONDS + told - rotated)
    assert cluster.clear_packets() == []


def test_a_key_of_two_nodes_ends_no_connection_and_is_used_again_when_one_gives_it_up(cluster):
    calm(cluster, ("a", "b"), ("a", "c"))
    with Words(cluster, "a", "b", "tcp") as stream:
        cluster.publish(c=cluster["b"].tunnel()["public_key"])
        cluster.until(lambda: not cluster["a"].tunnel()["peers"], "a encrypts to neither")
        cluster.until(lambda: not cluster["b"].tunnel()["peers"], "b encrypts to nobody")
        cluster.clear_packets()
        stream.hear()
        assert cluster.clear_packets()
        cluster.until_all_encrypt()
        stream.hear()
        cluster.clear_packets()
        stream.hear()
        assert cluster.clear_packets() == []
    assert (stream.failure, stream.lost) == (None, 0)
    assert cluster["a"].tunnel()["unencrypted"] == []


def test_a_node_that_moves_is_followed_before_anybody_writes_it_down(cluster):
    """Roaming: what comes from the new address with the old session tells where the peer is."""
    site = cluster["c"]
    calm(cluster, ("a", "c"))
    with Words(cluster, "c", "a", "tcp") as stream, moved(site, "192.0.2.33"):
        cluster.until(lambda: peer(cluster, "a", "c")["endpoint"] == "192.0.2.33:51820", "a heard c elsewhere")
        stream.hear()
        annotations = {TUNNEL[4]: site.own(4), KEYS[4]: site.tunnel()["public_key"]}
        document = node_document(site, annotations)
        document["status"]["addresses"] = [{"type": "InternalIP", "address": "192.0.2.33"}]
        cluster.put("node-c.yaml", document)
        calm(cluster, ("b", "c"))
        stream.hear()
    assert (stream.failure, stream.lost) == (None, 0)
    assert stream.worst_delay < DEAD_SESSION_SECONDS
    assert cluster.clear_packets() == []


@contextmanager
def moved(site, address):
    """The node has another address, and not its former one; the routes over it stay."""
    former = f"{site.underlay(4)}/24"
    site.node.ip("addr", "add", f"{address}/24", "dev", "uplink")
    site.node.ip("addr", "del", former, "dev", "uplink")
    try:
        yield
    finally:
        site.node.ip("addr", "add", former, "dev", "uplink")
        site.node.ip("addr", "del", f"{address}/24", "dev", "uplink")


def test_a_node_that_is_removed_takes_nothing_from_those_that_stay(cluster):
    calm(cluster, ("a", "b"), ("a", "c"))
    with both_ways(cluster, "a", "b", "udp") as (there, back):
        (cluster.resources / "node-c.yaml").unlink()
        cluster.until_peers("a", "b")
        cluster.until_peers("b", "a")
        there.hear()
        table = cluster["a"].node.command("ip", "route", "show", "table", "51820")
        assert "10.0.3." not in table
        assert "10.0.2.0/24" in table
        cluster.until_all_encrypt()
        there.hear()
        back.hear()
    assert (there.lost, back.lost) == (0, 0)
    assert cluster["a"].tunnel()["unencrypted"] == []


def test_between_nodes_that_encrypt_the_wire_carries_their_tunnels_and_nothing_else(cluster):
    cluster.publish(c="")
    cluster.until_peers("a", "b")
    cluster.until_peers("b", "a")
    cluster.until(lambda: len(cluster["c"].tunnel()["unencrypted"]) == 2, "c knows that it takes no part")
    calm(cluster, ("a", "b"), ("a", "c"))
    cluster.clear_packets()
    before = cluster.underlay.encrypted
    cluster.underlay.others.clear()
    with both_ways(cluster, "a", "b", "tcp") as (there, _), both_ways(cluster, "b", "c", "udp") as (_, back):
        there.hear(50)
        back.hear(50)
    assert cluster.underlay.encrypted > before + 50
    assert cluster.underlay.others == []
    assert {frozenset(pair) for pair in cluster.clear_packets()} == {frozenset({"10.0.2.2", "10.0.3.2"})}


def test_a_node_that_stops_encrypting_and_starts_again_ends_no_connection_of_anybody(cluster):
    calm(cluster, ("a", "c"), ("b", "a"))
    with both_ways(cluster, "a", "c", "tcp") as (there, back), Words(cluster, "b", "a", "udp") as words:
        cluster.publish(c="")
        cluster.until_peers("a", "b")
        cluster.until(lambda: cluster["c"].tunnel()["unencrypted"], "c knows")
        there.hear()
        cluster.until_all_encrypt()
        there.hear()
        back.hear()
        cluster.clear_packets()
        there.hear()
        assert cluster.clear_packets() == []
    for each in (there, back):
        assert (each.failure, each.lost) == (None, 0)
        assert each.worst_delay < DEAD_SESSION_SECONDS
    assert words.lost == 0


PATH_MTU = 1400
"""Of a path whose ends have links of 1500: what is larger vanishes, and nobody says so."""


def test_a_path_that_swallows_large_packets_needs_the_devices_mtu_and_the_pods_need_nothing(cluster):
    """The pods' links have 1500: the node tells them what fits, past the strictest policy of their own."""
    calm(cluster, ("a", "b"))
    cluster.put("policy.yaml", *strict_workload(cluster["a"]))
    try:
        cluster.until(lambda: cluster["a"].agent.get("endpoints"), "the policy is in force")
        with path_of(cluster, PATH_MTU, "a", "b"):
            assert not passes(cluster, "a", "b", sender="a", seconds=1.5)
            for name in ("a", "b"):
                cluster[name].reload(wireguardMTU=PATH_MTU - 60)
            for name in ("a", "b"):
                cluster.until(lambda name=name: cluster[name].tunnel()["mtu"] == PATH_MTU - 60, "the MTU")
                cluster.until_peers(name, *(other for other in NAMES if other != name))
            for sender in ("a", "b"):
                assert passes(cluster, "a", "b", sender=sender), f"from {sender}"
            assert cluster.clear_packets() == []
    finally:
        (cluster.resources / "policy.yaml").unlink()
        for name in ("a", "b"):
            cluster[name].reload()
        for name in ("a", "b"):
            cluster.until(lambda name=name: cluster[name].tunnel()["mtu"] == 1440, "the MTU of before")


@contextmanager
def path_of(cluster, mtu, *names):
    """The bridge drops what is larger in front of these nodes; their own links know nothing of it."""
    for name in names:
        cluster.bridge.ip("link", "set", f"to-{name}", "mtu", str(mtu))
    try:
        yield
    finally:
        for name in names:
            cluster.bridge.ip("link", "set", f"to-{name}", "mtu", "1500")


def strict_workload(site):
    """The pod may open TCP connections to other pods, and nothing may reach it."""
    endpoint = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "WorkloadEndpoint",
        "metadata": {"name": "pod", "namespace": "t", "labels": {"ep": "strict"}},
        "spec": {
            "orchestrator": "cni", "workload": "w", "node": site.name, "endpoint": "eth0", "interfaceName": "pod0",
            "ipNetworks": [f"{site.pod_address()}/32"],
        },
    }  # fmt: skip
    policy = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "strict"},
        "spec": {
            "selector": "ep == 'strict'",
            "types": ["Ingress", "Egress"],
            "egress": [{"action": "Allow", "protocol": "TCP", "destination": {"nets": ["10.0.0.0/8"]}}],
        },
    }
    return endpoint, policy


def passes(cluster, source, target, *, sender, version=4, seconds=PATIENCE_SECONDS):
    """Whether a quarter of a megabyte gets through in that time, by a connection that `source` opens."""
    data = os.urandom(1 << 18)
    address = str(cluster[target].pod_address(version))
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with cluster[target].pod.entered():
        listener = socket.create_server((address, 0), family=family)
    with cluster[source].pod.entered():
        client = socket.socket(family)
    with listener, client:
        client.settimeout(PATIENCE_SECONDS)
        client.connect(listener.getsockname()[:2])
        server, _ = listener.accept()
        with server:
            gives, takes = (client, server) if sender == source else (server, client)
            thread = threading.Thread(target=_give, args=(gives, data), daemon=True)
            thread.start()
            received = _take(takes, len(data), time.monotonic() + seconds)
            # Whoever still waits to send is woken.
            with suppress(OSError):
                gives.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE_SECONDS)
    return received == data


def _give(link, data):
    link.settimeout(PATIENCE_SECONDS)
    try:
        link.sendall(data)
    except OSError:
        return  # the other side says what came


def _take(link, count, deadline):
    received = b""
    while len(received) < count and (left := deadline - time.monotonic()) > 0:
        link.settimeout(left)
        try:
            received += link.recv(1 << 16)
        except TimeoutError:
            break
    return received
