"""Copies of the packets of one interface: a packet socket with the kernel's filter. Shell.

Costs nothing on other interfaces, and on its own only for packets that the filter wants. What the reader is too slow
for is dropped by the kernel and counted.
"""

import ctypes
import socket
import struct
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Final, Self, final

from tidegate.capture import pcap
from tidegate.capture.pcap import CapturedPacket
from tidegate.capture.program import SNAPLEN_BYTES, Wanted, compiled

BUFFER_BYTES: Final = 8 << 20
"""Of the socket: about a thousand packets of full size, or ten thousand small ones, between two reads."""
_BATCH: Final = 256
"""Packets read of one interface before the others have their turn."""

_ALL_PROTOCOLS, _ETHERNET_HARDWARE, _LOOPBACK_HARDWARE = 3, 1, 772
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 26, 33, 35
_SOL_PACKET, _STATISTICS, _AUXILIARY = 263, 6, 8
_VLAN_VALID, _VLAN_PROTOCOL_VALID = 0x10, 0x40
_VLAN = 0x8100
_INSTRUCTION_BYTES = 8
_TIME = struct.Struct("=qq")
_AUXILIARY_DATA = struct.Struct("=IIIHHHH")
"""struct tpacket_auxdata: status, length, captured, offsets of link and network, VLAN tag and its protocol."""
_CONTROL_BYTES = socket.CMSG_SPACE(_TIME.size) + socket.CMSG_SPACE(_AUXILIARY_DATA.size)


class TapError(Exception):
    """An interface cannot be listened to (any more); the message says which and why."""


@final
class Tap:
    """One interface's packets. Close it, or use `with`."""

    def __init__(self, interface: str, wanted: Sequence[Wanted] = ()) -> None:
        """Opens it; from here on the kernel keeps copies.

        Raises:
            TapError: there is no such interface, or not for us.
        """
        self.interface = interface
        self.dropped = 0
        """Copies that there was no room for, as of the latest `count_dropped`."""
        self._buffer = bytearray(SNAPLEN_BYTES)
        try:
            # Without a protocol the socket is deaf: nothing comes before the filter is in place.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        except OSError as error:
            raise TapError(f"cannot capture on {interface}: {error.strerror}") from error
        try:
            self._set_up(interface, compiled(wanted))
        except OSError as error:
            self._socket.close()
            raise TapError(f"cannot capture on {interface}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def link_type(self) -> int:
        """What a packet begins with, as files say it."""
        hardware = self._socket.getsockname()[3]
        return pcap.ETHERNET if hardware in (_ETHERNET_HARDWARE, _LOOPBACK_HARDWARE) else pcap.RAW_IP

    def fileno(self) -> int:
        """Readable when packets wait."""
        return self._socket.fileno()

    def packets(self) -> Iterator[CapturedPacket]:
        """What waits, up to a batch; does not block.

        Raises:
            TapError: the interface is gone, or down.
        """
        for _ in range(_BATCH):
            try:
                size, control, _, _ = self._socket.recvmsg_into([self._buffer], _CONTROL_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                raise TapError(f"cannot capture on {self.interface}: {error.strerror}") from error
            yield _packet(bytes(memoryview(self._buffer)[:size]), control)

    def count_dropped(self) -> int:
        """Copies lost so far. The kernel begins anew at each question, so the sum is kept here."""
        _, dropped = struct.unpack("=II", self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 8))
        self.dropped += dropped
        return self.dropped

    def close(self) -> None:
        """Ends it. Safe to call twice."""
        self._socket.close()

    def _set_up(self, interface: str, program: bytes) -> None:
        options = ((socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER_BYTES), (socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1))
        for level, option, value in (*options, (_SOL_PACKET, _AUXILIARY, 1)):
            self._socket.setsockopt(level, option, value)
        if program:
            # struct sock_fprog: how many instructions, and where they are.
            instructions = ctypes.create_string_buffer(program, len(program))
            count, place = len(program) // _INSTRUCTION_BYTES, ctypes.addressof(instructions)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", count, place))
        self._socket.bind((interface, _ALL_PROTOCOLS))


def _packet(data: bytes, control: Sequence[tuple[int, int, bytes]]) -> CapturedPacket:
    found = CapturedPacket(0, 0, len(data), data)
    tag, status, protocol = 0, 0, 0
    for level, kind, value in control:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIME.unpack(value)
            found = found._replace(seconds=seconds, nanoseconds=nanoseconds)
        elif (level, kind) == (_SOL_PACKET, _AUXILIARY):
            status, length, _, _, _, tag, protocol = _AUXILIARY_DATA.unpack(value)
            found = found._replace(length_bytes=length)
    if status & _VLAN_VALID:
        return pcap.with_vlan_tag(found, protocol if status & _VLAN_PROTOCOL_VALID else _VLAN, tag)
    return found
