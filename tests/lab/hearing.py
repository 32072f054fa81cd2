"""Servers that tell what reached them: the bytes of each connection as they came, or the name of a TLS greeting."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.demo.namespace import Namespace
from tidegate.demo.servers import listen

_CERTIFICATES = Path(__file__).parents[1] / "dnsagent" / "certificates"

HEARD = b"heard"
"""The answer to the first bytes."""


@dataclass
class Heard:
    """One connection, as its server saw it."""

    data: bytes = b""
    name: str | None = None
    """Of a TLS greeting."""
    end: str = ""
    """`reset`, `closed`; empty while it is open."""


@dataclass
class Hearing:
    """All connections so far, the latest last."""

    connections: list[Heard] = field(default_factory=list)


@contextmanager
def hearing(namespace: Namespace, port: int, *, greeting: bytes = b"", tls: bool = False) -> Iterator[Hearing]:
    """Listens on the port of every address; answers what it hears first. `greeting`: the server speaks first."""
    kept = Hearing()
    listeners = [listen(namespace, family, socket.SOCK_STREAM, port) for family in (socket.AF_INET, socket.AF_INET6)]
    serve = _serve_tls if tls else _serve
    threads = [
        threading.Thread(target=_accept, args=(listener, kept, serve, greeting), daemon=True) for listener in listeners
    ]
    for thread in threads:
        thread.start()
    try:
        yield kept
    finally:
        for listener in listeners:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for thread in threads:
            thread.join(5)


def _accept(listener: socket.socket, kept: Hearing, serve, greeting: bytes) -> None:
    while True:
        try:
            connection = listener.accept()[0]
        except OSError:
            return
        heard = Heard()
        kept.connections.append(heard)
        threading.Thread(target=serve, args=(connection, heard, greeting), daemon=True).start()


def _serve(connection: socket.socket, heard: Heard, greeting: bytes) -> None:
    connection.settimeout(30)
    with connection, _noting(heard):
        connection.sendall(greeting)
        while data := connection.recv(65536):
            is_first, heard.data = not heard.data, heard.data + data
            if is_first:
                connection.sendall(HEARD)
        heard.end = "closed"


def _serve_tls(connection: socket.socket, heard: Heard, _greeting: bytes) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_CERTIFICATES / "server.pem", _CERTIFICATES / "server.key")

    def note(_: object, name: str | None, __: object) -> None:
        heard.name = name

    context.sni_callback = note
    connection.settimeout(30)
    with connection, _noting(heard):
        connection.recv(1, socket.MSG_PEEK)
        with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as secured:
            secured.do_handshake()
            heard.data = secured.recv(65536)
            secured.sendall(HEARD)
            heard.end = "closed"


@contextmanager
def _noting(heard: Heard) -> Iterator[None]:
    try:
        yield
    except (ConnectionError, ssl.SSLError):
        heard.end = "reset"
    except OSError as error:
        heard.end = str(error)
