"""NFQUEUE by the netfilterqueue package: the second reader, and the proof that the first one is not alone.

It costs the kernel one verdict message for each packet, so it is for logs and held packets, not for the answer path.
The package is told how to read (`run_socket`), for two reasons: by itself it reads until the queue is empty, however
long that takes, and cuts every packet at 4016 bytes.
"""

import errno
import socket
import struct
import warnings
from collections.abc import Sequence
from typing import Any, cast, final

from netfilterqueue import COPY_PACKET, NetfilterQueue, Packet

from netlink.message import NLMSG_ERROR, NetlinkDecodeError
from netlink.transport import NETLINK_NO_ENOBUFS, SOL_NETLINK
from nfq.counters import QueueCounters
from nfq.errors import PacketError, QueueLostError, QueueRefusedError
from nfq.headers import read_ip
from nfq.held import Action, Arrival, HeldBatch, HeldPacket, Ledger, Verdict
from nfq.queue import BATCH_LIMIT, QueueSettings
from nfq.queue_messages import configure, refusals
from nfq.raw import RECEIVE_BYTES, await_acknowledgement

_ID_MASK = 0xFFFFFFFF
_ERROR_TYPE = struct.pack("=H", NLMSG_ERROR)
_CONFIGURE_SEQUENCE = 0x7FFFFFFF
"""Apart from the package's own, which count up from the time of day."""


@final
class LibraryQueue:
    """A bound queue of the package. A `PacketQueue`, and the sink of its packets' verdicts."""

    def __init__(self, settings: QueueSettings, counters: QueueCounters | None = None) -> None:
        """Binds the queue.

        Raises:
            QueueRefusedError: the kernel refused, EPERM where the number has a reader already; the socket is closed.
        """
        self._settings = settings
        self._counters = counters if counters is not None else QueueCounters()
        self._ledger = Ledger(self, settings.default, self._counters)
        self._batch = HeldBatch([], self._ledger)
        self._taken: list[tuple[Packet, bytes]] = []
        """Handed over by the package during a read; it lends the payload for the length of the call."""
        self._undecided: dict[int, Packet] = {}
        """The package's packets by id, until their verdict; the package has no verdict by id."""
        self._last_id = 0
        self._room = 0
        operation = f"bind queue {settings.number}"
        try:
            self._library = NetfilterQueue()
            # The package owns the descriptor; this socket must be detached, never closed.
            self._socket = socket.socket(fileno=self._library.get_fd())
            try:
                self._set_up()
            except OSError:
                self.close()
                raise
        except OSError as error:
            # The package knows no errno when it cannot bind: as good as always the number is taken.
            raise QueueRefusedError(operation, error.errno or errno.EPERM) from error

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
        self._room = limit
        failure: OSError | None = None
        try:
            # It only ever calls recv(); its annotation asks for more.
            self._library.run_socket(cast("Any", self))
        except OSError as error:
            failure = error
        packets: list[HeldPacket] = []
        self._batch = batch = HeldBatch(packets, self._ledger)
        for packet, payload in self._taken:
            self._undecided[packet.id] = packet
            packets.append(self._held(batch, packet, payload))
        self._taken.clear()
        self._account(packets)
        if failure is not None:
            batch.close()
            raise QueueLostError(f"cannot read queue {self._settings.number}: {failure}") from failure
        return batch

    def recv(self, _buffer_bytes: int) -> bytes:
        """The next datagram, for the package to call, until the batch is full.

        Raises:
            OSError: EAGAIN, which ends the package's reading, when the batch is full or nothing waits.
        """
        while self._room > 0:
            data = self._early.pop(0) if self._early else self._next()
            if data[4:6] != _ERROR_TYPE:
                self._room -= 1
                return data
            self._note(data)
        raise BlockingIOError(errno.EAGAIN, "the batch is full")

    def give(self, single: Sequence[tuple[int, Verdict]], rest: tuple[int, Verdict] | None) -> bool:
        """Sends verdicts, for the ledger to call; False when the socket is dead."""
        try:
            # The package does not tell whether it could send.
            self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
        except OSError:
            self._undecided.clear()
            return False
        for packet_id, verdict in single:
            _apply(self._undecided.pop(packet_id), verdict)
        if rest is not None:
            last_id, verdict = rest
            for packet_id in [i for i in self._undecided if (last_id - i) & _ID_MASK < 1 << 31]:
                _apply(self._undecided.pop(packet_id), verdict)
        return True

    def close(self) -> None:
        """Ends the open batch and unbinds. Safe to call twice."""
        if self._socket.fileno() < 0:
            return
        self._batch.close()
        self._undecided.clear()
        self._socket.detach()
        self._library.unbind()
        # Its descriptor is closed when the package's object goes.
        del self._library

    def _set_up(self) -> None:
        settings = self._settings
        with warnings.catch_warnings():
            # It warns where the kernel grants another buffer size than asked for.
            warnings.simplefilter("ignore", RuntimeWarning)
            self._library.bind(
                settings.number,
                self._take,
                max_len=settings.max_length,
                mode=COPY_PACKET,
                sock_len=settings.receive_buffer_bytes,
            )
        self._socket.setsockopt(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)
        self._port: int = self._socket.getsockname()[0]
        self._socket.send(configure(settings, _CONFIGURE_SEQUENCE))
        self._early = await_acknowledgement(self._socket)

    def _next(self) -> bytes:
        while True:
            try:
                return self._socket.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._counters.overruns += 1

    def _note(self, data: bytes) -> None:
        try:
            self._counters.refused_verdicts += refusals(data)
        except NetlinkDecodeError:
            self._counters.malformed += 1

    def _take(self, packet: Packet) -> None:
        self._taken.append((packet, packet.get_payload() if packet.get_payload_len() else b""))

    def _held(self, batch: HeldBatch, packet: Packet, payload: bytes) -> HeldPacket:
        arrival = Arrival(
            hook=packet.hook,
            mark=packet.mark,
            in_index=packet.indev or None,
            out_index=packet.outdev or None,
        )
        whole_bytes = _whole_bytes(payload) if len(payload) >= self._settings.copy_bytes else None
        return HeldPacket(batch, packet.id, memoryview(payload), arrival, whole_bytes)

    def _account(self, packets: list[HeldPacket]) -> None:
        """Counts what came, and by the gaps in its numbers what did not."""
        if packets:
            last_id = packets[-1].id
            self._counters.received += len(packets)
            self._counters.missed += ((last_id - self._last_id) & _ID_MASK) - len(packets)
            self._last_id = last_id


def _whole_bytes(payload: bytes) -> int | None:
    """The length a cut packet says it has: the package does not read the kernel's own word on it."""
    try:
        return read_ip(memoryview(payload)).total_bytes
    except PacketError:
        return None


def _apply(packet: Packet, verdict: Verdict) -> None:
    if verdict.mark is not None:
        packet.set_mark(verdict.mark)
    if verdict.payload is not None:
        packet.set_payload(verdict.payload)
    if verdict.action is Action.ACCEPT:
        packet.accept()
    elif verdict.action is Action.DROP:
        packet.drop()
    else:
        packet.repeat()
