"""DNS messages as a forwarder handles them: read once, changed in place, never taken apart.

A query is read down to its EDNS record and written anew, without anything else its client put there. A reply is kept as
it came; its *layout* says where the TTLs are, how long it may be kept, and where service records are. All changes keep
offsets, but the one that takes `ech` out, which is refused where a compressed name points behind it.

Only `DecodeError` is raised, whatever the bytes. RFC 1035 4, EDNS: RFC 6891, negative answers: RFC 2308, extended
errors: RFC 8914, service records: RFC 9460, encrypted ClientHello in them: RFC 9848.
"""

from enum import IntEnum
from struct import Struct
from typing import Final, final

from dnsagent.codec import (
    FLAG_OPCODE,
    FLAG_RCODE,
    FLAG_RESPONSE,
    FLAG_TRUNCATED,
    HEADER_BYTES,
    MAX_NAME_BYTES,
    DecodeError,
    Type,
    decode_question,
)

UDP_BYTES: Final = 512
"""What a client without EDNS takes (RFC 1035 4.2.1)."""
EDNS_BYTES: Final = 1232
"""What we ask upstream for, and the most we send: beyond it fragments begin (DNS flag day 2020)."""
MAX_RECORDS: Final = 4096
"""Of a reply: 64 KiB hold 5,900 of the smallest."""
MAX_KEPT_TTL: Final = 86_400
NEGATIVE_MAX_TTL: Final = 10_800
"""RFC 2308 5: "one to three hours ... have been found to work well"."""

FLAG_RD: Final = 0x0100
FLAG_RA: Final = 0x0080
FLAG_AD: Final = 0x0020
FLAG_CD: Final = 0x0010
_ASKED_FLAGS: Final = FLAG_RD | FLAG_AD | FLAG_CD

TYPE_SOA: Final = 6
TYPE_OPT: Final = 41
_NAMES_IN_DATA: Final = {2: 0, 5: 0, 6: 0, 12: 0, 15: 2, 39: 0}
"""Types whose data hold names that may be compressed, and how far inside the first one begins (RFC 3597 4)."""
_EDNS_DO: Final = 0x8000
_OPTION_EXTENDED_ERROR: Final = 15
_PARAMETER_ECH: Final = 5

_HEADER = Struct("!HHHHHH")
_RECORD = Struct("!HHIH")
_TWO = Struct("!HH")
_U16 = Struct("!H")
_U32 = Struct("!I")


class Rcode(IntEnum):
    """Response codes (IANA DNS parameters)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5


class ExtendedError(IntEnum):
    """Why, for those who read it (RFC 8914 5.2)."""

    STALE_ANSWER = 3
    BLOCKED = 15
    """On a list."""
    PROHIBITED = 18
    """This client may not ask for it."""
    NO_REACHABLE_AUTHORITY = 22


@final
class Asked:
    """A query as far as it matters."""

    __slots__ = ("dnssec_ok", "flags", "has_edns", "id", "key", "name", "question", "type", "udp_bytes")

    def __init__(self, id: int, flags: int, name: bytes, type: int, question: bytes) -> None:  # noqa: A002 - as in the RFC
        self.id = id
        self.flags = flags
        self.name = name
        """Wire key, folded."""
        self.type = type
        self.question = question
        """As it came, in the client's case."""
        self.has_edns = False
        self.dnssec_ok = False
        self.udp_bytes = UDP_BYTES
        """What the client takes in a datagram."""
        self.key = b""
        """Equal for queries whose reply is the same."""


def read_query(data: bytes) -> Asked:
    """Reads a query.

    Raises:
        DecodeError: it is no query with one question whose name is written out.
    """
    asked = decode_question(data)
    if asked.flags & (FLAG_RESPONSE | FLAG_OPCODE):
        raise DecodeError("no standard query", 2)
    end = HEADER_BYTES + len(asked.name) + 1
    if data[HEADER_BYTES:end].lower() != asked.name + b"\0":
        raise DecodeError("question with a compressed name", HEADER_BYTES)
    query = Asked(asked.id, asked.flags, asked.name, asked.type, data[HEADER_BYTES : end + 4])
    _, _, _, answers, authorities, additional = _HEADER.unpack_from(data)
    if answers or authorities:
        raise DecodeError("query with answers", 6)
    if additional:
        _read_edns(data, end + 4, query)
    variant = (
        query.has_edns | query.dnssec_ok << 1 | bool(asked.flags & FLAG_CD) << 2 | bool(asked.flags & FLAG_RD) << 3
    )
    query.key = bytes((variant,)) + data[end : end + 4] + asked.name
    return query


def _read_edns(data: bytes, at: int, query: Asked) -> None:
    """The OPT record, if it comes first, as it does from everybody but signers, whose signatures end here."""
    if at + 11 > len(data):
        raise DecodeError("record cut short", at)
    kind, size, flags, length = _RECORD.unpack_from(data, at + 1)
    if data[at] or kind != TYPE_OPT:
        return
    if at + 11 + length > len(data):
        raise DecodeError("record data cut short", at)
    query.has_edns = True
    query.dnssec_ok = bool(flags & _EDNS_DO)
    query.udp_bytes = max(UDP_BYTES, min(size, EDNS_BYTES))


