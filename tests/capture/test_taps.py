"""The kernel's filter against a naive reading of the same packets, and the agent's captures of a real exchange."""

import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from ipaddress import ip_address
from random import Random

import pytest
import yaml
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Raw
from scapy.utils import rdpcap

from policy.rules import PortRange
from tidegate.capture.pcap import CapturedPacket
from tidegate.capture.program import Wanted, compiled
from tidegate.capture.tap import Tap, TapError
from tidegate.demo import servers
from tidegate.demo.agent import RunningAgent
from tidegate.demo.client import connect
from tidegate.demo.lab import Lab
from tidegate.demo.namespace import Namespace

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
PORTS = (22, 80, 443, 8000, 8500, 8999, 9000)
LARGEST = tuple(Wanted(6, (PortRange(port, port),) * 50) for port in range(1, 11))


def until(holds, seconds=20):
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)
    return found


# --- The program ---


def test_no_filter_and_a_filter_that_wants_all_need_no_program():
    assert compiled(()) == compiled((Wanted(6), Wanted())) == b""


def test_the_largest_filters_fit_into_the_kernel():
    assert len(compiled(LARGEST)) // 8 < 4096


@pytest.fixture(scope="module")
def link():
    here, there = Namespace.create("tap"), Namespace.create("far")
    here.ip("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", there.name)
    for namespace, name in ((here, "near"), (there, "far")):
        namespace.sysctl(net__ipv6__conf__all__disable_ipv6=1)
        namespace.ip("link", "set", name, "up")
    until(lambda: "state UP" in here.command("ip", "link", "show", "near"))
    with there.entered():
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sender.bind(("far", 0))
    yield here, sender
    sender.close()
    here.delete()
    there.delete()


@contextmanager
def tap_on(namespace, interface, wanted=()):
    with namespace.entered():
        tap = Tap(interface, wanted)
    with tap:
        yield tap


def taken(tap, until_frame, sender):
    """What comes before the closing frame, which every filter lets through; without it."""
    frames: list[CapturedPacket] = []
    sender.send(until_frame)

    def is_over():
        frames.extend(tap.packets())
        return any(packet.data == until_frame for packet in frames)

    until(is_over)
    return [packet for packet in frames if packet.data != until_frame]


CLOSING = bytes(ETHER / IP(src="192.0.2.254", dst="192.0.2.255") / UDP(sport=7777, dport=7777) / b"the end")
ENDS = Wanted(17, (PortRange(7777, 7777),))


def random_frame(chance):
    """A frame, its protocol (None: no IP), its ports, and whether it is a later fragment."""
    port = {"sport": chance.choice(PORTS), "dport": chance.choice(PORTS)}
    upper, protocol = chance.choice([
        (TCP(**port), 6), (UDP(**port), 17), (SCTP(**port), 132), (ICMP(), 1), (Raw(b"gre....."), 47),
    ])  # fmt: skip
    ports = (port["sport"], port["dport"]) if protocol in (6, 17, 132) else ()
    if chance.random() < 0.1:
        return bytes(ETHER / ARP()), None, (), False
    if chance.random() < 0.5:
        later = chance.random() < 0.2
        options = [b"\x01\x01\x01\x00"] if chance.random() < 0.3 else []
        frame = ETHER / IP(
            dst="192.0.2.1", proto=protocol, frag=chance.randrange(1, 100) if later else 0, options=options
        )
        return bytes(frame / upper / b"0123456789abcdef"), protocol, ports, later
    frame, later = ETHER / IPv6(dst="2001:db8::1"), False
    for _ in range(chance.randrange(4)):
        extension = chance.choice([IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting, IPv6ExtHdrFragment])
        if extension is IPv6ExtHdrFragment:
            later = chance.random() < 0.5
            frame = frame / extension(offset=chance.randrange(1, 100) if later else 0, nh=protocol)
            break
        frame = frame / extension()
    frame.lastlayer().nh = protocol
    return bytes(frame / upper / b"0123456789abcdef"), protocol, ports, later


def fits(wanted, protocol, ports, later):
    if wanted.protocol is None:
        return True
    if protocol != wanted.protocol:
        return False
    return not wanted.ports or later or any(r.first <= port <= r.last for r in wanted.ports for port in ports)


