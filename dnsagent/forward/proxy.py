"""The forwarder in the packet process: workloads' questions come here, replies go back in the name of their server.

    question -> local zones -> rules of questions -> Forwarder -> upstream
    reply    -> the pipeline of learning, acknowledged by the kernel -> the workload

A shell: it owns sockets and settings; what is decided is decided in `questions`, `forwarder`, `zones` and `tunnels`.
"""

import socket
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path

from dnsagent.answers import zone_records
from dnsagent.codec import DecodeError
from dnsagent.forward.forwarder import Asker, Forwarder, Group, Reply, Send
from dnsagent.forward.lists import DenyList
from dnsagent.forward.messages import Asked, Rcode, malformed_reply, read_query
from dnsagent.forward.questions import QuestionRules, Refusal, Refused, judge, not_admitted
from dnsagent.forward.store import ReplyStore
from dnsagent.forward.streams import Addresses, Conversation, Conversations
from dnsagent.forward.tunnels import TunnelWatch, split
from dnsagent.forward.upstreams import UpstreamServer, tls_context
from dnsagent.forward.zones import LocalZones
from dnsagent.learn import Learner, Packet
from dnsagent.match import PatternIndex, labels_of
from dnsagent.plan import EndpointPlan
from dnsagent.poller import Poller
from dnsagent.snapshot import ForwarderOptions, Snapshot, Upstream
from dnsagent.tap import ANSWER, QUESTION
from dnsagent.transparent import datagram_listener, destination_of, speaker
from policy.domains import DomainName, DomainPattern
from reconcile.clock import Clock
from reconcile.instant import Instant

DATAGRAMS = 32
"""Questions read at a time, and learned from together; then others in the loop have their turn."""
RETRY_SECONDS = 1.0
SUSPICIOUS_SCORE = 50
"""From here on `status` tells of it."""
MAX_REPORTED = 20
_RECEIVE_BYTES = 4096
_CONFIGURED = (b"", 0)
"""Stands for the configured upstreams, where a server would."""
_ANCILLARY_BYTES = 128

Learn = Callable[[Iterable[Packet], Instant], None]
Steer = Callable[[int, int], None]
Suspicion = Callable[[str, str, int], None]
"""Told of an endpoint and a domain that look like a tunnel, with the score; once a minute at most."""


