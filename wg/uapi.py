"""The text that a userspace WireGuard speaks on its socket, both ways (https://www.wireguard.com/xplatform/). Pure.

set=1                                   get=1
private_key=<hex>
public_key=<hex>     a peer begins      private_key=<hex>
endpoint=[fd00::1]:51820                listen_port=51820
allowed_ip=10.0.0.0/26                  public_key=<hex> ...
                     an empty line ends both; then the answer:
errno=0                                 errno=0
"""

import errno
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from reconcile.instant import WallInstant
from wg.changes import DeviceChange, PeerChange
from wg.errors import KeyDecodeError, WireGuardError
from wg.keys import KEY_BYTES, PrivateKey, PublicKey
from wg.model import DeviceState, Endpoint, IPNetwork, Peer, PeerState

GET = b"get=1\n\n"
_NO_KEY = "0" * (2 * KEY_BYTES)


def set_request(change: DeviceChange) -> bytearray:
    """The request that makes the change. It may hold the private key: whoever sends it zeroes it afterwards."""
    request = bytearray(b"set=1\n")
    if change.private_key is not None:
        request += b"private_key=" + change.private_key.reveal().hex().encode() + b"\n"
    if change.listen_port is not None:
        request += f"listen_port={change.listen_port}\n".encode()
    if change.fwmark is not None:
        request += f"fwmark={change.fwmark}\n".encode()
    for peer in change.peers:
        request += "".join(f"{line}\n" for line in _peer_lines(peer)).encode()
    request += b"\n"
    return request


def _peer_lines(peer: PeerChange) -> Iterator[str]:
    yield f"public_key={peer.public_key.raw.hex()}"
    if peer.removes:
        yield "remove=true"
        return
    if not peer.is_new:
        yield "update_only=true"
    if peer.clears_preshared_key:
        yield f"preshared_key={_NO_KEY}"
    if peer.endpoint is not None:
        yield f"endpoint={peer.endpoint}"
    if peer.keepalive_seconds is not None:
        yield f"persistent_keepalive_interval={peer.keepalive_seconds}"
    if peer.replaces_allowed_ips:
        yield "replace_allowed_ips=true"
    for network in peer.allowed_ips:
        yield f"allowed_ip={network}"


def set_answer(text: str) -> int:
    """The errno of the answer to a change, 0 if it was made.

    Raises:
        ValueError: it is no answer.
    """
    pairs = dict(_pairs(text))
    return abs(int(pairs["errno"])) if "errno" in pairs else errno.EBADMSG


def get_answer(name: str, text: str) -> DeviceState:
    """The device in an answer to `GET`. Keys it does not know are passed over: the protocol may grow.

    Raises:
        WireGuardError: it says an errno, or makes no sense.
    """
    try:
        reading = _Reading(name)
        for key, value in _pairs(text):
            reading.take(key, value)
        code, state = reading.errno, reading.state()
    except (ValueError, KeyDecodeError) as error:
        raise WireGuardError("read", name, errno.EBADMSG) from error
    if code:
        raise WireGuardError("read", name, code)
    return state


@dataclass(slots=True)
class _PeerReading:
    key: PublicKey
    endpoint: Endpoint | None = None
    keepalive_seconds: int = 0
    has_preshared_key: bool = False
    handshake_seconds: int = 0
    handshake_nanoseconds: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    allowed_ips: set[IPNetwork] = field(default_factory=set)

    def take(self, key: str, value: str) -> None:
        setter = _PEER_FIELDS.get(key)
        if setter is not None:
            setter(self, value)

    def state(self) -> PeerState:
        seconds = self.handshake_seconds + self.handshake_nanoseconds / 1e9
        return PeerState(
            peer=Peer(
                public_key=self.key,
                endpoint=self.endpoint,
                allowed_ips=frozenset(self.allowed_ips),
                keepalive_seconds=self.keepalive_seconds,
            ),
            has_preshared_key=self.has_preshared_key,
            last_handshake_at=WallInstant(seconds) if seconds else None,
            received_bytes=self.received_bytes,
            sent_bytes=self.sent_bytes,
        )


def _number(name: str) -> Callable[[_PeerReading, str], None]:
    return lambda peer, value: setattr(peer, name, int(value))


def _take_endpoint(peer: _PeerReading, value: str) -> None:
    address, _, port = value.rpartition(":")
    # A zone (%eth0) follows a link-local address; it says nothing to other nodes.
    peer.endpoint = Endpoint(ip_address(address.strip("[]").partition("%")[0]), int(port))


_PEER_FIELDS: dict[str, Callable[[_PeerReading, str], None]] = {
    "endpoint": _take_endpoint,
    "persistent_keepalive_interval": _number("keepalive_seconds"),
    "last_handshake_time_sec": _number("handshake_seconds"),
    "last_handshake_time_nsec": _number("handshake_nanoseconds"),
    "rx_bytes": _number("received_bytes"),
    "tx_bytes": _number("sent_bytes"),
    "allowed_ip": lambda peer, value: peer.allowed_ips.add(ip_network(value)),
    "preshared_key": lambda peer, value: setattr(peer, "has_preshared_key", value != _NO_KEY),
}


class _Reading:
    """Takes an answer line by line."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._public_key: PublicKey | None = None
        self._listen_port = 0
        self._fwmark = 0
        self._peers: list[_PeerReading] = []
        self.errno = errno.EBADMSG
        """Of the answer; one that does not say is cut off."""

    def take(self, key: str, value: str) -> None:
        if key == "errno":
            self.errno = abs(int(value))
        elif key == "public_key":
            self._peers.append(_PeerReading(PublicKey(bytes.fromhex(value))))
        elif self._peers:
            self._peers[-1].take(key, value)
        elif key == "private_key" and value != _NO_KEY:
            key_read = PrivateKey(bytes.fromhex(value))
            self._public_key = key_read.public
            key_read.wipe()
        elif key == "listen_port":
            self._listen_port = int(value)
        elif key == "fwmark":
            self._fwmark = int(value)

    def state(self) -> DeviceState:
        return DeviceState(
            name=self._name,
            public_key=self._public_key,
            listen_port=self._listen_port,
            fwmark=self._fwmark,
            peers={peer.key: peer.state() for peer in self._peers},
        )


def _pairs(text: str) -> Iterable[tuple[str, str]]:
    for line in text.split("\n"):
        if line:
            key, equals, value = line.partition("=")
            if not equals:
                raise ValueError("cannot read a line without '='")
            yield key, value
