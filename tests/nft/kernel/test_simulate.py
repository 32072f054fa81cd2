"""The simulator against the kernel: every word, and random tables, asked of frames on veth pairs.

The namespace is that of `tests.nft.crossing`. A frame that is sent into the far end of a pair is through all hooks when
the call returns, or a moment later on a busy machine; the rules' counters are its trace.
"""

import contextlib
import socket
import struct
import subprocess
import time
from collections import Counter as Multiset
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netlink import message
from netlink.transport import NetlinkSocket
from nft import simulate, transaction
from nft.counts import rule_counts
from nft.transport import KernelTransport
from tests.nft.crossing import LOCAL, ROUTES, TCP, UDP, all_packets, answer, can_be_answered, dictionary, hooks
from tests.nft.kernel.conftest import new_namespace
from tests.nft.mazes import counted, ends_in_map, mazes, packets

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]  # a minute on an emulated machine, seconds on others

SYN, SYN_ACK = 0x02, 0x12
IPCTNL_MSG_CT_DELETE, NLM_F_ACK = 2, 5
NEAR, FAR = bytes.fromhex("0200000000 01"), bytes.fromhex("0200000000 02")
PATIENCE_SECONDS = 2.0


class Crossing:
    """The namespace of this thread, with its interfaces; a table comes and goes."""

    def __init__(self, stack):
        self.nft = KernelTransport()
        self.link = stack.enter_context(contextlib.closing(NetlinkSocket()))
        self.counts = Multiset()
        self.number = 0
        # Without ARP, frames go out to the interface's own address, and the far end takes them for somebody else's.
        lines = [
            f"link add {name} address {NEAR.hex(':')} arp off type veth peer name far-{name} address {FAR.hex(':')}"
            for name in ROUTES
        ]
        batch([*lines, f"address add {LOCAL[4]}/32 dev lo", f"address add {LOCAL[6]}/128 dev lo nodad"])
        for path, value in {
            "ipv4/ip_forward": 1,
            "ipv6/conf/all/forwarding": 1,
            "ipv4/conf/all/rp_filter": 0,
            "netfilter/nf_conntrack_checksum": 0,
            **{f"ipv4/conf/{name}/rp_filter": 0 for name in ROUTES},
            **{f"ipv6/conf/{name}/addr_gen_mode": 1 for name in ROUTES},
            **{f"ipv6/conf/far-{name}/disable_ipv6": 1 for name in ROUTES},
        }.items():
            Path(f"/proc/sys/net/{path}").write_text(str(value))
        batch(
            ["link set lo up", *(f"link set {end}{name} up" for name in ROUTES for end in ("", "far-"))]
            + [f"route add {net} dev {name}" for name, nets in ROUTES.items() for net in nets]
        )
        self.far_ends = {name: stack.enter_context(frame_socket(f"far-{name}")) for name in ROUTES}

    def load(self, table):
        self.nft.run(
            "add table inet tg\ndelete table inet tg\n" + transaction.script("tg", transaction.from_nothing(table))
        )
        self.counts = Multiset()
        sequence = self.link.next_sequence()
        forget_all = message.nf_message(message.NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, sequence, 0)
        self.link.request(forget_all, sequence)

    def send(self, packet, flags=SYN):
        """Sends it; what rules have counted when it has been seen."""
        self.number += 1
        kind = {4: 0x0800, 6: 0x86DD}[packet.source.version]
        frame = NEAR + FAR + struct.pack("!H", kind) + encoded(packet, flags, self.number)
        self.far_ends[packet.iif].send(frame)
        until = time.monotonic() + PATIENCE_SECONDS
        while not (seen := self.counted())["start:0"]:
            assert time.monotonic() < until, f"{packet} never came in"
        return seen

    def counted(self):
        """What rules have counted since it was last asked."""
        counts = Multiset({comment: count.packets for comment, count in rule_counts(self.link, "tg").items()})
        new, self.counts = counts - self.counts, counts
        return new


def batch(lines):
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)


def frame_socket(interface):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.bind((interface, 0))
    return sock


def encoded(packet, flags, number):
    body = transport(packet, flags, number)
    source, destination = packet.source.packed, packet.destination.packed
    if packet.source.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(body), packet.protocol, 64) + source + destination + body
    header = (
        struct.pack("!BxHHxxBBH", 0x45, 20 + len(body), number & 0xFFFF, 64, packet.protocol, 0) + source + destination
    )
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return header[:10] + struct.pack("!H", ~total & 0xFFFF) + header[12:] + body


def transport(packet, flags, number):
    ports = struct.pack("!HH", packet.source_port, packet.destination_port)
    match packet.protocol:
        case 6:
            return ports + struct.pack("!IIBBHHH", 1, 0 if flags == SYN else 2, 5 << 4, flags, 1024, 0, 0)
        case 17:
            return ports + struct.pack("!HH", 12, 0) + b"data"
        case _:
            return ports + struct.pack("!HHI", number & 0xFFFF, 1, 0)


@pytest.fixture(scope="module")
def crossing():
    with new_namespace(), contextlib.ExitStack() as stack:
        yield Crossing(stack)


def agreed(crossing, simulator, table, packet, flags=SYN):
    """The simulator's outcome, if the kernel counted the packet in the same rules."""
    outcome = simulator.run(packet, hooks(packet))
    seen = crossing.send(packet, flags)
    maps = {rule.comment for chain in table.chains.values() for rule in chain.rules if ends_in_map(rule)}
    wanted = counted(outcome, table)
    until = time.monotonic() + 0.05
    while without(maps, seen) != wanted and time.monotonic() < until:
        seen += crossing.counted()  # it is still under way, on another core
    counts = without(maps, seen)
    assert counts == wanted, f"{packet}\nonly the kernel: {counts - wanted}\nonly simulated: {wanted - counts}"
    return outcome, seen


def without(comments, seen):
    return Multiset({comment: count for comment, count in seen.items() if comment not in comments})


def test_every_question_has_the_kernels_answer(crossing):
    """Each field, operator, value and set at each hook, asked of packets of every kind and of their answers."""
    table = dictionary()
    simulator = simulate.Simulator(table)
    crossing.load(table)
    answered = 0
    for packet in all_packets():
        agreed(crossing, simulator, table, packet)
        if can_be_answered(packet):
            agreed(crossing, simulator, table, answer(packet), SYN_ACK)
            answered += 1
    assert answered > 20


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(table=mazes(), some=st.lists(packets(), min_size=10, max_size=20))
def play(crossing, table, some):
    crossing.load(table)
    simulator = simulate.Simulator(table)
    flows = set()
    for packet in some:
        flow = (packet.source, packet.destination, packet.protocol, packet.source_port, packet.destination_port)
        if packet.protocol in (TCP, UDP) and flow in flows:
            continue  # conntrack may know it, and the packet says that it is new
        flows.add(flow)
        outcome, seen = agreed(crossing, simulator, table, packet)
        is_through = f"{hooks(packet)[-1]}-end:0" in seen
        assert is_through is (outcome.end is simulate.End.ACCEPT)
        if is_through and can_be_answered(packet):
            agreed(crossing, simulator, table, answer(packet), SYN_ACK)


def test_packets_find_their_way_through_mazes_as_in_the_kernel(crossing):
    play(crossing)