def random_filter(chance):
    protocol = chance.choice([1, 6, 17, 47, 132])
    if protocol in (1, 47) or chance.random() < 0.3:
        return Wanted(protocol)
    ranges = [PortRange(80, 80), PortRange(8000, 8500), PortRange(8999, 8999), PortRange(1, 22), PortRange(9000, 65535)]
    return Wanted(protocol, tuple(chance.sample(ranges, chance.randrange(1, 4))))


@pytest.mark.kernel
@pytest.mark.parametrize("seed", range(12))
def test_the_kernel_takes_what_a_naive_reading_takes(link, seed):
    chance = Random(seed)
    here, sender = link
    wanted = [random_filter(chance) for _ in range(chance.randrange(1, 5))]
    sent = [random_frame(chance) for _ in range(150)]
    with tap_on(here, "near", [*wanted, ENDS]) as tap:
        for frame, *_ in sent:
            sender.send(frame)
        found = [packet.data for packet in taken(tap, CLOSING, sender)]
    expected = [frame for frame, *about in sent if any(fits(item, *about) for item in [*wanted, ENDS])]
    assert found == expected


@pytest.mark.kernel
def test_the_largest_filters_are_taken_by_the_kernel(link):
    with tap_on(link[0], "near", LARGEST) as tap:
        assert list(tap.packets()) == []


@pytest.mark.kernel
def test_a_tagged_frame_is_captured_as_it_was_sent(link):
    here, sender = link
    tagged = bytes(ETHER / Dot1Q(vlan=42) / IP(dst="192.0.2.1") / UDP(dport=9) / b"x")
    with tap_on(here, "near") as tap:
        before = time.time()
        sender.send(tagged)
        [packet] = taken(tap, CLOSING, sender)
    assert (packet.data, packet.length_bytes) == (tagged, len(tagged))
    assert before - 1 <= packet.seconds + packet.nanoseconds / 1e9 <= time.time() + 1


@pytest.mark.kernel
def test_what_the_reader_is_too_slow_for_is_counted(link):
    here, sender = link
    frame = bytes(ETHER / IP(dst="192.0.2.1") / UDP(dport=9) / bytes(1400))
    sent = 20_000
    with tap_on(here, "near") as tap:
        for _ in range(sent):
            sender.send(frame)
        read = 0
        while batch := len(list(tap.packets())):
            read += batch
        assert tap.count_dropped() > 0
        assert read + tap.count_dropped() == sent


@pytest.mark.kernel
def test_an_interface_that_is_not_there_and_one_that_goes_are_errors():
    namespace = Namespace.create("gone")
    try:
        with pytest.raises(TapError, match="cannot capture on none: No such device"), tap_on(namespace, "none"):
            pass
        namespace.ip("link", "add", "short", "type", "veth", "peer", "name", "other")
        namespace.ip("link", "set", "short", "up")
        with tap_on(namespace, "short") as tap:
            namespace.ip("link", "del", "short")
            with pytest.raises(TapError, match="short"):
                until(lambda: list(tap.packets()) and None)
    finally:
        namespace.delete()


# --- The agent ---


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


def capture(name, **spec):
    metadata = {"name": name, "namespace": "test"}
    return {"apiVersion": "projectcalico.org/v3", "kind": "PacketCapture", "metadata": metadata, "spec": spec}


POLICY = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "NetworkPolicy",
    "metadata": {"name": "p", "namespace": "test"},
    "spec": {"types": ["Egress"], "egress": [{"action": "Allow", "protocol": p, "destination": {"ports": ["1:9000"]}}
                                             for p in ("TCP", "UDP")]},
}  # fmt: skip


class Site:
    """A lab with an agent that writes captures into its scratch directory."""

    def __init__(self, lab, scratch):
        self.lab = lab
        self.resources = scratch / "resources"
        self.resources.mkdir()
        self.directory = scratch / "pcap"
        self.agent = RunningAgent(lab.node, self.resources, scratch, "n1")

    def put(self, file, *documents):
        scratch = self.resources / f".{file}"
        scratch.write_text(yaml.safe_dump_all(documents))
        scratch.rename(self.resources / f"{file}.yaml")

    def capture(self, name):
        return next((item for item in self.agent.get("captures") if item["name"] == name), None)

    def start_capture(self, name, **spec):
        """Puts it and waits until its sockets are open."""
        self.put(name, capture(name, **spec))
        until(lambda: (found := self.capture(name)) and any(item["is_listening"] for item in found["interfaces"]))

    def packet_sockets(self):
        return len(self.lab.node.command("cat", "/proc/net/packet").splitlines()) - 1

    def datagrams(self, pod, port, payloads, address="198.51.100.9"):
        with self.lab.pod(pod).namespace.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for payload in payloads:
                sender.sendto(payload, (address, port))


