"""DNS over TCP, taken over: answers in the server's place, asks the server in the client's name.

    client  <--- client's address, server's address --->  us  <--- client's address, port of ours --->  server

The kernel's rules bring the connection here (`tproxy`), after the workload's policy has allowed it as if it went to the
server. Both sides see each other's addresses; only the port that the server sees is ours. A server on this host itself
could not answer to the client's address without answering past us, so it sees the host's.

Every message goes through the pipeline of the UDP path before it goes on: a question is noted, an answer is judged and
is told to the client when the kernel has acknowledged what it opens. One poller, nothing that waits.
"""

import socket
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_address
from typing import final

from dnsagent.framing import FramingError
from dnsagent.learn import Learner, Packet
from dnsagent.poller import READABLE, WRITABLE, Poller
from dnsagent.relay import Relay
from dnsagent.snapshot import Snapshot
from dnsagent.transparent import connect_as, listener, original_destination, speaking_ports
from reconcile.clock import Clock
from reconcile.instant import Instant

MAX_CONNECTIONS = 1024
"""Of all workloads together; two descriptors each."""
MAX_CONNECTIONS_PER_CLIENT = 64
RECEIVE_BYTES = 4096
"""Read at a time: 70 of the smallest answers, a few milliseconds' work, and then the UDP path has its turn."""
ACCEPTS = 16
"""Connections taken at a time, for the same reason."""
RETRY_SECONDS = 1.0

Handler = Callable[[int], None]
"""Gets the events that the poller found."""
Learn = Callable[[Packet, Instant], None]
"""Judges an answer; what it opens is in the kernel when it returns."""

Forward = Callable[[socket.socket, tuple[bytes, int, bytes, int]], bool]
"""Takes the connection of a client of the forwarder; False if there are too many of them."""
Steer = Callable[[int, int], None]
"""Has packets with the mark routed to this host, by the routing table. OSError where the kernel refuses."""


@final
class _Link:
    """One connection taken over: its two sockets and who speaks through it."""

    __slots__ = (
        "addresses",
        "client",
        "is_closed",
        "is_connecting",
        "on_client",
        "on_server",
        "owner",
        "relay",
        "server",
    )

    def __init__(
        self, client: socket.socket, server: socket.socket, addresses: tuple[bytes, int, bytes, int], relay: Relay
    ) -> None:
        self.client = client
        self.server = server
        self.addresses = addresses
        """Client and server as the client addressed it."""
        self.relay = relay
        self.owner = addresses[0]
        self.is_connecting = True
        self.is_closed = False
        self.on_client: Handler
        self.on_server: Handler


