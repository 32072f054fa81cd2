"""Numbered words from pod to pod without a pause: what of them was lost, and how long one was on its way at worst."""

import contextlib
import errno
import itertools
import socket
import struct
import threading
import time

_WORD = struct.Struct("!Id")
_WORD_BYTES = 100
_EVERY_SECONDS = 0.005
_DRAIN_SECONDS = 0.5
_PATIENCE_SECONDS = 60.0
_UNSENT = frozenset((errno.ENOBUFS, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED))


class Words:
    """200 a second over UDP or TCP, for as long as the `with` lasts; afterwards `sent` and `received` are complete.

    with Words(cluster, "a", "b", "udp") as words:
        ...
    assert words.lost == 0
    """

    def __init__(self, cluster, source, target, protocol, version=4):
        self.sent, self.received = [], []
        """When, by number; and which numbers arrived when."""
        self.failure = None
        """What ended a TCP connection before its time."""
        self._is_over, self._is_sent = threading.Event(), threading.Event()
        self._is_tcp = protocol == "tcp"
        self._open(cluster[source].pod, cluster[target].pod, str(cluster[target].pod_address(version)), version)
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._send, self._receive)]

    def _open(self, source, target, address, version):
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        kind = socket.SOCK_STREAM if self._is_tcp else socket.SOCK_DGRAM
        with target.entered():
            server = socket.socket(family, kind)
        server.settimeout(_PATIENCE_SECONDS)
        server.bind((address, 0))
        with source.entered():
            self._client = socket.socket(family, kind)
        self._client.settimeout(_PATIENCE_SECONDS)
        if self._is_tcp:
            server.listen()
        self._client.connect(server.getsockname()[:2])
        self._server = server
        if self._is_tcp:
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._server, _ = server.accept()
            server.close()
        self._server.settimeout(0.1)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.hear(20)
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        self._client.close()
        self._server.close()

    def hear(self, count=20):
        """Returns when so many more words have arrived: what comes next happens while they flow."""
        wanted, deadline = len(self.received) + count, time.monotonic() + _PATIENCE_SECONDS
        while len(self.received) < wanted:
            assert self.failure is None, self.failure
            assert time.monotonic() < deadline, f"no words within {_PATIENCE_SECONDS} s"
            time.sleep(0.01)

    @property
    def lost(self):
        """How many never arrived."""
        return len(self.sent) - len({number for number, _ in self.received})

    @property
    def worst_delay(self):
        """Seconds from the sending of a word to its arrival, at worst."""
        return max(at - self.sent[number] for number, at in self.received)

    @property
    def longest_silence(self):
        """Seconds between the sending of two words that arrived, with none between them that did, at worst."""
        times = [self.sent[number] for number in sorted({number for number, _ in self.received})]
        return max(after - before for before, after in itertools.pairwise(times))

    def _send(self):
        try:
            while not self._is_over.wait(_EVERY_SECONDS):
                now = time.monotonic()
                self.sent.append(now)
                word = _WORD.pack(len(self.sent) - 1, now).ljust(_WORD_BYTES, b".")
                try:
                    self._client.sendall(word)
                except OSError as error:
                    # A datagram that does not leave is a lost one; a connection that fails is what is asked about.
                    if self._is_tcp or error.errno not in _UNSENT:
                        raise
            if self._is_tcp:
                self._client.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.failure = error
        finally:
            self._is_sent.set()

    def _receive(self):
        """Until all have arrived, or nothing has for a while after the last was sent; TCP: until the other side ends."""
        rest, quiet_since = b"", time.monotonic()
        while True:
            try:
                data = self._server.recv(65536)
            except TimeoutError:
                if self._is_sent.is_set() and self._is_given_up(quiet_since):
                    return
                continue
            except OSError as error:
                self.failure = error
                return
            if self._is_tcp and not data:
                return
            quiet_since, rest = time.monotonic(), rest + data
            while len(rest) >= _WORD_BYTES:
                self.received.append((_WORD.unpack_from(rest)[0], quiet_since))
                rest = rest[_WORD_BYTES:]

    def _is_given_up(self, quiet_since):
        patience = _PATIENCE_SECONDS if self._is_tcp and self.failure is None else _DRAIN_SECONDS
        return time.monotonic() > quiet_since + patience


@contextlib.contextmanager
def both_ways(cluster, one, other, protocol, version=4):
    """Words there and back."""
    with (
        Words(cluster, one, other, protocol, version) as there,
        Words(cluster, other, one, protocol, version) as back,
    ):
        yield there, back
