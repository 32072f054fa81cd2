"""A DNS server that says exactly what a test tells it to, step by step, and counts what it was asked."""

import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address

import dnslib

from tidegate.demo import servers
from tidegate.demo.namespace import Namespace

Mangle = Callable[[bytes], bytes | Sequence[bytes]]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One reply. Records are zone-file lines; `mangle` gets the packed reply and says what is really sent."""

    answer: Sequence[str] = ()
    authority: Sequence[str] = ()
    additional: Sequence[str] = ()
    rcode: str = "NOERROR"
    truncated: bool = False
    delay_seconds: float = 0.0
    mangle: Mangle | None = None
    echo_case: bool = True
    segments: Sequence[int] = ()
    """Over TCP: sizes of the pieces in which the framed reply is sent, the last one for all the rest; () is one piece."""
    resets_after: int | None = None
    """Over TCP: the connection is reset behind so many bytes of the reply."""
    raw_stream: bytes | None = None
    """Over TCP: sent instead of the framed reply."""
    only_over: str = ""
    """`UDP` or `TCP`: this step answers nothing that comes by the other, and is not used up by it."""


def record(line: str) -> dnslib.RR:
    """One resource record from `owner ttl TYPE data`; labels may hold escaped characters (`evil\\.a.test`)."""
    owner, ttl, rtype, *data = line.split()
    kind = getattr(dnslib.QTYPE, rtype)
    name = dnslib.DNSLabel([part.replace("\0", ".").encode() for part in owner.replace("\\.", "\0").split(".") if part])
    if rtype == "AAAA":
        rdata = dnslib.AAAA(tuple(ip_address(data[0]).packed))  # dnslib reads no IPv4 address inside an IPv6 one
    elif rtype == "DNAME":
        rdata = dnslib.CNAME(data[0])  # it knows the number and not the type; both hold a name
    else:
        rdata = dnslib.RDMAP[rtype].fromZone(data)
    return dnslib.RR(name, kind, ttl=int(ttl), rdata=rdata)


@dataclass
class ScriptedServer:
    """Replies by (folded name, type); the last step of a script repeats for ever; unknown names get NXDOMAIN."""

    scripts: dict[tuple[str, str], list[Step]] = field(default_factory=dict)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    asked_over: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """With the transport, `UDP` or `TCP`."""
    clients: list[tuple[str, int]] = field(default_factory=list)
    """Address and port of everybody who connected over TCP."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def script(self, name: str, qtype: str, *steps: Step) -> None:
        """What to say when asked; replaces what was set before."""
        with self.lock:
            self.scripts[name.lower().rstrip("."), qtype] = list(steps)

    def address(self, name: str, address: str, ttl: int = 60) -> None:
        """The common case: one A or AAAA record."""
        qtype = "AAAA" if ":" in address else "A"
        self.script(name, qtype, Step(answer=[f"{name} {ttl} {qtype} {address}"]))

    def running(self, namespace: Namespace) -> AbstractContextManager[None]:
        """Serves port 53 of the namespace, on all its addresses, over UDP."""
        return servers.udp_service(namespace, 53, self.reply)

    def streaming(self, namespace: Namespace) -> AbstractContextManager[None]:
        """The same over TCP."""
        return stream_service(namespace, 53, self)

    def reply(self, query: bytes) -> bytes | Sequence[bytes] | None:
        """The reply to a query; None where there is nothing to parse."""
        found = self._step(query, "UDP")
        if found is None:
            return None
        request, step = found
        packed = self._packed(request, step)
        return step.mangle(packed) if step.mangle else packed

    def _step(self, query: bytes, transport: str) -> tuple[dnslib.DNSRecord, Step] | None:
        """The parsed query and what is said to it, after its delay."""
        try:
            request = dnslib.DNSRecord.parse(query)
        except dnslib.DNSError:
            return None
        name, qtype = str(request.q.qname).rstrip(".").lower(), dnslib.QTYPE[request.q.qtype]
        with self.lock:
            self.asked[name, qtype] += 1
            self.asked_over[name, qtype, transport] += 1
            steps = [step for step in self.scripts.get((name, qtype), ()) if step.only_over in ("", transport)]
            if len(steps) > 1:
                self.scripts[name, qtype].remove(steps[0])
            step = steps[0] if steps else self._fallback(name)
        if step.delay_seconds:
            time.sleep(step.delay_seconds)
        return request, step

    def _fallback(self, name: str) -> Step:
        known = any(script_name == name for script_name, _ in self.scripts)
        return Step(rcode="NOERROR" if known else "NXDOMAIN")

    def reply_to_stream(self, query: bytes) -> "StreamReply | None":
        """The reply to a query that came over TCP, and how it is sent."""
        found = self._step(query, "TCP")
        if found is None:
            return None
        request, step = found
        packed = self._packed(request, step)
        mangled = step.mangle(packed) if step.mangle else packed
        messages = [mangled] if isinstance(mangled, bytes) else list(mangled)
        framed = b"".join(len(message).to_bytes(2, "big") + message for message in messages)
        stream = framed if step.raw_stream is None else step.raw_stream
        return StreamReply(stream, step.segments, step.resets_after)

    @staticmethod
    def _packed(request: dnslib.DNSRecord, step: Step) -> bytes:
        reply = request.reply()
        reply.header.rcode = getattr(dnslib.RCODE, step.rcode)
        reply.header.tc = int(step.truncated)
        for line in step.answer:
            reply.add_answer(record(line))
        for line in step.authority:
            reply.add_auth(record(line))
        for line in step.additional:
            reply.add_ar(record(line))
        return bytes(reply.pack())


