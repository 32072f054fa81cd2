"""Why a connection was allowed or denied, as the reference semantics says it. Pure.

The reference reads all policies for each question, so each question is asked once as long as documents and names stay
the same, and only so many are asked for one window of flows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, final

from policy.evaluate import DirectionVerdict, Frame, LearnedName, Links, World, judge
from policy.resources.metadata import Resource
from policy.rules import IPAddress
from tidegate.flows.record import NO_TRACE, Reporter, Trace
from tidegate.judge.errors import ProbeError
from tidegate.judge.hits import Hit, hits
from tidegate.judge.probe import PartyReference, Probe
from tidegate.judge.roster import Roster

MAX_KEPT: Final = 20_000
MAX_ASKED: Final = 1_000
"""New questions in one window. At 30 policies one takes a quarter of a millisecond, at a thousand ten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What holds while a window is told of."""

    resources: tuple[Resource, ...] = ()
    frame: Frame = field(default_factory=Frame)
    links: Links = field(default_factory=dict)
    """The node's own interfaces."""
    tells_pending: bool = True


@dataclass(frozen=True, slots=True)
class Asked:
    """A connection, as policy sees it."""

    source: bytes
    destination: bytes
    protocol: int
    source_port: int | None
    destination_port: int | None
    icmp: tuple[int, int] | None = None


@final
class Tracer:
    """Holds the answers of one state of the documents."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._roster = Roster(known.resources, known.links)
        self._world = World(known.resources, self._roster.links)
        self._names: Mapping[IPAddress, Sequence[LearnedName]] = {}
        self._kept: dict[tuple[Asked, Sequence[LearnedName]], Mapping[Reporter, tuple[bool, Trace]]] = {}
        self._asked = 0

    def begin(self, names: Iterable[LearnedName]) -> None:
        """A window begins; these names are learned."""
        found: dict[IPAddress, list[LearnedName]] = {}
        for name in names:
            found.setdefault(name.address, []).append(name)
        self._names = {address: tuple(items) for address, items in found.items()}
        self._asked = 0

    def names_of(self, address: bytes) -> Sequence[LearnedName]:
        """Who learned what of the address."""
        return self._names.get(ip_address(address), ())

    def trace(self, asked: Asked, reporter: Reporter, *, is_allowed: bool) -> Trace | None:
        """What the reporter's policy says of it; None where too many were asked for already.

        Args:
            asked: the connection.
            reporter: whose policy; the forwarder has none.
            is_allowed: what the kernel did.
        """
        if reporter is Reporter.FORWARDER:
            return NO_TRACE
        names = self.names_of(asked.destination)
        answers = self._kept.get((asked, names))
        if answers is None:
            if self._asked >= MAX_ASKED:
                return None
            self._asked += 1
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            answers = self._kept[asked, names] = self._answers(asked, names)
        found = answers.get(reporter)
        if found is None:
            return NO_TRACE
        verdict, trace = found
        return Trace(
            enforced=trace.enforced,
            pending=trace.pending,
            enforced_hits=trace.enforced_hits,
            pending_hits=trace.pending_hits,
            agrees=verdict == is_allowed,
        )

    def _answers(self, asked: Asked, names: Sequence[LearnedName]) -> dict[Reporter, tuple[bool, Trace]]:
        source, destination = ip_address(asked.source), ip_address(asked.destination)
        kind, code = asked.icmp or (None, None)
        probe = Probe(
            id=None,
            source=PartyReference(path="from", address=source),
            destination=PartyReference(path="to", address=destination),
            protocol=asked.protocol,
            port=asked.destination_port,
            source_port=asked.source_port,
            icmp_type=kind,
            icmp_code=code,
        )
        try:
            packet = self._roster.packet(probe)
        except ProbeError:
            return {}
        verdict = judge(self._world, packet, names, self._known.frame)
        pending = verdict.pending or verdict
        sides = (
            (Reporter.SOURCE, verdict.egress, pending.egress),
            (Reporter.DESTINATION, verdict.ingress, pending.ingress),
        )
        return {
            reporter: (side.is_allowed, self._trace(side, other or side, is_other=pending is not verdict))
            for reporter, side, other in sides
            if side is not None
        }

    def _trace(self, side: DirectionVerdict, pending: DirectionVerdict, *, is_other: bool) -> Trace:
        enforced = hits(side.trace, is_pending=False)
        would_be: tuple[Hit, ...] = ()
        if self._known.tells_pending:
            would_be = hits(pending.trace, is_pending=True) if is_other else enforced
        return Trace(
            enforced=tuple(hit.text for hit in enforced),
            pending=tuple(hit.text for hit in would_be),
            enforced_hits=tuple(hit.document for hit in enforced),
            pending_hits=tuple(hit.document for hit in would_be),
        )
