"""Nodes that encrypt to each other by real agents, and the wire between them.

    pod a 10.0.1.2  --- node a 192.0.2.1 --\
    pod b 10.0.2.2  --- node b 192.0.2.2 ----- underlay (a bridge; everything between nodes is seen there)
    pod c 10.0.3.2  --- node c 192.0.2.3 --/
"""

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
from tidegate.api.client import AgentUnreachableError
from tidegate.demo import servers
from tidegate.demo.agent import RunningAgent
from tidegate.demo.client import connect
from tidegate.demo.namespace import LabError, Namespace

NAMES = ("a", "b", "c")
KEYS = {4: "projectcalico.org/WireguardPublicKey", 6: "projectcalico.org/WireguardPublicKeyV6"}
TUNNEL = {4: "projectcalico.org/IPv4WireguardInterfaceAddr", 6: "projectcalico.org/IPv6WireguardInterfaceAddr"}
PORT = 8080
PATIENCE_SECONDS = 30.0
_LINK_LOCAL_TALK = frozenset((0, 2, 58))
"""Of the bridge's own ports: hop-by-hop options (MLD), IGMP, ICMPv6 (neighbours)."""


@dataclass
class Site:
    """A node, its pod, its agent."""

    name: str
    number: int
    node: Namespace
    pod: Namespace
    agent: RunningAgent
    config: dict
    versions: tuple = (4, 6)
    """Of IP: what the node, its underlay and its pod have."""

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

    def configure(self, **changed):
        """What the next start reads: the configuration of the first one with these settings."""
        (self.agent.scratch / "config.yaml").write_text(yaml.safe_dump(self.config | changed))

    def reload(self, **changed):
        self.configure(**changed)
        self.agent.process.send_signal(signal.SIGHUP)

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
        self.others = []
        """Neither of them: protocol, source and target."""

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
            elif protocol not in _LINK_LOCAL_TALK:
                self.others.append((protocol, str(ip_address(source)), str(ip_address(target))))


class Cluster:
    """The nodes, one directory of documents for all, and the wire between them."""

    def __init__(self, sites, resources, bridge, underlay):
        self.sites = {site.name: site for site in sites}
        self.resources = resources
        self.bridge = bridge
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
            annotations = {TUNNEL[version]: site.own(version) for version in site.versions}
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
        for name in self.sites:
            self.until_peers(name, *(other for other in self.sites if other != name))

    def connects(self, source, target, version=4, seconds=PATIENCE_SECONDS):
        """Two handshakes that cross are tried again after 5 s, and TCP asks again after 7 and after 15 s."""
        return connect(self[source].pod, self[target].pod_address(version), PORT, seconds).is_connected

    def told(self, source, target, version=4):
        """Why two pods do not reach each other: what their nodes' devices say, for the message of an assertion."""
        return f"{source} -> {target}: {[self[name].tunnel(version) for name in (source, target)]}"

    def clear_packets(self):
        time.sleep(0.15)  # what is on the way is counted
        found, self.underlay.clear[:] = list(self.underlay.clear), []
        return found


def node_document(site, annotations):
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": site.name, "annotations": annotations},
        "spec": {"podCIDRs": [site.network(version) for version in site.versions]},
        "status": {
            "addresses": [{"type": "InternalIP", "address": site.underlay(version)} for version in site.versions]
        },
    }


def _connect_node(site, bridge, numbers):
    """Its way to the underlay, and the ways in clear to the other nodes' pods: what nodes without encryption take."""
    node = site.node
    node.ip("link", "add", "uplink", "type", "veth", "peer", "name", f"to-{site.name}", "netns", bridge.name)
    bridge.ip("link", "set", f"to-{site.name}", "master", "underlay", "up")
    for version, length in zip((4, 6), (24, 64), strict=True):
        if version in site.versions:
            extra = ("nodad",) if version == 6 else ()
            node.ip("addr", "add", f"{site.underlay(version)}/{length}", "dev", "uplink", *extra)
    node.ip("link", "set", "uplink", "up")
    node.sysctl(
        net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1, net__ipv4__conf__all__promote_secondaries=1
    )
    for other in numbers:
        if other != site.number and 4 in site.versions:
            node.ip("route", "add", f"10.0.{other}.0/24", "via", f"192.0.2.{other}")
        if other != site.number and 6 in site.versions:
            node.ip("-6", "route", "add", f"fd00:{other}::/64", "via", f"2001:db8::{other}")


