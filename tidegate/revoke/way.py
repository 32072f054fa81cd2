"""From an entry of the connection table to the way of the packet that would open it now. Pure.

The entry's own first packet is asked about again: from its original source, to where destination NAT sent it, by the
interfaces that the addresses are behind at present. Replies are nobody's to judge: they belong to what was opened.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from nfq.connection import Listed
from nfq.packet import FiveTuple
from policy.rules import IPAddress

ELSEWHERE = "(elsewhere)"
"""The interface to whatever is not asked about. Nobody would call one so, and no prefix of workloads begins so."""
LOOPBACK = "lo"

Routes = Callable[[bytes], str]
"""The interface by which the host would send to a packed address; `ELSEWHERE` where nobody needs to know."""


def no_routes(address: bytes) -> str:
    """For a node on which no rule asks by which interface strangers come and go."""
    del address
    return ELSEWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Who is where on the node. Addresses packed."""

    workloads: Mapping[bytes, str] = field(default_factory=dict)
    """The interface of each workload that is asked about."""
    own: Collection[bytes] = frozenset()
    """The host's addresses."""
    routes: Routes = no_routes
    has_hosts: bool = False
    """Host endpoints are asked, too: what passes no workload is somebody's business."""


@dataclass(frozen=True, slots=True)
class Way:
    """A question to the rules. Entries with the same way have the same answer."""

    source: bytes
    destination: bytes
    """Where the packets really go."""
    asked: bytes
    """Where the first packet wanted to go, before destination NAT."""
    protocol: int
    source_port: int
    destination_port: int
    asked_port: int
    icmp: tuple[int, int] | None
    iif: str
    """"" for what the host itself sends."""
    oif: str
    """"" for what the host itself receives."""

    @property
    def is_translated(self) -> bool:
        """Whether destination NAT changed where it goes."""
        return (self.destination, self.destination_port) != (self.asked, self.asked_port)


def way_of(entry: Listed, around: Surroundings) -> Way | None:
    """The way of the entry's first packet; None where it passes nobody who is asked.

    What a helper foresaw in the data of another connection was never asked about: it stands and falls with that one.
    """
    first = entry.original if entry.master is None else entry.master
    target = entry.reply.source if entry.master is None else first.destination
    ways = _interfaces(first.source, target, around)
    if ways is None:
        return None
    port = entry.reply.source_port if entry.master is None else first.destination_port
    return _way(first, target, port, entry.icmp if entry.master is None else None, ways)


def _way(first: FiveTuple, target: bytes, port: int | None, icmp: tuple[int, int] | None, ways: tuple[str, str]) -> Way:
    return Way(
        first.source,
        target,
        first.destination,
        first.protocol,
        # Behind any IP header there are bytes where ports would be; rules that compare them compare the protocol, too.
        first.source_port or 0,
        port or 0,
        first.destination_port or 0,
        icmp,
        *ways,
    )


def _interfaces(source: bytes, target: bytes, around: Surroundings) -> tuple[str, str] | None:
    """By which interface it comes in and by which it leaves; "" is the host itself."""
    sender, receiver = around.workloads.get(source), around.workloads.get(target)
    if sender is None and receiver is None and not around.has_hosts:
        return None
    is_to_host = receiver is None and (_is_own(target, around) or _is_for_many(target))
    if sender is None and _is_own(source, around):
        return "", LOOPBACK if is_to_host else receiver or around.routes(target)
    return sender or around.routes(source), "" if is_to_host else receiver or around.routes(target)


def _is_own(packed: bytes, around: Surroundings) -> bool:
    """Beside the addresses of interfaces a host has all that its routes call local, such as 127.0.0.0/8."""
    return packed in around.own or (around.has_hosts and around.routes(packed) == LOOPBACK)


def _is_for_many(packed: bytes) -> bool:
    """Multicast and the limited broadcast are delivered here: no host forwards them without a daemon for it."""
    return packed == b"\xff\xff\xff\xff" or (packed[0] >> 4 == 0xE if len(packed) == 4 else packed[0] == 0xFF)


def spoken(way: Way) -> str:
    """The way for people: `10.0.1.2:41234 -> 192.0.2.1:443 protocol 6`."""
    return f"{_party(way.source, way.source_port)} -> {_party(way.destination, way.destination_port)}"


def _party(packed: bytes, port: int) -> str:
    address: IPAddress = ip_address(packed)
    if not port:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
