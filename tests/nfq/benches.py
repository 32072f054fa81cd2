"""What a `PacketQueue` is tested on: the kernel, by either reader, and the fake; all with one face."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from nfq.counters import QueueCounters
from nfq.fake import FakeKernel, FakeQueue
from nfq.held import Arrival
from nfq.queue import PacketQueue, QueueSettings
from nfq.queue_table import KernelQueue, read_queues
from tests.nfq.wire import REPEATED, Wire, udp_packet

Opener = Callable[[QueueSettings, QueueCounters], PacketQueue]


class Bench(Protocol):
    """Sends datagrams through a queue and says which of them came out, as contents and mark."""

    def open(self, settings: QueueSettings, counters: QueueCounters | None = None) -> PacketQueue: ...

    def send(self, contents: bytes) -> None: ...

    def arrived(self) -> list[tuple[bytes, int]]: ...

    def table(self) -> Mapping[int, KernelQueue]: ...

    def break_socket(self, queue: PacketQueue) -> None: ...

    def lose_chain(self, queue: PacketQueue) -> None: ...


class KernelBench:
    """The real kernel: the queue's number is the one that was opened last."""

    def __init__(self, wire: Wire, opener: Opener) -> None:
        self._wire = wire
        self._opener = opener

    def open(self, settings, counters=None):
        self._wire.queue_to(settings.number)
        with self._wire.namespace.entered():
            return self._opener(settings, counters or QueueCounters())

    def send(self, contents):
        self._wire.send(contents)

    def arrived(self):
        return self._wire.arrived()

    def table(self):
        with self._wire.namespace.entered():
            return read_queues()

    def break_socket(self, queue):
        """Something that is no socket takes the descriptor's place; the kernel sees the socket close."""
        descriptor = os.open("/dev/null", os.O_RDWR)
        os.dup2(descriptor, queue.fileno())
        os.close(descriptor)

    def lose_chain(self, queue):
        self._wire.nft("add chain inet t doomed { type filter hook input priority 5; }\ndelete chain inet t doomed")


class FakeBench:
    """No kernel; the rules of the wire are played here."""

    def __init__(self) -> None:
        self._kernel = FakeKernel()
        self._number = 0

    def open(self, settings, counters=None):
        self._number = settings.number
        return FakeQueue(self._kernel, settings, counters)

    def send(self, contents):
        self._kernel.queue_packet(self._number, udp_packet(contents), Arrival(hook=3, out_index=1))

    def arrived(self):
        out = self._kernel.passed[:]
        for packet in self._kernel.repeated:
            if packet.mark & REPEATED:
                out.append(packet)
            else:
                self._kernel.queue_packet(self._number, packet.payload, Arrival(hook=3, mark=packet.mark, out_index=1))
        self._kernel.passed.clear()
        self._kernel.repeated.clear()
        return [(packet.payload[28:], packet.mark) for packet in out]

    def table(self):
        return self._kernel.table()

    def break_socket(self, queue):
        queue.lose()

    def lose_chain(self, queue):
        for packet_id in tuple(queue._held):
            queue.forget(packet_id)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