class Interceptor:
    """Owns the listener and all connections taken over; lives in the packet process's loop."""

    def __init__(
        self, learner: Learner, learn: Learn, clock: Clock, poller: Poller, steer: Steer, forward: Forward
    ) -> None:
        self._steer = steer
        self._forward = forward
        self._ports = speaking_ports()
        self._learner = learner
        self._learn = learn
        self._clock = clock
        self._poller = poller
        self._counters = learner.counters
        self._listeners: list[socket.socket] = []
        self._links: OrderedDict[_Link, None] = OrderedDict()
        """The longest idle first."""
        self._per_client: dict[bytes, int] = {}
        self._place = (0, 0, 0)
        """Port, mark and routing table."""
        self._next_attempt_at: Instant | None = None
        self.trouble = ""
        """Why nobody listens, if somebody should."""

    def __len__(self) -> int:
        return len(self._links)

    # --- the loop's side ---

    def adopt(self, snapshot: Snapshot, now: Instant) -> None:
        """Listens where the snapshot says from now on, again and again if it cannot."""
        place = (snapshot.intercept_port, snapshot.intercept_mark, snapshot.intercept_table)
        if place != self._place:
            self._stop_listening()
            self._place, self.trouble = place, ""
            self._next_attempt_at = now if snapshot.intercept_port else None
            self.expire(now)

    def expire(self, now: Instant) -> None:
        """Ends idle connections, and tries again to listen."""
        while self._links:
            link = next(iter(self._links))
            if link.relay.deadline > now:
                break
            self._count("tcp-upstream-failed" if link.is_connecting else "tcp-idle")
            self._end(link)
        if self._next_attempt_at is not None and now >= self._next_attempt_at:
            self._open(now)

    def next_deadline(self) -> Instant | None:
        """When `expire` has something to do."""
        first = next(iter(self._links)).relay.deadline if self._links else None
        return min((each for each in (first, self._next_attempt_at) if each is not None), default=None)

    def close(self) -> None:
        """Ends everything. Clients see their connections end; new ones go to the server unread."""
        for link in list(self._links):
            self._end(link)
        self._stop_listening()

    def _open(self, now: Instant) -> None:
        port, mark, table = self._place
        try:
            # Nobody may listen where packets do not come: they would be lost instead of passing by.
            self._steer(mark, table)
            for family in (socket.AF_INET, socket.AF_INET6):
                made = listener(family, port)
                if made is not None:
                    self._listeners.append(made)
                    self._poller.watch(made.fileno(), self._accepting(made))
        except OSError as error:
            self._stop_listening()
            self.trouble = f"DNS over TCP passes unread: cannot listen on port {port}: {error.strerror}"
            self._next_attempt_at = Instant(now + RETRY_SECONDS)
            return
        self._next_attempt_at, self.trouble = None, ""

    def _stop_listening(self) -> None:
        for each in self._listeners:
            self._poller.unwatch(each.fileno())
            each.close()
        self._listeners.clear()

    # --- connections ---

    def _accepting(self, listening: socket.socket) -> Callable[[int], None]:
        def accept(events: int) -> None:
            del events
            for _ in range(ACCEPTS):
                try:
                    client, _ = listening.accept()
                except BlockingIOError:
                    return
                except OSError:
                    # No descriptor is left: the longest idle gives its own back, or the listener would spin.
                    self._count("tcp-no-descriptor")
                    if self._links:
                        self._end(next(iter(self._links)))
                    return
                self._take(client)

        return accept

    def _take(self, client: socket.socket) -> None:
        """Begins to pass on a connection, or ends it."""
        try:
            peer, wanted, actual = client.getpeername(), original_destination(client), client.getsockname()
        except OSError:
            client.close()
            return
        owner, server = ip_address(peer[0]).packed, ip_address(wanted[0]).packed
        if (server, wanted[1]) not in self._learner.plan.servers:
            # Somebody came to the listener's own address, or the server is not trusted any more.
            self._refuse(client, "tcp-not-a-server")
        elif self._is_proxied(owner):
            if not self._forward(client, (owner, peer[1], server, wanted[1])):
                self._refuse(client, "tcp-cap")
        elif not self._has_room(owner):
            self._refuse(client, "tcp-cap")
        else:
            self._begin(client, (owner, peer[1], server, wanted[1]), peer[0], actual[:2])

    def _begin(
        self, client: socket.socket, addresses: tuple[bytes, int, bytes, int], source: str, target: tuple[str, int]
    ) -> None:
        client.setblocking(False)  # noqa: FBT003 - the standard library's own
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            marks = self._learner.plan.snapshot
            server = connect_as(source, target, marks.agent_mark, self._ports, marks.repeated_mark)
        except OSError:
            self._refuse(client, "tcp-upstream-failed")
            return
        link = _Link(client, server, addresses, Relay(self._clock.now()))
        self._links[link] = None
        self._per_client[link.owner] = self._per_client.get(link.owner, 0) + 1
        self._count("tcp-connections")
        link.on_client = lambda events: self._serve(link, events, self._hear_client)
        link.on_server = lambda events: self._serve(link, events, self._hear_server)
        self._poller.watch(server.fileno(), link.on_server, events=WRITABLE)
        self._poller.watch(client.fileno(), link.on_client)

    def _is_proxied(self, owner: bytes) -> bool:
        endpoint = self._learner.plan.endpoints.get(owner)
        return endpoint is not None and endpoint.is_proxied

    def _has_room(self, owner: bytes) -> bool:
        """Whether the client may have one more; its longest idle one gives way (RFC 7766 6.2.3)."""
        if self._per_client.get(owner, 0) < MAX_CONNECTIONS_PER_CLIENT and len(self._links) < MAX_CONNECTIONS:
            return True
        for link in self._links:
            if link.owner == owner and not link.relay.open_questions and not link.is_connecting:
                self._count("tcp-idle")
                self._end(link)
                return True
        return False

    def _refuse(self, client: socket.socket, reason: str) -> None:
        self._count(reason)
        client.close()

    def _end(self, link: _Link) -> None:
        """Closes both sides, and takes the link out of its own handlers: nobody collects cycles here."""
        if link.is_closed:
            return
        link.is_closed = True
        link.on_client = link.on_server = _nobody
        del self._links[link]
        self._per_client[link.owner] -= 1
        if not self._per_client[link.owner]:
            del self._per_client[link.owner]
        for side in (link.client, link.server):
            self._poller.unwatch(side.fileno())
            side.close()

    # --- messages ---

    def _serve(self, link: _Link, events: int, hear: Callable[[_Link, Instant], None]) -> None:
        if link.is_closed:
            return
        now = self._clock.now()
        try:
            if link.is_connecting and hear == self._hear_server:
                self._finish_connecting(link)
            elif events & ~WRITABLE:
                hear(link, now)
            self._send(link)
        except FramingError:
            self._count("tcp-framing")
            self._end(link)
        except OSError:
            self._count("tcp-upstream-failed" if link.is_connecting else "tcp-reset")
            self._end(link)

    @staticmethod
    def _finish_connecting(link: _Link) -> None:
        number = link.server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, "cannot connect")
        link.is_connecting = False

    def _hear_client(self, link: _Link, now: Instant) -> None:
        data = _received(link.client)
        if data is None:
            return
        link.relay.client_is_done = not data
        self._ask(link, data, now)

    def _ask(self, link: _Link, data: bytes, now: Instant) -> None:
        questions = link.relay.hear_client(data, now)
        for question in questions:
            self._learner.note_query(Packet(*link.addresses, question, is_stream=True), now)
            link.relay.ask(question)
        if questions:
            self._counters["tcp-queries"] += len(questions)
            self._links.move_to_end(link)

    def _hear_server(self, link: _Link, now: Instant) -> None:
        data = _received(link.server)
        if data is None:
            return
        link.relay.server_is_done = not data
        answers = link.relay.hear_server(data, now)
        for answer in answers:
            self._learn(Packet(*link.addresses, answer, is_stream=True), now)
            link.relay.tell(answer)
        if answers:
            self._counters["tcp-answers"] += len(answers)
            self._links.move_to_end(link)
            self._ask(link, b"", now)

    def _send(self, link: _Link) -> None:
        """Sends what there is to both sides, and watches each for what it may do next."""
        relay = link.relay
        if not link.is_connecting:
            _flush(link.server, relay.to_server)
        _flush(link.client, relay.to_client)
        if relay.is_over:
            self._end(link)
            return
        self._watch(link.client, link.on_client, _events(reads=relay.reads_client, writes=bool(relay.to_client)))
        writes = link.is_connecting or bool(relay.to_server)
        reads = relay.reads_server and not link.is_connecting
        self._watch(link.server, link.on_server, _events(reads=reads, writes=writes))

    def _watch(self, side: socket.socket, handler: Handler, events: int) -> None:
        """Waits for these. Who is waited for in no way is not watched at all: epoll would go on telling of its end."""
        if events:
            self._poller.watch(side.fileno(), handler, events=events)
        else:
            self._poller.unwatch(side.fileno())

    def _count(self, name: str) -> None:
        self._counters[name] += 1


def _nobody(events: int) -> None:
    """Serves a side that is closed."""
    del events


def _events(*, reads: bool, writes: bool) -> int:
    return (READABLE if reads else 0) | (WRITABLE if writes else 0)


def _received(side: socket.socket) -> bytes | None:
    """What came; nothing at the end, None if it was a false alarm."""
    try:
        return side.recv(RECEIVE_BYTES)
    except BlockingIOError:
        return None


def _flush(side: socket.socket, unsent: bytearray) -> None:
    if unsent:
        try:
            sent = side.send(unsent)
        except BlockingIOError:
            return
        del unsent[:sent]
