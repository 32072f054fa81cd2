"""The kernel's own words for WireGuard devices: generic netlink (linux/wireguard.h). Pure.

    | command u8 | version u8 | 0 u16 | IFNAME | PRIVATE_KEY | ... | PEERS [ [KEY FLAGS ... ALLOWEDIPS [..]] .. ]

A nested attribute holds at most 64 KiB, so a change of many peers becomes several messages, in its order, and a peer
with thousands of networks is continued in the next. A listing comes in several parts as well, and is merged.
"""

import errno
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address, ip_network
from itertools import islice

from netlink import message
from reconcile.instant import WallInstant
from wg.changes import DeviceChange, PeerChange
from wg.errors import WireGuardError
from wg.keys import KEY_BYTES, PublicKey
from wg.model import DeviceState, Endpoint, IPAddress, IPNetwork, Peer, PeerState

FAMILY_NAME = "wireguard"
CONTROLLER = 0x10
"""GENL_ID_CTRL (linux/genetlink.h)."""
_GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 3, 1, 2
_GET_DEVICE, _SET_DEVICE, _VERSION = 0, 1, 1
_GENERIC = struct.Struct("=BBH")

_IFNAME, _PRIVATE_KEY, _PUBLIC_KEY, _LISTEN_PORT, _FWMARK, _PEERS = 2, 3, 4, 6, 7, 8
_P_PUBLIC_KEY, _P_PRESHARED_KEY, _P_FLAGS, _P_ENDPOINT, _P_KEEPALIVE = 1, 2, 3, 4, 5
_P_HANDSHAKE, _P_RECEIVED, _P_SENT, _P_ALLOWED_IPS = 6, 7, 8, 9
_REMOVE_ME, _REPLACE_ALLOWED_IPS, _UPDATE_ONLY = 1, 2, 4
_A_FAMILY, _A_ADDRESS, _A_LENGTH = 1, 2, 3

_INET, _INET6 = 2, 10
_TIMESPEC = struct.Struct("=qq")
_IPV6_ENDPOINT = struct.Struct("=H2s4s16sI")
"""struct sockaddr_in6: family, port in network order, flow, address, scope."""
_NETWORKS_IN_A_PIECE = 500
"""Of a peer in one message: 20 KB at most."""
_PEERS_BYTES = 48 * 1024
"""Of the peers in one message; with the largest piece on top it stays below the 64 KiB of a nested attribute."""


def family_request() -> bytes:
    """What asks the controller for the number of the family; a kernel that can load the module does so for it."""
    return _GENERIC.pack(_GET_FAMILY, 1, 0) + message.text(_FAMILY_NAME, FAMILY_NAME)


def family_number(payload: memoryview) -> int | None:
    """The number in the controller's answer."""
    found = dict(message.attributes(payload[_GENERIC.size :]))
    return struct.unpack("=H", found[_FAMILY_ID])[0] if _FAMILY_ID in found else None


def get_request(name: str) -> bytes:
    """What asks for a device, as a dump."""
    return _GENERIC.pack(_GET_DEVICE, _VERSION, 0) + message.text(_IFNAME, name)


def set_requests(change: DeviceChange) -> Iterator[bytes]:
    """The payloads that make the change, to be sent in this order."""
    head = _GENERIC.pack(_SET_DEVICE, _VERSION, 0) + message.text(_IFNAME, change.name)
    first = head
    if change.private_key is not None:
        first += message.attribute(_PRIVATE_KEY, change.private_key.reveal())
    if change.listen_port is not None:
        first += message.attribute(_LISTEN_PORT, struct.pack("=H", change.listen_port))
    if change.fwmark is not None:
        first += _u32(_FWMARK, change.fwmark)
    pieces: list[bytes] = []
    for piece in _pieces(change.peers):
        pieces.append(piece)
        if sum(map(len, pieces)) >= _PEERS_BYTES:
            yield first + message.nested(_PEERS, *pieces)
            first, pieces = head, []
    if pieces or first is not head:
        yield first + (message.nested(_PEERS, *pieces) if pieces else b"")


def _pieces(peers: Iterable[PeerChange]) -> Iterator[bytes]:
    for peer in peers:
        rest = iter(peer.allowed_ips)
        yield _peer(peer, tuple(islice(rest, _NETWORKS_IN_A_PIECE)))
        while networks := tuple(islice(rest, _NETWORKS_IN_A_PIECE)):
            yield _peer(PeerChange(public_key=peer.public_key), networks)


def _peer(peer: PeerChange, networks: Sequence[IPNetwork]) -> bytes:
    flags = _REMOVE_ME if peer.removes else 0 if peer.is_new else _UPDATE_ONLY
    if peer.replaces_allowed_ips:
        flags |= _REPLACE_ALLOWED_IPS
    parts = [message.attribute(_P_PUBLIC_KEY, peer.public_key.raw), _u32(_P_FLAGS, flags)]
    if not peer.removes:
        if peer.clears_preshared_key:
            parts.append(message.attribute(_P_PRESHARED_KEY, bytes(KEY_BYTES)))
        if peer.endpoint is not None:
            parts.append(message.attribute(_P_ENDPOINT, _sockaddr(peer.endpoint)))
        if peer.keepalive_seconds is not None:
            parts.append(message.attribute(_P_KEEPALIVE, struct.pack("=H", peer.keepalive_seconds)))
        if networks:
            parts.append(message.nested(_P_ALLOWED_IPS, *map(_allowed_ip, networks)))
    return message.nested(0, *parts)


