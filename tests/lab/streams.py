"""Connections that talk without a pause, in both directions, while something happens to them."""

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

from tidegate.demo.namespace import Namespace
from tidegate.demo.servers import listen

PORT = 7000
TICK_SECONDS = 0.02
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_TOTAL_RETRANSMITS = struct.Struct("@100xI")
"""Where `tcpi_total_retrans` is in struct tcp_info (linux/tcp.h)."""


@contextmanager
def talking_server(namespace: Namespace, port: int = PORT) -> Iterator[None]:
    """Echoes what it is told over TCP and UDP, and says something of its own to everybody it knows, every tick."""
    listeners = [listen(namespace, family, socket.SOCK_STREAM, port) for family in _FAMILIES]
    stop = threading.Event()
    thread = threading.Thread(target=_talk, args=(listeners, stop), daemon=True, name="talker")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _talk(listeners: list[socket.socket], stop: threading.Event) -> None:
    peers: list[socket.socket] = []
    with selectors.DefaultSelector() as ready:
        for listener in listeners:
            ready.register(listener, selectors.EVENT_READ)
        while not stop.is_set():
            for key, _ in ready.select(TICK_SECONDS):
                sock: Any = key.fileobj
                if sock in listeners:
                    peer = sock.accept()[0]
                    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    peer.setblocking(False)
                    peers.append(peer)
                    ready.register(peer, selectors.EVENT_READ)
                elif not _echo(sock):
                    ready.unregister(sock)
                    peers.remove(sock)
                    sock.close()
            for peer in peers:
                with contextlib.suppress(OSError):
                    peer.send(b".")
    for each in (*peers, *listeners):
        each.close()


def _echo(peer: socket.socket) -> bool:
    try:
        data = peer.recv(65536)
        peer.send(data)
    except OSError:
        return False
    return bool(data)


class Stream:
    """A TCP connection to a talking server: says a letter every tick and counts what comes back."""

    def __init__(self, namespace: Namespace, address: str, port: int = PORT) -> None:
        family = socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6
        with namespace.entered():
            self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(5)
        self.socket.connect((address, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.said = self.echoed = self.heard = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"stream to {address}")
        self._thread.start()

    @property
    def port(self) -> int:
        """Its own."""
        return int(self.socket.getsockname()[1])

    def retransmits(self) -> int:
        """Segments that had to be sent again: each is a packet that was lost on the way there or back."""
        info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
        return int(_TOTAL_RETRANSMITS.unpack_from(info)[0])

    def goes_on(self, seconds: float = 10.0) -> bool:
        """Whether ten more letters come back."""
        return _grows(lambda: self.echoed, 10, seconds)

    def is_silent(self, ticks: int = 15) -> bool:
        """Whether nothing at all comes any more, for so many ticks."""
        before = self.echoed + self.heard
        time.sleep(ticks * TICK_SECONDS)
        return self.echoed + self.heard == before

    def falls_silent(self, seconds: float = 10.0) -> bool:
        """Whether it becomes silent within the time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.is_silent():
                return True
        return False

    def close(self) -> None:
        """Ends it, and its thread; abruptly, for the far end may not be heard any more."""
        self._stop.set()
        self._thread.join()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(OSError):
                self.said += self.socket.send(b"x")
            with contextlib.suppress(OSError):
                data = self.socket.recv(65536)
                self.echoed += data.count(b"x")
                self.heard += data.count(b".")
            time.sleep(TICK_SECONDS)


class Datagrams:
    """The same over UDP, to an echoing service; every letter has a number, so that a lost one is known."""

    def __init__(self, namespace: Namespace, address: str, port: int) -> None:
        family = socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6
        with namespace.entered():
            self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.settimeout(0.3)
        self.socket.connect((address, port))
        self.number = 0

    def talk(self, count: int = 10) -> int:
        """Sends so many datagrams one by one; how many came back."""
        back = 0
        for _ in range(count):
            self.number += 1
            with contextlib.suppress(OSError):
                self.socket.send(str(self.number).encode())
                back += self.socket.recv(64) == str(self.number).encode()
        return back

    def falls_silent(self, seconds: float = 10.0) -> bool:
        """Whether nothing comes back any more within the time."""
        deadline = time.monotonic() + seconds
        while self.talk(1):
            if time.monotonic() > deadline:
                return False
        return True

    def close(self) -> None:
        """Ends it."""
        self.socket.close()


def _grows(count: Any, by: int, seconds: float) -> bool:
    start, deadline = count(), time.monotonic() + seconds
    while count() < start + by:
        if time.monotonic() > deadline:
            return False
        time.sleep(TICK_SECONDS)
    return True
