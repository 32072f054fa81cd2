"""A kernel's queues without a kernel, with faults on demand; shipped for tests and examples.

    kernel = FakeKernel()
    queue = FakeQueue(kernel, QueueSettings(number=101))
    kernel.queue_packet(101, packet)
    with queue.receive() as batch: ...
    assert kernel.passed == [Passed(packet, mark=0)]

It keeps the kernel's rules: ids count up from 1 on each binding, a batch verdict hits all lower ids, a full queue
drops or fails open, a lost socket takes the held packets with it, a number has one reader at a time.
"""

import errno
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from nfq.counters import QueueCounters
from nfq.errors import QueueLostError, QueueRefusedError
from nfq.held import Action, Arrival, HeldBatch, HeldPacket, Ledger, Verdict
from nfq.queue import BATCH_LIMIT, QueueSettings
from nfq.queue_table import KernelQueue


@dataclass(frozen=True, slots=True)
class Passed:
    """A packet that left a queue by a verdict."""

    payload: bytes
    mark: int


@dataclass(slots=True)
class _Waiting:
    payload: bytes
    arrival: Arrival


@final
class FakeKernel:
    """The far side of fake queues: what came out of them, and what goes wrong."""

    def __init__(self) -> None:
        self.passed: list[Passed] = []
        """Packets accepted, by verdict, by a full queue that fails open, or by a bypass."""
        self.dropped: list[bytes] = []
        self.repeated: list[Passed] = []
        """Packets sent through their chain once more: the test says what the rules do with them then."""
        self._queues: dict[int, FakeQueue] = {}
        self._refusals: deque[int] = deque()
        self._ports = 1000

    def refuse(self, times: int, code: int = errno.EPERM) -> None:
        """Makes the next attempts to bind fail with this errno."""
        self._refusals.extend([code] * times)

    def queue_packet(
        self, number: int, payload: bytes, arrival: Arrival | None = None, *, bypass: bool = False
    ) -> None:
        """What a queue rule does with a packet."""
        queue = self._queues.get(number)
        if queue is not None:
            queue.offer(payload, arrival or Arrival())
        elif bypass:
            self.passed.append(Passed(payload, 0))
        else:
            self.dropped.append(payload)

    def queue(self, number: int) -> "FakeQueue | None":
        """The reader now bound to the number."""
        return self._queues.get(number)

    def table(self) -> dict[int, KernelQueue]:
        """As `nfq.queue_table.read_queues` gives it."""
        return {number: queue.row() for number, queue in self._queues.items()}

    def bind_queue(self, number: int, queue: "FakeQueue") -> int:
        """Gives the number a reader; its port.

        Raises:
            QueueRefusedError: it has one, or a refusal was ordered.
        """
        if self._refusals:
            raise QueueRefusedError(f"bind queue {number}", self._refusals.popleft())
        if number in self._queues:
            raise QueueRefusedError(f"bind queue {number}", errno.EPERM)
        self._queues[number] = queue
        self._ports += 1
        return self._ports

    def unbind_queue(self, number: int) -> None:
        """Forgets the reader; its held packets are its own business."""
        self._queues.pop(number, None)

    def settle(self, packet: _Waiting, verdict: Verdict) -> None:
        """Does with the packet what the verdict says."""
        payload = packet.payload if verdict.payload is None else verdict.payload
        mark = packet.arrival.mark if verdict.mark is None else verdict.mark
        if verdict.action is Action.DROP:
            self.dropped.append(payload)
        elif verdict.action is Action.ACCEPT:
            self.passed.append(Passed(payload, mark))
        else:
            self.repeated.append(Passed(payload, mark))


