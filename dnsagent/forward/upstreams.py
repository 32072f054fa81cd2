"""The servers' side of the forwarder: datagrams from ports that nobody guesses, and streams that are kept open.

A shell: sockets in the packet process's loop, nothing that waits. Bytes that come are given to the forwarder with the
number of the server they come from; a connected socket takes none from anybody else.
"""

import errno
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Protocol, final

from dnsagent.forward.messages import EDNS_BYTES
from dnsagent.framing import Deframer, FramingError, frame
from dnsagent.poller import READABLE, WRITABLE, Poller
from dnsagent.snapshot import Upstream
from reconcile.instant import Instant

PORTS = 8
"""Source ports a server is asked from in turn: with the message's number 19 bits that a forger has to guess."""
PORT_QUERIES = 4096
"""Then the port is changed."""
RETIREMENT_SECONDS = 5.0
"""How long answers to a former port are waited for."""
DATAGRAMS = 32
"""Read at a time."""
STREAM_BYTES = 1 << 14
IDLE_SECONDS = 10.0
"""A stream without questions is closed after that: RFC 7766 6.2.3 leaves it to us."""
MAX_UNSENT_BYTES = 1 << 20
_SO_MARK = 36
_MAX_DATAGRAM = max(4096, EDNS_BYTES)

Heard = Callable[[int, bytes], None]
"""Bytes from the server of that number."""
Broken = Callable[[int], None]
"""The server of that number cannot be reached; what it was asked is to be asked elsewhere."""


class Ears(Protocol):
    """Who is told."""

    def on_answer(self, upstream: int, data: bytes) -> None:
        """Bytes from the server of that number."""

    def on_broken(self, upstream: int) -> None:
        """That server cannot be reached; what it was asked is to be asked elsewhere."""


@final
class UpstreamServer:
    """One server, by whichever transport."""

    def __init__(
        self,
        number: int,
        told: Upstream,
        ears: Ears,
        poller: Poller,
        context: ssl.SSLContext | None,
        *,
        mark: int = 0,
    ) -> None:
        """`mark` is that of its datagrams: the rules tell them from what the host's other processes ask."""
        self.told = told
        self._mark = mark
        self._number = number
        self._ears = ears
        self._poller = poller
        self._context = context
        self._ports: list[socket.socket] = []
        self._retired: deque[tuple[Instant, socket.socket]] = deque()
        """Ports from which nothing is asked any more, until when."""
        self._turn = 0
        self._sent = 0
        self._stream: _Stream | None = None
        self._used_at = Instant(0.0)

    def send(self, data: bytes, *, over_stream: bool, now: Instant) -> None:
        """Asks; what goes wrong is told as `on_broken`, or not at all where only time tells."""
        if self.told.transport == "udp" and not over_stream:
            self._send_datagram(data, now)
        else:
            self._used_at = now
            self._send_on_stream(data)

    def expire(self, now: Instant) -> None:
        """Closes a stream that nobody uses, and ports whose answers have had their time."""
        while self._retired and self._retired[0][0] <= now:
            self._close_port(self._retired.popleft()[1])
        if self._stream is not None and now - self._used_at > IDLE_SECONDS:
            self._close_stream()

    def close(self) -> None:
        """Closes everything."""
        self._close_stream()
        for port in (*self._ports, *(port for _, port in self._retired)):
            self._close_port(port)
        self._ports.clear()
        self._retired.clear()

    # --- datagrams ---

    def _send_datagram(self, data: bytes, now: Instant) -> None:
        self._turn = (self._turn + 1) % PORTS
        self._sent += 1
        try:
            if self._sent % (PORTS * PORT_QUERIES) == 0 and self._ports:
                self._retired.append((Instant(now + RETIREMENT_SECONDS), self._ports.pop(0)))
            while len(self._ports) <= min(self._turn, PORTS - 1):
                self._open_port()
            self._ports[self._turn].send(data)
        except BlockingIOError:
            return  # the link is full; the next attempt may find room
        except OSError:
            self._ears.on_broken(self._number)

    def _open_port(self) -> None:
        address = str(self.told.address)
        made = socket.socket(
            socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        )
        try:
            if self._mark:
                made.setsockopt(socket.SOL_SOCKET, _SO_MARK, self._mark)
            made.connect((address, self.told.port))
        except OSError:
            made.close()
            raise
        self._ports.append(made)
        self._poller.watch(made.fileno(), lambda _: self._hear_datagrams(made))

    def _close_port(self, port: socket.socket) -> None:
        self._poller.unwatch(port.fileno())
        port.close()

    def _hear_datagrams(self, port: socket.socket) -> None:
        for _ in range(DATAGRAMS):
            try:
                data = port.recv(_MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError as error:
                # An ICMP error: nobody listens there, or the way is gone.
                if error.errno in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH):
                    self._ears.on_broken(self._number)
                return
            self._ears.on_answer(self._number, data)

    # --- streams ---

    def _send_on_stream(self, data: bytes) -> None:
        try:
            if self._stream is None:
                self._stream = _Stream(self.told, self._context)
                self._poller.watch(self._stream.fileno(), self._serve_stream, events=WRITABLE)
            self._stream.add(data)
            if self._stream.is_open:
                self._serve_stream(0)
        except (OSError, FramingError):
            self._break_stream()

    def _serve_stream(self, events: int) -> None:
        stream = self._stream
        if stream is None:
            return
        try:
            messages = stream.serve(events)
            self._poller.watch(stream.fileno(), self._serve_stream, events=stream.wants)
        except (OSError, FramingError):
            self._break_stream()
            return
        for message in messages:
            self._ears.on_answer(self._number, message)

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._poller.unwatch(self._stream.fileno())
            self._stream.close()
            self._stream = None

    def _break_stream(self) -> None:
        self._close_stream()
        self._ears.on_broken(self._number)


