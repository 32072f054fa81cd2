"""Connections that must name themselves: held from the client's first data until they have, then judged once.

    SYN, ACK, FIN without data   go on: a connection is allowed to open
    data                         held until they say a name, or that there is none, or nonsense, or their time is over
    named what it may            all that is held goes through its base chain again, marked: the kernel remembers
    else                         likewise, with the other mark; both ends get a reset

A connection whose beginning was not seen is refused: without the number of its first byte nobody knows what its server
read before. This is about TCP; all else is `named.datagrams`'.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from dnsagent.learn import Learner
from dnsagent.named.datagrams import NamedDatagrams
from dnsagent.named.flows import Flow, NamedFlows
from dnsagent.named.judgement import objection
from dnsagent.named.resets import resets
from dnsagent.named.spoken import UnspokenError
from dnsagent.named.stream import FirstBytes, Segment
from dnsagent.named.verdicts import Refusal, Verdicts
from nfq.errors import PacketError
from nfq.headers import TCP, IpHeader, TcpHeader, read_ip, read_tcp
from nfq.held import HeldBatch, HeldPacket
from reconcile.instant import Instant

_FIN, _SYN, _RST = 1, 2, 4


class NamedConnections:
    """The connections that are not judged yet. Sends resets by the function it is given."""

    def __init__(
        self,
        learner: Learner,
        counters: Counter[str],
        send: Callable[[Iterable[bytes]], None] = lambda _: None,
        notice: Callable[[Refusal], None] = lambda _: None,
    ) -> None:
        self._learner = learner
        self._counters = counters
        self._send = send
        self._resets: list[bytes] = []
        """They go when the verdicts have gone: the server must know the connection to have it reset."""
        self._flows: NamedFlows[FirstBytes] = NamedFlows(counters)
        self._verdicts = Verdicts(learner, counters, notice)
        self._datagrams = NamedDatagrams(learner, counters, self._verdicts)

    def __len__(self) -> int:
        return len(self._flows) + len(self._datagrams.flows)

    def prepare(self) -> None:
        """Loads what the present rules need; to be called when they change."""
        self._datagrams.prepare()

    def take(self, batch: HeldBatch, now: Instant) -> None:
        """Decides or keeps every packet of the batch."""
        for packet in batch:
            self._counters["named-packets"] += 1
            try:
                ip = read_ip(packet.payload)
                tcp = read_tcp(ip.transport) if ip.protocol == TCP and not ip.is_fragment else None
                if tcp is None or ip.is_cut:
                    self._datagrams.take(packet, ip, now)
                else:
                    self._take(packet, ip, tcp, now)
            except PacketError:
                packet.drop()

    def flush(self) -> None:
        """Sends the resets; to be called when the batch has its verdicts."""
        resets, self._resets = self._resets, []
        if resets:
            self._send(resets)

    def expire(self, now: Instant) -> None:
        """Refuses those that began to speak and did not end in time; forgets those judged long enough ago."""
        for flow in self._flows.late(now):
            self._refuse(flow, "timeout", now)
        self._flows.expire(now)
        self._datagrams.expire(now)
        self.flush()

    def next_deadline(self) -> Instant | None:
        """When `expire` has something to do that somebody waits for."""
        deadlines = (self._flows.next_deadline(), self._datagrams.flows.next_deadline())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def lose_held(self) -> None:
        """The binding is gone and what was held with it: clients send it again, from where they began."""
        self._flows.lose_held()
        self._datagrams.flows.lose_held()

    def close(self) -> None:
        """Drops all that is held, and forgets everything."""
        self._flows.close()
        self._datagrams.flows.close()

    # --- one packet ---

    def _take(self, packet: HeldPacket, ip: IpHeader, tcp: TcpHeader, now: Instant) -> None:
        flow = (ip.source, ip.destination, tcp.source_port, tcp.destination_port)
        if tcp.flags & _SYN:
            self._open(packet, flow, tcp)
        elif tcp.flags & _RST:
            self._flows.drop(flow)
            packet.accept()
        elif not tcp.payload:
            packet.accept()
        else:
            self._take_data(packet, flow, ip, tcp, now)

    def _open(self, packet: HeldPacket, flow: Flow, tcp: TcpHeader) -> None:
        """Data with the SYN (RFC 7413) are refused with it: the client sends both again, apart."""
        start = (tcp.sequence + 1) & 0xFFFFFFFF
        known = self._flows.get(flow)
        if known is None or known.verdict is not None or known.first.start != start:
            self._flows.begin(flow, FirstBytes(start))
            self._counters["named-connections"] += 1
        if tcp.payload:
            self._counters["named-early-data"] += 1
            packet.drop()
        else:
            packet.accept()

    def _take_data(self, packet: HeldPacket, flow: Flow, ip: IpHeader, tcp: TcpHeader, now: Instant) -> None:
        state = self._flows.get(flow)
        if state is None:
            self._refuse_packet(packet, flow, (ip, tcp), None, "unknown-start", now)
            return
        if state.verdict is not None:
            (self._verdicts.allow if state.verdict else self._verdicts.deny)((packet,))
            return
        try:
            kind = state.first.add(tcp.sequence, tcp.payload)
            if kind is not Segment.NEW:
                self._counters["named-copies"] += 1
                packet.drop()
                return
            spoken = state.first.spoken()
        except UnspokenError as error:
            self._refuse_with(packet, flow, (ip, tcp), error.reason, now)
            return
        if spoken is None:
            self._hold(packet, flow, (ip, tcp), now)
            return
        reason = objection(self._learner, flow, spoken)
        if reason is None:
            self._allow(packet, flow, now)
        else:
            self._refuse_with(packet, flow, (ip, tcp), reason, now, spoken.name)

    def _hold(self, packet: HeldPacket, flow: Flow, head: tuple[IpHeader, TcpHeader], now: Instant) -> None:
        until = Instant(now + self._learner.plan.snapshot.max_named_hold_seconds)
        if not self._flows.hold(flow, packet, head, now, until):
            self._refuse_with(packet, flow, head, "cap-held", now)

    # --- verdicts ---

    def _allow(self, packet: HeldPacket, flow: Flow, now: Instant) -> None:
        self._counters["named-allowed"] += 1
        self._verdicts.allow([*self._flows.release(flow), packet])
        self._flows.remember(flow, now, is_named=True)

    def _refuse_with(
        self,
        packet: HeldPacket,
        flow: Flow,
        head: tuple[IpHeader, TcpHeader],
        reason: str,
        now: Instant,
        name: bytes | None = None,
    ) -> None:
        state = self._flows[flow]
        if state.packets:
            self._refuse(flow, reason, now, name)
            self._verdicts.deny((packet,))
            return
        self._refuse_packet(packet, flow, head, state.first.start, reason, now, name)
        self._flows.remember(flow, now, is_named=False)

    def _refuse(self, flow: Flow, reason: str, now: Instant, name: bytes | None = None) -> None:
        """A connection with packets that are held."""
        state = self._flows[flow]
        head = state.head
        self._verdicts.deny(self._flows.release(flow))
        self._flows.remember(flow, now, is_named=False)
        if head is not None:
            self._resets += resets(*head, state.first.start)
        self._verdicts.note(flow, reason, name, now)

    def _refuse_packet(
        self,
        packet: HeldPacket,
        flow: Flow,
        head: tuple[IpHeader, TcpHeader],
        start: int | None,
        reason: str,
        now: Instant,
        name: bytes | None = None,
    ) -> None:
        self._verdicts.deny((packet,))
        self._resets += resets(*head, start)
        self._verdicts.note(flow, reason, name, now)
