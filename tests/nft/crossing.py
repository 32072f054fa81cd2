"""The crossing that tables and packets of the simulator's tests live in: interfaces, routes, addresses, words.

tga0 10.1.0.0/24 --\\                        /-- 10.2.0.0/24 tgb0
                    >  one namespace        <
tga1 10.1.1.0/24 --/      10.3.0.1           \\-- 10.2.1.0/24 tgb1
"""

from dataclasses import replace
from ipaddress import ip_address, ip_network
from itertools import product

from nft.expr import (
    Compare,
    Counter,
    DestinationTranslated,
    Field,
    KeyType,
    Lookup,
    MarkBits,
    MidStream,
    Op,
    Range,
    ReversePathMissing,
    SentByHost,
    SetMark,
)
from nft.matching import Packet
from nft.model import Chain, Hook, Rule, Set, Table

ROUTES = {
    "tga0": ("10.1.0.0/24", "fd00:1:0::/48"),
    "tga1": ("10.1.1.0/24", "fd00:1:1::/48"),
    "tgb0": ("10.2.0.0/24", "fd00:2:0::/48"),
    "tgb1": ("10.2.1.0/24", "fd00:2:1::/48"),
}
"""Packets come from the first two interfaces, and answers from the others."""
LOCAL = {4: "10.3.0.1", 6: "fd00:3::1"}
TCP, UDP, ICMP, ICMPV6, OTHER = PROTOCOLS = (6, 17, 1, 58, 99)
SOURCES = {
    4: ("10.1.0.1", "10.1.0.2", "10.1.1.1", "10.9.9.9"),
    6: ("fd00:1:0::1", "fd00:1:0::2", "fd00:1:1::1", "fd00:9::9"),
}
"""The last ones have no route."""
DESTINATIONS = {
    4: ("10.2.0.1", "10.2.0.2", "10.2.1.1", LOCAL[4]),
    6: ("fd00:2:0::1", "fd00:2:0::2", "fd00:2:1::1", LOCAL[6]),
}
NETS = {
    4: ("10.1.0.0/31", "10.1.0.2/31", "10.1.1.0/24", "10.2.0.0/24", "10.2.1.1", "10.3.0.0/16", "10.9.0.0/16"),
    6: ("fd00:1:0::/127", "fd00:1:0::2", "fd00:1:1::/64", "fd00:2:0::/48", "fd00:2:1::/48", "fd00:3::1", "fd00:9::/32"),
}
"""None overlaps another: they may all be in one interval set."""
WIDE = {4: ("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16"), 6: ("::/0", "fd00:1::/32")}
ICMP_TYPES = {ICMP: (8, 13), ICMPV6: (128,)}
"""Requests, which conntrack takes for the beginning of something."""

# --- packets -----------------------------------------------------------------------------------------------------


def first_packet(source, destination, protocol, ports, iif):
    """The first packet of a connection. The ports of ICMP are the type and code, and a checksum, which is ours to choose."""
    source, destination = ip_address(source), ip_address(destination)
    icmp = {}
    if protocol in ICMP_TYPES:
        types = ICMP_TYPES[protocol]
        icmp = {"icmp_type": types[ports[0] % len(types)], "icmp_code": ports[0] % 3}
        ports = (icmp["icmp_type"] << 8 | icmp["icmp_code"], ports[1])
    # Conntrack makes nothing of ICMP in the other family (nf_conntrack_icmp_packet, nf_conntrack_icmpv6_packet).
    is_strange = (source.version, protocol) in ((6, ICMP), (4, ICMPV6))
    return Packet(
        source=source,
        destination=destination,
        protocol=protocol,
        source_port=ports[0],
        destination_port=ports[1],
        iif=iif,
        oif=way_to(destination) or "",
        ct_state="invalid" if is_strange else "new",
        has_reverse_path=way_to(source) == iif,
        **icmp,
    )


def way_to(address):
    """The interface that packets to an address leave through; None for our own and for those without a route."""
    nets = ((name, ip_network(net)) for name, both in ROUTES.items() for net in both)
    return next((name for name, net in nets if address in net), None)


def hooks(packet):
    """What the packet passes; locally made packets, such as ICMP errors, pass none of these."""
    return ("prerouting", "forward" if packet.oif else "input")


def can_be_answered(packet):
    return packet.protocol in (TCP, UDP) and packet.oif and way_to(packet.source)


def answer(packet):
    return replace(
        packet,
        source=packet.destination,
        destination=packet.source,
        source_port=packet.destination_port,
        destination_port=packet.source_port,
        iif=packet.oif,
        oif=way_to(packet.source),
        ct_state="established",
        ct_direction="reply",
        has_reverse_path=True,
    )


# --- words -------------------------------------------------------------------------------------------------------

