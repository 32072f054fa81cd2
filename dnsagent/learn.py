"""The validation pipeline: from an answer on its way to an endpoint to elements of the kernel's sets.

    trusted server -> header -> names and records -> a question of this endpoint, once -> chain -> guards -> caps

Each step that refuses counts under its own name; a refused answer is delivered all the same, it only teaches nothing.
What `judge` returns becomes true when the kernel has acknowledged it and the caller says so by `commit`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, final

from dnsagent.aliases import AliasMemory
from dnsagent.cache import MAX_TTL_SECONDS, Known, NameCache, refusals
from dnsagent.chain import Alias, Resolved, resolve
from dnsagent.codec import (
    CLASS_IN,
    FLAG_OPCODE,
    FLAG_RCODE,
    FLAG_RESPONSE,
    FLAG_TRUNCATED,
    Answer,
    DecodeError,
    decode_answer,
    decode_question,
)
from dnsagent.element_table import ElementKey, ElementTable
from dnsagent.guard import Guard
from dnsagent.places import Places
from dnsagent.plan import EndpointPlan, Plan, RulePlan
from dnsagent.queries import Mismatch, PendingQueries
from dnsagent.tap import ANSWER, QUESTION, Opened, Sighting, Tap
from reconcile.instant import Instant

MAX_ADDRESSES_PER_ANSWER: Final = 256
"""More in one answer is somebody filling the set."""
MAX_REFUSALS_PER_ANSWER: Final = 64
"""Addresses of a refused answer that are remembered, to explain it, at 2 us each; and guarded addresses in an answer
before the rest of it is left: whoever sends so many wants to keep us busy."""
REFRESH_FRACTION: Final = 0.1
REFRESH_LEAST_SECONDS: Final = 2.0
"""An element is written again only where that prolongs it by a tenth, or where it is about to go."""
BACK_FILL_STEP = 512
"""Remembered addresses looked at between two chances for packets: 2 ms."""
LAX_SECONDS: Final = 10.0
"""After the query log overflowed, so long an answer may be missing its question through no fault of its own."""


@final
class Packet:
    """A DNS message on the wire, as the client sees the conversation. Addresses packed."""

    __slots__ = ("client", "client_port", "is_stream", "payload", "server", "server_port")

    def __init__(
        self,
        client: bytes,
        client_port: int,
        server: bytes,
        server_port: int,
        payload: bytes,
        *,
        is_stream: bool = False,
    ) -> None:
        self.client = client
        self.client_port = client_port
        self.server = server
        self.server_port = server_port
        self.payload = payload
        self.is_stream = is_stream
        """It came over TCP, whose ports are not UDP's."""


@final
class Element:
    """An address to open for an endpoint."""

    __slots__ = ("deadline", "is_present", "key")

    def __init__(self, key: ElementKey, deadline: Instant, *, is_present: bool) -> None:
        self.key = key
        self.deadline = deadline
        self.is_present = is_present
        """The kernel has it already with an earlier deadline, or had it until a moment ago."""


