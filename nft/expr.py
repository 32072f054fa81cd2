"""What a rule is made of: typed matches and statements, as values.

They say what nft(8) says, in its words; `nft.text` writes them, `nft.simulate` runs them. A rule is a sequence: every
match must hold for the next item to be reached, and a terminal statement ends it.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network


class KeyType(StrEnum):
    """Data types of fields and set keys (nft(8), DATA TYPES)."""

    IFNAME = "ifname"
    IPV4 = "ipv4_addr"
    IPV6 = "ipv6_addr"
    PROTOCOL = "inet_proto"
    PORT = "inet_service"
    MARK = "mark"
    ICMP_TYPE = "icmp_type"
    ICMPV6_TYPE = "icmpv6_type"
    NUMBER = "integer"
    CT_STATE = "ct_state"
    CT_DIRECTION = "ct_dir"
    NFPROTO = "nf_proto"


class Field(Enum):
    """A piece of packet or metadata that can be matched or be part of a set key: (nft text, type)."""

    IIFNAME = ("meta iifname", KeyType.IFNAME)
    OIFNAME = ("meta oifname", KeyType.IFNAME)
    NFPROTO = ("meta nfproto", KeyType.NFPROTO)
    L4PROTO = ("meta l4proto", KeyType.PROTOCOL)
    MARK = ("meta mark", KeyType.MARK)
    IP_SADDR = ("ip saddr", KeyType.IPV4)
    IP_DADDR = ("ip daddr", KeyType.IPV4)
    IP6_SADDR = ("ip6 saddr", KeyType.IPV6)
    IP6_DADDR = ("ip6 daddr", KeyType.IPV6)
    SPORT = ("th sport", KeyType.PORT)
    DPORT = ("th dport", KeyType.PORT)
    ICMP_TYPE = ("icmp type", KeyType.ICMP_TYPE)
    ICMP_CODE = ("icmp code", KeyType.NUMBER)
    ICMPV6_TYPE = ("icmpv6 type", KeyType.ICMPV6_TYPE)
    ICMPV6_CODE = ("icmpv6 code", KeyType.NUMBER)
    CT_STATE = ("ct state", KeyType.CT_STATE)
    CT_DIRECTION = ("ct direction", KeyType.CT_DIRECTION)
    CT_MARK = ("ct mark", KeyType.MARK)

    @property
    def text(self) -> str:
        """How nft writes it."""
        return self.value[0]

    @property
    def type(self) -> KeyType:
        """What values it takes."""
        return self.value[1]


Value = str | int | IPv4Address | IPv6Address | IPv4Network | IPv6Network
"""An interface name, ct state, direction or family as text; numbers; addresses and networks."""


class Op(StrEnum):
    """Comparison."""

    EQ = "=="
    NE = "!="


@dataclass(frozen=True, slots=True)
class Range:
    """An inclusive range of numbers (ports)."""

    first: int
    last: int


# --- Matches -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Compare:
    """`field op value`. An interface name that ends in `*` is a prefix; ct states may be joined by commas (any of)."""

    field: Field
    op: Op
    value: Value | Range


@dataclass(frozen=True, slots=True)
class MarkBits:
    """`meta mark & mask op value`."""

    mask: int
    op: Op
    value: int


@dataclass(frozen=True, slots=True)
class ConnectionMarkBits:
    """`ct mark & mask op value`: the mark that stays with the connection, of all its packets in both directions."""

    mask: int
    op: Op
    value: int


@dataclass(frozen=True, slots=True)
class Lookup:
    """`field . field [!=] @set`."""

    fields: tuple[Field, ...]
    set_name: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class ReversePathMissing:
    """`fib saddr . mark . iif oif missing`: no route back to the source through the interface it came from."""


@dataclass(frozen=True, slots=True)
class SocketTransparent:
    """`socket transparent 1`: a transparent socket of this host has the packet's addresses and ports."""


@dataclass(frozen=True, slots=True)
class SentByHost:
    """`meta iif 0`: the packet came in nowhere, a socket of the host itself sent it."""


@dataclass(frozen=True, slots=True)
class MidStream:
    """`tcp flags & syn == 0`: TCP, and not the beginning of a connection."""


@dataclass(frozen=True, slots=True)
class FirstOfConnection:
    """`ct status & confirmed == 0`: no packet of the connection has passed this host yet.

    `ct state new` says that none came back, so it is true of every packet of a stream that nobody answers.
    """