@dataclass(frozen=True)
class StreamReply:
    """Bytes for a stream, and how they are cut."""

    stream: bytes
    segments: Sequence[int]
    resets_after: int | None

    def send(self, connection: socket.socket) -> bool:
        """Sends it; False if the connection was reset."""
        data = self.stream if self.resets_after is None else self.stream[: self.resets_after]
        at = 0
        for size in (*self.segments, len(data)):
            if at < len(data):
                connection.sendall(data[at : at + size])
                at += size
                time.sleep(0.002 if self.segments else 0)
        if self.resets_after is None:
            return True
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        return False


@contextmanager
def stream_service(namespace: Namespace, port: int, server: ScriptedServer) -> Iterator[None]:
    """Answers framed messages of each connection in order, in a thread of its own."""
    listeners = [
        servers.listen(namespace, family, socket.SOCK_STREAM, port) for family in (socket.AF_INET, socket.AF_INET6)
    ]
    stop = threading.Event()
    opened: list[socket.socket] = []

    def accept(listener: socket.socket) -> None:
        while not stop.is_set():
            try:
                connection, address = listener.accept()
            except OSError:
                return
            server.clients.append(address[:2])
            opened.append(connection)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_converse, args=(connection, server), daemon=True).start()

    threads = [threading.Thread(target=accept, args=(listener,), daemon=True) for listener in listeners]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for each in (*listeners, *opened):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in threads:
            thread.join()


def _converse(connection: socket.socket, server: ScriptedServer) -> None:
    data = bytearray()
    with connection, suppress(OSError):
        while piece := connection.recv(65536):
            data += piece
            while len(data) >= 2 and len(data) >= 2 + int.from_bytes(data[:2], "big"):
                end = 2 + int.from_bytes(data[:2], "big")
                query = bytes(data[2:end])
                del data[:end]
                reply = server.reply_to_stream(query)
                if reply is not None and not reply.send(connection):
                    return


def ask_stream(
    namespace: Namespace, *names: str, qtype: str = "A", server: str = "10.0.53.53", timeout_seconds: float = 3.0
) -> list[dnslib.DNSRecord]:
    """Queries over one TCP connection, all sent at once; the parsed replies in the order they come.

    TimeoutError when one does not come, EOFError when the connection ends before.
    """
    with stream_client(namespace, server) as client:
        client.settimeout(timeout_seconds)
        client.connect((server, 53))
        client.sendall(b"".join(framed_query(name, qtype, number) for number, name in enumerate(names, 100)))
        return [read_reply(client) for _ in names]


def framed_query(name: str, qtype: str, identifier: int) -> bytes:
    """A query as a stream carries it."""
    question = dnslib.DNSRecord(q=dnslib.DNSQuestion(name, getattr(dnslib.QTYPE, qtype)))
    question.header.id = identifier
    packed = question.pack()
    return len(packed).to_bytes(2, "big") + packed


def read_reply(client: socket.socket) -> dnslib.DNSRecord:
    """The next reply of a stream. EOFError at its end."""
    length = int.from_bytes(_exactly(client, 2), "big")
    return dnslib.DNSRecord.parse(_exactly(client, length))


def _exactly(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = client.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def stream_client(namespace: Namespace, server: str) -> socket.socket:
    """A TCP socket inside the namespace, not connected yet."""
    with namespace.entered():
        return socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_STREAM)


def ask(
    namespace: Namespace,
    name: str | dnslib.DNSLabel,
    qtype: str = "A",
    server: str = "10.0.53.53",
    timeout_seconds: float = 2.0,
    identifier: int | None = None,
) -> dnslib.DNSRecord:
    """One query over UDP from a fresh port; the parsed reply. TimeoutError when none comes."""
    question = dnslib.DNSRecord(q=dnslib.DNSQuestion(name, getattr(dnslib.QTYPE, qtype)))
    question.header.rd = 1
    if identifier is not None:
        question.header.id = identifier
    with udp_client(namespace, server) as client:
        client.settimeout(timeout_seconds)
        client.send(question.pack())
        return dnslib.DNSRecord.parse(client.recv(65535))


def udp_client(namespace: Namespace, server: str, port: int = 53) -> socket.socket:
    """A UDP socket inside the namespace, connected to the server."""
    with namespace.entered():
        client = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
    client.connect((server, port))
    return client
