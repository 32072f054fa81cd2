"""A DNS server that says exactly what a test tells it to, step by step, and counts what it was asked."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
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


def record(line: str) -> dnslib.RR:
    """One resource record from `owner ttl TYPE data`; labels may hold escaped characters (`evil\\.a.test`)."""
    owner, ttl, rtype, *data = line.split()
    kind = getattr(dnslib.QTYPE, rtype)
    name = dnslib.DNSLabel([part.replace("\0", ".").encode() for part in owner.replace("\\.", "\0").split(".") if part])
    # dnslib reads no IPv4 address inside an IPv6 one.
    rdata = dnslib.AAAA(tuple(ip_address(data[0]).packed)) if rtype == "AAAA" else dnslib.RDMAP[rtype].fromZone(data)
    return dnslib.RR(name, kind, ttl=int(ttl), rdata=rdata)


@dataclass
class ScriptedServer:
    """Replies by (folded name, type); the last step of a script repeats for ever; unknown names get NXDOMAIN."""

    scripts: dict[tuple[str, str], list[Step]] = field(default_factory=dict)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
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
        """Serves port 53 of the namespace, on all its addresses."""
        return servers.udp_service(namespace, 53, self.reply)

    def reply(self, query: bytes) -> bytes | Sequence[bytes] | None:
        """The reply to a query; None where there is nothing to parse."""
        try:
            request = dnslib.DNSRecord.parse(query)
        except dnslib.DNSError:
            return None
        name, qtype = str(request.q.qname).rstrip(".").lower(), dnslib.QTYPE[request.q.qtype]
        with self.lock:
            self.asked[name, qtype] += 1
            steps = self.scripts.get((name, qtype))
            step = (steps.pop(0) if len(steps) > 1 else steps[0]) if steps else self._fallback(name)
        if step.delay_seconds:
            time.sleep(step.delay_seconds)
        packed = self._packed(request, step)
        return step.mangle(packed) if step.mangle else packed

    def _fallback(self, name: str) -> Step:
        known = any(script_name == name for script_name, _ in self.scripts)
        return Step(rcode="NOERROR" if known else "NXDOMAIN")

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
