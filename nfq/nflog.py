"""NFLOG: copies of packets, for telemetry and for queries that explain answers.

Logging holds nothing up, and the kernel drops copies when the reader is slow. Every copy has a number, so losses are
counted, never hidden.
"""

import errno
import socket
import struct
from dataclasses import dataclass
from typing import Final, Protocol, final

from netlink.message import NetlinkDecodeError
from netlink.transport import NETLINK_NO_ENOBUFS, SOL_NETLINK, NetlinkSocket
from nfq import log_messages
from nfq.counters import LogCounters
from nfq.errors import QueueLostError, QueueRefusedError
from nfq.log_messages import LoggedPacket, LogReader
from nfq.raw import RECEIVE_BYTES, UNKNOWN, await_acknowledgement

_SEQUENCE_MASK: Final = 0xFFFFFFFF
_SO_MEMINFO: Final = 55
"""asm-generic/socket.h; Python has no name for it."""
_MEMORY: Final = struct.Struct("=9I")

LOG_LIMIT: Final = 256
"""Copies a reader takes at most before its caller turns to other work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How a log group is read."""

    group: int
    """0 to 65535; one reader in the network namespace at a time."""
    copy_bytes: int = 0xFFFF
    """How much of each packet is copied; the rule's own `snaplen` may cut it further."""
    threshold: int = 1
    """Copies the kernel gathers before it wakes the reader. 1 where the order against other sockets matters: a query
    must be read before its answer is judged. 32 halves the cost where it does not."""
    flush_seconds: float = 0.01
    """How long the kernel waits for the threshold; whole hundredths."""
    receive_buffer_bytes: int = 16 << 20
    """Socket buffer. A copy takes at least a page of it, so the kernel's default of 208 KiB holds about 50."""


class PacketLog(Protocol):
    """A bound log group; `nfq.fake` has one without a kernel."""

    @property
    def counters(self) -> LogCounters:
        """Live counters, shared with whoever gave them to the log."""

    def fileno(self) -> int:
        """Readable when copies wait; for a selector."""

    def receive(self, limit: int = LOG_LIMIT) -> list[LoggedPacket]:
        """The copies that wait, perhaps none; does not block.

        A datagram is taken whole, so there may be up to a threshold's worth more than `limit`.

        Raises:
            QueueLostError: the socket is dead.
        """

    def undelivered(self) -> int:
        """Messages that found the socket's buffer full until now, by all bindings; asks the kernel."""

    def close(self) -> None:
        """Unbinds. Safe to call twice."""


@final
class RawLog:
    """A bound log group and its socket."""

    def __init__(self, settings: LogSettings, counters: LogCounters | None = None, adopted: int | None = None) -> None:
        """Binds the group, or goes on with a descriptor that is bound to it: with its settings, then.

        Raises:
            QueueRefusedError: the kernel refused, EPERM or EBUSY where the group has a reader already; the socket is
                closed.
        """
        self._settings = settings
        self._counters = counters if counters is not None else LogCounters()
        self._reader = LogReader()
        self._next_sequence = 0
        self._dropped = 0
        self._early: list[bytes] = []
        """Copies that came while the acknowledgement of the set-up was awaited."""
        operation = f"bind log group {settings.group}"
        try:
            self._netlink = NetlinkSocket(receive_buffer_bytes=settings.receive_buffer_bytes, adopted=adopted)
        except OSError as error:
            raise QueueRefusedError(operation, error.errno or errno.ETIMEDOUT) from error
        try:
            if adopted is None:
                self._set_up()
            else:
                self._next_sequence = UNKNOWN
        except OSError as error:
            self._netlink.close()
            raise QueueRefusedError(operation, error.errno or errno.ETIMEDOUT) from error
        self._socket = self._netlink.raw
        self._dropped = self._drops()

    @property
    def counters(self) -> LogCounters:
        """Live counters."""
        return self._counters

    def fileno(self) -> int:
        """The socket's descriptor; -1 when it is closed."""
        return self._socket.fileno()

    def receive(self, limit: int = LOG_LIMIT) -> list[LoggedPacket]:
        """The copies that wait. `PacketLog` has the contract.

        Raises:
            QueueLostError: the socket is dead.
        """
        packets: list[LoggedPacket] = []
        early, self._early = self._early, []
        for data in early:
            self._read(packets, data)
        receive = self._socket.recv
        while len(packets) < limit:
            try:
                self._read(packets, receive(RECEIVE_BYTES, socket.MSG_DONTWAIT))
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise QueueLostError(f"cannot read log group {self._settings.group}: {error}") from error
                self._counters.overruns += 1
        return packets

    def undelivered(self) -> int:
        """Messages that found the socket's buffer full until now, by all bindings; asks the kernel."""
        dropped = self._drops()
        self._counters.undelivered += dropped - self._dropped & _SEQUENCE_MASK
        self._dropped = dropped
        return self._counters.undelivered

    def close(self) -> None:
        """Unbinds. Safe to call twice."""
        self._netlink.close()

    def _drops(self) -> int:
        # Numbers by position (linux/sock_diag.h: SK_MEMINFO_DROPS is the ninth); kernel: netlink_overrun counts there.
        try:
            return int(_MEMORY.unpack(self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMORY.size))[8])
        except OSError:
            return self._dropped

    def _set_up(self) -> None:
        sock = self._netlink.raw
        sock.setsockopt(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)
        settings, sequence = self._settings, self._netlink.next_sequence()
        sock.send(
            log_messages.bind(settings.group, settings.copy_bytes, settings.threshold, settings.flush_seconds, sequence)
        )
        self._early = await_acknowledgement(sock)

    def _read(self, packets: list[LoggedPacket], data: bytes) -> None:
        counters = self._counters
        try:
            for packet in self._reader.read(data):
                packets.append(packet)
                counters.received += 1
                if packet.sequence is not None:
                    if self._next_sequence == UNKNOWN:
                        self._next_sequence = packet.sequence
                    counters.lost += (packet.sequence - self._next_sequence) & _SEQUENCE_MASK
                    self._next_sequence = packet.sequence + 1 & _SEQUENCE_MASK
        except NetlinkDecodeError:
            counters.malformed += 1
