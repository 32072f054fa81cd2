"""WireGuard devices in memory: they take the changes that the real ones take, and can be made to fail.

For the tests of everything above, and for examples without root.

    fake = FakeWireGuard()
    fake.add("wg0")
    fake.change(...)
    fake.hear(key, endpoint, wall)     a packet of the peer came from there: its handshake is new, and it roamed
    fake.refuse = errno.EPERM          changes fail
"""

import errno
from dataclasses import replace

from reconcile.instant import WallInstant
from wg.changes import DeviceChange, PeerChange
from wg.errors import WireGuardError
from wg.keys import PublicKey
from wg.model import DeviceState, Endpoint, Peer, PeerState


class FakeWireGuard:
    """Holds state: devices by name; a `WireGuard`."""

    def __init__(self) -> None:
        self.devices: dict[str, DeviceState] = {}
        self.changes: list[DeviceChange] = []
        """Those that were made, in order."""
        self.reads = 0
        self.refuse: int | None = None
        """An errno with which changes are refused."""

    def add(self, name: str) -> None:
        """A new device without key and peers, in the place of one that was there."""
        self.devices[name] = DeviceState(name=name)

    def read(self, name: str) -> DeviceState:
        """See `WireGuard.read`."""
        self.reads += 1
        return self._device("read", name)

    def change(self, change: DeviceChange) -> None:
        """See `WireGuard.change`."""
        state = self._device("change", change.name)
        if self.refuse is not None:
            raise WireGuardError("change", change.name, self.refuse)
        self.changes.append(change)
        self.devices[change.name] = changed(state, change)

    def hear(self, name: str, key: PublicKey, endpoint: Endpoint, wall: WallInstant) -> None:
        """The peer shook hands at that time, and was heard from there: where it is reached from now on."""
        state = self._device("reach", name)
        known = state.peers[key]
        heard = replace(known, peer=replace(known.peer, endpoint=endpoint), last_handshake_at=wall)
        self.devices[name] = replace(state, peers={**state.peers, key: heard})

    def _device(self, operation: str, name: str) -> DeviceState:
        state = self.devices.get(name)
        if state is None:
            raise WireGuardError(operation, name, errno.ENODEV)
        return state


def changed(state: DeviceState, change: DeviceChange) -> DeviceState:
    """The device after the change, as the kernel and wireguard-go make it."""
    peers = dict(state.peers)
    if change.private_key is not None:
        # Sessions were made with the old key (kernel: wg_noise_expire_current_peer_keypairs).
        peers = {key: replace(peer, last_handshake_at=None) for key, peer in peers.items()}
        peers.pop(change.private_key.public, None)
    for peer in change.peers:
        _change_peer(peers, peer)
    return replace(
        state,
        public_key=change.private_key.public if change.private_key is not None else state.public_key,
        listen_port=change.listen_port if change.listen_port is not None else state.listen_port,
        fwmark=change.fwmark if change.fwmark is not None else state.fwmark,
        peers=peers,
    )


def _change_peer(peers: dict[PublicKey, PeerState], change: PeerChange) -> None:
    key = change.public_key
    if change.removes:
        peers.pop(key, None)
        return
    state = peers.get(key)
    if state is None:
        if not change.is_new:
            return
        state = PeerState(peer=Peer(public_key=key))
    _take_from_others(peers, change)
    known = state.peer
    kept = frozenset() if change.replaces_allowed_ips else known.allowed_ips
    peer = replace(
        known,
        endpoint=change.endpoint if change.endpoint is not None else known.endpoint,
        keepalive_seconds=known.keepalive_seconds if change.keepalive_seconds is None else change.keepalive_seconds,
        allowed_ips=kept | frozenset(change.allowed_ips),
    )
    has_preshared_key = state.has_preshared_key and not change.clears_preshared_key
    peers[key] = replace(state, peer=peer, has_preshared_key=has_preshared_key)


def _take_from_others(peers: dict[PublicKey, PeerState], change: PeerChange) -> None:
    claimed = frozenset(change.allowed_ips)
    for key, other in list(peers.items()):
        if key != change.public_key and other.peer.allowed_ips & claimed:
            peer = replace(other.peer, allowed_ips=other.peer.allowed_ips - claimed)
            peers[key] = replace(other, peer=peer)
