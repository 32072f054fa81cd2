"""Captures of workloads' packets (Calico: PacketCapture)."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import PlainValidator

from policy.resources.conditions import Complaint, Conditions
from policy.resources.fields import Items, SelectorText, at_most, shown, unlike
from policy.resources.metadata import Resource
from policy.resources.model import Model
from policy.resources.transport import Port, Protocol
from policy.rules import PortRange

WITH_PORTS = frozenset((6, 17, 132, 136))
"""TCP, UDP, SCTP, UDPLite: their packets begin with two ports."""
MAX_FILTERS = 10
MAX_PORTS = 50
"""Both keep the filter below what the kernel takes: 4,096 instructions (kernel: BPF_MAXINSNS)."""

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _time(value: object) -> float:
    if isinstance(value, float):
        return value
    if not isinstance(value, str):
        raise unlike("a time such as '2026-01-31T12:00:00Z'", value)
    if not _TIME.fullmatch(value):
        raise ValueError(f"cannot be {shown(value)}: must be a time such as '2026-01-31T12:00:00Z' (RFC 3339)")
    try:
        return datetime.fromisoformat(value.upper()).timestamp()
    except ValueError as error:
        raise ValueError(f"cannot be {shown(value)}: {error}") from None


Time = Annotated[float, PlainValidator(_time)]
"""Seconds since the epoch, read from RFC 3339 text."""


class CaptureFilter(Model):
    """Which packets are wanted: all that fit everything that is given here."""

    protocol: Protocol | None = None
    """IANA number; None is every packet."""
    ports: Annotated[Items[Port], at_most(MAX_PORTS)] = ()
    """Of either end; empty is every port. Numbers and ranges only."""


class PacketCaptureSpec(Model):
    """Whose packets, which of them, and when."""

    selector: SelectorText = "all()"
    """Among the workload endpoints of the capture's namespace."""
    filters: Annotated[Items[CaptureFilter], at_most(MAX_FILTERS)] = ()
    """A packet is wanted that fits one of them; without any, every packet is."""
    start_time: Time | None = None
    """Seconds since the epoch; None is at once."""
    end_time: Time | None = None
    """Seconds since the epoch; None is as long as the document stands."""


class PacketCapture(Resource):
    """A wish to see what workloads send and receive."""

    KIND: ClassVar = "PacketCapture"
    IS_NAMESPACED: ClassVar = True

    spec: PacketCaptureSpec = PacketCaptureSpec()


def _ports_are_numbers_of_a_protocol(wanted: CaptureFilter) -> Iterator[Complaint]:
    for index, port in enumerate(wanted.ports):
        if not isinstance(port, PortRange):
            yield Complaint("cannot be a name: packets carry numbers", ("ports", index))
        elif wanted.protocol not in WITH_PORTS:
            wrong = "cannot be given without a protocol that has ports: add `protocol: TCP`, or UDP, SCTP or UDPLite"
            yield Complaint(wrong, ("ports", index))


def _ends_after_it_starts(spec: PacketCaptureSpec) -> Iterator[Complaint]:
    if spec.start_time is not None and spec.end_time is not None and spec.end_time <= spec.start_time:
        yield Complaint("cannot be before startTime, or at it", ("endTime",))


CONDITIONS: Conditions = {
    CaptureFilter: (_ports_are_numbers_of_a_protocol,),
    PacketCaptureSpec: (_ends_after_it_starts,),
}
"""For captures."""
