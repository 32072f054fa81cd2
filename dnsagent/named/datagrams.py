"""UDP under a bound rule: QUIC clients must name themselves where the policy has them read, all else is refused.

    first datagrams      held until they name somebody (`named.quic`), or nonsense, or their time is over
    named what it may    all that is held goes on, marked: the kernel remembers
    else                 refused; the rules answer with an ICMP error, so that a browser takes TCP

What is held has never been answered: the server has seen nothing of it.
"""

import importlib
from collections import Counter
from typing import TYPE_CHECKING, Final

from dnsagent.learn import Learner
from dnsagent.named.flows import Flow, NamedFlows
from dnsagent.named.judgement import objection, reads_quic
from dnsagent.named.spoken import Spoken, UnspokenError
from dnsagent.named.verdicts import Verdicts
from nfq.headers import UDP, IpHeader, UdpHeader, read_udp
from nfq.held import HeldPacket
from reconcile.instant import Instant

if TYPE_CHECKING:
    from dnsagent.named.quic import QuicGreeting

MAX_READ_PER_SECOND: Final = 200
"""Datagrams of one workload: reading one takes 0.2 ms, and DNS answers of others wait meanwhile. More are dropped;
clients send again."""
MAX_READ_BY_ALL: Final = 1000
"""Of all workloads together: a fifth of a second's work in a second."""


class NamedDatagrams:
    """Those of connections that are not judged yet."""

    def __init__(self, learner: Learner, counters: Counter[str], verdicts: Verdicts) -> None:
        self._learner = learner
        self._counters = counters
        self._verdicts = verdicts
        self.flows: NamedFlows[QuicGreeting] = NamedFlows(counters)
        self._second = 0
        self._read: Counter[bytes] = Counter()
        """In this second, by source."""
        self._read_by_all = 0

    def prepare(self) -> None:
        """Loads what reads QUIC, if a rule wants that: nobody's first datagram is to wait for a library."""
        if any(rule.reads_quic for rule in self._learner.plan.rules):
            _greeting()

    def take(self, packet: HeldPacket, ip: IpHeader, now: Instant) -> None:
        """Decides or keeps a packet that is not TCP, or not all there.

        Raises:
            PacketError: it is no datagram; nothing was decided.
        """
        if ip.protocol == UDP and not ip.is_fragment and not ip.is_cut:
            udp = read_udp(ip.transport)
            flow = (ip.source, ip.destination, udp.source_port, udp.destination_port)
            if reads_quic(self._learner, flow):
                self._take(packet, udp, flow, now)
                return
        self._verdicts.deny((packet,))
        self._verdicts.note((ip.source, ip.destination, 0, 0), "other-protocol", None, now)

    def expire(self, now: Instant) -> None:
        """Refuses those that began to speak and did not end in time; forgets those judged long enough ago."""
        for flow in self.flows.late(now):
            self._refuse(flow, [], "timeout", None, now)
        self.flows.expire(now)

    # --- one datagram ---

    def _take(self, packet: HeldPacket, udp: UdpHeader, flow: Flow, now: Instant) -> None:
        state = self.flows.get(flow)
        if state is None:
            self._counters["named-connections"] += 1
            state = self.flows.begin(flow, _greeting())
        if state.verdict is not None:
            (self._verdicts.allow if state.verdict else self._verdicts.deny)((packet,))
            return
        if not self._may_read(flow[0], now):
            self._counters["cap-quic-rate"] += 1
            packet.drop()
            return
        try:
            spoken = state.first.take(bytes(udp.payload))
        except UnspokenError as error:
            self._refuse(flow, [packet], error.reason, None, now)
            return
        if spoken is None:
            self._hold(packet, flow, now)
        else:
            self._judge(packet, flow, spoken, now)

    def _may_read(self, source: bytes, now: Instant) -> bool:
        if int(now) != self._second:
            self._second = int(now)
            self._read.clear()
            self._read_by_all = 0
        if self._read[source] >= MAX_READ_PER_SECOND or self._read_by_all >= MAX_READ_BY_ALL:
            return False
        self._read[source] += 1
        self._read_by_all += 1
        return True

    def _hold(self, packet: HeldPacket, flow: Flow, now: Instant) -> None:
        until = Instant(now + self._learner.plan.snapshot.max_named_hold_seconds)
        if not self.flows.hold(flow, packet, None, now, until):
            self._refuse(flow, [packet], "cap-held", None, now)

    def _judge(self, packet: HeldPacket, flow: Flow, spoken: Spoken, now: Instant) -> None:
        reason = objection(self._learner, flow, spoken, is_quic=True)
        if reason is not None:
            self._refuse(flow, [packet], reason, spoken.name, now)
            return
        self._counters["named-allowed"] += 1
        self._verdicts.allow([*self.flows.release(flow), packet])
        self.flows.remember(flow, now, is_named=True)

    def _refuse(self, flow: Flow, latest: list[HeldPacket], reason: str, name: bytes | None, now: Instant) -> None:
        self._verdicts.deny([*self.flows.release(flow), *latest])
        self.flows.remember(flow, now, is_named=False)
        self._verdicts.note(flow, reason, name, now)


def _greeting() -> "QuicGreeting":
    """The module is loaded where it is needed: AES takes memory that most nodes have better use for."""
    module = importlib.import_module("dnsagent.named.quic")
    greeting: QuicGreeting = module.QuicGreeting()
    return greeting
