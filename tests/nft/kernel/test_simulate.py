"""The simulator against the kernel: random tables, and packets that are written into TUN devices.

The namespace is that of `tests.nft.crossing`. A write to a TUN device returns when the packet has passed all hooks, so the counters are its trace, and nothing waits.
"""

import contextlib
import fcntl
import os
import struct
import subprocess
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

pytestmark = pytest.mark.kernel

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
SYN, SYN_ACK = 0x02, 0x12
NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE, NLM_F_ACK = 1, 2, 5


class Crossing:
    """The namespace of this thread, with its interfaces; a table comes and goes."""

    def __init__(self, stack):
        self.nft = KernelTransport()
        self.link = stack.enter_context(contextlib.closing(NetlinkSocket()))
        self.tuns = {name: self._tun(stack, name) for name in ROUTES}
        for path, value in {
            "ipv4/ip_forward": 1,
            "ipv6/conf/all/forwarding": 1,
            "ipv4/conf/all/rp_filter": 0,
            "netfilter/nf_conntrack_checksum": 0,
            **{f"ipv4/conf/{name}/rp_filter": 0 for name in ROUTES},
            **{f"ipv6/conf/{name}/addr_gen_mode": 1 for name in ROUTES},
        }.items():
            Path(f"/proc/sys/net/{path}").write_text(str(value))
        lines = ["link set lo up", f"address add {LOCAL[4]}/32 dev lo", f"address add {LOCAL[6]}/128 dev lo nodad"]
        for name, nets in ROUTES.items():
            lines += [f"link set {name} up", *(f"route add {net} dev {name}" for net in nets)]
        subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)
        self.seen = Multiset()
        self.number = 0

    def _tun(self, stack, name):
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        stack.callback(os.close, tun)
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
        return tun

    def load(self, table):
        self.nft.run(
            "add table inet tg\ndelete table inet tg\n" + transaction.script("tg", transaction.from_nothing(table))
        )
        self.seen = Multiset()
        self._forget_connections()

    def _forget_connections(self):
        sequence = self.link.next_sequence()
        self.link.request(
            message.nf_message(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, sequence, 0), sequence
        )

    def send(self, packet, flags=SYN):
        """Sends it; the rules that counted it."""
        self.number += 1
        os.write(self.tuns[packet.iif], encoded(packet, flags, self.number))
        counts = {comment: count.packets for comment, count in rule_counts(self.link, "tg").items()}
        new, self.seen = Multiset(counts) - self.seen, Multiset(counts)
        return new


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
    counts = Multiset({comment: count for comment, count in seen.items() if comment not in maps})
    wanted = counted(outcome, table)
    assert counts == wanted, f"{packet}\nonly the kernel: {counts - wanted}\nonly simulated: {wanted - counts}"
    return outcome, seen


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
