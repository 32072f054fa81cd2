"""Local zones: names that we answer ourselves, from files. Pure: records in, replies out (RFC 1034 4.3.2).

A zone is authoritative below each of its SOA records; a file without one knows its names alone, and leaves the rest to
the servers. Wildcards as in RFC 4592. Aliases are followed inside the zones.
"""

from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple

from dnsagent.codec import FLAG_RESPONSE, Type
from dnsagent.forward.messages import FLAG_RA, FLAG_RD, TYPE_OPT, TYPE_SOA, Asked, Rcode

_AA = 0x0400
_ANY = 255
_MAX_ALIASES = 16
_HEADER = Struct("!HHHHHH")
_FIXED = Struct("!HHIH")


class ZoneRecord(NamedTuple):
    """A record: owner as wire key, data uncompressed."""

    owner: bytes
    type: int
    ttl: int
    data: bytes
    target: bytes = b""
    """Of an alias: its wire key."""


class LocalZones:
    """Records by owner. Immutable after construction."""

    def __init__(self, records: Iterable[ZoneRecord] = ()) -> None:
        self._records: dict[bytes, list[ZoneRecord]] = {}
        self._inner: set[bytes] = set()
        """Names that exist because names below them do (RFC 4592 2.2.2)."""
        self._apexes: dict[bytes, ZoneRecord] = {}
        for record in records:
            self._records.setdefault(record.owner, []).append(record)
            if record.type == TYPE_SOA:
                self._apexes[record.owner] = record
            self._inner.update(_above(record.owner))

    def __len__(self) -> int:
        return len(self._records)

    def answer(self, asked: Asked) -> bytes | None:
        """The reply, if the name is ours."""
        apex = self._apex(asked.name)
        if apex is None and asked.name not in self._records:
            return None
        answers: list[ZoneRecord] = []
        name, found = asked.name, False
        for _ in range(_MAX_ALIASES):
            records, exists = self._at(name)
            found = found or exists
            alias = next((each for each in records if each.type == Type.CNAME), None)
            if alias is None or asked.type in (Type.CNAME, _ANY):
                answers += [each for each in records if asked.type in (each.type, _ANY)]
                break
            answers.append(alias)
            name = alias.target
        rcode = Rcode.NOERROR if found else Rcode.NXDOMAIN
        authority = [] if answers or apex is None else [_negative(apex)]
        return _packed(asked, rcode, answers, authority)

    def _apex(self, name: bytes) -> ZoneRecord | None:
        for above in (name, *_above(name)):
            if above in self._apexes:
                return self._apexes[above]
        return None

    def _at(self, name: bytes) -> tuple[list[ZoneRecord], bool]:
        """The records of a name, and whether it exists; a wildcard's stand in for a name that does not."""
        known = self._records.get(name)
        if known is not None:
            return known, True
        if name in self._inner:
            return [], True
        for above in _above(name):
            covering = self._records.get(b"\1*" + above)
            if covering is not None:
                return [each._replace(owner=name) for each in covering], True
            if above in self._records or above in self._inner:
                break  # the closest name that exists: a wildcard further up does not cover this one
        return [], False


def _above(name: bytes) -> Iterable[bytes]:
    """The names that it is below, the nearest first, without the root."""
    at = name[0] + 1 if name else 0
    while at < len(name):
        yield name[at:]
        at += name[at] + 1


def _negative(soa: ZoneRecord) -> ZoneRecord:
    """With the TTL of negative answers (RFC 2308 3)."""
    return soa._replace(ttl=min(soa.ttl, int.from_bytes(soa.data[-4:], "big")))


def _packed(asked: Asked, rcode: Rcode, answers: list[ZoneRecord], authority: list[ZoneRecord]) -> bytes:
    flags = FLAG_RESPONSE | _AA | FLAG_RA | asked.flags & FLAG_RD | rcode
    head = _HEADER.pack(asked.id, flags, 1, len(answers), len(authority), int(asked.has_edns))
    edns = b"\0" + _FIXED.pack(TYPE_OPT, 1232, 0, 0) if asked.has_edns else b""
    return head + asked.question + b"".join(_wire(each, asked) for each in (*answers, *authority)) + edns


def _wire(record: ZoneRecord, asked: Asked) -> bytes:
    owner = b"\xc0\x0c" if record.owner == asked.name else record.owner + b"\0"
    return owner + _FIXED.pack(record.type, 1, record.ttl, len(record.data)) + record.data