class Learner:
    """Holds what the packet process knows: questions, names, elements, counters. Reads no clock, opens nothing."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.queries = PendingQueries()
        self.names = NameCache()
        self.aliases = AliasMemory()
        self.elements = ElementTable()
        self.refusals = refusals()
        self.counters: Counter[str] = Counter()
        self._log_lost_at: Instant | None = None
        self.places = Places(self.elements, self.counters)
        self.is_alias_only = False
        """Whether the last answer told an alias and no address: it opened nothing, and must survive a restart."""
        self.tap = Tap()
        self.answered: Counter[tuple[bytes, int, int]] = Counter()
        """Answers of trusted servers by packed address, port and code (RFC 1035 4.1.1)."""
        self._refused_for = ""
        """Why the answer at hand taught nothing, or less than it might."""
        self._opened: Opened | None = None
        """What it opened; None where nobody listens, or nothing was opened yet."""

    # --- the packet path ---

    def note_query(self, packet: Packet, now: Instant) -> None:
        """An endpoint asks."""
        try:
            question = decode_question(packet.payload)
        except DecodeError:
            self.counters["malformed-query"] += 1
            return
        if question.flags & (FLAG_RESPONSE | FLAG_OPCODE):
            return
        self.counters["queries"] += 1
        self.queries.add(_conversation(packet), question.asked, now)
        if self.tap.is_on:
            self.show(QUESTION, packet, now)

    def note_lost_queries(self, count: int, now: Instant) -> None:
        """The query log dropped copies: for a while a missing question proves nothing."""
        self.counters["query-log-lost"] += count
        self._log_lost_at = now

    def judge(self, packet: Packet, now: Instant, catch_up: Callable[[Instant], bool] | None = None) -> list[Element]:
        """What the answer teaches; nothing where it is refused. Never raises for what is in the packet.

        `catch_up` is called where the question is not known: it notes the queries that came meanwhile, and says
        whether there may be any.
        """
        self.counters["answers"] += 1
        self.is_alias_only = False
        if (packet.server, packet.server_port) not in self.plan.servers:
            self.note_untrusted(packet, now)
            return []
        if len(packet.payload) > 3:
            self.answered[packet.server, packet.server_port, packet.payload[3] & FLAG_RCODE] += 1
        if not self.tap.is_on:
            return self._judge(packet, now, catch_up)
        self._begin_verdict()
        elements = self._judge(packet, now, catch_up)
        self.show(ANSWER, packet, now, self._refused_for, self._opened)
        return elements

    def _judge(self, packet: Packet, now: Instant, catch_up: Callable[[Instant], bool] | None) -> list[Element]:
        endpoint = self.plan.endpoints.get(packet.client)
        if endpoint is None:
            self._refuse("unknown-endpoint")
            return []
        found = self._validated(packet, endpoint, now, catch_up)
        if not found:
            return []
        elements = self._learn(endpoint, packet.server, found, now)
        for other in self._meant_too(endpoint, found, now):
            elements += self._learn(endpoint, packet.server, other, now)
        return elements

    def commit(self, elements: Iterable[Element]) -> None:
        """The kernel has acknowledged these; others that were judged before are not in it."""
        self.places.clear()
        count = six = 0
        for element in elements:
            self.elements.put(element.key, element.deadline)
            count += 1
            six += len(element.key[1]) == 32
        self.counters["elements-written"] += count
        self.counters["elements-written-6"] += six

    def show(self, kind: int, packet: Packet, now: Instant, reason: str = "", opened: Opened | None = None) -> None:
        """Tells who listens of a question or of an answer; call it only if somebody does."""
        self.tap.note(
            Sighting(
                kind,
                now,
                packet.client,
                packet.client_port,
                packet.server,
                packet.server_port,
                packet.payload,
                packet.is_stream,
                reason,
                opened,
            )
        )

    def note_untrusted(self, packet: Packet, now: Instant) -> None:
        """An answer of a server that is not believed: remembered, to explain why it opened nothing."""
        self.counters["untrusted-server"] += 1
        endpoint = self.plan.endpoints.get(packet.client)
        if endpoint is None:
            return
        try:
            answer = decode_answer(packet.payload)
        except DecodeError:
            return
        self._note_refused(endpoint, "untrusted-server", answer, now)

    def is_open(self, client: bytes, address: bytes, now: Instant) -> bool:
        """Whether any rule of the endpoint has the address among its learned ones."""
        endpoint = self.plan.endpoints.get(client)
        if endpoint is None:
            return False
        rules = (self.plan.rules[number] for number in endpoint.rules)
        keys = ((rule.set6 if len(address) == 16 else rule.set4, client + address) for rule in rules)
        return any((self.elements.deadline(key) or 0) > now for key in keys)

    # --- between packets ---

    def expire(self, now: Instant) -> None:
        """Forgets what is over, a bounded amount at a time. Call it a few times a second."""
        self.queries.expire(now)
        self.names.expire(now)
        self.elements.expire(now)
        self.tap.expire(now)
        self.places.expire(now)

    def remember(self, packet: Packet, told_at: Instant) -> None:
        """Notes the names of an answer of an earlier life, which was judged then. Opens nothing: see `back_fill`."""
        endpoint = self.plan.endpoints.get(packet.client)
        if endpoint is None:
            return
        try:
            answer = decode_answer(packet.payload)
        except DecodeError:
            return
        found, _, alias = resolve(answer)
        if alias is not None:
            self._note_alias(endpoint, alias, told_at)
        if found:
            found = found[:MAX_ADDRESSES_PER_ANSWER]
            self._note_names(endpoint, packet.server, found, told_at)
            for other in self._meant_too(endpoint, found, told_at):
                self._note_names(endpoint, packet.server, other, told_at)

    def adopt(self, plan: Plan) -> None:
        """Takes a new snapshot, and forgets the names of endpoints that are not in it. See `back_fill`."""
        self.plan = plan
        for gone in set(self.names.endpoints()) - plan.endpoints_by_id.keys():
            self.names.forget(gone)
        for gone in set(self.aliases.endpoints()) - plan.endpoints_by_id.keys():
            self.aliases.forget(gone)

    def back_fill(self, now: Instant, fresh: Mapping[str, frozenset[int]] | None = None) -> Iterator[list[Element]]:
        """What the answers of the past open under the present snapshot, in pieces of a few milliseconds' work.

        `fresh` has, by endpoint id, the numbers of the rules to ask; all of all endpoints where it is None. Each piece
        is to be committed before the next is asked for; packets may be judged between them.
        """
        plan = self.plan
        endpoints = plan.endpoints_by_id
        wanted = fresh if fresh is not None else {each.id: each.rules for each in endpoints.values()}
        last: tuple[str, tuple[bytes, ...]] | None = None
        rules: list[RulePlan] = []
        opened: list[Element] = []
        count = 0
        for asked in wanted:
            for endpoint_id, _, address, known in self.names.entries(asked):
                count += 1
                endpoint = endpoints[endpoint_id]
                if last != (endpoint_id, known.chain):
                    last = endpoint_id, known.chain
                    numbers = self._rules(known.chain, endpoint) & wanted[endpoint_id]
                    rules = [plan.rules[number] for number in numbers]
                for rule in rules:
                    deadline = known.learned_at + rule.lifetime(known.ttl)
                    if deadline > now and plan.guard.judge(address, allow_private=rule.allow_private) is None:
                        self._open(rule, endpoint, address, deadline, now, opened)
                if count % BACK_FILL_STEP == 0:
                    yield opened
                    opened = []
        yield opened

    def forget_names(self, address: bytes) -> None:
        """Whoever has the address now was told nothing of what was told to it before."""
        endpoint = self.plan.endpoints.get(address)
        if endpoint is not None:
            self.names.forget(endpoint.id)
            self.aliases.forget(endpoint.id)

    def forget_addresses(self, addresses: frozenset[bytes]) -> list[ElementKey]:
        """An endpoint is gone, its addresses may be used again: the elements to delete, known to be present."""
        for address in addresses:
            self.forget_names(address)
        return self.elements.of_owners(addresses)

    # --- the pipeline ---

    def _validated(
        self, packet: Packet, endpoint: EndpointPlan, now: Instant, catch_up: Callable[[Instant], bool] | None
    ) -> list[Resolved]:
        try:
            answer = decode_answer(packet.payload)
        except DecodeError:
            self._refuse("malformed")
            return []
        reason = _header_reason(answer.flags) if answer.class_ == CLASS_IN else "wrong-class"
        if reason is not None:
            self._refuse(reason)
            return []
        conversation = _conversation(packet)
        mismatch = self.queries.take(conversation, answer.asked, now)
        if mismatch is not None and catch_up is not None and catch_up(now):
            again = self.queries.take(conversation, answer.asked, now)
            # A late answer has consumed its question: the second look finds a new one, or a replay.
            if again is None or mismatch is not Mismatch.LATE:
                mismatch = again
        if mismatch is not None and not self._is_excused(mismatch, now):
            self._refuse(mismatch)
            self._note_refused(endpoint, mismatch, answer, now)
            return []
        if not self.plan.snapshot.learns_hints:
            answer.hints.clear()
        found, troubles, alias = resolve(answer)
        for trouble in troubles:
            self._refuse(trouble)
        if len(found) > MAX_ADDRESSES_PER_ANSWER:
            self._refuse("cap-answer")
            found = found[:MAX_ADDRESSES_PER_ANSWER]
        if alias is not None:
            self._note_alias(endpoint, alias, now)
            self.is_alias_only = not found
        return found

    def _note_alias(self, endpoint: EndpointPlan, alias: Alias, now: Instant) -> None:
        """Remembers what the question's name stands for."""
        if self.plan.snapshot.remembers_aliases:
            path, ttl = alias
            self.aliases.note(endpoint.id, path, min(ttl, MAX_TTL_SECONDS), now)

    def _meant_too(self, endpoint: EndpointPlan, found: list[Resolved], now: Instant) -> list[list[Resolved]]:
        """The same addresses as those of names that were told before to stand for the one that was asked."""
        asked = found[0][0][0]
        return [
            [(names + way, min(ttl, least), address) for way, ttl, address in found]
            for names, least in self.aliases.ways(endpoint.id, asked, now)
        ]

    def _learn(self, endpoint: EndpointPlan, server: bytes, found: list[Resolved], now: Instant) -> list[Element]:
        self._note_names(endpoint, server, found, now)
        plan = self.plan
        elements: list[Element] = []
        names: tuple[bytes, ...] = ()
        rules: list[RulePlan] = []
        refused: set[bytes] = set()
        for way, ttl, address in found:
            if way is not names:
                names = way
                rules = [plan.rules[number] for number in self._rules(names, endpoint)]
            if not rules:
                continue
            guard = plan.guard.judge(address)
            for rule in rules:
                if guard is None or (guard is Guard.PRIVATE and rule.allow_private):
                    full = self._open(rule, endpoint, address, now + rule.lifetime(ttl), now, elements)
                    if full:
                        self._refused_for = full
                        self.refusals.note(endpoint.id, address, full, names[0], now)
                    elif self.tap.is_on:
                        self._note_opened(rule, address, ttl)
                elif address not in refused:
                    refused.add(address)
                    self._refuse(guard)
                    self.refusals.note(endpoint.id, address, guard, names[0], now)
            if len(refused) >= MAX_REFUSALS_PER_ANSWER:
                self._refuse("cap-refused")
                break
        return elements

    def _begin_verdict(self) -> None:
        """Apart from `judge`: an assignment there would have the compiler believe that nothing is ever opened."""
        self._refused_for, self._opened = "", None

    def _refuse(self, reason: str) -> None:
        self.counters[reason] += 1
        self._refused_for = reason

    def _note_opened(self, rule: RulePlan, address: bytes, ttl: int) -> None:
        if self._opened is None:
            self._opened = Opened()
        self._opened.note(rule.id, address, rule.lifetime(ttl))

    def _note_names(self, endpoint: EndpointPlan, server: bytes, found: list[Resolved], told_at: Instant) -> None:
        """Remembers what the endpoint was told, selected by policy or not."""
        told: dict[bytes, Known] = {}
        known: Known | None = None
        last: tuple[bytes, ...] = ()
        server = self.names.one(server)
        for way, ttl, address in found:
            if known is None or known.ttl != ttl or last is not way:
                last = way
                known = Known(told_at, ttl, server, way)
            told[address] = known
        self.names.note(endpoint.id, found[0][0][0], told)

    def _rules(self, names: tuple[bytes, ...], endpoint: EndpointPlan) -> frozenset[int]:
        """The endpoint's rules that name any name of the chain."""
        numbers = self.plan.index.find(names[0])
        for name in names[1:]:
            numbers |= self.plan.index.find(name)
        return numbers & endpoint.rules

    def _open(
        self,
        rule: RulePlan,
        endpoint: EndpointPlan,
        address: bytes,
        deadline: float,
        now: Instant,
        elements: list[Element],
    ) -> str:
        """Adds the elements that open the address, without those the kernel has for nearly as long already.

        Gives the bound that left no room for some, "" if there was room for all.
        """
        is_six = len(address) == 16
        full = ""
        set_name = rule.set6 if is_six else rule.set4
        for source in (rule.shared_by or endpoint.addresses)[is_six]:
            key = (set_name, source + address)
            present = self.elements.deadline(key)
            if present is not None:
                gain = deadline - present
                if gain <= 0 or (present > now + REFRESH_LEAST_SECONDS and gain < REFRESH_FRACTION * (deadline - now)):
                    continue
                elements.append(Element(key, Instant(deadline), is_present=True))
            else:
                bound = self.places.take(set_name, source, self.plan, now)
                if not bound:
                    elements.append(Element(key, Instant(deadline), is_present=False))
                else:
                    full = bound
        return full

    def _is_excused(self, mismatch: str, now: Instant) -> bool:
        """Whether the question may have been lost by the query log, and the configuration lets that count."""
        lost_at = self._log_lost_at
        if self.plan.snapshot.is_strict or mismatch != "unsolicited" or lost_at is None or now - lost_at > LAX_SECONDS:
            return False
        self.counters["excused"] += 1
        return True

    def _note_refused(self, endpoint: EndpointPlan, reason: str, answer: Answer, now: Instant) -> None:
        for _, _, address in answer.addresses[:MAX_REFUSALS_PER_ANSWER]:
            self.refusals.note(endpoint.id, address, reason, answer.name, now)


def _conversation(packet: Packet) -> bytes:
    """Who, whom, under which number: the bytes that a question and its answer share."""
    ports = packet.client_port << 16 | packet.server_port
    conversation = packet.client + packet.server + ports.to_bytes(4, "big") + packet.payload[:2]
    return conversation + b"\1" if packet.is_stream else conversation


def _header_reason(flags: int) -> str | None:
    """Why a message of these flags teaches nothing (RFC 1035 4.1.1)."""
    if not flags & FLAG_RESPONSE or flags & FLAG_OPCODE:
        return "not-an-answer"
    if flags & FLAG_TRUNCATED:
        return "truncated"
    if flags & FLAG_RCODE:
        return "negative"
    return None
