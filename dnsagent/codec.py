r"""DNS messages by hand: just what the learning of addresses needs, within limits, in microseconds.

A name is a *wire key*: its labels in uncompressed wire form without the root's empty label, ASCII letters folded to
lower case (`\3www\7example\3com`). Keys compare and hash as bytes, a dot inside a label is no separator, and folding
cannot touch length octets, which end at 63 where capital letters begin at 65.

Only `DecodeError` is raised, whatever the bytes (RFC 1035 4; limits against hostile messages: RFC 9267). A message is
read once from front to back; pointers lead strictly backwards, and all names together may take `MAX_LABEL_STEPS`
steps (service parameters and hints take some too), so that no message costs more than a millisecond.
"""

from enum import IntEnum
from typing import Final, final

HEADER_BYTES: Final = 12
MAX_NAME_BYTES: Final = 254
"""RFC 1035 2.3.4: 255 octets with the root's empty label, which a key leaves out."""
MAX_RECORDS: Final = 512
"""In the answer section. The largest honest answers have a few dozen, a UDP message holds 4,000 of the smallest."""
MAX_LABEL_STEPS: Final = 1000
"""Labels read and pointers followed in one message: 230 names of 120 labels would take 4 ms without this."""

MAX_TTL: Final = 0x7FFFFFFF

FLAG_RESPONSE: Final = 0x8000
FLAG_OPCODE: Final = 0x7800
FLAG_TRUNCATED: Final = 0x0200
FLAG_RCODE: Final = 0x000F


class Type(IntEnum):
    """Resource record types that matter here (IANA DNS parameters)."""

    A = 1
    CNAME = 5
    AAAA = 28
    DNAME = 39
    SVCB = 64
    HTTPS = 65


CLASS_IN: Final = 1

# The same as literals, which the compiler puts where they are used.
_A: Final = 1
_CNAME: Final = 5
_AAAA: Final = 28
_DNAME: Final = 39
_SVCB: Final = 64
_HTTPS: Final = 65
_SVC_IPV4_HINT: Final = 4
_SVC_IPV6_HINT: Final = 6


class DecodeError(ValueError):
    """Bytes that are no well-formed DNS message, or one beyond our limits; says where and why."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"cannot read a DNS message: {reason} at offset {offset}")
        self.reason = reason
        self.offset = offset


@final
class Question:
    """A query's header and its only question."""

    __slots__ = ("asked", "class_", "flags", "id", "name", "type")

    def __init__(self, id: int, flags: int, name: bytes, type: int, class_: int, asked: bytes) -> None:  # noqa: A002 - as in the RFC
        self.id = id
        self.flags = flags
        self.name = name
        """Wire key."""
        self.type = type
        self.class_ = class_
        self.asked = asked
        """Name, type and class as bytes: the same for a question and for its answer."""


# Records are bare tuples: an answer has five of them, and a named one costs as much as reading it.
AddressRecord = tuple[bytes, int, bytes]
"""An A or AAAA record, or an address hint of an HTTPS or SVCB record: owner (wire key), TTL (seconds, 0 to
2**31-1; what has the top bit set on the wire is 0: RFC 2181 8), address (4 or 16 bytes)."""
AliasRecord = tuple[bytes, int, bytes]
"""A CNAME or DNAME record: owner, TTL, target."""


@final
class Answer:
    """What a response says in its answer section, record by record; nothing is judged here."""

    __slots__ = ("addresses", "aliases", "asked", "class_", "delegations", "flags", "hints", "id", "name", "type")

    def __init__(self, question: Question) -> None:
        self.id = question.id
        self.flags = question.flags
        self.name = question.name
        self.type = question.type
        self.class_ = question.class_
        self.asked = question.asked
        self.addresses: list[AddressRecord] = []
        self.aliases: list[AliasRecord] = []
        self.delegations: list[AliasRecord] = []
        """DNAME records: the target replaces the owner at the end of names below it (RFC 6672)."""
        self.hints: list[AddressRecord] = []


def decode_question(data: bytes) -> Question:
    """The header and question of a query or response.

    Raises:
        DecodeError: there is not exactly one question, or it is malformed.
    """
    question, _ = _read_question(data, _NameReader(data))
    return question


def decode_answer(data: bytes) -> Answer:
    """A response down to the end of its answer section; authority and additional sections are never read.

    Raises:
        DecodeError: the message is malformed there, or beyond the limits.
    """
    names = _NameReader(data)
    question, at = _read_question(data, names)
    count = _u16(data, 6)
    if count > MAX_RECORDS:
        raise DecodeError(f"{count} records", 6)
    answer = Answer(question)
    _read_records(data, names, at, count, answer)
    return answer


def _u16(data: bytes, at: int) -> int:
    """Two bytes in network order; faster than the `struct` module where this is compiled."""
    return data[at] << 8 | data[at + 1]


def _u32(data: bytes, at: int) -> int:
    return data[at] << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]


def _read_question(data: bytes, names: "_NameReader") -> tuple[Question, int]:
    """The header and the only question, and the offset behind it."""
    if len(data) < HEADER_BYTES:
        raise DecodeError("header cut short", 0)
    count = _u16(data, 4)
    if count != 1:
        raise DecodeError(f"{count} questions", 4)
    name, at = names.read(HEADER_BYTES)
    end = at + 4
    if end > len(data):
        raise DecodeError("question cut short", at)
    asked = name + data[at:end]
    return Question(_u16(data, 0), _u16(data, 2), name, _u16(data, at), _u16(data, at + 2), asked), end