def upstream_query(asked: Asked, identifier: int) -> bytes:
    """The same question from us: with our number, our EDNS, and no option of the client's."""
    head = _HEADER.pack(identifier, asked.flags & _ASKED_FLAGS, 1, 0, 0, int(asked.has_edns))
    if not asked.has_edns:
        return head + asked.question
    return head + asked.question + _edns(asked)


def _edns(asked: Asked, options: bytes = b"") -> bytes:
    return b"\0" + _RECORD.pack(TYPE_OPT, EDNS_BYTES, _EDNS_DO if asked.dnssec_ok else 0, len(options)) + options


# --- replies -----------------------------------------------------------------------------------------------------


@final
class Layout:
    """Where things are in a reply."""

    __slots__ = ("ends_at", "flags", "kept_seconds", "services", "targets", "ttls")

    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.ttls: list[int] = []
        """Offsets of the TTLs, but for those of OPT records, which are none."""
        self.kept_seconds = 0
        """How long the reply may be kept."""
        self.services: list[tuple[int, int]] = []
        """Data of HTTPS and SVCB records: where they begin and end."""
        self.targets: list[tuple[int, int]] = []
        """Compressed names: (where the pointer stands, where it leads)."""
        self.ends_at = 0

    @property
    def rcode(self) -> int:
        """What became of the question."""
        return self.flags & FLAG_RCODE

    @property
    def is_truncated(self) -> bool:
        """It did not fit."""
        return bool(self.flags & FLAG_TRUNCATED)


def read_reply(data: bytes, asked: Asked) -> Layout:
    """Reads a reply to the query.

    Raises:
        DecodeError: it is malformed, or answers something else.
    """
    if len(data) < HEADER_BYTES:
        raise DecodeError("header cut short", 0)
    _, flags, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    end = HEADER_BYTES + len(asked.question)
    if not flags & FLAG_RESPONSE or questions != 1 or data[HEADER_BYTES:end].lower() != asked.question.lower():
        raise DecodeError("reply to something else", 0)
    if answers + authorities + additional > MAX_RECORDS:
        raise DecodeError(f"{answers + authorities + additional} records", 6)
    layout = Layout(flags)
    at, least, negative = end, MAX_KEPT_TTL, -1
    for number in range(answers + authorities + additional):
        kind, ttl, start, at = _read_record(data, at, layout)
        if kind == TYPE_OPT:
            continue
        layout.ttls.append(start - 6)
        if number < answers:
            least = min(least, ttl)
        elif kind == TYPE_SOA and number < answers + authorities and at - start >= 4:
            negative = min(ttl, *_U32.unpack_from(data, at - 4), NEGATIVE_MAX_TTL)
    layout.ends_at = at
    layout.kept_seconds = _kept_seconds(layout, answers, least, negative)
    return layout


def _kept_seconds(layout: Layout, answers: int, least: int, negative: int) -> int:
    """RFC 2308 5: a negative answer without an SOA record is not kept; one behind an alias is kept as long as both."""
    if layout.is_truncated or layout.rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN):
        return 0
    if layout.rcode == Rcode.NOERROR and answers and negative < 0:
        return least
    return max(0, min(least, negative)) if negative >= 0 else 0


def _read_record(data: bytes, at: int, layout: Layout) -> tuple[int, int, int, int]:
    """A record's type, TTL, where its data begin and end."""
    at = _skip_name(data, at, layout)
    if at + 10 > len(data):
        raise DecodeError("record cut short", at)
    kind, _, ttl, length = _RECORD.unpack_from(data, at)
    start, end = at + 10, at + 10 + length
    if end > len(data):
        raise DecodeError("record data cut short", start)
    if kind in _NAMES_IN_DATA:
        behind = _skip_name(data, start + _NAMES_IN_DATA[kind], layout)
        if kind == TYPE_SOA:
            behind = _skip_name(data, behind, layout)
        if behind > end:
            raise DecodeError("name runs past its record", start)
    elif kind in (Type.HTTPS, Type.SVCB):
        layout.services.append((start, end))
    return kind, 0 if ttl >= 0x80000000 else ttl, start, end


def _skip_name(data: bytes, at: int, layout: Layout) -> int:
    """The offset behind a name; notes where a pointer in it leads."""
    start = at
    while at < len(data):
        length = data[at]
        if length == 0:
            return at + 1
        if length >= 0xC0:
            if at + 2 > len(data):
                break
            target = (length & 0x3F) << 8 | data[at + 1]
            if target >= start:
                raise DecodeError("pointer that does not lead backwards", at)
            layout.targets.append((at, target))
            return at + 2
        if length >= 64 or at - start > MAX_NAME_BYTES:
            raise DecodeError("label type or length", at)
        at += 1 + length
    raise DecodeError("name runs past the message", start)


