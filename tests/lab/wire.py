"""What really arrived: counts the first packets of connections on an interface, as tcpdump would see them."""

import select
import socket
import struct
import threading
from collections import Counter
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from typing import Self

from tidegate.demo.namespace import Namespace

ETH_P_ALL = 3
PACKET_OUTGOING = 4
TCP, UDP = 6, 17
SYN_ONLY = 0x02


class Wire:
    """Counts incoming TCP SYNs and UDP datagrams of a namespace's interface by (protocol, source, destination, port)."""

    def __init__(self, namespace: Namespace, interface_name: str) -> None:
        with namespace.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.bind((interface_name, ETH_P_ALL))
        self._socket.setblocking(False)
        self._reading = threading.Lock()
        self.seen: Counter[tuple[int, str, str, int]] = Counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True, name="wire")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def syns(self, destination: str, port: int, source: str | None = None) -> int:
        """How many SYNs came for the destination."""
        return self._count(TCP, destination, port, source)

    def datagrams(self, destination: str, port: int, source: str | None = None) -> int:
        """How many UDP datagrams came for the destination."""
        return self._count(UDP, destination, port, source)

    def _count(self, protocol: int, destination: str, port: int, source: str | None) -> int:
        self._drain()  # so that no packet which has come is counted after the question
        wanted = str(ip_address(destination))
        return sum(
            count
            for (proto, src, dst, dport), count in list(self.seen.items())
            if (proto, dst, dport) == (protocol, wanted, port) and source in (None, src)
        )

    def _loop(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while not self._stop.is_set():
            poll.poll(200)
            self._drain()

    def _drain(self) -> None:
        with self._reading, suppress(BlockingIOError):
            while True:
                data, address = self._socket.recvfrom(256)
                if address[2] != PACKET_OUTGOING:
                    self._note(data)

    def _note(self, data: bytes) -> None:
        if data[0] >> 4 == 4:
            protocol, source, destination, rest = data[9], data[12:16], data[16:20], data[(data[0] & 15) * 4 :]
        else:
            protocol, source, destination, rest = data[6], data[8:24], data[24:40], data[40:]
        if (protocol == TCP and len(rest) >= 14 and rest[13] & 0x12 == SYN_ONLY) or (
            protocol == UDP and len(rest) >= 8
        ):
            port = struct.unpack_from("!H", rest, 2)[0]
            self.seen[protocol, str(ip_address(source)), str(ip_address(destination)), port] += 1


def wires(stack: ExitStack, *places: tuple[Namespace, str]) -> list[Wire]:
    """Watches several interfaces until the stack is closed."""
    return [stack.enter_context(Wire(namespace, name)) for namespace, name in places]
