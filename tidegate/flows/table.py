"""Adds up what connections carry until it is taken. Pure.

    event: began, ended, still open        (conntrack)    --+
    copy of a denied packet                (NFLOG)        --+--> totals by addresses, protocol and port --> take()

Bounded: so many keys between two takes, so many open connections whose counts are remembered. What finds no room is
counted.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, NamedTuple, final

from nfq.flow_events import NOTHING, Counts, FlowEvent
from nfq.packet import FiveTuple
from reconcile.instant import WallInstant

MAX_KEYS: Final = 65_536
"""Different totals between two takes: 40 MB. A workload that scans a network makes one for each address and port."""
MAX_OPEN: Final = 65_536
"""Open connections that are told of before they end."""
REMEMBERED_SECONDS: Final = 600.0
"""Since a connection was seen open last. The kernel's cleaner comes by every minute or two."""
_MAX_PORTS: Final = 1024
"""Source ports of denied packets that are told apart in one total; beyond, connections are counted too low."""


class Fate(StrEnum):
    """What the kernel did."""

    ALLOWED = "allowed"
    DENIED_EGRESS = "denied egress"
    DENIED_INGRESS = "denied ingress"


class FlowKey(NamedTuple):
    """What is added up in one total."""

    fate: Fate
    flow: FiveTuple
    """As the first packet had it; the source port is None where connections are not told apart."""
    real_destination: bytes
    """Behind destination NAT."""
    real_port: int | None


@dataclass(slots=True)
class Totals:
    """The sum."""

    source_port: int | None
    """Of the first connection, as an example: rules may ask for it."""
    first_at: float
    """When its first connection began, or was first seen; seconds since the epoch."""
    icmp: tuple[int, int] | None = None
    """Type and code of the first packet, likewise."""
    started: int = 0
    completed: int = 0
    counts: Counts = NOTHING
    ports: set[int | None] = field(default_factory=set)
    """Source ports of denied packets: each is an attempt, its repetitions are not."""
    has_open: bool = False
    """A connection is among them that is open."""

    @property
    def flows(self) -> int:
        """Connections that were seen at least once."""
        return max(self.started, self.completed, len(self.ports), int(self.has_open))


@dataclass(slots=True)
class _Undecided:
    """Packets of one connection that were denied so far, and wait for the name that allows them."""

    fate: Fate
    icmp: tuple[int, int] | None
    packets: int
    size: int
    at: WallInstant
    until: float
    """By then the packet process has decided."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What is missing in a window."""

    overruns: int = 0
    """Times that the kernel found no room for events: connections that began or ended then may be missing."""
    copies: int = 0
    """Denied packets of which no copy came."""
    totals: int = 0
    """Connections and denied packets for whose total there was no room."""
    windows: int = 0
    """Whole windows that the store was too slow for."""
    unjudged: int = 0
    """Records without a trace: there were too many to judge."""

    def __add__(self, other: "Loss") -> "Loss":
        return Loss(
            self.overruns + other.overruns,
            self.copies + other.copies,
            self.totals + other.totals,
            self.windows + other.windows,
            self.unjudged + other.unjudged,
        )


NO_LOSS: Final = Loss()


@dataclass(frozen=True, slots=True)
class Window:
    """What came between two takes."""

    from_at: WallInstant
    to_at: WallInstant
    totals: Mapping[FlowKey, Totals]
    loss: Loss


