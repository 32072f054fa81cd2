"""Makes records of a window's totals: ends named, one record for each local end, added up as asked. Pure."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from reconcile.instant import WallInstant
from tidegate.flows.directory import Directory
from tidegate.flows.record import NO_TRACE, FlowParty, FlowRecord, Level, Reporter
from tidegate.flows.table import Fate, FlowKey, Loss, Totals, Window
from tidegate.flows.tracer import Asked, Tracer


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """What is needed to name things."""

    directory: Directory
    tracer: Tracer
    local: Collection[bytes]
    """Addresses of local workloads and host endpoints, packed."""
    allowed_level: Level
    denied_level: Level

    def records(self, window: Window) -> tuple[list[FlowRecord], Loss]:
        """The records of the window, and what is missing in it."""
        found: dict[FlowRecord, FlowRecord] = {}
        unjudged = 0
        for key, totals in window.totals.items():
            for reporter in self._reporters(key):
                made, is_judged = self._record(key, totals, reporter, window.to_at)
                unjudged += not is_judged
                bare = _bare(made)
                found[bare] = _sum(found[bare], made) if bare in found else made
        return list(found.values()), window.loss + Loss(unjudged=unjudged)

    def _reporters(self, key: FlowKey) -> Iterator[Reporter]:
        if key.fate is not Fate.ALLOWED:
            yield Reporter.SOURCE if key.fate is Fate.DENIED_EGRESS else Reporter.DESTINATION
            return
        is_from_here, is_to_here = key.flow.source in self.local, key.real_destination in self.local
        if is_from_here:
            yield Reporter.SOURCE
        if is_to_here:
            yield Reporter.DESTINATION
        if not is_from_here and not is_to_here:
            yield Reporter.FORWARDER

    def _record(self, key: FlowKey, totals: Totals, reporter: Reporter, now: WallInstant) -> tuple[FlowRecord, bool]:
        flow, is_allowed = key.flow, key.fate is Fate.ALLOWED
        asked = Asked(flow.source, key.real_destination, flow.protocol, totals.source_port, key.real_port, totals.icmp)
        trace = self.tracer.trace(asked, reporter, is_allowed=is_allowed)
        counts, is_towards = totals.counts, reporter is Reporter.DESTINATION
        made = FlowRecord(
            started_at=WallInstant(totals.first_at),
            ended_at=now,
            reporter=reporter,
            is_allowed=is_allowed,
            protocol=flow.protocol,
            source=self.directory.party(flow.source),
            destination=self.directory.party(key.real_destination),
            source_port=flow.source_port,
            destination_port=key.real_port,
            service=self.directory.service(flow.destination, flow.protocol, flow.destination_port),
            domains=self._domains(flow.source, key.real_destination),
            packets_in=counts.packets_out if is_towards else counts.packets_in,
            bytes_in=counts.bytes_out if is_towards else counts.bytes_in,
            packets_out=counts.packets_in if is_towards else counts.packets_out,
            bytes_out=counts.bytes_in if is_towards else counts.bytes_out,
            flows=totals.flows,
            started=totals.started if is_allowed else len(totals.ports),
            completed=totals.completed if is_allowed else len(totals.ports),
            trace=trace or NO_TRACE,
        )
        return _reduced(made, self.allowed_level if is_allowed else self.denied_level), trace is not None

    def _domains(self, source: bytes, destination: bytes) -> tuple[str, ...]:
        """By which this source knows the address."""
        who = self.directory.endpoint(source)
        if who is None:
            return ()
        return tuple(sorted({str(item.name) for item in self.tracer.names_of(destination) if item.endpoint == who}))


def _reduced(record: FlowRecord, level: Level) -> FlowRecord:
    """Without what the level adds up."""
    if level >= Level.SOURCE_PORT:
        record = replace(record, source_port=None)
    if level >= Level.PREFIX:
        record = replace(record, source=_anonymous(record.source), destination=_anonymous(record.destination))
    return replace(record, destination_port=None) if level >= Level.DESTINATION_PORT else record


def _anonymous(party: FlowParty) -> FlowParty:
    return replace(party, name=party.name_aggr, address="")


def _bare(record: FlowRecord) -> FlowRecord:
    """What two records must have in common to be added up: all but times and sums. Structure follows from text."""
    trace = replace(record.trace, enforced_hits=(), pending_hits=())
    uncounted = replace(record, packets_in=0, bytes_in=0, packets_out=0, bytes_out=0, flows=0, started=0, completed=0)
    return replace(uncounted, started_at=WallInstant(0), trace=trace)


def _sum(one: FlowRecord, other: FlowRecord) -> FlowRecord:
    return replace(
        one,
        started_at=min(one.started_at, other.started_at),
        packets_in=one.packets_in + other.packets_in,
        bytes_in=one.bytes_in + other.bytes_in,
        packets_out=one.packets_out + other.packets_out,
        bytes_out=one.bytes_out + other.bytes_out,
        flows=one.flows + other.flows,
        started=one.started + other.started,
        completed=one.completed + other.completed,
    )
