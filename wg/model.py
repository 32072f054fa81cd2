"""WireGuard's devices and peers as values, in the words of wg(8). Pure.

A `Device` is what is wanted, a `DeviceState` what a kernel or a wireguard-go says there is. AllowedIPs are a routing
table inside the device: a packet out goes to the peer with the longest match, a packet in must come from there. One
prefix belongs to one peer, and whoever claims it last has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from reconcile.instant import WallInstant
from wg.keys import PrivateKey, PublicKey

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

MAX_NAME_BYTES = 15
"""linux/if.h: IFNAMSIZ with its NUL."""
MAX_KEEPALIVE_SECONDS = 65535
MAX_FWMARK = 0xFFFFFFFF
SESSION_SECONDS = 180.0
"""REJECT_AFTER_TIME (WireGuard whitepaper 6.1): with a handshake older than this nothing more is sent or taken."""
IDLE_HANDSHAKE_SECONDS = 135.0
"""REKEY_AFTER_TIME and REKEY_TIMEOUT, with room: a peer that is spoken to shakes hands at least so often."""


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """Where a peer's UDP is sent to."""

    address: IPAddress
    port: int

    def __post_init__(self) -> None:
        if not 0 < self.port < 1 << 16:
            raise ValueError(f"cannot send to port {self.port}: it is not 1 to 65535")

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another node, as it is wanted."""

    public_key: PublicKey
    endpoint: Endpoint | None = None
    """None: it will speak first."""
    allowed_ips: frozenset[IPNetwork] = frozenset()
    """What is behind it."""
    keepalive_seconds: int = 0
    """Between empty packets that keep NAT open; 0 is none."""

    def __post_init__(self) -> None:
        if not 0 <= self.keepalive_seconds <= MAX_KEEPALIVE_SECONDS:
            raise ValueError(f"cannot keep alive every {self.keepalive_seconds} s: it is not 0 to 65535")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device as it is wanted. No prefix belongs to two peers, and none of them is the device itself."""

    name: str
    private_key: PrivateKey
    listen_port: int
    fwmark: int = 0
    """On the tunnel's own packets, so that rules can tell them; 0 is none."""
    peers: Mapping[PublicKey, Peer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.fwmark <= MAX_FWMARK:
            raise ValueError(f"cannot mark with {self.fwmark}: it is not a 32-bit number")
        owners: dict[IPNetwork, PublicKey] = {}
        for key, peer in self.peers.items():
            if key != peer.public_key or key == self.private_key.public:
                raise ValueError(f"cannot have the peer {key}: it is named for another key, or is the device itself")
            for network in peer.allowed_ips:
                if owners.setdefault(network, key) != key:
                    raise ValueError(f"cannot give {network} to two peers: {owners[network]} and {key}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerState:
    """A peer as it is."""

    peer: Peer
    has_preshared_key: bool = False
    """Somebody set one; we never do, and with it no handshake of ours succeeds."""
    last_handshake_at: WallInstant | None = None
    received_bytes: int = 0
    sent_bytes: int = 0

    def has_session(self, wall: WallInstant) -> bool:
        """Whether packets can go to it now without a new handshake: where it is reached is right, then."""
        return self.last_handshake_at is not None and wall - self.last_handshake_at < SESSION_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """A device as it is; its private key stays where it is."""

    name: str
    public_key: PublicKey | None = None
    """None: it has no key yet, and can do nothing."""
    listen_port: int = 0
    fwmark: int = 0
    peers: Mapping[PublicKey, PeerState] = field(default_factory=dict)