@final
class FlowTable:
    """Holds the totals, and gives out those of connections with a local end."""

    def __init__(
        self, now: WallInstant, *, tells_allowed_ports: bool, tells_denied_ports: bool, hold_seconds: float = 0
    ) -> None:
        """Makes an empty table.

        Args:
            now: from when on it adds up.
            tells_allowed_ports: allowed connections are told apart by their source ports.
            tells_denied_ports: denied ones are.
            hold_seconds: how long a packet is held at most before it is denied.
        """
        self._hold_seconds = hold_seconds
        self._undecided: dict[FiveTuple, _Undecided] = {}
        self._tells_allowed_ports = tells_allowed_ports
        self._tells_denied_ports = tells_denied_ports
        self._from_at = now
        self._local: Collection[bytes] = frozenset()
        self._totals: dict[FlowKey, Totals] = {}
        self._loss = NO_LOSS
        self._told: dict[bytes, tuple[float, Counts]] = {}
        """Of open connections, by the kernel's id: when they were seen last, and what was told of them."""

    def set_local(self, addresses: Collection[bytes]) -> None:
        """Whose connections are of interest, packed."""
        self._local = addresses

    def on_event(self, event: FlowEvent, now: WallInstant) -> None:
        """A connection began or ended."""
        totals = self._of(event, now)
        if totals is None:
            return
        if not event.is_end:
            totals.started += 1
            if self._undecided:
                # Its first packet was held, and has been allowed.
                self._undecided.pop(_behind_nat(event), None)
            return
        totals.completed += 1
        _, told = self._told.pop(event.identity, (0.0, NOTHING))
        totals.counts = _added(totals.counts, event.counts, told)

    def on_open(self, event: FlowEvent, now: WallInstant) -> None:
        """A connection is open; what it carried since it was told of last is added."""
        if event.original.source not in self._local and event.reply.source not in self._local:
            return
        _, told = self._told.get(event.identity, (0.0, None))
        if told is None and len(self._told) >= MAX_OPEN:
            return  # told of when it ends
        self._told[event.identity] = (now, event.counts)
        if event.counts == (told or NOTHING):
            return
        totals = self._of(event, now)
        if totals is not None:
            totals.has_open = True
            totals.counts = _added(totals.counts, event.counts, told or NOTHING)

    def forget(self, now: WallInstant) -> None:
        """Forgets what was told of connections that have not been seen for long: the event of their end is lost.

        Lists leave out what is over, but the end is told only when the kernel comes to clean up, up to minutes later
        (kernel: gc_worker). Forgotten before, such a connection would be counted twice.
        """
        old = now - REMEMBERED_SECONDS
        self._told = {identity: item for identity, item in self._told.items() if item[0] >= old}

    def on_denied(
        self, fate: Fate, flow: FiveTuple, icmp: tuple[int, int] | None, length_bytes: int, now: WallInstant
    ) -> None:
        """A packet was denied."""
        if (held := self._undecided.get(flow)) is not None:
            # It was held, came back, and was denied: this copy is the second of the same packet.
            held.packets, held.size = held.packets - 1, held.size - length_bytes
            if held.packets <= 0:
                del self._undecided[flow]
        self._deny(fate, flow, icmp, Counts(1, length_bytes, 0, 0), now)

    def on_held(
        self, fate: Fate, flow: FiveTuple, icmp: tuple[int, int] | None, length_bytes: int, now: WallInstant
    ) -> None:
        """A packet would be denied, and may wait for a name: denied, unless its connection begins."""
        until = now + self._hold_seconds
        held = self._undecided.get(flow)
        if held is not None:
            held.packets, held.size, held.until = held.packets + 1, held.size + length_bytes, until
        elif len(self._undecided) < MAX_KEYS:
            self._undecided[flow] = _Undecided(fate, icmp, 1, length_bytes, now, until)
        else:
            self._loss = replace(self._loss, totals=self._loss.totals + 1)

    def _deny(
        self, fate: Fate, flow: FiveTuple, icmp: tuple[int, int] | None, counts: Counts, now: WallInstant
    ) -> None:
        kept = flow if self._tells_denied_ports else flow._replace(source_port=None)
        key = FlowKey(fate, kept, flow.destination, flow.destination_port)
        totals = self._get(key, flow.source_port, icmp, now)
        if totals is None:
            return
        totals.counts = _added(totals.counts, counts, NOTHING)
        if len(totals.ports) < _MAX_PORTS:
            totals.ports.add(flow.source_port)

    def on_lost(self, loss: Loss) -> None:
        """Something is missing."""
        self._loss += loss

    def take(self, now: WallInstant) -> Window:
        """What came since the last take."""
        for flow in [flow for flow, held in self._undecided.items() if held.until <= now]:
            held = self._undecided.pop(flow)
            self._deny(held.fate, flow, held.icmp, Counts(held.packets, held.size, 0, 0), held.at)
        # Whose it is, is asked now: a new workload's first connections come before we are told of the workload.
        ours = {key: totals for key, totals in self._totals.items() if self._is_ours(key)}
        taken = Window(self._from_at, now, ours, self._loss)
        self._totals, self._loss, self._from_at = {}, NO_LOSS, now
        return taken

    def _is_ours(self, key: FlowKey) -> bool:
        is_local = key.flow.source in self._local or key.real_destination in self._local
        return is_local or key.fate is not Fate.ALLOWED

    def _of(self, event: FlowEvent, now: WallInstant) -> Totals | None:
        flow, reply = event.original, event.reply
        version, protocol, source, destination, port, to_port = flow
        # For each event: `_replace` would cost as much as all the rest.
        kept = FiveTuple(version, protocol, source, destination, port if self._tells_allowed_ports else None, to_port)
        key = FlowKey(Fate.ALLOWED, kept, reply.source, reply.source_port)
        began = WallInstant(event.started_ns / 1e9) if event.started_ns else now
        return self._get(key, flow.source_port, event.icmp, began)

    def _get(self, key: FlowKey, source_port: int | None, icmp: tuple[int, int] | None, at: float) -> Totals | None:
        totals = self._totals.get(key)
        if totals is None:
            if len(self._totals) >= MAX_KEYS:
                self._loss = replace(self._loss, totals=self._loss.totals + 1)
                return None
            totals = self._totals[key] = Totals(source_port, at, icmp)
        elif at < totals.first_at:
            totals.first_at = at
        return totals


def _behind_nat(event: FlowEvent) -> FiveTuple:
    """The first packet as policy sees it."""
    flow, reply = event.original, event.reply
    return flow._replace(destination=reply.source, destination_port=reply.source_port)


def _added(sum_: Counts, more: Counts, told: Counts) -> Counts:
    """Never less than before: counts that went back belong to another connection with the same id."""
    if told is not NOTHING and more.packets_out < told.packets_out:
        told = NOTHING
    return Counts(
        sum_.packets_out + more.packets_out - told.packets_out,
        sum_.bytes_out + more.bytes_out - told.bytes_out,
        sum_.packets_in + more.packets_in - told.packets_in,
        sum_.bytes_in + more.bytes_in - told.bytes_in,
    )
