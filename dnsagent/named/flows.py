"""What is known of connections that must name themselves, and the packets that they hold. Judges nothing.

    open    --hold-->  holding  --release, remember-->  judged  --forgotten after `REMEMBERED_SECONDS`
       `-------------------------remember-----------------^

Whoever releases packets decides them; what nobody decides is dropped.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Generic, Protocol, Self, TypeVar

from nfq.headers import IpHeader, TcpHeader
from nfq.held import DROP, HeldPacket
from nfq.holder import Holder
from reconcile.instant import Instant

MAX_FLOWS: Final = 16_384
MAX_FLOWS_PER_ENDPOINT: Final = 1_024
"""Connections that are open and have not said anything. Beyond it the endpoint's oldest are forgotten: refused, should
they speak."""
MAX_HELD: Final = 4_096
MAX_HELD_PER_ENDPOINT: Final = 512
REMEMBERED_SECONDS: Final = 10.0
"""How long a judgement is remembered for packets that were in the queue before it; the kernel remembers it for good."""
_BACKSTOP_SECONDS: Final = 60.0

Flow = tuple[bytes, bytes, int, int]
"""Source, destination and their ports."""


class Beginning(Protocol):
    """What a client has said so far."""

    def emptied(self) -> Self:
        """As if it had said nothing."""


B = TypeVar("B", bound=Beginning)


@dataclass(slots=True)
class FlowState(Generic[B]):
    """What is known of one connection; it holds packets only while it is not judged."""

    first: B
    packets: list[HeldPacket] = field(default_factory=list)
    head: tuple[IpHeader, TcpHeader] | None = None
    """Of the first packet that is held, where somebody must know it."""
    verdict: bool | None = None
    until: Instant = field(default=Instant(0.0))
    """Of a judged one: when it is forgotten. Of one that holds packets: when it is refused."""


class NamedFlows(Generic[B]):
    """Connections by flow, within bounds; each is with its source, and among those that hold or are judged if it is."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self._states: dict[Flow, FlowState[B]] = {}
        self._by_source: dict[bytes, dict[Flow, None]] = {}
        self._holding: dict[Flow, None] = {}
        """Those with packets, in the order of their time limits."""
        self._judged: dict[Flow, None] = {}
        """Likewise the judged ones."""
        self._holder = Holder(limit=MAX_HELD, at_deadline=DROP)
        self._held_of: Counter[bytes] = Counter()

    def __len__(self) -> int:
        return len(self._states)

    def __getitem__(self, flow: Flow) -> FlowState[B]:
        return self._states[flow]

    def get(self, flow: Flow) -> FlowState[B] | None:
        """What is known of the connection, if anything is."""
        return self._states.get(flow)

    def begin(self, flow: Flow, first: B) -> FlowState[B]:
        """Knows a connection from now on, by where it begins; at a bound the oldest is forgotten for it."""
        self.drop(flow)
        self._make_room(flow[0])
        state = self._states[flow] = FlowState(first)
        self._by_source.setdefault(flow[0], {})[flow] = None
        return state

    def hold(
        self, flow: Flow, packet: HeldPacket, head: tuple[IpHeader, TcpHeader] | None, now: Instant, until: Instant
    ) -> bool:
        """Keeps a packet of the connection; False if there is no room, and nothing has changed.

        `until` counts from the connection's first packet: later ones don't move it.
        """
        is_full = self._held_of[flow[0]] >= MAX_HELD_PER_ENDPOINT
        if is_full or not self._holder.keep(packet, Instant(now + _BACKSTOP_SECONDS)):
            return False
        state = self._states[flow]
        if not state.packets:
            state.head = head
            state.until = until
            self._holding[flow] = None
        state.packets.append(packet)
        self._held_of[flow[0]] += 1
        return True

    def release(self, flow: Flow) -> list[HeldPacket]:
        """Takes the held packets off the connection; the caller decides them."""
        state = self._states[flow]
        packets, state.packets, state.head = state.packets, [], None
        self._holding.pop(flow, None)
        self._held_of[flow[0]] -= len(packets)
        if not self._held_of[flow[0]]:
            del self._held_of[flow[0]]
        return packets

    def remember(self, flow: Flow, now: Instant, *, is_named: bool) -> None:
        """Keeps the judgement instead of the bytes; the connection holds nothing any more."""
        state = self._states[flow]
        state.verdict = is_named
        state.until = Instant(now + REMEMBERED_SECONDS)
        state.first = state.first.emptied()
        self._judged[flow] = None

    def drop(self, flow: Flow) -> None:
        """Forgets a connection that is over, if it is known; what of it is held goes with it."""
        if flow in self._states:
            for held in self.release(flow):
                held.drop()
            self._forget(flow)

    def late(self, now: Instant) -> list[Flow]:
        """Those that hold packets and whose time is over."""
        return list(_while_due(self._holding, self._states, now))

    def expire(self, now: Instant) -> None:
        """Forgets those judged long enough ago, and drops packets that nobody decided."""
        for flow in tuple(_while_due(self._judged, self._states, now)):
            self._forget(flow)
        self._holder.expire(now)

    def next_deadline(self) -> Instant | None:
        """When the first of those that hold packets is late."""
        first = next(iter(self._holding), None)
        return None if first is None else self._states[first].until

    def lose_held(self) -> None:
        """What was held is gone: the connections are as they began."""
        for flow in tuple(self._holding):
            self.release(flow)
            state = self._states[flow]
            state.first = state.first.emptied()
        self._holder.close()

    def close(self) -> None:
        """Drops all that is held, and forgets everything."""
        self._holder.close()
        for known in (self._states, self._by_source, self._holding, self._judged):
            known.clear()
        self._held_of.clear()

    def _make_room(self, source: bytes) -> None:
        own = self._by_source.get(source, {})
        if len(own) >= MAX_FLOWS_PER_ENDPOINT:
            self._counters["cap-named-flows"] += 1
            self.drop(next(iter(own)))
        elif len(self._states) >= MAX_FLOWS:
            self._counters["cap-named-flows"] += 1
            self.drop(next(iter(self._states)))

    def _forget(self, flow: Flow) -> None:
        del self._states[flow]
        self._judged.pop(flow, None)
        own = self._by_source[flow[0]]
        del own[flow]
        if not own:
            del self._by_source[flow[0]]


def _while_due(flows: Mapping[Flow, None], states: Mapping[Flow, FlowState[B]], now: Instant) -> Iterator[Flow]:
    for flow in islice(flows, MAX_FLOWS):
        if states[flow].until > now:
            return
        yield flow
