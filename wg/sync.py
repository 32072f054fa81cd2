"""Keeps one device as it is wanted: reads it once, then sends what differs, and reads again after a failure.

sync = DeviceSync(transport)
sync.apply(wanted, wall)                    a first look, then changes against what is known
sync.apply(wanted, wall, looks=True)        what others changed in the meantime is put right
"""

from typing import final

from reconcile.instant import WallInstant
from wg.changes import DeviceChange, PeerChange, difference, kicks
from wg.errors import WireGuardError
from wg.keys import PublicKey
from wg.model import Device, DeviceState, Endpoint
from wg.outcome import changed
from wg.transport import WireGuard


@final
class DeviceSync:
    """Holds state: the device as it was read and changed, and where each peer was said to be. Blocks."""

    def __init__(self, transport: WireGuard) -> None:
        self._transport = transport
        self._known: DeviceState | None = None
        self._told: dict[PublicKey, Endpoint] = {}
        """Endpoints that were wanted last: one that is wanted anew is set, even if the peer was heard elsewhere."""

    def apply(self, wanted: Device, wall: WallInstant, *, looks: bool = False) -> DeviceChange | None:
        """Makes the device as it is wanted; the change that this took, None if it was so.

        `looks`: the device is read again first. Without it, a device that nobody else touches costs nothing.

        Raises:
            WireGuardError: it could not be read or changed; the next call reads it again.
        """
        known, self._known = self._known, None
        if known is not None and known.name != wanted.name:
            known, self._told = None, {}
        is_fresh = looks or known is None
        state = self._transport.read(wanted.name) if is_fresh or known is None else known
        change = difference(wanted, state, roaming=self._roaming(wanted, state, wall, is_fresh=is_fresh))
        if change is not None:
            # A kick that is refused leaves a keepalive behind: the next look puts it right.
            for each in (change, *kicks(change, wanted)):
                self._transport.change(each)
                state = changed(state, each)
        self._known = state
        self._told = {key: peer.endpoint for key, peer in wanted.peers.items() if peer.endpoint is not None}
        return change

    def reach_anew(self, name: str) -> None:
        """Tells the device once more where its peers are, wherever that is by now.

        A program answers from the address it was last reached at; when the node loses that one, wireguard-go (until
        2022 at least) sends nothing before the next handshake, half a minute later. Being told makes it forget.

        Raises:
            WireGuardError: it could not be read or changed.
        """
        peers = self._transport.read(name).peers.items()
        changes = tuple(PeerChange(public_key=key, endpoint=found.peer.endpoint) for key, found in peers)
        self._transport.change(DeviceChange(name=name, peers=changes))

    def forget(self) -> None:
        """The device was made anew, or another took its name: the next call reads it."""
        self._known, self._told = None, {}

    def _roaming(
        self, wanted: Device, state: DeviceState, wall: WallInstant, *, is_fresh: bool
    ) -> frozenset[PublicKey]:
        """Peers that are reached elsewhere than wanted, and shall be.

        A peer that roamed is where it was heard for as long as its session lives. When that is over it is sought
        where it should be: it may have gone back without a word.
        """
        return frozenset(
            key
            for key, peer in wanted.peers.items()
            if key in state.peers
            and self._told.get(key, peer.endpoint) == peer.endpoint
            and (not is_fresh or state.peers[key].has_session(wall))
        )


def read_or_none(transport: WireGuard, name: str) -> DeviceState | None:
    """The device for people to look at; None where it cannot be read."""
    try:
        return transport.read(name)
    except WireGuardError:
        return None