@final
class _Stream:
    """A TCP or TLS connection: what was received and is not whole, what is to be sent."""

    def __init__(self, told: Upstream, context: ssl.SSLContext | None) -> None:
        address = str(told.address)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.unsent = bytearray()
        self.is_open = False
        self._is_connected = False
        self._wants_write = True
        self._deframer = Deframer()
        plain = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            status = plain.connect_ex((address, told.port))
            if status not in (0, errno.EINPROGRESS):
                raise OSError(status, "cannot connect")  # noqa: TRY301 - closed below like all else that fails
        except OSError:
            plain.close()
            raise
        self._plain = plain
        self._tls: ssl.SSLSocket | None = None
        self._secured = (context, told.name or address) if told.transport == "tls" and context is not None else None

    @property
    def wants(self) -> int:
        """What it waits for."""
        writes = not self.is_open and self._wants_write
        return READABLE | (WRITABLE if writes or (self.is_open and self.unsent) else 0)

    def fileno(self) -> int:
        """The descriptor, the same all its life."""
        return (self._tls or self._plain).fileno()

    def close(self) -> None:
        """Closes it without a farewell: nothing of worth is under way."""
        (self._tls or self._plain).close()

    def add(self, message: bytes) -> None:
        """Has a message sent.

        Raises:
            OSError: the server does not read.
        """
        if len(self.unsent) > MAX_UNSENT_BYTES:
            raise OSError(errno.ENOBUFS, "cannot keep more for a server that does not read")
        self.unsent += frame(message)

    def serve(self, events: int) -> list[bytes]:
        """Goes on as far as it can; messages that have come.

        Raises:
            OSError: it has ended, or its certificate is not good.
            FramingError: it is no sequence of messages.
        """
        if not self._is_connected:
            number = self._plain.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise OSError(number, "cannot connect")
            self._is_connected = True
        if not self.is_open and not self._shake_hands():
            return []
        self._flush()
        return self._read() if events & ~WRITABLE else []

    def _shake_hands(self) -> bool:
        if self._secured is not None:
            if self._tls is None:
                context, name = self._secured
                self._tls = context.wrap_socket(self._plain, server_hostname=name, do_handshake_on_connect=False)
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._wants_write = False
                return False
            except ssl.SSLWantWriteError:
                self._wants_write = True
                return False
        self.is_open = True
        return True

    def _flush(self) -> None:
        while self.unsent:
            try:
                sent = (self._tls or self._plain).send(self.unsent[:STREAM_BYTES])
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            del self.unsent[:sent]

    def _read(self) -> list[bytes]:
        found: list[bytes] = []
        for _ in range(4):
            # TLS may hold back what it has decrypted: poll tells of the socket alone, so read until it has no more.
            try:
                data = (self._tls or self._plain).recv(STREAM_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            if not data:
                if found:
                    break
                raise OSError(errno.ECONNRESET, "the server has ended it")
            self._deframer.feed(data)
            found += self._deframer.take(len(data))
            if self._tls is None or not self._tls.pending():
                break
        return found


def tls_context(authority_file: str) -> ssl.SSLContext:
    """Checks names and certificates, by the file's authorities or the system's.

    Raises:
        OSError: the file cannot be read (an `ssl.SSLError` is one).
    """
    context = ssl.create_default_context(cafile=authority_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
