"""What becomes of questions: kept replies, questions under way, attempts upstream, replies. Pure.

    ask ----> kept reply ------------------------------------------------> replies
         `--> the same question is under way: wait with it
         `--> a new one: sends      answer (checked, without ech) --------> replies, kept
                                    nobody answers: next server, ...; in the end a stale reply, or SERVFAIL

Nothing waits for anything else: each question has its own time. Bounds: questions under way in all and of one client,
askers of one question; what is beyond them is answered SERVFAIL and counted.
"""

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, final

from dnsagent.codec import DecodeError
from dnsagent.forward.messages import (
    Asked,
    ExtendedError,
    Layout,
    Rcode,
    addressed,
    fitting,
    read_reply,
    refusal,
    upstream_query,
    without_ech,
)
from dnsagent.forward.store import ReplyStore
from reconcile.instant import Instant

ATTEMPT_SECONDS = (1.0, 1.5, 2.5)
"""Patience with each attempt. Stub resolvers give up after 5 s."""
STREAM_SECONDS = 4.0
"""Patience with an attempt over TCP or TLS, which may have to connect first."""
MAX_PENDING = 8192
"""Questions under way: 2 KB each, and half of what one upstream port can tell apart."""
MAX_PENDING_PER_CLIENT = 512
MAX_ASKERS = 256
"""Of one question under way."""
_ID_TRIES = 16


@final
class Asker:
    """Who asked what, of whom, and where the reply goes."""

    __slots__ = ("asked", "client", "client_port", "is_stream", "reply_to", "server", "server_port")

    def __init__(
        self, asked: Asked, client: bytes, client_port: int, server: bytes, server_port: int, *, reply_to: object = None
    ) -> None:
        self.asked = asked
        self.client = client
        self.client_port = client_port
        self.server = server
        self.server_port = server_port
        self.is_stream = reply_to is not None
        self.reply_to = reply_to
        """The conversation it came by; None: a datagram."""


@dataclass(frozen=True, slots=True)
class Group:
    """Servers that stand for each other, in the order of preference."""

    id: bytes
    """Replies of different groups are not mixed: they may disagree (split horizon)."""
    members: tuple[int, ...]


class Reply(NamedTuple):
    """Bytes for an asker."""

    asker: Asker
    data: bytes
    refused_for: str = ""
    """The rule of questions by which it was not asked, if it was not."""


class Send(NamedTuple):
    """Bytes for a server."""

    upstream: int
    data: bytes
    over_stream: bool
    """Because the answer did not fit a datagram."""


@final
class _Pending:
    """A question under way."""

    __slots__ = ("asked", "askers", "attempt", "group", "id", "is_over", "key", "number", "over_stream", "upstream")

    def __init__(self, key: bytes, asked: Asked, group: Group) -> None:
        self.key = key
        self.asked = asked
        self.group = group
        self.askers: list[Asker] = []
        self.attempt = -1
        self.upstream = 0
        self.id = 0
        self.number = 0
        self.over_stream = False
        self.is_over = False


