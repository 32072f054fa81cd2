"""What a device is read and changed through: one protocol, kept by a kernel, by wireguard-go, and by a fake.

One suite of tests holds all of them to the same behaviour (`tests/wg/test_contract.py`).
"""

from typing import Protocol

from wg.changes import DeviceChange
from wg.model import DeviceState


class WireGuard(Protocol):
    """Devices of one network namespace. Blocks for as long as the kernel or the program works."""

    def read(self, name: str) -> DeviceState:
        """The device as it is.

        Raises:
            WireGuardError: ENODEV where there is none of that name.
        """

    def change(self, change: DeviceChange) -> None:
        """Makes the change, peers in its order. A refused change may have been made in part.

        Raises:
            WireGuardError: ENODEV where there is no such device, otherwise what it was refused with.
        """
