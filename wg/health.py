"""Peers that do not answer. Pure."""

from reconcile.instant import WallInstant
from wg.keys import PublicKey
from wg.model import DeviceState


def overdue(before: DeviceState | None, state: DeviceState, wall: WallInstant) -> tuple[PublicKey, ...]:
    """Peers that were sent something between two looks and have no session: handshakes go out, none comes back.

    A peer that nobody has anything to say to has no session either, and misses nothing.
    """
    if before is None:
        return ()
    return tuple(
        key
        for key, peer in state.peers.items()
        if key in before.peers and peer.sent_bytes > before.peers[key].sent_bytes and not peer.has_session(wall)
    )
