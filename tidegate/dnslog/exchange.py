"""A question with its answer, or without: read from the messages, paired, timed. Pure.

The answer is what the client was told: in the name of the server that it asked, under the number that it gave.
"""

from binascii import a2b_base64
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final

from dnsagent.answers import RecordSet, dns_class_name, dns_type_name, record_sets
from dnsagent.codec import DecodeError, Question, decode_answer, decode_question
from dnsagent.match import labels_of
from dnsagent.tap import QUESTION, Opened, Sighting
from policy.domains import DomainName
from reconcile.instant import Instant

UNANSWERED_SECONDS: Final = 12.0
"""Then a question counts as not answered. Behind the time after which the learner calls an answer late."""
MAX_PENDING: Final = 65_536
"""Questions that wait, at about half a kilobyte; at the bound the oldest is forgotten, and counted."""
MAX_RECORDS: Final = 100
"""Of one answer; how many more there were is told."""
MAX_CHARACTERS: Final = 1000
"""Of one record's data."""

_RCODES = {0: "NoError", 1: "FormErr", 2: "ServFail", 3: "NXDomain", 4: "NotImp", 5: "Refused", 6: "YXDomain",
           7: "YXRRSet", 8: "NXRRSet", 9: "NotAuth", 10: "NotZone"}  # fmt: skip
"""IANA, DNS RCODEs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What was asked and what was told. Addresses packed."""

    at: Instant
    """Of the answer; of the question where there was none."""
    latency_seconds: float | None
    """From the question to the answer, as the packet process read them; None where it read both at once, or one."""
    client: bytes
    server: bytes
    server_port: int
    is_stream: bool
    qname: str
    qtype: str
    qclass: str
    rcode: str | None
    """None: nobody answered."""
    rrsets: tuple[RecordSet, ...] = ()
    left_out: int = 0
    """Records beyond `MAX_RECORDS`."""
    reason: str = ""
    """Why the answer taught nothing, or less than it might."""
    rules: tuple[str, ...] = ()
    """Domain sets that have what it opened."""
    opened: Mapping[bytes, float] = field(default_factory=dict)
    """Addresses that are open now, with the seconds they stay so."""


def read_sighting(said: Sequence[Any]) -> Sighting:
    """As the packet process writes it (`dnsagent.desk.shown`).

    Raises:
        ValueError, TypeError: it is none.
    """
    kind, at, client, client_port, server, server_port, payload, is_stream, reason, rules, lifetimes = said
    opened = None
    if rules:
        opened = Opened()
        opened.rules = dict.fromkeys(map(str, rules))
        opened.lifetimes = {bytes.fromhex(address): float(seconds) for address, seconds in lifetimes.items()}
    return Sighting(
        int(kind), Instant(float(at)), bytes.fromhex(client), int(client_port), bytes.fromhex(server),
        int(server_port), payload_of(payload), bool(is_stream), str(reason), opened,
    )  # fmt: skip


def payload_of(text: str) -> bytes:
    """The bytes of base 64 text. Raises as `read_sighting`."""
    return a2b_base64(text)


_Key = tuple[bytes, int, bytes, int, bytes, bool, bytes]


@final
class Conversations:
    """Questions that wait for their answer, the oldest first. Holds state; the time comes with the sightings."""

    def __init__(self, max_pending: int = MAX_PENDING) -> None:
        self._max = max_pending
        self._pending: OrderedDict[_Key, tuple[Sighting, Question]] = OrderedDict()
        self.forgotten = 0
        """Questions dropped at the bound."""
        self.unreadable = 0
        """Messages without one readable question."""

    def note(self, sighting: Sighting) -> Exchange | None:
        """What a sighting completes: an answer does, a question waits."""
        try:
            question = decode_question(sighting.payload)
        except DecodeError:
            self.unreadable += 1
            return None
        key = _key(sighting, question)
        if sighting.kind != QUESTION:
            asked = self._pending.pop(key, None)
            return _answered(sighting, question, None if asked is None else asked[0].at)
        # A question that is sent again is the same one: its client waits since the first.
        if key not in self._pending:
            if len(self._pending) >= self._max:
                self._pending.popitem(last=False)
                self.forgotten += 1
            self._pending[key] = sighting, question
        return None

    def expire(self, now: Instant) -> Iterator[Exchange]:
        """Questions that nobody has answered."""
        while self._pending:
            key, (sighting, question) = next(iter(self._pending.items()))
            if now - sighting.at < UNANSWERED_SECONDS:
                return
            del self._pending[key]
            yield _exchange(sighting, question, None)


def _key(sighting: Sighting, question: Question) -> _Key:
    return (
        sighting.client, sighting.client_port, sighting.server, sighting.server_port, sighting.payload[:2],
        sighting.is_stream, question.asked,
    )  # fmt: skip


def _answered(sighting: Sighting, question: Question, asked_at: Instant | None) -> Exchange:
    waited = 0.0 if asked_at is None else sighting.at - asked_at
    try:
        # The strict reader first: what it refuses is not worth the other one's time.
        decode_answer(sighting.payload)
        rrsets, left_out = record_sets(sighting.payload, MAX_RECORDS, MAX_CHARACTERS)
    except ValueError:
        rrsets, left_out = (), int.from_bytes(sighting.payload[6:8], "big")
    return _exchange(sighting, question, _rcode(question), waited if waited > 0 else None, rrsets, left_out)


def _exchange(
    sighting: Sighting,
    question: Question,
    rcode: str | None,
    latency_seconds: float | None = None,
    rrsets: tuple[RecordSet, ...] = (),
    left_out: int = 0,
) -> Exchange:
    opened = sighting.opened or Opened()
    return Exchange(
        at=sighting.at,
        latency_seconds=latency_seconds,
        client=sighting.client,
        server=sighting.server,
        server_port=sighting.server_port,
        is_stream=sighting.is_stream,
        qname=str(DomainName.of(labels_of(question.name))),
        qtype=dns_type_name(question.type),
        qclass=dns_class_name(question.class_),
        rcode=rcode,
        rrsets=rrsets,
        left_out=left_out,
        reason=sighting.reason,
        rules=tuple(opened.rules),
        opened=opened.lifetimes,
    )


def _rcode(question: Question) -> str:
    number = question.flags & 0xF
    return _RCODES.get(number, f"RCODE{number}")
