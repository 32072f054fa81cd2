"""NFQUEUE over a bare netlink socket: the reader of the hot path.

What makes it cheap: packets are drained until the socket is empty, and a batch is answered with one message. The bytes
themselves are read and built in `nfq.queue_messages`.
"""

import errno
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Final, final

from netlink import message
from netlink.message import NetlinkDecodeError
from netlink.transport import NETLINK_NO_ENOBUFS, SOL_NETLINK, NetlinkSocket
from nfq.counters import QueueCounters
from nfq.errors import QueueLostError, QueueRefusedError
from nfq.held import HeldBatch, HeldPacket, Ledger, Verdict
from nfq.queue import BATCH_LIMIT, QueueSettings
from nfq.queue_messages import PacketReader, VerdictWriter, bind, configure, refusals

RECEIVE_BYTES: Final = 0x11000
"""A whole packet of 64 KiB and its attributes. Not more: from 128 KiB on malloc maps each buffer that is kept anew,
and a recv costs 12 us instead of 1.1."""
_ID_MASK: Final = 0xFFFFFFFF
UNKNOWN: Final = -1
"""Number of the last packet of a socket that somebody else has read before."""
_ANSWER_SECONDS = 2.0
_SEND_BYTES: Final = 64 << 10
"""Verdicts sent together at most: the send buffer holds 208 KiB, more at once is EMSGSIZE."""


