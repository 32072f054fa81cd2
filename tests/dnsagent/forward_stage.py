"""Queries and replies for the tests of the forwarder, by hand and by dnslib."""

import struct
from collections import Counter

import dnslib

from dnsagent.forward.forwarder import Asker, Forwarder, Group
from dnsagent.forward.messages import Asked, read_query
from dnsagent.forward.store import ReplyStore
from reconcile.instant import Instant
from tests.dnsagent.stage import CLIENT, SERVER, packed, query

GROUP = Group(b"\0\0", (0, 1))


def asked(name: str, qtype: int = 1, identifier: int = 7, edns: int | None = None, *, dnssec: bool = False) -> Asked:
    return read_query(question(name, qtype, identifier, edns, dnssec=dnssec))


def question(name: str, qtype: int = 1, identifier: int = 7, edns: int | None = None, *, dnssec: bool = False) -> bytes:
    data = query(name, qtype, identifier)
    if edns is None:
        return data
    opt = b"\0" + struct.pack("!HHIH", 41, edns, 0x8000 if dnssec else 0, 0)
    return data[:10] + struct.pack("!H", 1) + data[12:] + opt


def reply_to(
    sent: bytes, *lines: str, rcode: str = "NOERROR", authority: tuple[str, ...] = (), truncated: bool = False
) -> bytes:
    """What a server says to a query; records as zone-file lines."""
    request = dnslib.DNSRecord.parse(sent)
    reply = request.reply()
    reply.header.rcode = getattr(dnslib.RCODE, rcode)
    reply.header.tc = int(truncated)
    for line in lines:
        reply.add_answer(*dnslib.RR.fromZone(line))
    for line in authority:
        reply.add_auth(*dnslib.RR.fromZone(line))
    return bytes(reply.pack())


SOA = "test. 900 IN SOA ns.test. root.test. 1 2 3 4 60"


class Bench:
    """A forwarder with a clock that the test moves."""

    def __init__(self, *, stale_seconds: float = 0.0, group: Group = GROUP, **options) -> None:

        self.counters: Counter[str] = Counter()
        self.ids = iter(range(1000, 60_000))
        self.store = ReplyStore(1 << 20, stale_seconds)
        self.forwarder = Forwarder(self.store, lambda: next(self.ids), self.counters, **options)
        self.group = group
        self.now = 100.0

    def ask(self, name: str, qtype: int = 1, client: str = CLIENT, port: int = 40_000, identifier: int = 7, **options):
        asker = Asker(asked(name, qtype, identifier, **options), packed(client), port, packed(SERVER), 53)
        return self.forwarder.ask(asker, self.group, Instant(self.now))

    def answer(self, send, *lines: str, **options):
        return self.forwarder.answer(send.upstream, reply_to(send.data, *lines, **options), Instant(self.now))

    def expire(self, seconds: float):
        self.now += seconds
        return self.forwarder.expire(Instant(self.now))