STATES = ("new", "established", "invalid", "untracked", "new,untracked", "established,related", "invalid,new")
VALUES = {
    KeyType.IFNAME: tuple(ROUTES),
    KeyType.NFPROTO: ("ipv4", "ipv6"),
    KeyType.PROTOCOL: PROTOCOLS,
    KeyType.PORT: (1, 2, 3, 4),
    KeyType.MARK: (0, 1, 2, 3),
    KeyType.ICMP_TYPE: ICMP_TYPES[ICMP],
    KeyType.ICMPV6_TYPE: ICMP_TYPES[ICMPV6],
    KeyType.NUMBER: (0, 1, 2),
    KeyType.CT_STATE: STATES,
    KeyType.CT_DIRECTION: ("original", "reply"),
    KeyType.IPV4: tuple(map(ip_address, SOURCES[4] + DESTINATIONS[4])),
    KeyType.IPV6: tuple(map(ip_address, SOURCES[6] + DESTINATIONS[6])),
}
"""Single values, as elements of sets have."""
FURTHER = {
    KeyType.IFNAME: ("tga*", "tgb*", "tg*", "eth*"),
    KeyType.PORT: (Range(1, 2), Range(2, 4)),
    KeyType.IPV4: tuple(map(ip_network, (*NETS[4], *WIDE[4]))),
    KeyType.IPV6: tuple(map(ip_network, (*NETS[6], *WIDE[6]))),
}
"""What fields can be compared with beside."""
COMPARISONS = tuple(
    Compare(field, op, value)
    for field in Field
    for op in Op
    for value in (*VALUES[field.type], *FURTHER.get(field.type, ()))
)
SETS = {
    "names": (Field.IIFNAME,),
    "ports": (Field.DPORT,),
    "pairs4": (Field.IP_SADDR, Field.IP_DADDR),
    "pairs6": (Field.IP6_SADDR, Field.IP6_DADDR),
    "named-sources": (Field.IIFNAME, Field.IP_SADDR),
    "services": (Field.L4PROTO, Field.DPORT),
    "nets4": (Field.IP_DADDR,),
    "nets6": (Field.IP6_SADDR,),
    "nets-and-ports": (Field.IP_SADDR, Field.DPORT),
}
INTERVALS = {"nets4": 4, "nets6": 6, "nets-and-ports": 4}
LOOKUPS = tuple(Lookup(fields, name, negated) for name, fields in SETS.items() for negated in (False, True))
SHAPES = {
    name: Set(name=name, key=tuple(field.type for field in fields), is_interval=name in INTERVALS)
    for name, fields in SETS.items()
}


def networks(version):
    """Those of `NETS`; single addresses as such."""
    return tuple(ip_network(net) if "/" in net else ip_address(net) for net in NETS[version])


START = Chain("start", (Rule((Counter(),), "start:0"),), Hook("filter", "prerouting", -500))
"""Counts every packet first of all: whoever waits for one knows that it has come."""


QUESTIONS = (
    ReversePathMissing(),
    SentByHost(),
    MidStream(),
    DestinationTranslated(),
    DestinationTranslated(negated=True),
)
"""Matches without a field."""


# --- everything at once ------------------------------------------------------------------------------------------


def dictionary():
    """A table that asks each packet everything, at every hook, and only counts."""
    questions = (*COMPARISONS, *LOOKUPS, *(MarkBits(mask, op, 2) for mask in (2, 3) for op in Op), *QUESTIONS)
    chains = [
        Chain(
            f"{hook}-{priority + 500}",
            tuple(
                Rule((each, Counter()), f"{hook}-{priority + 500}:{number}") for number, each in enumerate(questions)
            ),
            Hook("filter", hook, priority),
        )
        for hook, priority in (("prerouting", -300), ("prerouting", -150), ("forward", 0), ("input", 0))
    ]
    marks = tuple(
        Rule((SetMark(mask, value), Counter()), f"marks:{mask}{value}") for mask, value in ((1, 1), (2, 2), (1, 0))
    )
    chains.append(Chain("marks", marks, Hook("filter", "prerouting", -100)))
    return Table(
        name="tg",
        chains={chain.name: chain for chain in (START, *chains)},
        sets=SHAPES,
        elements={
            "names": frozenset({("tga0",), ("tgb1",)}),
            "ports": frozenset({(1,), (3,)}),
            "pairs4": pairs(4),
            "pairs6": pairs(6),
            "named-sources": frozenset({("tga0", ip_address(SOURCES[4][0])), ("tga1", ip_address(SOURCES[4][3]))}),
            "services": frozenset({(TCP, 1), (UDP, 2), (ICMP, 3), (OTHER, 4)}),
            "nets4": frozenset((net,) for net in networks(4)[::2]),
            "nets6": frozenset((net,) for net in networks(6)[::2]),
            "nets-and-ports": frozenset(product(networks(4)[::2], (1, 2))),
        },
    )


def pairs(version):
    both = zip(SOURCES[version], DESTINATIONS[version], strict=True)
    return frozenset((ip_address(source), ip_address(destination)) for source, destination in both)


def all_packets():
    """One from every source to every destination by every protocol."""
    numbers = ((n % 4 + 1, n // 4 % 4 + 1) for n in range(1 << 20))
    for version in (4, 6):
        for source, destination, protocol in product(SOURCES[version], DESTINATIONS[version], PROTOCOLS):
            ports = next(numbers)
            yield first_packet(source, destination, protocol, ports, ("tga0", "tga1")[sum(ports) % 2])