def _connect_pod(site):
    node, pod, number = site.node, site.pod, site.number
    node.ip("link", "add", "pod0", "type", "veth", "peer", "name", "eth0", "netns", pod.name)
    if 4 in site.versions:
        node.ip("addr", "add", f"10.0.{number}.254/24", "dev", "pod0")
        pod.ip("addr", "add", f"10.0.{number}.2/24", "dev", "eth0")
    if 6 in site.versions:
        node.ip("addr", "add", f"fd00:{number}::fe/64", "dev", "pod0", "nodad")
        pod.ip("addr", "add", f"fd00:{number}::2/64", "dev", "eth0", "nodad")
    node.ip("link", "set", "pod0", "up")
    pod.ip("link", "set", "eth0", "up")
    if 4 in site.versions:
        pod.ip("route", "add", "default", "via", f"10.0.{number}.254")
    if 6 in site.versions:
        pod.ip("-6", "route", "add", "default", "via", f"fd00:{number}::fe")


def _build_site(name, number, versions, scratch, stack):
    node, pod = Namespace.create(f"wg{name}"), Namespace.create(f"wgp{name}")
    stack.callback(node.delete)
    stack.callback(pod.delete)
    own = scratch / name
    own.mkdir()
    suffix = secrets.token_hex(3)
    config = {
        "wireguardEnabled": 4 in versions,
        "wireguardEnabledV6": 6 in versions,
        "wireguardInterfaceName": f"wgt{suffix}{name}4",
        "wireguardInterfaceNameV6": f"wgt{suffix}{name}6",
        "dnsTrustedServers": ["10.0.53.53"],
    }
    (own / "config.yaml").write_text(yaml.safe_dump(config))
    return Site(name, number, node, pod, RunningAgent(node, scratch / "resources", own, name), config, versions)


def build_sites(scratch, names, versions, stack):
    """The bridge, and nodes with their pods, which reach each other in clear; no agent runs."""
    bridge = Namespace.create("wgbr")
    stack.callback(bridge.delete)
    bridge.ip("link", "add", "underlay", "type", "bridge")
    bridge.ip("link", "set", "underlay", "up")
    sites = []
    for number, name in enumerate(names, 1):
        site = _build_site(name, number, versions, scratch, stack)
        _connect_node(site, bridge, range(1, len(names) + 1))
        _connect_pod(site)
        sites.append(site)
    return bridge, sites


@contextmanager
def make_cluster(scratch, names=NAMES, versions=(4, 6), *, is_watched=True, encrypts=True):
    """`is_watched`: the wire is read, which takes a processor where much goes over it."""
    lacks = devices.userspace_lacks() if devices.kernel_lacks() else ""
    if lacks:
        pytest.fail(lacks)
    resources = scratch / "resources"
    resources.mkdir()
    with ExitStack() as stack:
        bridge, sites = build_sites(scratch, names, versions, stack)
        underlay = stack.enter_context(Underlay(bridge)) if is_watched else None
        cluster = Cluster(sites, resources, bridge, underlay)
        for site in sites:
            if not encrypts:
                site.configure(wireguardEnabled=False, wireguardEnabledV6=False)
            stack.callback(take_out, site)
            stack.enter_context(servers.tcp_acceptors(site.pod, (PORT,)))
            cluster.put(f"node-{site.name}.yaml", node_document(site, {}))
            site.agent.start("--config", str(site.agent.scratch / "config.yaml"))
        for site in sites:
            site.agent.wait_until_ready(120)
        yield cluster


def take_out(site):
    site.agent.stop()
    site.agent.call("remove", check=False)


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


def peer(cluster, name, other, version=4):
    return next(each for each in cluster[name].tunnel(version)["peers"] if each["node"] == other)
