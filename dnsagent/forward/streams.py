"""Clients of the forwarder that came over TCP: their questions are answered one by one, in the order of the answers.

RFC 7766 6.2.1.1: pipelined questions need not be answered in order, so a slow one holds up no other.
"""

import socket
from collections import OrderedDict
from collections.abc import Callable
from typing import final

from dnsagent.framing import FramingError
from dnsagent.poller import READABLE, WRITABLE, Poller
from dnsagent.relay import Relay
from reconcile.clock import Clock
from reconcile.instant import Instant

RECEIVE_BYTES = 4096
MAX_CONVERSATIONS = 1024
MAX_CONVERSATIONS_PER_CLIENT = 64

Addresses = tuple[bytes, int, bytes, int]
"""Client and server, packed, with their ports."""


@final
class Conversation:
    """One connection."""

    __slots__ = ("addresses", "client", "is_closed", "relay")

    def __init__(self, client: socket.socket, addresses: Addresses, relay: Relay) -> None:
        self.client = client
        self.addresses = addresses
        self.relay = relay
        self.is_closed = False


Asked = Callable[[Conversation, bytes, Instant], None]
Ended = Callable[[Conversation], None]


class Conversations:
    """Owns the connections; the longest idle first."""

    def __init__(self, asked: Asked, ended: Ended, clock: Clock, poller: Poller) -> None:
        self._asked = asked
        self._ended = ended
        self._clock = clock
        self._poller = poller
        self._open: OrderedDict[Conversation, None] = OrderedDict()
        self._per_client: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def take(self, client: socket.socket, addresses: Addresses) -> bool:
        """Begins a conversation; False at the bounds, then the socket is the caller's."""
        if (
            len(self._open) >= MAX_CONVERSATIONS
            or self._per_client.get(addresses[0], 0) >= MAX_CONVERSATIONS_PER_CLIENT
        ):
            return False
        client.setblocking(False)  # noqa: FBT003 - the standard library's own
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conversation = Conversation(client, addresses, Relay(self._clock.now()))
        self._open[conversation] = None
        self._per_client[addresses[0]] = self._per_client.get(addresses[0], 0) + 1
        self._poller.watch(client.fileno(), lambda events: self._serve(conversation, events))
        return True

    def reply(self, conversation: Conversation, data: bytes, now: Instant) -> None:
        """Sends a reply, if anybody is there."""
        if conversation.is_closed:
            return
        conversation.relay.reply(data, now)
        self._open.move_to_end(conversation)
        self._guarded(conversation, lambda: self._hear(conversation, b"", now))

    def expire(self, now: Instant) -> None:
        """Ends idle ones."""
        while self._open:
            conversation = next(iter(self._open))
            if conversation.relay.deadline > now:
                return
            self._end(conversation)

    def next_deadline(self) -> Instant | None:
        """When `expire` has something to do."""
        return next(iter(self._open)).relay.deadline if self._open else None

    def close(self) -> None:
        """Ends all."""
        for conversation in list(self._open):
            self._end(conversation)

    def _serve(self, conversation: Conversation, events: int) -> None:
        if conversation.is_closed:
            return
        self._guarded(conversation, lambda: self._receive(conversation, events))

    def _guarded(self, conversation: Conversation, act: Callable[[], None]) -> None:
        try:
            act()
            self._send(conversation)
        except (OSError, FramingError):
            self._end(conversation)

    def _receive(self, conversation: Conversation, events: int) -> None:
        if not events & ~WRITABLE:
            return
        try:
            data = conversation.client.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        conversation.relay.client_is_done = not data
        self._hear(conversation, data, self._clock.now())

    def _hear(self, conversation: Conversation, data: bytes, now: Instant) -> None:
        questions = conversation.relay.hear_client(data, now)
        if questions:
            self._open.move_to_end(conversation)
        for question in questions:
            self._asked(conversation, question, now)

    def _send(self, conversation: Conversation) -> None:
        relay, client = conversation.relay, conversation.client
        if conversation.is_closed:
            return
        if relay.to_client:
            try:
                sent = client.send(relay.to_client)
                del relay.to_client[:sent]
            except BlockingIOError:
                pass
        if relay.is_over:
            self._end(conversation)
            return
        events = (READABLE if relay.reads_client else 0) | (WRITABLE if relay.to_client else 0)
        if events:
            self._poller.watch(client.fileno(), lambda ready: self._serve(conversation, ready), events=events)
        else:
            self._poller.unwatch(client.fileno())

    def _end(self, conversation: Conversation) -> None:
        if conversation.is_closed:
            return
        conversation.is_closed = True
        owner = conversation.addresses[0]
        del self._open[conversation]
        self._per_client[owner] -= 1
        if not self._per_client[owner]:
            del self._per_client[owner]
        self._poller.unwatch(conversation.client.fileno())
        conversation.client.close()
        self._ended(conversation)