def _allowed_ip(network: IPNetwork) -> bytes:
    return message.nested(
        0,
        message.attribute(_A_FAMILY, struct.pack("=H", _INET if network.version == 4 else _INET6)),
        message.attribute(_A_ADDRESS, network.network_address.packed),
        message.u8(_A_LENGTH, network.prefixlen),
    )


def _sockaddr(endpoint: Endpoint) -> bytes:
    port = endpoint.port.to_bytes(2, "big")
    if isinstance(endpoint.address, IPv4Address):
        return struct.pack("=H", _INET) + port + endpoint.address.packed + bytes(8)
    return _IPV6_ENDPOINT.pack(_INET6, port, bytes(4), endpoint.address.packed, 0)


def _u32(kind: int, value: int) -> bytes:
    return message.attribute(kind, struct.pack("=I", value))


# --- reading ---


@dataclass(frozen=True, slots=True)
class _Part:
    """What one message of a listing says."""

    state: DeviceState
    peers: tuple[PeerState, ...]


def read_device(name: str, payloads: Iterable[memoryview]) -> DeviceState:
    """The device in the parts of a listing. A peer that is continued says its networks alone.

    Raises:
        WireGuardError: EBADMSG, what the kernel sent makes no sense; ENODEV, it sent nothing.
    """
    try:
        parts = [_part(name, payload) for payload in payloads]
    except (ValueError, struct.error) as error:
        raise WireGuardError("read", name, errno.EBADMSG) from error
    if not parts:
        raise WireGuardError("read", name, errno.ENODEV)
    peers: dict[PublicKey, PeerState] = {}
    for part in parts:
        for peer in part.peers:
            key = peer.peer.public_key
            known = peers.get(key)
            peers[key] = peer if known is None else _continued(known, peer)
    return replace(parts[0].state, peers=peers)


def _continued(known: PeerState, more: PeerState) -> PeerState:
    return replace(known, peer=replace(known.peer, allowed_ips=known.peer.allowed_ips | more.peer.allowed_ips))


def _part(name: str, payload: memoryview) -> _Part:
    found = dict(message.attributes(payload[_GENERIC.size :]))
    key = bytes(found.get(_PUBLIC_KEY, b""))
    state = DeviceState(
        name=name,
        public_key=PublicKey(key) if any(key) else None,
        listen_port=_int(found.get(_LISTEN_PORT)),
        fwmark=_int(found.get(_FWMARK)),
    )
    peers = message.attributes(found[_PEERS]) if _PEERS in found else ()
    return _Part(state, tuple(_read_peer(peer) for _, peer in peers))


def _read_peer(data: memoryview) -> PeerState:
    found = dict(message.attributes(data))
    networks = message.attributes(found[_P_ALLOWED_IPS]) if _P_ALLOWED_IPS in found else ()
    return PeerState(
        peer=Peer(
            public_key=PublicKey(bytes(found.get(_P_PUBLIC_KEY, b""))),
            endpoint=_read_sockaddr(bytes(found[_P_ENDPOINT])) if _P_ENDPOINT in found else None,
            allowed_ips=frozenset(_read_allowed_ip(network) for _, network in networks),
            keepalive_seconds=_int(found.get(_P_KEEPALIVE)),
        ),
        has_preshared_key=any(found.get(_P_PRESHARED_KEY, b"")),
        last_handshake_at=_read_time(found.get(_P_HANDSHAKE)),
        received_bytes=_int(found.get(_P_RECEIVED)),
        sent_bytes=_int(found.get(_P_SENT)),
    )


def _read_allowed_ip(data: memoryview) -> IPNetwork:
    found = dict(message.attributes(data))
    address: IPAddress = ip_address(bytes(found.get(_A_ADDRESS, b"")))
    return ip_network((address, _int(found.get(_A_LENGTH))))


def _read_sockaddr(data: bytes) -> Endpoint | None:
    port = int.from_bytes(data[2:4], "big")
    address = ip_address(data[4:8] if struct.unpack_from("=H", data)[0] == _INET else data[8:24])
    return Endpoint(address, port) if port else None


def _read_time(data: memoryview | None) -> WallInstant | None:
    seconds, nanoseconds = _TIMESPEC.unpack_from(data) if data is not None else (0, 0)
    return WallInstant(seconds + nanoseconds / 1e9) if seconds else None


def _int(data: memoryview | None) -> int:
    """A number in the machine's order, of any width; 0 where there is none."""
    return 0 if data is None else int.from_bytes(data, "little" if struct.pack("=H", 1)[0] else "big")