@dataclass(frozen=True, slots=True)
class DestinationTranslated:
    """`ct status dnat`: destination NAT changed where the connection goes; `negated`, it did not."""

    negated: bool = False


# --- Statements that go on -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counter:
    """Counts packets and bytes that got this far."""


@dataclass(frozen=True, slots=True)
class SetMark:
    """Sets the bits of `mask` in the packet mark to `value`, keeping the others."""

    mask: int
    value: int


@dataclass(frozen=True, slots=True)
class SetConnectionMark:
    """Sets the bits of `mask` in the connection's mark to `value`, keeping the others; nothing without a connection."""

    mask: int
    value: int


@dataclass(frozen=True, slots=True)
class LogToKernel:
    """A line in the kernel log."""

    prefix: str
    level: str = "info"


@dataclass(frozen=True, slots=True)
class LogToGroup:
    """A copy of the packet (at most `snap_bytes`) to the NFLOG group."""

    group: int
    prefix: str = ""
    snap_bytes: int = 0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Goes on only while packets come slower than the rate; one bucket for the rule."""

    packets: int
    unit: str
    burst_packets: int
    is_over: bool = False
    """Goes on only with the packets that come faster."""


@dataclass(frozen=True, slots=True)
class ConnectionsOver:
    """`ct count over N`: goes on only with packets of connections beyond so many that are open at the same time.

    The rule counts the connections whose packets it saw, until they end; it does not see that any did before another
    packet comes (kernel: nf_conncount.c).
    """

    connections: int


BUCKET_SECONDS = 60
"""Longer than any bucket takes to fill up again."""


@dataclass(frozen=True, slots=True)
class RateLimitPer:
    """Goes on only while packets of the same key come slower than the rate: buckets in a dynamic set with timeouts.

    A bucket that no packet asked for in `BUCKET_SECONDS` goes: the next packet gets a full one, as it would have then.
    """

    set_name: str
    fields: tuple[Field, ...]
    packets: int
    unit: str
    burst_packets: int


@dataclass(frozen=True, slots=True)
class Remember:
    """`update @set { fields timeout T }`: puts the packet's key into a dynamic set, or gives it its whole time again.

    Goes on only where the key is in the set then: a full set takes no new one, and the rule ends there without a
    verdict (kernel: nft_dynset_eval, NFT_BREAK).
    """

    set_name: str
    fields: tuple[Field, ...]
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class NoTrack:
    """Keeps conntrack away from the packet (raw hooks only)."""


@dataclass(frozen=True, slots=True)
class TransparentProxy:
    """Hands packets of the protocol and family to the transparent socket that listens on the loopback address.

    Goes on if there is one; a packet that finds nobody listening goes on with the next rule (prerouting only). The
    packet's addresses stay as they are, so it must be routed to the host itself, by a mark (kernel: nft_tproxy.c).
    """

    version: int
    """4 or 6."""
    protocol: int
    port: int


# --- Terminal statements -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accept:
    """Ends this base chain; later base chains still see the packet."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Final."""


@dataclass(frozen=True, slots=True)
class Return:
    """Back to the rule after the jump (in a base chain: its policy)."""


@dataclass(frozen=True, slots=True)
class Jump:
    """Continues in the chain, and comes back."""

    chain: str


@dataclass(frozen=True, slots=True)
class Goto:
    """Continues in the chain, and comes back where this chain would have."""

    chain: str


@dataclass(frozen=True, slots=True)
class Reject:
    """Drops and tells the sender by ICMP that the port is unreachable (TCP clients take that for a refusal)."""


@dataclass(frozen=True, slots=True)
class Queue:
    """To user space through NFQUEUE `number`; with `bypass`, a queue without a listener accepts."""

    number: int
    bypass: bool = False


@dataclass(frozen=True, slots=True)
class VerdictMap:
    """`field vmap @map`: the verdict found under the key; goes on with the next rule if there is none."""

    fields: tuple[Field, ...]
    map_name: str


Match = (
    Compare
    | MarkBits
    | ConnectionMarkBits
    | Lookup
    | ReversePathMissing
    | SocketTransparent
    | SentByHost
    | MidStream
    | DestinationTranslated
    | FirstOfConnection
)
Verdict = Accept | Drop | Return | Jump | Goto
Terminal = Verdict | Reject | Queue | VerdictMap
Statement = (
    Match
    | Counter
    | SetMark
    | SetConnectionMark
    | LogToKernel
    | LogToGroup
    | RateLimit
    | ConnectionsOver
    | RateLimitPer
    | Remember
    | NoTrack
    | TransparentProxy
    | Terminal
)
