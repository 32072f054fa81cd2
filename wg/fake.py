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
from wg.changes import DeviceChange
from wg.errors import WireGuardError
from wg.keys import PublicKey
from wg.model import DeviceState, Endpoint
from wg.outcome import changed


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
