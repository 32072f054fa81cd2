"""The Unix socket between the control process and the packet process: small JSON messages, each behind its length.

    length u32, network order | {"command": "names", ...}      ->      length | {"ok": true, ...}

The packet process serves it inside its loop and never waits for a peer: what cannot be sent at once is kept, and a peer
that does not read, or says more than it may, is cut off. The client blocks, with a time limit.
"""

import json
import socket
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dnsagent.poller import READABLE, WRITABLE, Poller

MAX_REQUEST_BYTES = 1 << 20
MAX_UNSENT_BYTES = 8 << 20
MAX_PEERS = 16
_LENGTH = struct.Struct("!I")
_RECEIVE_BYTES = 1 << 16

_BAD_REQUESTS = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError)
"""What a handler raises for a request that makes no sense. JSON may nest as deep as it likes, and have any types."""

Document = Mapping[str, Any]
Handler = Callable[[Document, dict[str, Any]], Document]
"""Gets a request and the peer's own memory (for answers in pages); gives the reply."""


class LinkError(OSError):
    """The packet process cannot be reached, or did not understand."""


class _Peer:
    """One connection: what was received and not yet understood, what was said and not yet sent."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = bytearray()
        self.unsent = bytearray()
        self.memory: dict[str, Any] = {}
        self.events = READABLE

    def requests(self) -> list[bytes]:
        """Whole requests received so far.

        Raises:
            LinkError: one is longer than it may be.
        """
        found = []
        while len(self.received) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self.received)
            if length > MAX_REQUEST_BYTES:
                raise LinkError("cannot take a request of that length")
            if len(self.received) < _LENGTH.size + length:
                break
            found.append(bytes(self.received[_LENGTH.size : _LENGTH.size + length]))
            del self.received[: _LENGTH.size + length]
        return found


class LinkServer:
    """The listening side; has itself and its peers watched by the loop's poller."""

    def __init__(self, path: Path, poller: Poller, handler: Handler) -> None:
        """Binds, in place of a socket file that nobody listens at any more.

        Raises:
            OSError: the path cannot be bound, or somebody listens there.
        """
        self._path = path
        self._poller = poller
        self._handler = handler
        self._peers: set[_Peer] = set()
        if is_listening(path):
            raise LinkError(f"cannot listen at {path}: a packet process is there already")
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        path.chmod(0o600)
        self._socket.listen(MAX_PEERS)
        self._socket.setblocking(False)  # noqa: FBT003 - the standard library's own
        poller.watch(self._socket.fileno(), self._accept)

    def close(self) -> None:
        """Cuts everybody off and removes the socket file."""
        for peer in list(self._peers):
            self._drop(peer)
        self._poller.unwatch(self._socket.fileno())
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _accept(self, events: int) -> None:
        del events
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return  # it went away meanwhile, or there is no descriptor left
        if len(self._peers) >= MAX_PEERS:
            connection.close()
            return
        connection.setblocking(False)  # noqa: FBT003
        peer = _Peer(connection)
        self._peers.add(peer)
        self._poller.watch(connection.fileno(), lambda ready: self._serve(peer, ready))

    def _serve(self, peer: _Peer, events: int) -> None:
        try:
            if events & ~WRITABLE:
                data = peer.connection.recv(_RECEIVE_BYTES)
                if not data:
                    self._drop(peer)
                    return
                peer.received += data
                for request in peer.requests():
                    peer.unsent += frame(self._reply(request, peer))
            self._send(peer)
        except OSError:
            self._drop(peer)

    def _reply(self, request: bytes, peer: _Peer) -> Document:
        try:
            document = json.loads(request)
            return self._handler(document, peer.memory)
        except _BAD_REQUESTS as error:
            return {"ok": False, "error": f"cannot do that: {type(error).__name__}: {error}"}

    def _send(self, peer: _Peer) -> None:
        if peer.unsent:
            try:
                sent = peer.connection.send(peer.unsent)
            except BlockingIOError:
                sent = 0
            del peer.unsent[:sent]
        if len(peer.unsent) > MAX_UNSENT_BYTES:
            raise LinkError("cannot keep more for a peer that does not read")
        events = READABLE | WRITABLE if peer.unsent else READABLE
        if peer.events != events:
            peer.events = events
            self._poller.watch(peer.connection.fileno(), lambda ready: self._serve(peer, ready), events=events)

    def _drop(self, peer: _Peer) -> None:
        self._peers.discard(peer)
        self._poller.unwatch(peer.connection.fileno())
        peer.connection.close()


class LinkClient:
    """The control process's side: a connection for each call, so a restarted packet process is just met again."""

    def __init__(self, path: Path, timeout_seconds: float = 5.0) -> None:
        self._path = path
        self._timeout = timeout_seconds

    def call(self, command: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """One request and its reply.

        Raises:
            LinkError: nobody listens, the time is over, or the reply says it cannot be done.
        """
        try:
            with self._connected() as connection:
                connection.sendall(frame({"command": command, **fields}))
                return _checked(_read(connection))
        except (OSError, ValueError) as error:
            raise LinkError(f"cannot {command}: {error}") from error

    def names(self, endpoint: str | None = None, *, past: bool = False) -> list[dict[str, Any]]:
        """Every learned name, in pages, so that no page keeps an answer waiting; with `past`, those that expired, too.

        Raises:
            LinkError: as `call`.
        """
        found: list[dict[str, Any]] = []
        try:
            with self._connected() as connection:
                request: dict[str, Any] = {"command": "names", "endpoint": endpoint, "past": past}
                while True:
                    connection.sendall(frame(request))
                    reply = _checked(_read(connection))
                    found += reply["names"]
                    if not reply["more"]:
                        return found
                    request = {"command": "names", "next": True}
        except (OSError, ValueError) as error:
            raise LinkError(f"cannot list names: {error}") from error

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._timeout)
        try:
            connection.connect(str(self._path))
        except OSError:
            connection.close()
            raise
        return connection


def frame(document: Document) -> bytes:
    """A message with its length in front."""
    data = json.dumps(document).encode()
    return _LENGTH.pack(len(data)) + data


def is_listening(path: Path) -> bool:
    """Whether somebody has the socket file open, even if it is stopped and takes no connections."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # noqa: FBT003
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # so many wait already
        except OSError:
            return False
    return True


def _read(connection: socket.socket) -> bytes:
    (length,) = _LENGTH.unpack(_read_exactly(connection, _LENGTH.size))
    return _read_exactly(connection, length)


def _read_exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise LinkError("cannot read the reply: the connection ended")
        data += part
    return bytes(data)


def _checked(data: bytes) -> dict[str, Any]:
    reply: dict[str, Any] = json.loads(data)
    if not reply.get("ok"):
        raise LinkError(str(reply.get("error", "refused")))
    return reply