@pytest.fixture
def site(_site):
    yield _site
    for path in _site.resources.glob("*.yaml"):
        if path.name != "all.yaml":
            path.unlink()
    until(lambda: _site.agent.get("captures") == [] and _site.packet_sockets() == 0)


@pytest.fixture(scope="module")
def _site(tmp_path_factory):
    lab = Lab.create(("ep1", "ep2"))
    made = Site(lab, tmp_path_factory.mktemp("capture"))
    try:
        with servers.tcp_acceptors(lab.world, (443,), keep=False):
            made.put("all", POLICY, *map(endpoint, lab.pods))
            made.agent.start("--set", f"captureDir={made.directory}", "--set", "captureMaxSizeBytes=10000")
            made.agent.wait_until_ready()
            yield made
    finally:
        made.agent.stop()
        made.agent.call("remove", check=False)
        lab.delete()


def frames(paths, layer):
    return [packet for path in paths for packet in rdpcap(str(path)) if layer in packet]


@pytest.mark.kernel
@pytest.mark.timeout(120)
def test_the_file_of_an_exchange_holds_exactly_the_packets_sent(site):
    site.start_capture("udp", selector="ep == 'ep1'", filters=[{"protocol": "UDP", "ports": ["7000:7001"]}])
    wanted = [b"packet %d" % number for number in range(50)]
    site.datagrams("ep2", 7000, [b"another pod"])
    site.datagrams("ep1", 6999, [b"another port"])
    site.datagrams("ep1", 7000, wanted[:25])
    site.datagrams("ep1", 7001, wanted[25:])
    site.datagrams("ep1", 7002, [b"another port"])
    told = until(lambda: (found := site.capture("udp")) and found["interfaces"][0]["packets"] == 50 and found)
    assert (told["state"], told["message"], told["interfaces"][0]["dropped"]) == ("Capturing", "", 0)
    [path] = told["interfaces"][0]["files"]
    assert path.startswith(f"{site.directory}/test/udp/ep1_cali-ep1.")
    read = frames([path], UDP)
    assert [bytes(packet[UDP].payload) for packet in read] == wanted
    assert {(packet[IP].src, packet[IP].dst) for packet in read} == {("10.0.1.2", "198.51.100.9")}
    assert len(rdpcap(path)) == 50
    listed = site.agent.call("capture").stdout
    assert "test/udp" in listed
    assert "Capturing" in listed


@pytest.mark.kernel
@pytest.mark.timeout(120)
def test_both_directions_are_captured_and_denied_packets_too(site):
    site.start_capture("tcp", selector="ep == 'ep2'", filters=[{"protocol": "TCP", "ports": [443, 9001]}])
    namespace = site.lab.pod("ep2").namespace
    assert connect(namespace, ip_address("2001:db8:1::77"), 443, 5.0).is_connected
    assert not connect(namespace, ip_address("198.51.100.9"), 9001, 0.3).is_connected

    def denied_came():
        read = frames(site.capture("tcp")["interfaces"][0]["files"], TCP)
        return read if any(packet[TCP].dport == 9001 for packet in read) else None

    read = until(denied_came)
    opening = [packet for packet in read if IPv6 in packet][:3]
    assert [str(packet[TCP].flags) for packet in opening] == ["S", "SA", "A"]
    assert {packet[TCP].sport for packet in read if IPv6 in packet} >= {443}
    assert {str(packet[TCP].flags) for packet in read if IP in packet} == {"S"}


@pytest.mark.kernel
@pytest.mark.timeout(120)
def test_files_rotate_within_their_bounds_and_packets_of_the_end_are_kept(site):
    site.start_capture("many", selector="ep == 'ep1'", filters=[{"protocol": "UDP", "ports": [7100]}])
    payloads = [b"%04d" % number + bytes(1000) for number in range(60)]
    site.datagrams("ep1", 7100, payloads)
    told = until(lambda: (found := site.capture("many")) and found["interfaces"][0]["packets"] == 60 and found)
    files = told["interfaces"][0]["files"]
    assert len(files) == 2
    found = [bytes(packet[UDP].payload) for packet in frames(files, UDP)]
    assert found == payloads[60 - len(found) :]
    assert len(found) > 9
    sizes = [len((site.directory / path).read_bytes()) for path in files]
    assert max(sizes) <= 10_000


