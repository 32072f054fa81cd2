"""Answers from zone data, through dnslib: for the resolver, the demo and everything off the packet path."""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

import dnslib

from dnsagent.forward.zones import ZoneRecord
from dnsagent.match import wire_key
from policy.domains import DomainName

DEFAULT_TTL_SECONDS = 60


def build_zone(text: str) -> Mapping[str, list[dnslib.RR]]:
    """Resource records by folded owner name, from zone-file text (RFC 1035 5.1).

    Raises:
        dnslib.DNSError: the text is no zone file.
    """
    zone: dict[str, list[dnslib.RR]] = {}
    for record in dnslib.RR.fromZone(text, ttl=DEFAULT_TTL_SECONDS):
        zone.setdefault(str(record.rname).lower(), []).append(record)
    return zone


def answer(query: bytes, zone: Mapping[str, Iterable[dnslib.RR]]) -> bytes | None:
    """The reply to a query: the records, with CNAMEs followed inside the zone, or NXDOMAIN. None for what is no query.

    RFC 1034 4.3.2: the alias comes first, then what stands at its end.
    """
    try:
        request = dnslib.DNSRecord.parse(query)
    except dnslib.DNSError:
        return None
    if request.header.qr or len(request.questions) != 1:
        return None
    reply = request.reply()
    name, wanted = str(request.q.qname).lower(), request.q.qtype
    for _ in range(16):
        records = list(zone.get(name, ()))
        aliases = [record for record in records if record.rtype == dnslib.QTYPE.CNAME and wanted != dnslib.QTYPE.CNAME]
        for record in aliases or [record for record in records if record.rtype == wanted]:
            reply.add_answer(record)
        if not aliases:
            break
        name = str(aliases[0].rdata.label).lower()
    if not reply.rr and name not in zone:
        reply.header.rcode = dnslib.RCODE.NXDOMAIN
    return bytes(reply.pack())


def query(name: str, qtype: str, identifier: int | None = None) -> bytes:
    """A query for the name, recursion desired.

    Raises:
        dnslib.DNSError: the name or the type is none.
    """
    question = dnslib.DNSRecord.question(name, qtype)
    if identifier is not None:
        question.header.id = identifier
    return bytes(question.pack())


def addresses(reply: bytes) -> tuple[IPv4Address | IPv6Address, ...]:
    """The A and AAAA records of a reply's answer section, in order.

    Raises:
        dnslib.DNSError: the bytes are no DNS message.
    """
    kinds = (dnslib.QTYPE.A, dnslib.QTYPE.AAAA)
    return tuple(ip_address(str(record.rdata)) for record in dnslib.DNSRecord.parse(reply).rr if record.rtype in kinds)


class _Uncompressed(dnslib.DNSBuffer):  # type: ignore[misc]
    """Writes names out, so that record data mean the same wherever they are put."""

    def encode_name(self, name: dnslib.DNSLabel) -> None:
        self.encode_name_nocompress(name)


def zone_records(text: str) -> list[ZoneRecord]:
    """The records of a zone file (RFC 1035 5.1) as the resolver keeps them.

    Raises:
        ValueError: the text is no zone file.
    """
    try:
        return [_zone_record(record) for record in dnslib.RR.fromZone(text, ttl=DEFAULT_TTL_SECONDS)]
    except (dnslib.DNSError, ValueError, IndexError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"cannot read the zone: {error}") from error


def _zone_record(record: dnslib.RR) -> ZoneRecord:
    buffer = _Uncompressed()
    record.rdata.pack(buffer)
    target = wire_key(tuple(map(bytes.lower, record.rdata.label.label))) if record.rtype == dnslib.QTYPE.CNAME else b""
    owner = wire_key(tuple(map(bytes.lower, record.rname.label)))
    return ZoneRecord(owner, record.rtype, record.ttl, bytes(buffer.data), target)


@dataclass(frozen=True, slots=True)
class RecordSet:
    """Records of one owner, class and type in an answer section, as people write them."""

    name: str
    class_: str
    type: str
    rdata: tuple[str, ...]


_ERRORS = (dnslib.DNSError, ValueError, IndexError, KeyError, AttributeError, TypeError, struct.error, RecursionError)
"""What dnslib raises for bytes that it cannot read."""
_OF_A_NAME = frozenset({dnslib.QTYPE.NS, dnslib.QTYPE.CNAME, dnslib.QTYPE.PTR})


def record_sets(reply: bytes, max_records: int, max_characters: int) -> tuple[tuple[RecordSet, ...], int]:
    """The answer section as text, and how many records were left out because there are more.

    Record data longer than `max_characters` are cut off there, and end in three dots.

    Raises:
        ValueError: the bytes are no DNS message.
    """
    # What stands behind the answers is not asked for, and there may be much of it.
    alone = reply[:8] + bytes(4) + reply[12:]
    try:
        records = [(record, _owner(record), _data(record)) for record in dnslib.DNSRecord.parse(alone).rr[:max_records]]
    except _ERRORS as error:
        raise ValueError(f"cannot read a DNS message: {error}") from error
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for record, owner, data in records:
        kind = owner, dns_class_name(record.rclass), dns_type_name(record.rtype)
        grouped.setdefault(kind, []).append(data if len(data) <= max_characters else f"{data[:max_characters]}...")
    left_out = int.from_bytes(reply[6:8], "big") - len(records)
    return tuple(RecordSet(*kind, tuple(data)) for kind, data in grouped.items()), left_out


def dns_type_name(number: int) -> str:
    """The mnemonic (IANA), `TYPE123` where it has none that we know (RFC 3597 5)."""
    return str(dnslib.QTYPE.forward.get(number, f"TYPE{number}"))


def dns_class_name(number: int) -> str:
    """The mnemonic, `CLASS123` where it has none (RFC 3597 5)."""
    return str(dnslib.CLASS.forward.get(number, f"CLASS{number}"))


def _owner(record: dnslib.RR) -> str:
    return str(DomainName.of(tuple(map(bytes.lower, record.rname.label))))


def _data(record: dnslib.RR) -> str:
    text = str(record.rdata)
    return text.removesuffix(".") or "." if record.rtype in _OF_A_NAME else text
