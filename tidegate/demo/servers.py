"""Servers for the small network: real sockets, one thread each, started and stopped as context managers."""

import selectors
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from tidegate.demo.namespace import Namespace

IPV6_V6ONLY_ON = 1
_TICK_SECONDS = 0.2
_DATAGRAM_BYTES = 65535

DatagramHandler = Callable[[bytes], bytes | Sequence[bytes] | None]
"""Gives the reply to a datagram, several, or None for silence."""


def listen(namespace: Namespace, family: socket.AddressFamily, kind: socket.SocketKind, port: int) -> socket.socket:
    """A bound (and, for TCP, listening) socket on every address of the namespace."""
    with namespace.entered():
        server = socket.socket(family, kind)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family is socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, IPV6_V6ONLY_ON)
    server.bind(("::" if family is socket.AF_INET6 else "0.0.0.0", port))  # noqa: S104 - inside the lab's namespace
    if kind is socket.SOCK_STREAM:
        server.listen(1024)
    return server


@contextmanager
def _running(name: str, loop: Callable[[threading.Event], None]) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=loop, args=(stop,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def tcp_acceptors(namespace: Namespace, ports: Sequence[int], *, keep: bool = True) -> Iterator[None]:
    """Accepts connections on the ports, both families; keeps them until the end, or closes each at once."""
    listeners = [
        listen(namespace, family, socket.SOCK_STREAM, port)
        for port in ports
        for family in (socket.AF_INET, socket.AF_INET6)
    ]
    accepted: list[socket.socket] = []

    def loop(stop: threading.Event) -> None:
        with selectors.DefaultSelector() as ready:
            for listener in listeners:
                ready.register(listener, selectors.EVENT_READ)
            while not stop.is_set():
                for key, _ in ready.select(_TICK_SECONDS):
                    assert isinstance(key.fileobj, socket.socket)
                    connection = key.fileobj.accept()[0]
                    if keep:
                        accepted.append(connection)
                    else:
                        connection.close()

    with _running("tcp-acceptors", loop):
        yield
    for opened in (*accepted, *listeners):
        opened.close()


@contextmanager
def udp_service(namespace: Namespace, port: int, handler: DatagramHandler) -> Iterator[None]:
    """Answers datagrams from the address they were sent to, both families."""
    sockets = [listen(namespace, family, socket.SOCK_DGRAM, port) for family in (socket.AF_INET, socket.AF_INET6)]
    for server, level, option in zip(
        sockets, (socket.IPPROTO_IP, socket.IPPROTO_IPV6), (_IP_PKTINFO, socket.IPV6_RECVPKTINFO), strict=True
    ):
        server.setsockopt(level, option, 1)

    def loop(stop: threading.Event) -> None:
        with selectors.DefaultSelector() as ready:
            for server in sockets:
                ready.register(server, selectors.EVENT_READ)
            while not stop.is_set():
                for key, _ in ready.select(_TICK_SECONDS):
                    assert isinstance(key.fileobj, socket.socket)
                    _reply(key.fileobj, handler)

    with _running("udp-service", loop):
        yield
    for server in sockets:
        server.close()


_IP_PKTINFO = 8  # linux/in.h; the socket module does not name it


def _reply(server: socket.socket, handler: DatagramHandler) -> None:
    data, ancillary, _, peer = server.recvmsg(_DATAGRAM_BYTES, 128)
    reply = handler(data)
    replies = [] if reply is None else [reply] if isinstance(reply, bytes) else reply
    # The packet information that told the destination now says the source.
    source = [(level, kind, _as_source(level, value)) for level, kind, value in ancillary if level != socket.SOL_SOCKET]
    for datagram in replies:
        with suppress(PermissionError):  # the host's own policy may deny the reply
            server.sendmsg([datagram], source, 0, peer)


def _as_source(level: int, pktinfo: bytes) -> bytes:
    # struct in_pktinfo {ifindex, spec_dst, addr}: index 0 leaves routing alone, spec_dst is the source of the reply.
    if level == socket.IPPROTO_IP:
        return b"\0\0\0\0" + pktinfo[8:12] + b"\0\0\0\0"
    return pktinfo[:16] + b"\0\0\0\0"