class Forwarder:
    """Holds the questions under way and the replies kept."""

    def __init__(
        self, store: ReplyStore, random_id: Callable[[], int], counters: Counter[str], *, strips_ech: bool = False
    ) -> None:
        """`random_id` gives 0 to 65535, not to be guessed: it and the port are all that a forger lacks."""
        self.store = store
        self.strips_ech = strips_ech
        self._random_id = random_id
        self._counters = counters
        self._pending: dict[bytes, _Pending] = {}
        self._on_wire: dict[tuple[int, int], _Pending] = {}
        self._per_client: dict[bytes, int] = {}
        self._preferred: dict[bytes, int] = {}
        """Where in the group the first attempt goes."""
        self._deadlines: list[tuple[Instant, int, _Pending]] = []
        """With the number of the message sent, which must still be the last one for the question."""
        self._numbers = 0

    def __len__(self) -> int:
        return len(self._pending)

    def ask(self, asker: Asker, group: Group, now: Instant) -> tuple[list[Reply], list[Send]]:
        """A question that may be asked."""
        key = group.id + asker.asked.key
        kept = self.store.fresh(key, now)
        if kept is not None:
            self._counters["proxy-kept"] += 1
            return [_reply(asker, kept.at_age(now))], []
        pending = self._pending.get(key)
        if not group.members or not self._has_room(asker, pending):
            return [_failed(asker)], []
        if pending is None:
            pending = self._pending[key] = _Pending(key, asker.asked, group)
            self._join(pending, asker)
            return [], self._attempt(pending, now)
        self._join(pending, asker)
        self._counters["proxy-joined"] += 1
        return [], []

    def answer(self, upstream: int, data: bytes, now: Instant) -> tuple[list[Reply], list[Send]]:
        """Bytes from a server. What answers nothing that it was asked changes nothing."""
        pending = self._on_wire.get((upstream, int.from_bytes(data[:2], "big"))) if len(data) > 2 else None
        if pending is None:
            self._counters["proxy-unexpected"] += 1
            return [], []
        try:
            layout = read_reply(data, pending.asked)
        except DecodeError:
            # Perhaps forged; the true one may still come.
            self._counters["proxy-mismatch"] += 1
            return [], []
        if layout.is_truncated and not pending.over_stream:
            self._counters["proxy-truncated"] += 1
            return [], self._over_stream(pending, now)
        is_no_help = layout.rcode in (Rcode.SERVFAIL, Rcode.REFUSED, Rcode.NOTIMP)
        if is_no_help and pending.attempt + 1 < min(len(ATTEMPT_SECONDS), len(pending.group.members)):
            return [], self._attempt(pending, now)
        if not is_no_help:
            self._preferred[pending.group.id] = pending.group.members.index(upstream)
        return self._deliver(pending, data, layout, now), []

    def fail(self, upstream: int, now: Instant) -> tuple[list[Reply], list[Send]]:
        """The server cannot be reached just now: what was asked of it over a stream that broke, or at a closed port."""
        return self._give_up([each for (server, _), each in self._on_wire.items() if server == upstream], now)

    def expire(self, now: Instant) -> tuple[list[Reply], list[Send]]:
        """Ends attempts whose time is over."""
        late = []
        while self._deadlines and self._deadlines[0][0] <= now:
            _, number, pending = heapq.heappop(self._deadlines)
            if not pending.is_over and pending.number == number:
                self._counters["proxy-timeout"] += 1
                late.append(pending)
        return self._give_up(late, now)

    def next_deadline(self) -> Instant | None:
        """When `expire` may have something to do."""
        return self._deadlines[0][0] if self._deadlines else None

    def forget(self, conversation: object) -> None:
        """Whoever asked by this conversation is gone."""
        for pending in self._pending.values():
            for asker in [each for each in pending.askers if each.reply_to is conversation]:
                pending.askers.remove(asker)
                self._leave(asker)

    # --- under way ---

    def _has_room(self, asker: Asker, pending: _Pending | None) -> bool:
        if pending is None and len(self._pending) >= MAX_PENDING:
            self._counters["proxy-cap"] += 1
            return False
        if self._per_client.get(asker.client, 0) >= MAX_PENDING_PER_CLIENT:
            self._counters["proxy-cap-client"] += 1
            return False
        if pending is not None and len(pending.askers) >= MAX_ASKERS:
            self._counters["proxy-cap-askers"] += 1
            return False
        return True

    def _join(self, pending: _Pending, asker: Asker) -> None:
        pending.askers.append(asker)
        self._per_client[asker.client] = self._per_client.get(asker.client, 0) + 1

    def _leave(self, asker: Asker) -> None:
        left = self._per_client[asker.client] - 1
        if left:
            self._per_client[asker.client] = left
        else:
            del self._per_client[asker.client]

    def _attempt(self, pending: _Pending, now: Instant) -> list[Send]:
        """Asks the next server of the group, or the same again if it is alone."""
        self._off_wire(pending)
        pending.attempt += 1
        members = pending.group.members
        place = self._preferred.get(pending.group.id, 0) + pending.attempt
        pending.upstream = members[place % len(members)]
        pending.over_stream = False
        return self._send(pending, ATTEMPT_SECONDS[pending.attempt], now)

    def _over_stream(self, pending: _Pending, now: Instant) -> list[Send]:
        self._off_wire(pending)
        pending.over_stream = True
        return self._send(pending, STREAM_SECONDS, now)

    def _send(self, pending: _Pending, patience_seconds: float, now: Instant) -> list[Send]:
        for _ in range(_ID_TRIES):
            pending.id = self._random_id()
            if (pending.upstream, pending.id) not in self._on_wire:
                break
        self._on_wire[pending.upstream, pending.id] = pending
        self._numbers += 1
        pending.number = self._numbers
        heapq.heappush(self._deadlines, (Instant(now + patience_seconds), pending.number, pending))
        self._counters["proxy-sent"] += 1
        return [Send(pending.upstream, upstream_query(pending.asked, pending.id), pending.over_stream)]

    def _off_wire(self, pending: _Pending) -> None:
        place = (pending.upstream, pending.id)
        if self._on_wire.get(place) is pending:
            del self._on_wire[place]

    def _give_up(self, late: list[_Pending], now: Instant) -> tuple[list[Reply], list[Send]]:
        """The present attempt of these has come to nothing."""
        replies: list[Reply] = []
        sends: list[Send] = []
        for pending in late:
            if pending.is_over:
                continue
            replies += self._stale(pending, now)
            if pending.attempt + 1 < len(ATTEMPT_SECONDS):
                sends += self._attempt(pending, now)
            else:
                replies += [_failed(asker) for asker in pending.askers]
                self._counters["proxy-failed"] += 1
                self._end(pending)
        return replies, sends

    def _stale(self, pending: _Pending, now: Instant) -> list[Reply]:
        """After a vain attempt an old reply is better than none, while the attempts go on (RFC 8767 5)."""
        kept = self.store.stale(pending.key, now) if pending.askers else None
        if kept is None:
            return []
        self._counters["proxy-stale"] += len(pending.askers)
        replies = [_reply(asker, kept.stale()) for asker in pending.askers]
        for asker in pending.askers:
            self._leave(asker)
        pending.askers.clear()
        return replies

    def _deliver(self, pending: _Pending, data: bytes, layout: Layout, now: Instant) -> list[Reply]:
        data, layout = self._cleaned(pending.asked, data, layout)
        self.store.put(pending.key, data, layout, now)
        replies = [_reply(asker, data) for asker in pending.askers]
        self._end(pending)
        return replies

    def _cleaned(self, asked: Asked, data: bytes, layout: Layout) -> tuple[bytes, Layout]:
        """Without `ech`; a reply out of which it cannot be taken is none at all."""
        if not self.strips_ech or not layout.services:
            return data, layout
        try:
            clean = without_ech(data, layout)
            if clean is data:
                return data, layout
            self._counters["proxy-ech-stripped"] += 1
            clean = refusal(asked, Rcode.NOERROR, None) if clean is None else clean
            return clean, read_reply(clean, asked)
        except DecodeError:
            empty = refusal(asked, Rcode.NOERROR, None)
            return empty, read_reply(empty, asked)

    def _end(self, pending: _Pending) -> None:
        pending.is_over = True
        self._off_wire(pending)
        del self._pending[pending.key]
        for asker in pending.askers:
            self._leave(asker)
        pending.askers.clear()


def _reply(asker: Asker, data: bytes) -> Reply:
    told = addressed(data, asker.asked)
    return Reply(asker, told if asker.is_stream else fitting(told, asker.asked))


def _failed(asker: Asker) -> Reply:
    return Reply(asker, refusal(asker.asked, Rcode.SERVFAIL, ExtendedError.NO_REACHABLE_AUTHORITY))