class Proxy:
    """Owns the forwarder and every socket of it."""

    def __init__(
        self,
        learner: Learner,
        learn: Learn,
        clock: Clock,
        poller: Poller,
        steer: Steer,
        random_id: Callable[[], int],
        on_suspicion: Suspicion,
    ) -> None:
        self._files_trouble = self._listening_trouble = ""
        self.tunnels = TunnelWatch()
        self._learner = learner
        self._learn = learn
        self._clock = clock
        self._poller = poller
        self._steer = steer
        self._on_suspicion = on_suspicion
        self._counters = learner.counters
        self._options = ForwarderOptions()
        self._rules = QuestionRules()
        self._zones = LocalZones()
        self._forwarder = Forwarder(ReplyStore(self._options.cache_bytes), random_id, self._counters)
        self._random_id = random_id
        self._streams = Conversations(self._on_message, self._forget, clock, poller)
        self._upstreams: list[UpstreamServer] = []
        self._groups: dict[tuple[bytes, int], Group] = {}
        self._tls: ssl.SSLContext | None = None
        self._place = (0, 0, 0)
        self._listeners: list[socket.socket] = []
        self._speakers: dict[tuple[bytes, int], socket.socket] = {}
        self._next_attempt_at: Instant | None = None
        self._ready: list[Reply] = []
        """Replies of this round of the loop, not learned and not sent yet."""

    # --- the loop's side ---

    def adopt(self, snapshot: Snapshot, now: Instant, breathe: Callable[[], None]) -> None:
        """Answers as the snapshot says from now on. Reading lists may take a while: others have their turn between."""
        if snapshot.forwarder != self._options:
            self._configure(snapshot.forwarder, breathe)
        is_needed = any(endpoint.is_proxied for endpoint in snapshot.endpoints.values())
        place = (snapshot.intercept_port, snapshot.intercept_mark, snapshot.intercept_table) if is_needed else (0, 0, 0)
        servers = self._learner.plan.servers
        if self._groups.keys() - servers - {_CONFIGURED}:
            # Servers that are not trusted any more; what is under way to others is asked again by the clients.
            self._start_forwarder()
        if place != self._place or (is_needed and servers != self._speakers.keys()):
            self._stop_listening()
            self._place = place
            self._next_attempt_at = now if is_needed else None
            self.expire(now)

    def take(self, client: socket.socket, addresses: Addresses) -> bool:
        """Answers a connection; False if there are too many, then the socket is the caller's."""
        return self._streams.take(client, addresses)

    def expire(self, now: Instant) -> None:
        """Ends attempts, idle connections and pauses, and sends what this round of the loop has made ready."""
        self._perform(self._forwarder.expire(now), now)
        self._tell(now)
        self._streams.expire(now)
        for upstream in self._upstreams:
            upstream.expire(now)
        if self._next_attempt_at is not None and now >= self._next_attempt_at:
            self._open(now)

    def next_deadline(self) -> Instant | None:
        """When `expire` has something to do."""
        times = (self._forwarder.next_deadline(), self._streams.next_deadline(), self._next_attempt_at)
        return min((each for each in times if each is not None), default=None)

    def close(self) -> None:
        """Ends everything; questions under way are not answered."""
        self._streams.close()
        self._stop_listening()
        self._close_upstreams()

    @property
    def trouble(self) -> str:
        """What does not work, for `status`."""
        return "; ".join(filter(None, (self._listening_trouble, self._files_trouble)))

    @property
    def state(self) -> dict[str, object]:
        """For `status`."""
        return {
            "replies": len(self._forwarder.store),
            "reply_bytes": self._forwarder.store.used_bytes,
            "under_way": len(self._forwarder),
            "streams": len(self._streams),
            "denied_names": len(self._rules.lists),
            "local_names": len(self._zones),
        }

    def tunnel_report(self, now: Instant) -> list[dict[str, object]]:
        """Domains whose questions look like a tunnel, and those in quarantine, the worst first."""
        return [
            {
                "endpoint": endpoint,
                "domain": text_of(parent),
                "score": score,
                "is_quarantined": self.tunnels.is_quarantined(endpoint, parent, now),
            }
            for endpoint, parent, score in self.tunnels.scores(now, SUSPICIOUS_SCORE)[:MAX_REPORTED]
        ]

    # --- settings ---

    def _configure(self, options: ForwarderOptions, breathe: Callable[[], None]) -> None:
        """Takes the options; a file that cannot be read is said and left out."""
        troubles: list[str] = []
        lists = self._read_lists(options.deny_files, troubles, breathe)
        self._zones = self._read_zones(options.zone_files, troubles)
        self._tls = self._read_authorities(options, troubles)
        self._options = options
        self._rules = QuestionRules(
            only_selected_names=options.only_selected_names,
            admitted=PatternIndex({0: [DomainPattern.from_canonical(each) for each in options.admitted_names]}),
            denied_types=frozenset(options.denied_types),
            filters_services=options.filters_services,
            hides_resolvers=options.hides_resolvers,
            refuses=options.refuses,
            lists=lists,
        )
        self._start_forwarder()
        self._files_trouble = "; ".join(troubles)

    def _start_forwarder(self) -> None:
        """Anew, with nothing under way and nothing kept."""
        self._close_upstreams()
        options = self._options
        store = ReplyStore(options.cache_bytes, options.stale_seconds)
        self._forwarder = Forwarder(store, self._random_id, self._counters, strips_ech=options.strips_ech)

    def _read_lists(self, files: tuple[str, ...], troubles: list[str], breathe: Callable[[], None]) -> DenyList:
        lists = DenyList()
        for name in files:
            try:
                with Path(name).open(encoding="utf-8", errors="replace") as lines:
                    for _ in lists.read(lines):
                        breathe()
            except OSError as error:
                troubles.append(f"deny list {name}: {error.strerror}")
        troubles += [f"deny lists: {count} lines: {reason}" for reason, count in lists.ignored.items()]
        return lists

    def _read_zones(self, files: tuple[str, ...], troubles: list[str]) -> LocalZones:
        records = []
        for name in files:
            try:
                records += zone_records(Path(name).read_text())
            except (OSError, ValueError) as error:
                troubles.append(f"zone {name}: {error}")
        return LocalZones(records)

    def _read_authorities(self, options: ForwarderOptions, troubles: list[str]) -> ssl.SSLContext | None:
        if not any(each.transport == "tls" for each in options.upstreams):
            return None
        try:
            return tls_context(options.authority_file)
        except OSError as error:
            troubles.append(f"certificates {options.authority_file}: {error}")
            # Without authorities no certificate is good: nothing is asked in the open instead.
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def _group(self, server: tuple[bytes, int]) -> Group:
        """Who is asked for a question to that server."""
        place = _CONFIGURED if self._options.upstreams else server
        group = self._groups.get(place)
        if group is None:
            address = socket.inet_ntop(socket.AF_INET if len(server[0]) == 4 else socket.AF_INET6, server[0])
            told = self._options.upstreams or (Upstream.at(address, server[1]),)
            first = len(self._upstreams)
            mark = self._learner.plan.snapshot.repeated_mark
            for number, each in enumerate(told, first):
                self._upstreams.append(UpstreamServer(number, each, self, self._poller, self._tls, mark=mark))
            group = Group(len(self._groups).to_bytes(2, "big"), tuple(range(first, first + len(told))))
            self._groups[place] = group
        return group

    def _close_upstreams(self) -> None:
        for upstream in self._upstreams:
            upstream.close()
        self._upstreams.clear()
        self._groups.clear()

    # --- sockets ---

    def _open(self, now: Instant) -> None:
        port, mark, table = self._place
        try:
            # Whoever cannot be answered must not be taken over: a server on this host may have its address for itself.
            for server in self._learner.plan.servers:
                self._speakers[server] = speaker(*server, self._learner.plan.snapshot.agent_mark)
            self._steer(mark, table)
            for family in (socket.AF_INET, socket.AF_INET6):
                made = datagram_listener(family, port)
                if made is not None:
                    self._listeners.append(made)
                    self._poller.watch(made.fileno(), self._receiving(made))
        except OSError as error:
            self._stop_listening()
            self._listening_trouble = f"the forwarder cannot take over questions to port {port}: {error.strerror}"
            self._next_attempt_at = Instant(now + RETRY_SECONDS)
            return
        self._next_attempt_at, self._listening_trouble = None, ""

    def _stop_listening(self) -> None:
        for each in self._listeners:
            self._poller.unwatch(each.fileno())
            each.close()
        self._listeners.clear()
        for each in self._speakers.values():
            each.close()
        self._speakers.clear()

    # --- questions ---

    def _receiving(self, listening: socket.socket) -> Callable[[int], None]:
        def receive(events: int) -> None:
            del events
            now = self._clock.now()
            for _ in range(DATAGRAMS):
                try:
                    data, ancillary, _, source = listening.recvmsg(_RECEIVE_BYTES, _ANCILLARY_BYTES)
                except OSError:
                    break
                server = destination_of(ancillary)
                if server is None or server not in self._learner.plan.servers:
                    self._counters["proxy-not-a-server"] += 1
                    continue
                client = socket.inet_pton(listening.family, source[0])
                self._ready += self._ask(data, (client, source[1], *server), None, now)

        return receive

    def _on_message(self, conversation: Conversation, data: bytes, now: Instant) -> None:
        self._ready += self._ask(data, conversation.addresses, conversation, now)

    def _ask(self, data: bytes, addresses: Addresses, conversation: Conversation | None, now: Instant) -> list[Reply]:
        """What is to be said at once."""
        client, client_port, server, server_port = addresses
        self._counters["proxy-queries"] += 1
        try:
            asked = read_query(data)
        except DecodeError:
            return self._malformed(data, addresses, conversation)
        asker = Asker(asked, client, client_port, server, server_port, reply_to=conversation)
        endpoint = self._learner.plan.endpoints.get(client)
        refused = self._refused(asked, endpoint, now)
        if refused is not None:
            self._counters[f"proxy-refused-{refused.reason}"] += 1
            if self._learner.tap.is_on:
                self._learner.show(QUESTION, self._packet(asker, data), now)
            return [Reply(asker, refused.reply, f"forwarder-{refused.reason}")]
        self._learner.note_query(self._packet(asker, data), now)
        local = self._zones.answer(asked)
        if local is not None:
            self._counters["proxy-local"] += 1
            return [Reply(asker, local)]
        replies, sends = self._forwarder.ask(asker, self._group((server, server_port)), now)
        self._send(sends, now)
        return replies

    def _malformed(self, data: bytes, addresses: Addresses, conversation: Conversation | None) -> list[Reply]:
        self._counters["proxy-malformed"] += 1
        said = malformed_reply(data)
        if said is None:
            return []
        client, client_port, server, server_port = addresses
        nothing = Asked(0, 0, b"", 0, b"")
        return [Reply(Asker(nothing, client, client_port, server, server_port, reply_to=conversation), said)]

    def _refused(self, asked: Asked, endpoint: EndpointPlan | None, now: Instant) -> Refused | None:
        plan, rules = self._learner.plan, self._rules
        if endpoint is not None:
            score = self.tunnels.note(endpoint.id, asked.name, asked.type, now)
            limit = self._options.quarantine_score
            if score >= SUSPICIOUS_SCORE and self.tunnels.is_news(endpoint.id, asked.name):
                self._counters["proxy-tunnels-suspected"] += 1
                self._on_suspicion(endpoint.id, text_of(split(asked.name)[1]), score)
            if limit and score >= limit and not self.tunnels.is_quarantined(endpoint.id, asked.name, now):
                self._counters["proxy-quarantines"] += 1
                until = Instant(now + self._options.quarantine_seconds)
                self.tunnels.quarantine(endpoint.id, asked.name, until)
            if self.tunnels.is_quarantined(endpoint.id, asked.name, now):
                return Refused(Refusal.QUARANTINE, not_admitted(asked, rules))
        return judge(asked, endpoint, plan, rules)

    # --- replies ---

    def on_answer(self, upstream: int, data: bytes) -> None:
        """Bytes from a server."""
        now = self._clock.now()
        self._perform(self._forwarder.answer(upstream, data, now), now)

    def on_broken(self, upstream: int) -> None:
        """A server cannot be reached."""
        self._counters["proxy-upstream-broken"] += 1
        now = self._clock.now()
        self._perform(self._forwarder.fail(upstream, now), now)

    def _forget(self, conversation: Conversation) -> None:
        self._forwarder.forget(conversation)

    def _perform(self, outcome: tuple[list[Reply], list[Send]], now: Instant) -> None:
        replies, sends = outcome
        self._ready += replies
        self._send(sends, now)

    def _send(self, sends: list[Send], now: Instant) -> None:
        for each in sends:
            if each.upstream < len(self._upstreams):
                self._upstreams[each.upstream].send(each.data, over_stream=each.over_stream, now=now)

    def _tell(self, now: Instant) -> None:
        """Sends the replies that are ready, when what they teach is in the kernel: one transaction for all of them."""
        while self._ready:
            replies, self._ready = self._ready, []
            positive = [
                self._packet(asker, data)
                for asker, data, refused_for in replies
                if data[3] & 15 == Rcode.NOERROR and not refused_for
            ]
            self._learn(positive, now)
            for asker, data, refused_for in replies:
                if refused_for or data[3] & 15 != Rcode.NOERROR:
                    self._learner.answered[asker.server, asker.server_port, data[3] & 15] += 1
                if self._learner.tap.is_on and (refused_for or data[3] & 15 != Rcode.NOERROR):
                    self._learner.show(ANSWER, self._packet(asker, data), now, refused_for or "negative")
                if data[3] & 15 == Rcode.NXDOMAIN:
                    self._note_unknown(asker)
                if isinstance(asker.reply_to, Conversation):
                    self._streams.reply(asker.reply_to, data, now)
                else:
                    self._send_datagram(asker, data)

    def _send_datagram(self, asker: Asker, data: bytes) -> None:
        family = socket.AF_INET if len(asker.client) == 4 else socket.AF_INET6
        speaking = self._speakers.get((asker.server, asker.server_port))
        if speaking is None:
            return  # the server is trusted no more
        try:
            speaking.sendto(data, (socket.inet_ntop(family, asker.client), asker.client_port))
        except OSError:
            self._counters["proxy-not-sent"] += 1

    def _note_unknown(self, asker: Asker) -> None:
        endpoint = self._learner.plan.endpoints.get(asker.client)
        if endpoint is not None:
            self.tunnels.note_unknown(endpoint.id, asker.asked.name)

    @staticmethod
    def _packet(asker: Asker, data: bytes) -> Packet:
        return Packet(asker.client, asker.client_port, asker.server, asker.server_port, data, is_stream=asker.is_stream)


def text_of(name: bytes) -> str:
    """A wire key as people write it."""
    return str(DomainName.of(labels_of(name)))
