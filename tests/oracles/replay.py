"""Random worlds on a real kernel: packets of one node's workloads, sent as frames and watched where they come out.

    far namespace                      node namespace
      far1  <------ veth ------>  caliw0 \\
      far2  <------ veth ------>  caliw1  > routes, the rendered table
      far0  <------ veth ------>  eth0   /

The far side has no addresses and answers nothing: a packet is one frame in, and one frame out or none. The node's
neighbours are fixed, so that no other frame is on the wire. Which rule judged a packet is read off the rules' counters.
"""

import json
import select
import socket
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address

import nftables
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6Unknown, IPv6
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Raw

from nft.elements import Change, ElementWriter, Operation
from nft.features import Features, probe
from nft.kernel import Kernel
from nft.model import Key, Table
from nft.sync import TableSync
from policy.evaluate import Packet
from reconcile.clock import SystemClock
from tidegate.demo.namespace import LabError, Namespace

OUTSIDE = "eth0"
"""The node's interface to everything that is not one of its workloads."""
NODE_ADDRESSES = {4: "172.18.0.1", 6: "fd00:18::1"}
_ETH_P_ALL = 3
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 4 << 20
"""Room for thousands of frames that nobody has read yet; the default has some two hundred."""
_PATIENCE_SECONDS = 1.0
"""How long a frame may take on a loaded machine before it counts as lost."""
_FLOOD_SECONDS = 20.0
"""Likewise for many of them."""
_ENDS = frozenset(
    (
        "denied",
        "invalid",
        "spoofed source",
        "no endpoint",
        "workload to its own host",
        "VXLAN from a workload",
        "IP in IP from a workload",
        "must name itself",
    )
)
"""Comments of rules that drop: the frame will not come out."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the kernel did with a packet."""

    arrived_at: str | None
    """The interface of the node that it left through."""
    counted: frozenset[str]
    """Comments of the rules that counted it."""


@dataclass(frozen=True, slots=True)
class Flooded:
    """What the kernel did with many packets."""

    arrived: int
    counted: Counter[str]
    """By the comment of the rule."""


class Node:
    """A node namespace with an interface for each workload, and the far side of all of them."""

    def __init__(self, stack: ExitStack, interfaces: dict[str, list[IPv4Address | IPv6Address]]) -> None:
        self.namespace, self._far = Namespace.create("node"), Namespace.create("far")
        stack.callback(self.namespace.delete)
        stack.callback(self._far.delete)
        self._names = [OUTSIDE, *interfaces]
        self._build(interfaces)
        with self._far.entered():
            self._sockets = {
                name: stack.enter_context(_frame_socket(f"far{index}")) for index, name in enumerate(self._names)
            }
        with self.namespace.entered():
            self._nft = nftables.Nftables()
        self._nft.set_json_output(True)
        self._sent = 0

    def load(self, table: Table, learned: Mapping[str, frozenset[Key]] | None = None) -> None:
        """Puts the table in force as the agent does, and elements into its learned sets as the packet process does."""
        with self.namespace.entered(), closing(Kernel(table.name, _features())) as kernel:
            sync = TableSync(kernel, SystemClock())
            sync.want(table)
            report = sync.apply()
            assert report.is_complete, report
            with closing(ElementWriter(table.name)) as writer:
                writer.write([_element(name, key) for name, keys in (learned or {}).items() for key in keys])
        self._counts = self._count()

    def play(
        self,
        packet: Packet,
        from_interface: str,
        patience_seconds: float = _PATIENCE_SECONDS,
        ends: frozenset[str] = frozenset(),
    ) -> Seen:
        """Sends the packet into the node from the far side of an interface, and waits for its end.

        `ends` are further comments of rules behind which nothing will be seen: what reaches the node itself.
        """
        self._sent += 1
        token = struct.pack("!8sI", b"tidegate", self._sent)
        index = self._names.index(from_interface)
        frame = Ether(src=_mac(index, far=True), dst=_mac(index)) / _layers(packet, token)
        source = packet.source.address.packed
        self._sockets[from_interface].send(bytes(frame))
        until = time.monotonic() + patience_seconds
        while True:
            arrived, counts = self._arrived(source, token), self._count()
            counted = frozenset(counts - self._counts)
            is_over = arrived is not None or counted & (_ENDS | ends)
            if is_over or time.monotonic() > until:
                self._counts = counts
                return Seen(arrived, counted)

    def flood(self, packets: list[Packet], from_interface: str) -> Flooded:
        """Sends all at once, and waits until each has come out or was dropped by a rule that counts.

        Raises:
            AssertionError: some are neither here nor there.
        """
        index, tokens, before = self._names.index(from_interface), set(), self._counts
        for packet in packets:
            self._sent += 1
            token = struct.pack("!8sI", b"tidegate", self._sent)
            tokens.add(token)
            frame = Ether(src=_mac(index, far=True), dst=_mac(index)) / _layers(packet, token)
            self._sockets[from_interface].send(bytes(frame))
        left, until = set(tokens), time.monotonic() + _FLOOD_SECONDS
        while time.monotonic() < until:
            left -= self._tokens()
            self._counts = self._count()
            dropped = self._counts - before
            if len(left) == sum(count for comment, count in dropped.items() if _is_end(comment)):
                return Flooded(len(packets) - len(left), dropped)
        raise AssertionError(f"{len(left)} packets did not arrive, and rules counted {dict(self._counts - before)}")

    def _tokens(self) -> set[bytes]:
        """Those in frames that came out since the last look."""
        found = set()
        while ready := select.select(list(self._sockets.values()), [], [], 0.01)[0]:
            for sock in ready:
                data, address = sock.recvfrom(2048)
                if address[2] != socket.PACKET_OUTGOING and (at := data.find(b"tidegate")) >= 0:
                    found.add(data[at : at + 12])
        return found

    def _arrived(self, source: bytes, token: bytes) -> str | None:
        """Where the packet came out. The node's own ICMP errors quote the packet, but have the node's source."""
        by_socket = {sock: name for name, sock in self._sockets.items()}
        found = None
        while ready := select.select(list(by_socket), [], [], 0.001)[0]:
            for sock in ready:
                data, address = sock.recvfrom(2048)
                if address[2] != socket.PACKET_OUTGOING and token in data and _source(data) == source:
                    found = by_socket[sock]
        return found

    def _count(self) -> Counter[str]:
        """Packets by the comment of the rule that counted them; alternatives of one rule count together."""
        status, output, error = self._nft.cmd("list ruleset")
        if status:
            raise LabError(f"cannot list the table: {error}")
        counts: Counter[str] = Counter()
        for item in json.loads(output)["nftables"]:
            rule = item.get("rule", {})
            for statement in rule.get("expr", ()):
                if "counter" in statement:
                    counts[rule.get("comment", "").split(" #")[0]] += statement["counter"]["packets"]
        return +counts

    def _build(self, interfaces: dict[str, list[IPv4Address | IPv6Address]]) -> None:
        far = self._far.name
        _batch(
            self.namespace,
            *(
                f"link add {name} address {_mac(index)} type veth peer name far{index} netns {far}"
                for index, name in enumerate(self._names)
            ),
            *(f"link set {name} up" for name in self._names),
        )
        self._far.sysctl(net__ipv6__conf__all__disable_ipv6=1)  # it would report its multicast groups
        _batch(self._far, *(f"link set far{index} up" for index in range(len(self._names))))
        self.namespace.sysctl(
            net__ipv4__ip_forward=1,
            net__ipv6__conf__all__forwarding=1,
            net__ipv4__conf__all__send_redirects=0,
            net__ipv4__conf__all__rp_filter=0,
            **{f"net__ipv4__conf__{name}__rp_filter": 0 for name in self._names},
        )
        _batch(
            self.namespace,
            f"address add {NODE_ADDRESSES[4]}/24 dev {OUTSIDE}",
            f"address add {NODE_ADDRESSES[6]}/64 dev {OUTSIDE} nodad",
            *self._gateways("172.18.0.254", "fd00:18::fe"),
            *(line for name, addresses in interfaces.items() for line in self._routes(name, addresses)),
        )

    def _gateways(self, *addresses: str) -> list[str]:
        neighbours = [
            f"neigh add {address} lladdr {_mac(0, far=True)} dev {OUTSIDE} nud permanent" for address in addresses
        ]
        return neighbours + [f"route add default via {address}" for address in addresses]

    def _routes(self, name: str, addresses: list[IPv4Address | IPv6Address]) -> list[str]:
        mac = _mac(self._names.index(name), far=True)
        routes = [f"route add {address} dev {name}" for address in addresses]
        return routes + [f"neigh add {address} lladdr {mac} dev {name} nud permanent" for address in addresses]


