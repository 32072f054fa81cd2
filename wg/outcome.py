"""What a change makes of a device: as the kernel and wireguard-go do it, without asking them. Pure."""

from dataclasses import replace

from wg.changes import DeviceChange, PeerChange
from wg.keys import PublicKey
from wg.model import DeviceState, Peer, PeerState


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