@final
class RawQueue:
    """A bound queue and its socket. A `PacketQueue`, and the sink of its packets' verdicts."""

    def __init__(
        self, settings: QueueSettings, counters: QueueCounters | None = None, adopted: int | None = None
    ) -> None:
        """Binds the queue, or goes on with a descriptor that is bound to it.

        Raises:
            QueueRefusedError: the kernel refused, EPERM where the number has a reader already; the socket is closed.
        """
        self._settings = settings
        self._counters = counters if counters is not None else QueueCounters()
        self._ledger = Ledger(self, settings.default, self._counters)
        self._batch = HeldBatch([], self._ledger)
        self._reader = PacketReader()
        self._writer = VerdictWriter(settings.number)
        self._early: list[bytes] = []
        """Packets that came while the acknowledgement of the set-up was awaited."""
        self._last_id = 0
        self._failure: OSError | None = None
        operation = f"bind queue {settings.number}"
        try:
            self._netlink = NetlinkSocket(receive_buffer_bytes=settings.receive_buffer_bytes, adopted=adopted)
        except OSError as error:
            raise QueueRefusedError(operation, error.errno or errno.ETIMEDOUT) from error
        try:
            self._set_up(is_bound=adopted is not None)
        except OSError as error:
            self._netlink.close()
            raise QueueRefusedError(operation, error.errno or errno.ETIMEDOUT) from error
        self._socket = self._netlink.raw

    @property
    def counters(self) -> QueueCounters:
        """Live counters."""
        return self._counters

    @property
    def port(self) -> int:
        """The socket's netlink port."""
        return self._port

    def fileno(self) -> int:
        """The socket's descriptor; -1 when it is closed."""
        return self._socket.fileno()

    def receive(self, limit: int = BATCH_LIMIT) -> HeldBatch:
        """The packets that wait, at most `limit`. `nfq.queue.PacketQueue` has the contract.

        Raises:
            QueueLostError: the socket is dead.
        """
        self._batch.close()
        packets: list[HeldPacket] = []
        batch = self._batch = HeldBatch(packets, self._ledger)
        try:
            self._drain(batch, packets, limit)
        except OSError as error:
            self._failure = error
        except BaseException:
            batch.close()
            raise
        finally:
            self._account(packets)
        if self._failure is not None:
            batch.close()
            raise QueueLostError(f"cannot read queue {self._settings.number}: {self._failure}") from self._failure
        return batch

    def give(self, single: Sequence[tuple[int, Verdict]], rest: tuple[int, Verdict] | None) -> bool:
        """Sends verdicts, for the ledger to call; False when the socket is dead."""
        write = self._writer.single
        parts = [write(packet_id, verdict) for packet_id, verdict in single]
        if rest is not None:
            parts.append(self._writer.batch(*rest))
        try:
            for data in _joined(parts):
                self._socket.send(data)
        except OSError as error:
            # Some of them may have arrived. With its socket closed the kernel drops the others at once, instead of
            # holding them for as long as nobody reads on.
            self._failure = error
            self._netlink.close()
            return False
        return True

    def close(self) -> None:
        """Ends the open batch and unbinds. Safe to call twice."""
        self._batch.close()
        self._netlink.close()

    def _set_up(self, *, is_bound: bool) -> None:
        sock = self._netlink.raw
        # Without this option the kernel, after one overrun, refuses all packets until the reader has emptied the
        # buffer completely (S_CONGESTED). Overruns are seen by gaps between packet ids instead.
        sock.setsockopt(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)
        self._port: int = sock.getsockname()[0]
        set_up = configure if is_bound else bind
        self._last_id = UNKNOWN if is_bound else 0
        sock.send(set_up(self._settings, self._netlink.next_sequence()))
        self._early = await_acknowledgement(sock)

    def _drain(self, batch: HeldBatch, packets: list[HeldPacket], limit: int) -> None:
        if self._early:
            early, self._early = self._early[:limit], self._early[limit:]
            for data in early:
                self._read(batch, packets, data)
        receive, take = self._socket.recv, self._read
        while len(packets) < limit:
            try:
                data = receive(RECEIVE_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                # An overrun is over once it was told. It should not come at all with NETLINK_NO_ENOBUFS.
                if error.errno != errno.ENOBUFS:
                    raise
                self._counters.overruns += 1
                continue
            take(batch, packets, data)

    def _read(self, batch: HeldBatch, packets: list[HeldPacket], data: bytes) -> None:
        try:
            packet = self._reader.read(batch, data)
        except NetlinkDecodeError:
            self._counters.malformed += 1
            return
        if packet is not None:
            packets.append(packet)
        else:
            self._note(data)

    def _note(self, data: bytes) -> None:
        """Counts a message that is no packet."""
        try:
            self._counters.refused_verdicts += refusals(data)
        except NetlinkDecodeError:
            self._counters.malformed += 1

    def _account(self, packets: list[HeldPacket]) -> None:
        """Counts what came, and by the gaps in its numbers what did not."""
        if packets:
            last_id = packets[-1].id
            self._counters.received += len(packets)
            if self._last_id == UNKNOWN:
                self._last_id = (packets[0].id - 1) & _ID_MASK
            self._counters.missed += ((last_id - self._last_id) & _ID_MASK) - len(packets)
            self._last_id = last_id


def await_acknowledgement(sock: socket.socket) -> list[bytes]:
    """Reads up to the kernel's answer to a set-up; the packets that came before it.

    Raises:
        OSError: the set-up was refused.
    """
    early: list[bytes] = []
    # The kernel answers before send() returns, unless packets filled the buffer in that moment: then never.
    sock.settimeout(_ANSWER_SECONDS)
    try:
        while True:
            data = sock.recv(RECEIVE_BYTES)
            reply = next(message.messages(data), None)
            if reply is None or reply.type != message.NLMSG_ERROR:
                early.append(data)
            elif reply.errno:
                raise OSError(reply.errno, os.strerror(reply.errno))
            else:
                return early
    finally:
        sock.settimeout(None)


def _joined(parts: list[bytes]) -> Iterator[bytes]:
    """The messages put together into as few sends as the send buffer allows."""
    together: list[bytes] = []
    size = 0
    for part in parts:
        if together and size + len(part) > _SEND_BYTES:
            yield b"".join(together)
            together, size = [], 0
        together.append(part)
        size += len(part)
    if together:
        yield b"".join(together)