def _read_records(  # noqa: C901 - the types' cases, in one loop for speed
    data: bytes, names: "_NameReader", at: int, count: int, answer: Answer
) -> None:
    size = len(data)
    for _ in range(count):
        owner, at = names.read(at)
        if at + 10 > size:
            raise DecodeError("record cut short", at)
        kind, class_, ttl, length = _u16(data, at), _u16(data, at + 2), _u32(data, at + 4), _u16(data, at + 8)
        start = at + 10
        at = start + length
        if at > size:
            raise DecodeError("record data cut short", start)
        if class_ != CLASS_IN:
            continue
        if ttl > MAX_TTL:
            ttl = 0
        if kind == _A or kind == _AAAA:  # noqa: PLR1714, SIM109 - half the cost of a membership test
            if length != (4 if kind == _A else 16):
                raise DecodeError(f"address of {length} bytes", start)
            answer.addresses.append((owner, ttl, data[start:at]))
        elif kind == _CNAME or kind == _DNAME:  # noqa: PLR1714, SIM109
            target, end = names.read(start)
            if end != at:
                raise DecodeError("record data of another length than its name", start)
            (answer.aliases if kind == _CNAME else answer.delegations).append((owner, ttl, target))
        elif kind == _HTTPS or kind == _SVCB:  # noqa: PLR1714, SIM109
            _read_service(data, names, owner, ttl, start, at, answer)


def _read_service(
    data: bytes, names: "_NameReader", owner: bytes, ttl: int, start: int, end: int, answer: Answer
) -> None:
    """SVCB and HTTPS records (RFC 9460 2.2): the target of alias mode, the address hints of service mode."""
    if end - start < 3:
        raise DecodeError("service record cut short", start)
    priority = _u16(data, start)
    target, at = names.read(start + 2)
    if at > end:
        raise DecodeError("service record's name runs past its data", start)
    if priority == 0:
        if target:
            answer.aliases.append((owner, ttl, target))
        return
    while at < end:
        if at + 4 > end:
            raise DecodeError("service parameter cut short", at)
        kind, length = _u16(data, at), _u16(data, at + 2)
        names.spend(1, at)
        at += 4
        if at + length > end:
            raise DecodeError("service parameter runs past its record", at)
        width = 4 if kind == _SVC_IPV4_HINT else 16 if kind == _SVC_IPV6_HINT else 0
        if width:
            if length % width or not length:
                raise DecodeError("address hint of a wrong length", at)
            names.spend(length // width, at)
            answer.hints.extend((owner, ttl, data[i : i + width]) for i in range(at, at + length, width))
        at += length


class _NameReader:
    """Reads the names of one message; holds the label budget and the names already read, by offset."""

    __slots__ = ("_data", "_known", "_steps")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._known: dict[int, bytes] = {}
        self._steps = MAX_LABEL_STEPS

    def read(self, at: int) -> tuple[bytes, int]:
        """The key of the name at the offset, and the offset behind it."""
        data = self._data
        # Nearly every owner is one pointer to a name that was read before.
        if at + 2 <= len(data) and data[at] >= 0xC0:
            known = self._known.get((data[at] & 0x3F) << 8 | data[at + 1])
            if known is not None:
                return known, at + 2
        key, end = self._walk(at)
        self._known[at] = key
        return key, end

    def spend(self, steps: int, at: int) -> None:
        """Takes steps for other reading that hostile messages can multiply."""
        self._steps -= steps
        if self._steps < 0:
            raise DecodeError(f"more than {MAX_LABEL_STEPS} labels and parameters", at)

    def _walk(self, start: int) -> tuple[bytes, int]:  # noqa: C901 - the format's cases, in one loop for speed
        data, size, steps = self._data, len(self._data), self._steps
        at, end, barrier, piece, total = start, 0, start, start, 0
        parts: list[bytes] = []
        """What was read before each pointer."""
        while True:
            if at >= size:
                raise DecodeError("name runs past the message", start)
            length = data[at]
            if length == 0:
                break
            steps -= 1
            if steps < 0:
                raise DecodeError(f"more than {MAX_LABEL_STEPS} labels", at)
            if length < 64:
                stop = at + 1 + length
                total += 1 + length
                if total > MAX_NAME_BYTES:
                    raise DecodeError("name longer than 255 bytes", start)
                if stop >= size:
                    raise DecodeError("label runs past the message", at)
                at = stop
            elif length >= 0xC0:
                if at + 1 >= size:
                    raise DecodeError("pointer cut short", at)
                target = (length & 0x3F) << 8 | data[at + 1]
                # Strictly backwards, below everything this name has come through: loops cannot be.
                if target >= barrier or target < HEADER_BYTES:
                    raise DecodeError("pointer that does not lead backwards", at)
                end = end or at + 2
                if at > piece:
                    parts.append(data[piece:at])
                at = barrier = piece = target
            else:
                raise DecodeError(f"label type {length >> 6:#x}", at)
        self._steps = steps
        key = data[piece:at] if not parts else b"".join(parts) + data[piece:at]
        return key.lower(), end or at + 1