def addressed(data: bytes, asked: Asked) -> bytes:
    """The reply under the asker's number and with the question in the asker's spelling."""
    end = HEADER_BYTES + len(asked.question)
    return _U16.pack(asked.id) + data[2:HEADER_BYTES] + asked.question + data[end:]


def aged(data: bytes, ttls: list[int], seconds: int) -> bytes:
    """The reply with so much of all its TTLs gone."""
    if not seconds:
        return data
    changed = bytearray(data)
    for at in ttls:
        (ttl,) = _U32.unpack_from(changed, at)
        _U32.pack_into(changed, at, ttl - seconds if ttl > seconds else 0)
    return bytes(changed)


def with_ttl(data: bytes, ttls: list[int], seconds: int) -> bytes:
    """The reply with all its TTLs set: a stale one has `seconds` (RFC 8767 4: 30)."""
    changed = bytearray(data)
    for at in ttls:
        _U32.pack_into(changed, at, seconds)
    return bytes(changed)


def fitting(data: bytes, asked: Asked) -> bytes:
    """The reply if it fits the asker's datagrams, else word that it does not: no records rather than some of them."""
    if len(data) <= asked.udp_bytes:
        return data
    (flags,) = _U16.unpack_from(data, 2)
    return _said(asked, flags | FLAG_TRUNCATED, 0) + (_edns(asked) if asked.has_edns else b"")


def _said(asked: Asked, flags: int, authorities: int) -> bytes:
    return _HEADER.pack(asked.id, flags, 1, 0, authorities, int(asked.has_edns)) + asked.question


def refusal(asked: Asked, rcode: Rcode, why: ExtendedError | None, negative_ttl: int = 0) -> bytes:
    """A reply of our own without an answer.

    With a TTL it has an SOA record, so that the client remembers it: without, some ask again and again, and a search
    list ends at a refusal (RFC 2308 2.1, 2.2). The record's owner is the name itself.
    """
    flags = FLAG_RESPONSE | FLAG_RA | asked.flags & (FLAG_RD | FLAG_CD) | rcode
    soa = _soa(negative_ttl) if negative_ttl else b""
    reply = _said(asked, flags, int(bool(soa))) + soa
    if not asked.has_edns:
        return reply
    return reply + _edns(asked, _TWO.pack(_OPTION_EXTENDED_ERROR, 2) + _U16.pack(why) if why is not None else b"")


def _soa(ttl: int) -> bytes:
    names = b"\x08tidegate\x07invalid\0" + b"\x06nobody\x07invalid\0"
    body = names + Struct("!IIIII").pack(1, 3600, 600, 86_400, ttl)
    return b"\xc0\x0c" + _RECORD.pack(TYPE_SOA, 1, ttl, len(body)) + body


def malformed_reply(data: bytes) -> bytes | None:
    """What is said to a query that cannot be read: that; None if not even its header can, or it is a reply itself."""
    if len(data) < HEADER_BYTES:
        return None
    identifier, flags = _TWO.unpack_from(data)
    if flags & FLAG_RESPONSE:
        return None
    rcode = Rcode.NOTIMP if flags & FLAG_OPCODE else Rcode.FORMERR
    return _HEADER.pack(identifier, FLAG_RESPONSE | flags & (FLAG_OPCODE | FLAG_RD) | rcode, 0, 0, 0, 0)


# --- encrypted ClientHello -----------------------------------------------------------------------------------------


def without_ech(data: bytes, layout: Layout) -> bytes | None:
    """The reply without `ech` in its service records; None if that cannot be done, then nobody may have it.

    Without it a client sends its ClientHello in the open, and the name in it can be checked.

    Raises:
        DecodeError: a service record is malformed.
    """
    cuts = [cut for start, end in layout.services if (cut := _ech(data, start, end)) is not None]
    if not cuts:
        return data
    if any(target > cuts[0][1] for _, target in layout.targets):
        return None
    parts, last = [], 0
    for length_at, start, end in cuts:
        (length,) = _U16.unpack_from(data, length_at)
        parts += [data[last:length_at], _U16.pack(length - (end - start)), data[length_at + 2 : start]]
        last = end
    return b"".join((*parts, data[last:]))


def _ech(data: bytes, start: int, end: int) -> tuple[int, int, int] | None:
    """Where the record's length stands, and where its `ech` begins and ends (RFC 9460 2.2)."""
    at = _skip_name(data, start + 2, Layout(0)) if start + 2 < end else end
    while at < end:
        if at + 4 > end:
            raise DecodeError("service parameter cut short", at)
        kind, length = _TWO.unpack_from(data, at)
        if at + 4 + length > end:
            raise DecodeError("service parameter runs past its record", at)
        if kind == _PARAMETER_ECH:
            return start - 2, at, at + 4 + length
        at += 4 + length
    return None
