"""The world of the soak, a process: answers every question of the zone, accepts every connection, and tells wrong ones.

Reads nothing; prints one JSON object when it is ended: connections by endpoint, and those that should not have come.
"""

import json
import selectors
import signal
import socket
import struct
import sys
from collections import Counter
from types import FrameType

from tests.soak import plan

_LINGER = struct.pack("ii", 1, 0)
"""Close with a reset: nobody keeps a million connections in TIME_WAIT."""
_MAX_TOLD = 20


class FarSide:
    """DNS on one pair of addresses, TCP on all."""

    def __init__(self, servers: list[str]) -> None:
        self.connections: Counter[int] = Counter()
        self.wrong: list[str] = []
        self.wrong_count = 0
        self.questions = 0
        self._ready = selectors.DefaultSelector()
        for family, everywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((everywhere, plan.PORT))
            listener.listen(4096)
            listener.setblocking(False)
            self._ready.register(listener, selectors.EVENT_READ, self._accept)
        for server in servers:
            asked = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
            asked.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            asked.bind((server, 53))
            asked.setblocking(False)
            self._ready.register(asked, selectors.EVENT_READ, self._reply)

    def run(self) -> None:
        """Serves until a signal says to end."""
        while True:
            for key, _ in self._ready.select():
                key.data(key.fileobj)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, peer = listener.accept()
            except BlockingIOError:
                return
            family = listener.family
            client = socket.inet_pton(family, peer[0])
            try:
                reached = socket.inet_pton(family, connection.getsockname()[0])
            finally:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
                connection.close()
            # Pods are numbered from .2 on.
            endpoint = client[-1] - 2
            self.connections[endpoint] += 1
            if endpoint >= plan.ENDPOINTS or plan.owner(reached) != endpoint:
                self.wrong_count += 1
                if len(self.wrong) < _MAX_TOLD:
                    self.wrong.append(f"endpoint {endpoint} reached {socket.inet_ntop(family, reached)}")

    def _reply(self, asked: socket.socket) -> None:
        while True:
            try:
                query, peer = asked.recvfrom(512)
            except BlockingIOError:
                return
            self.questions += 1
            asked.sendto(reply(query), peer)


def reply(query: bytes) -> bytes:
    """The answer to a question about the zone; every fourth name is an alias."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]])
        at += query[at] + 1
    end = at + 5
    number, owner = int(labels[0][1:]), int(labels[1][1:])
    version = 4 if query[at + 1 : at + 3] == b"\0\1" else 6
    packed = plan.address(owner, number, version)
    kind_and_class, ttl = query[at + 1 : end], struct.pack(">I", plan.TTL_SECONDS)
    if number % 4:
        records = b"\xc0\x0c" + kind_and_class + ttl + struct.pack(">H", len(packed)) + packed
    else:
        alias = b"\3cdn\xc0\x0c"
        at_alias = struct.pack(">H", 0xC000 | end + 12)
        records = b"\xc0\x0c\0\5\0\1" + ttl + struct.pack(">H", len(alias)) + alias
        records += at_alias + kind_and_class + ttl + struct.pack(">H", len(packed)) + packed
    count = 1 if number % 4 else 2
    return query[:2] + b"\x81\x80\0\1" + struct.pack(">HHH", count, 0, 0) + query[12:end] + records


def main() -> None:
    """Serves on the DNS addresses that the arguments name."""
    far_side = FarSide(sys.argv[1:])

    def end(_: int, __: FrameType | None) -> None:
        print(
            json.dumps(
                {
                    "connections": dict(far_side.connections),
                    "wrong": far_side.wrong,
                    "wrong_count": far_side.wrong_count,
                    "questions": far_side.questions,
                }
            ),
            flush=True,
        )
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)
    far_side.run()


if __name__ == "__main__":
    main()
