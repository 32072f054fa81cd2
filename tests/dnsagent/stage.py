"""What the tests of the packet process share: DNS messages by hand, small snapshots, an endpoint that asks."""

import struct
from collections.abc import Mapping
from ipaddress import ip_address, ip_network

from dnsagent.learn import Element, Learner, Packet
from dnsagent.plan import Plan, make_plan
from dnsagent.snapshot import Snapshot, SnapshotEndpoint, SnapshotRule, TrustedServer
from reconcile.instant import Instant

A, CNAME, AAAA, DNAME, HTTPS = 1, 5, 28, 39, 65
ANSWER, QUERY = 0x8180, 0x0100
CLIENT, CLIENT6, OTHER = "10.0.1.2", "fd00:1::2", "10.0.1.3"
SERVER = "10.0.53.53"
PORT = 40_000


def packed(address: str) -> bytes:
    return ip_address(address).packed


def key(name: str) -> bytes:
    r"""The wire key of a name without escapes; `\0` in a label stands for a dot."""
    return b"".join(
        bytes([len(label)]) + label.replace("\0", ".").encode() for label in name.lower().split(".") if label
    )


def wire(name: str) -> bytes:
    return b"".join(
        bytes([len(label)]) + label.replace("\0", ".").encode() for label in name.split(".") if label
    ) + bytes(1)


def header(identifier: int, flags: int, *counts: int) -> bytes:
    return struct.pack("!HHHHHH", identifier, flags, *counts)


def query(name: str, qtype: int = A, identifier: int = 7, flags: int = QUERY, class_: int = 1) -> bytes:
    return header(identifier, flags, 1, 0, 0, 0) + wire(name) + struct.pack("!HH", qtype, class_)


def record(owner: str | bytes, rtype: int, ttl: int, data: bytes | str, class_: int = 1) -> bytes:
    """A record; owners and data as text are names or addresses."""
    owner = wire(owner) if isinstance(owner, str) else owner
    if isinstance(data, str):
        data = packed(data) if rtype in (A, AAAA) else wire(data)
    return owner + struct.pack("!HHIH", rtype, class_, ttl, len(data)) + data


def answer(
    name: str,
    *records: bytes,
    qtype: int = A,
    identifier: int = 7,
    flags: int = ANSWER,
    class_: int = 1,
    authority: tuple[bytes, ...] = (),
    additional: tuple[bytes, ...] = (),
) -> bytes:
    head = header(identifier, flags, 1, len(records), len(authority), len(additional))
    return head + wire(name) + struct.pack("!HH", qtype, class_) + b"".join((*records, *authority, *additional))


def service(priority: int, target: str, *parameters: tuple[int, bytes]) -> bytes:
    """The data of an HTTPS record."""
    body = b"".join(struct.pack("!HH", number, len(value)) + value for number, value in parameters)
    return struct.pack("!H", priority) + wire(target) + body


POINTER = b"\xc0\x0c"
"""To the question's name."""


def rule(name: str, *patterns: str, **options) -> SnapshotRule:
    values = {"ttl_floor_seconds": 10.0, "ttl_ceiling_seconds": 86_400.0, "extra_ttl_seconds": 0.0} | options
    if values.get("is_bound"):
        values.setdefault("doors", ((0, 0, 65_535),))
    return SnapshotRule(id=name, patterns=patterns, set4=f"d4-{name}", set6=f"d6-{name}", **values)


def endpoint(name: str, *addresses: str, rules: tuple[str, ...]) -> SnapshotEndpoint:
    return SnapshotEndpoint(
        id=name, interface_name=f"cali-{name}", addresses=tuple(map(ip_address, addresses)), rules=rules
    )


def snapshot(*rules: SnapshotRule, endpoints: tuple[SnapshotEndpoint, ...] | None = None, guarded=(), **options):
    """By default one endpoint with all the rules."""
    ids = tuple(each.id for each in rules)
    if endpoints is None:
        endpoints = (endpoint("ep1", CLIENT, CLIENT6, rules=ids),)
    return Snapshot(
        generation=options.pop("generation", 1),
        table="tidegate",
        trusted_servers=(TrustedServer(address=ip_address(SERVER)),),
        rules={each.id: each for each in rules},
        endpoints={each.id: each for each in endpoints},
        guarded_networks=tuple(map(ip_network, guarded)),
        **options,
    )


def packet(payload: bytes, client: str = CLIENT, port: int = PORT, server: str = SERVER, server_port: int = 53):
    return Packet(packed(client), port, packed(server), server_port, payload)


class Stage:
    """A learner whose kernel takes everything, at a time that the test sets."""

    def __init__(self, *rules: SnapshotRule, **options) -> None:
        self.learner = Learner(make_plan(snapshot(*rules, **options)))
        self.now = 1000.0

    def ask(self, name: str, qtype: int = A, client: str = CLIENT, **options) -> None:
        self.learner.note_query(packet(query(name, qtype, **options), client), Instant(self.now))

    def judge(self, payload: bytes, **options) -> list[Element]:
        elements = self.learner.judge(packet(payload, **options), Instant(self.now))
        self.learner.commit(elements)
        return elements

    def tell(self, name: str, *records: bytes, qtype: int = A, client: str = CLIENT, **options) -> list[Element]:
        """The endpoint asks, and is answered."""
        self.ask(name, qtype, client)
        return self.judge(answer(name, *records, qtype=qtype, **options), client=client)

    def is_open(self, address: str, client: str = CLIENT) -> bool:
        return self.learner.is_open(packed(client), packed(address), Instant(self.now))

    def count(self, name: str) -> int:
        return self.learner.counters[name]

    def left_out(self) -> dict[str, list[str]]:
        """Who found no place lately, by the counter of the bound."""
        return self.learner.places.left_out.recent(Instant(self.now))

    def adopt(self, *rules: SnapshotRule, **options) -> list[Element]:
        return self.take(make_plan(snapshot(*rules, **options)))

    def take(self, plan: Plan, fresh: Mapping[str, frozenset[int]] | None = None) -> list[Element]:
        self.learner.adopt(plan)
        opened = []
        for elements in self.learner.back_fill(Instant(self.now), fresh):
            self.learner.commit(elements)
            opened += elements
        return opened


def pairs(elements) -> set[tuple[str, str, str]]:
    """(set, endpoint address, learned address) of elements."""
    found = set()
    for element in elements:
        name, both = element.key
        half = len(both) // 2
        found.add((name, str(ip_address(both[:half])), str(ip_address(both[half:]))))
    return found
