"""What policy says of each case, by the reference semantics."""

from collections.abc import Iterable, Sequence

from policy.resources.metadata import Resource
from tidegate.judge.probe import EPHEMERAL_PORT, PartyReference, Probe
from tidegate.judge.roster import Roster
from tidegate.judge.session import Oracle, Session
from tidegate.truth.cases import Case


def predict(resources: Iterable[Resource], asked: Sequence[Case]) -> tuple[bool, ...]:
    """Whether each connection is allowed, in the order of the cases."""
    known = tuple(resources)
    session = Session(known, Roster(known), (), Oracle.EVALUATE)
    return tuple(session.answers(_probe(case))[Oracle.EVALUATE].is_allowed for case in asked)


def _probe(case: Case) -> Probe:
    return Probe(
        id=None,
        source=PartyReference(path="from", endpoint=case.source.id),
        destination=PartyReference(path="to", endpoint=case.destination.id),
        protocol=case.port.protocol,
        port=case.port.number,
        source_port=EPHEMERAL_PORT,
        family=case.family,
    )
