"""WireGuard in the kernel, by generic netlink. Blocks for as long as the kernel works.

    with KernelWireGuard() as kernel:
        kernel.read("wireguard.cali")

Devices are those of the network namespace in which it was opened.
"""

import errno
from types import TracebackType
from typing import Self, final

from netlink import message
from netlink.message import NetlinkDecodeError
from netlink.transport import NetlinkSocket
from wg import netlink_messages as words
from wg.changes import DeviceChange
from wg.errors import WireGuardError
from wg.model import DeviceState

_NETLINK_GENERIC = 16
_ACKNOWLEDGED = message.NLM_F_REQUEST | message.NLM_F_ACK


@final
class KernelWireGuard:
    """A `WireGuard` whose devices are the kernel's."""

    def __init__(self) -> None:
        """Opens the socket.

        Raises:
            WireGuardError: ENOENT, this kernel has no WireGuard, or loads no modules.
        """
        try:
            self._netlink = NetlinkSocket(_NETLINK_GENERIC, receive_buffer_bytes=1 << 20)
        except OSError as error:
            raise WireGuardError("open", words.FAMILY_NAME, error.errno or 0) from error
        try:
            self._family = self._resolve()
        except OSError as error:
            self._netlink.close()
            raise WireGuardError("find", words.FAMILY_NAME, error.errno or 0) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the socket. Safe to call twice."""
        self._netlink.close()

    def read(self, name: str) -> DeviceState:
        """See `WireGuard.read`."""
        sequence = self._netlink.next_sequence()
        flags = message.NLM_F_REQUEST | message.NLM_F_DUMP
        request = message.message(self._family, flags, sequence, words.get_request(name))
        try:
            # Copied: the parts must outlive the buffer they came in.
            payloads = [memoryview(bytes(reply.payload)) for reply in self._netlink.dump(request, sequence)]
            return words.read_device(name, payloads)
        except NetlinkDecodeError as error:
            raise WireGuardError("read", name, errno.EBADMSG) from error
        except OSError as error:
            raise WireGuardError("read", name, error.errno or 0) from error

    def change(self, change: DeviceChange) -> None:
        """See `WireGuard.change`. One message, or a few where there are hundreds of peers."""
        try:
            for payload in words.set_requests(change):
                sequence = self._netlink.next_sequence()
                self._netlink.request(message.message(self._family, _ACKNOWLEDGED, sequence, payload), sequence)
        except OSError as error:
            raise WireGuardError("change", change.name, error.errno or 0) from error

    def _resolve(self) -> int:
        sequence = self._netlink.next_sequence()
        request = message.message(words.CONTROLLER, _ACKNOWLEDGED, sequence, words.family_request())
        found = [words.family_number(reply.payload) for reply in self._netlink.dump(request, sequence)]
        number = next(filter(None, found), None)
        if number is None:
            raise OSError(errno.ENOENT, "no such family")
        return number