def _is_end(comment: str) -> bool:
    return comment in _ENDS or comment.startswith("limit ")


@cache
def _features() -> Features:
    return probe()


def _element(set_name: str, key: Key) -> Change:
    """A pair of addresses that stays for an hour."""
    packed = b"".join(part.packed for part in key if isinstance(part, IPv4Address | IPv6Address))
    return Change(Operation.ADD, set_name, packed, timeout_ms=3_600_000)


def _layers(packet: Packet, token: bytes) -> IP | IPv6:
    source, destination = str(packet.source.address), str(packet.destination.address)
    if packet.version == 4:
        network = IP(src=source, dst=destination, proto=packet.protocol)
    else:
        network = IPv6(src=source, dst=destination, nh=packet.protocol)
    return network / _transport(packet, token)


def _transport(packet: Packet, token: bytes) -> Raw:
    ports = {"sport": packet.source_port, "dport": packet.destination_port}
    match packet.protocol:
        case 6:
            return TCP(**ports, flags="S") / Raw(token)
        case 17:
            return UDP(**ports) / Raw(token)
        case 132:
            return SCTP(**ports) / SCTPChunkInit(init_tag=1) / Raw(token)
        case 1:
            return ICMP(type=packet.icmp_type, code=packet.icmp_code) / Raw(token + bytes(28))
        case 58:
            return ICMPv6Unknown(type=packet.icmp_type, code=packet.icmp_code, msgbody=bytes(4) + token + bytes(40))
        case _:
            return Raw(bytes(8) + token + bytes(20))


def _source(frame: bytes) -> bytes:
    return frame[26:30] if frame[12:14] == b"\x08\x00" else frame[22:38]


def _frame_socket(interface: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    made.bind((interface, _ETH_P_ALL))
    return made


def _mac(index: int, *, far: bool = False) -> str:
    return f"02:00:00:00:{int(far):02x}:{index:02x}"


def _batch(namespace: Namespace, *lines: str) -> None:
    words = namespace.inside("ip", "-batch", "-")
    done = subprocess.run(words, check=False, capture_output=True, text=True, input="\n".join(lines) + "\n")
    if done.returncode:
        raise LabError(f"cannot build the node: {done.stderr.strip()}")