@pytest.mark.kernel
@pytest.mark.timeout(120)
def test_a_capture_begins_and_ends_in_its_time(site):
    def shown(at):
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))

    begins = time.time() + 4
    timed = {"selector": "ep == 'ep1'", "filters": [{"protocol": "UDP", "ports": [7200]}]}
    site.put("timed", capture("timed", **timed, startTime=shown(begins)))
    until(lambda: (found := site.capture("timed")) and found["state"] == "Scheduled")
    site.datagrams("ep1", 7200, [b"early"])
    until(lambda: site.capture("timed")["interfaces"], 30)

    def came():
        site.datagrams("ep1", 7200, [b"in time"])
        return site.capture("timed")["state"] == "Capturing"

    until(came)
    files = site.capture("timed")["interfaces"][0]["files"]
    site.put("timed", capture("timed", **timed, endTime=shown(time.time() - 1)))
    until(lambda: site.capture("timed")["state"] == "Finished")
    site.datagrams("ep1", 7200, [b"late"])
    assert {bytes(packet[UDP].payload) for packet in frames(files, UDP)} == {b"in time"}


@pytest.mark.kernel
@pytest.mark.timeout(120)
def test_without_captures_nothing_listens(site):
    assert site.packet_sockets() == 0
    site.start_capture("short", selector="ep == 'ep1'")
    assert site.packet_sockets() == 1
    (site.resources / "short.yaml").unlink()
    until(lambda: site.agent.get("captures") == [] and site.packet_sockets() == 0)


@pytest.mark.kernel
@pytest.mark.timeout(120)
def test_the_command_captures_at_once_into_a_file(site, tmp_path):
    path = tmp_path / "now.pcap"
    words = ["capture", "test/ep1", "--protocol", "UDP", "--ports", "7300", "--count", "3", "-w", str(path)]
    command = [sys.executable, "-m", "tidegate", *words, "--socket", str(site.agent.socket)]
    with site.lab.node.start(command, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr.readline() == "capturing on cali-ep1\n"
        site.datagrams("ep1", 7301, [b"another port"])
        site.datagrams("ep2", 7300, [b"another pod"])
        site.datagrams("ep1", 7300, [b"one", b"two", b"three"])
        assert running.wait(20) == 0
        assert running.stderr.read() == "3 packets captured, 0 lost\n"
    assert [bytes(packet[UDP].payload) for packet in rdpcap(str(path))] == [b"one", b"two", b"three"]


@pytest.mark.kernel
@pytest.mark.timeout(120)
def test_an_interrupted_capture_to_a_pipe_is_complete(site):
    words = ["capture", "test", "--selector", "ep == 'ep2'"]
    command = [sys.executable, "-m", "tidegate", *words, "--socket", str(site.agent.socket)]
    with site.lab.node.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stderr.readline() == b"capturing on cali-ep2\n"
        site.datagrams("ep2", 7300, [b"seen"])
        assert b"seen" in running.stdout.read1() + running.stdout.read1()
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 0
        assert b"packets captured, 0 lost" in running.stderr.read()


@pytest.mark.kernel
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("test/none",), 1, "cannot capture: no workload of this node is test/none"),
        (("test", "--selector", "has("), 2, "cannot read the selector"),
        (("test", "--ports", "http"), 2, "cannot be a name"),
        (("test", "--ports", "0"), 2, "cannot be outside of 1 to 65535"),
        (("test", "--protocol", "ICMP", "--ports", "80"), 2, "protocol that has ports"),
        (("test/ep1",), 5, "cannot capture on cali-ep1: No such device"),
    ],
)
def test_what_cannot_be_captured_is_said(site, words, status, told):
    # The last of them: the command runs in another network namespace than the agent.
    done = site.agent.call("capture", *words, check=False)
    assert (done.returncode, done.stdout) == (status, "")
    assert told in done.stderr


@pytest.mark.kernel
@pytest.mark.timeout(120)
def test_captures_are_one_document_for_programs(site):
    assert json.loads(site.agent.call("capture", "-o", "json").stdout) == []