@final
class Readiness:
    """A descriptor that is readable while something waits, as a socket would be."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """The descriptor; -1 when it is closed."""
        return self._descriptor

    def set(self, *, ready: bool) -> None:
        """Makes it readable, or not."""
        if self._descriptor < 0:
            return
        if ready:
            os.eventfd_write(self._descriptor, 1)
            return
        try:
            os.eventfd_read(self._descriptor)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Closes it. Safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@final
class FakeQueue:
    """A `PacketQueue` in memory."""

    def __init__(self, kernel: FakeKernel, settings: QueueSettings, counters: QueueCounters | None = None) -> None:
        """Binds the number.

        Raises:
            QueueRefusedError: the kernel has a reader for it, or was told to refuse.
        """
        self._kernel = kernel
        self._settings = settings
        self._counters = counters if counters is not None else QueueCounters()
        self._ledger = Ledger(self, settings.default, self._counters)
        self._batch = HeldBatch([], self._ledger)
        self._unread: deque[int] = deque()
        self._held: dict[int, _Waiting] = {}
        self._last_id = 0
        self._dropped = 0
        self._undelivered = 0
        self._overruns = 0
        self._failure: OSError | None = None
        self._send_fails = False
        self._port = kernel.bind_queue(settings.number, self)
        self._readiness = Readiness()

    @property
    def counters(self) -> QueueCounters:
        """Live counters."""
        return self._counters

    @property
    def port(self) -> int:
        """The port by which the fake kernel's table names this reader."""
        return self._port

    def fileno(self) -> int:
        """Readable when packets wait; -1 when it is closed."""
        return self._readiness.fileno()

    def receive(self, limit: int = BATCH_LIMIT) -> HeldBatch:
        """The packets that wait, at most `limit`. `nfq.queue.PacketQueue` has the contract.

        Raises:
            QueueLostError: the socket was lost.
        """
        self._batch.close()
        if self._failure is not None:
            raise QueueLostError(f"cannot read queue {self._settings.number}: {self._failure}") from self._failure
        packets: list[HeldPacket] = []
        self._batch = batch = HeldBatch(packets, self._ledger)
        self._counters.overruns += self._overruns
        self._overruns = 0
        while self._unread and len(packets) < limit:
            packets.append(self._read(batch, self._unread.popleft()))
        self._counters.received += len(packets)
        if not self._unread:
            self._readiness.set(ready=False)
        return batch

    def give(self, single: Sequence[tuple[int, Verdict]], rest: tuple[int, Verdict] | None) -> bool:
        """Takes verdicts, for the ledger to call; False when the socket is lost."""
        if self._send_fails:
            self.lose(errno.ENOBUFS)
        if self._failure is not None:
            return False
        for packet_id, verdict in single:
            packet = self._held.pop(packet_id, None)
            if packet is None:
                self._counters.refused_verdicts += 1
            else:
                self._kernel.settle(packet, verdict)
        if rest is not None:
            last_id, verdict = rest
            for packet_id in [i for i in self._held if i <= last_id]:
                self._kernel.settle(self._held.pop(packet_id), verdict)
        return True

    def close(self) -> None:
        """Ends the open batch and unbinds; what is still held is dropped. Safe to call twice."""
        self._batch.close()
        self._readiness.close()
        self.lose(errno.EBADF)

    def offer(self, payload: bytes, arrival: Arrival) -> None:
        """A packet comes to the queue, as the kernel's rules send it."""
        if len(self._held) >= self._settings.max_length:
            self._overflow(payload, arrival)
            return
        self._last_id += 1
        self._held[self._last_id] = _Waiting(payload, arrival)
        self._unread.append(self._last_id)
        self._readiness.set(ready=True)

    def row(self) -> KernelQueue:
        """The queue's row in the kernel's table."""
        return KernelQueue(
            number=self._settings.number,
            port=self._port,
            waiting=len(self._held),
            dropped=self._dropped,
            undelivered=self._undelivered,
            last_id=self._last_id,
        )

    def lose(self, code: int = errno.EBADF) -> None:
        """Fault: the socket dies, and with it what it held."""
        if self._failure is not None:
            return
        self._failure = OSError(code, os.strerror(code))
        self._kernel.unbind_queue(self._settings.number)
        for packet in self._held.values():
            self._kernel.dropped.append(packet.payload)
        self._held.clear()
        self._unread.clear()
        self._readiness.set(ready=True)

    def overrun(self, payloads: Sequence[bytes] = ()) -> None:
        """Fault: these packets do not fit into the socket's buffer, and the next read says ENOBUFS."""
        for payload in payloads:
            self._last_id += 1
            if self._settings.fail_open:
                self._kernel.passed.append(Passed(payload, 0))
            else:
                self._undelivered += 1
                self._kernel.dropped.append(payload)
        self._counters.missed += len(payloads)
        self._overruns += 1

    def refuse_to_send(self) -> None:
        """Fault: the socket takes no verdict from now on, which the queue notices when it gives the next one."""
        self._send_fails = True

    def forget(self, packet_id: int) -> None:
        """Fault: the kernel drops a held packet on its own, as when a base chain is deleted."""
        self._kernel.dropped.append(self._held.pop(packet_id).payload)

    def _overflow(self, payload: bytes, arrival: Arrival) -> None:
        if self._settings.fail_open:
            self._kernel.passed.append(Passed(payload, arrival.mark))
        else:
            self._dropped += 1
            self._kernel.dropped.append(payload)

    def _read(self, batch: HeldBatch, packet_id: int) -> HeldPacket:
        waiting = self._held[packet_id]
        payload = memoryview(waiting.payload)
        cut = payload[: self._settings.copy_bytes]
        return HeldPacket(batch, packet_id, cut, waiting.arrival, len(payload) if len(cut) < len(payload) else None)
