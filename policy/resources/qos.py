"""Which limits on its traffic a workload asks for (Calico: Configure QoS controls, WorkloadEndpoint `qosControls`).

    qos.projectcalico.org/ingressPacketRate       1 to 10000 packets a second, a Kubernetes quantity
    qos.projectcalico.org/ingressPacketBurst      1 to 10000 packets, 5 where nothing is said
    qos.projectcalico.org/ingressMaxConnections   1 to 4294967295 connections open at the same time
    qos.tidegate.io/ingressConnectionRate         0 to 1000000 new connections a second; 0 is no limit
    qos.tidegate.io/ingressConnectionBurst        1 to 1000000; where nothing is said a second's worth

Likewise `egress...`. What the document's `qosControls` say stands before annotations. Bandwidths and DSCP are the
business of traffic control and are not enforced; neither is an annotation that cannot be read. Both are told. A number
outside its range becomes the nearest in it, which is told as well: no limit at all would be the worse mistake.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Annotated

from pydantic import PlainValidator

from policy.limits import (
    DEFAULT_PACKET_BURST,
    MAX_CONNECTION_RATE,
    MAX_CONNECTIONS,
    MAX_DOCUMENTED_RATE,
    MAX_PACKET_RATE,
    Limits,
    Rate,
    TrafficLimits,
)
from policy.resources.fields import Integer, between, unlike
from policy.resources.model import Model, camel
from policy.rules import Direction

CALICO_PREFIX = "qos.projectcalico.org/"
PREFIX = "qos.tidegate.io/"

_Count = Annotated[Integer, between(0, MAX_CONNECTIONS)]
_Rate = Annotated[Integer, between(0, MAX_DOCUMENTED_RATE)]
_Bits = Annotated[Integer, between(0, 2**63 - 1)]

_QUANTITY = re.compile(r"([+-]?[0-9]+(?:\.[0-9]*)?|[+-]?\.[0-9]+)([munkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?")
_MAX_QUANTITY_CHARACTERS = 64
_CODE_POINTS = frozenset(
    {"DF", "EF", *(f"CS{precedence}" for precedence in range(8)), *map(str, range(64))}
    | {f"AF{precedence}{drop}" for precedence in range(1, 5) for drop in range(1, 4)}
)
"""Names of RFC 2474, RFC 2597 and RFC 3246, and numbers written as text."""
_SUFFIXES = {
    "m": Decimal("1e-3"), "u": Decimal("1e-6"), "n": Decimal("1e-9"),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}  # fmt: skip


def _dscp(value: object) -> int | str | None:
    match value:
        case None:
            return None
        case int() if not isinstance(value, bool) and value in range(64):
            return value
        case str() if value.upper() in _CODE_POINTS:
            return value
    raise unlike("a number from 0 to 63 or a name such as EF, AF21 or CS3", value)


_Dscp = Annotated[int | str | None, PlainValidator(_dscp)]


class QoSControls(Model):
    """Limits of one endpoint; 0 asks for none. Packets, connections, and what is not enforced: bits a second, bits."""

    ingress_packet_rate: _Rate = 0
    egress_packet_rate: _Rate = 0
    ingress_packet_burst: _Rate = 0
    egress_packet_burst: _Rate = 0
    ingress_max_connections: _Count = 0
    egress_max_connections: _Count = 0
    ingress_bandwidth: _Bits = 0
    egress_bandwidth: _Bits = 0
    ingress_burst: _Bits = 0
    egress_burst: _Bits = 0
    ingress_peakrate: _Bits = 0
    egress_peakrate: _Bits = 0
    ingress_minburst: _Bits = 0
    egress_minburst: _Bits = 0
    dscp: _Dscp = None
    """A code point of 0 to 63, or its name."""


@dataclass(frozen=True, slots=True)
class AskedLimits:
    """What is enforced, and what is not as it was asked for."""

    limits: TrafficLimits
    faults: tuple[str, ...]
    """One for each field or annotation that has no effect, or another than it says."""


def asked_limits(controls: QoSControls, annotations: Mapping[str, str]) -> AskedLimits:
    """The limits of an endpoint with these fields and these annotations."""
    reading = _Reading({key: value for key, value in annotations.items() if key.startswith((CALICO_PREFIX, PREFIX))})
    limits = {direction.value: reading.limits(controls, direction) for direction in Direction}
    reading.faults += [f"{name} is not enforced" for name in sorted(_idle_fields(controls))]
    reading.faults += [f"{key} is not enforced" for key in sorted(reading.given)]
    return AskedLimits(TrafficLimits(**limits), tuple(reading.faults))


def _idle_fields(controls: QoSControls) -> list[str]:
    words = ("bandwidth", "burst", "peakrate", "minburst")
    names = [f"{direction.value}_{word}" for direction in Direction for word in words]
    idle = [camel(name) for name in names if getattr(controls, name)]
    return [*idle, "dscp"] if controls.dscp else idle


@dataclass(slots=True)
class _Reading:
    """Annotations that nobody has read yet, and what is wrong with those that were."""

    given: dict[str, str]
    faults: list[str] = field(default_factory=list)

    def limits(self, controls: QoSControls, direction: Direction) -> Limits:
        """Those of one direction."""
        return Limits(
            packets=self._packets(controls, direction.value),
            connections=self._connections(direction.value),
            max_connections=self._max_connections(controls, direction.value),
        )

    def _max_connections(self, controls: QoSControls, direction: str) -> int | None:
        return self._both(controls, f"{direction}_max_connections", "MaxConnections", direction) or None

    def _packets(self, controls: QoSControls, direction: str) -> Rate | None:
        rate = self._both(controls, f"{direction}_packet_rate", "PacketRate", direction)
        burst = self._both(controls, f"{direction}_packet_burst", "PacketBurst", direction)
        if not rate and burst:
            self.faults.append(f"{direction}PacketBurst is not enforced without a rate")
        return Rate(rate, burst or DEFAULT_PACKET_BURST) if rate else None

    def _both(self, controls: QoSControls, attribute: str, name: str, direction: str) -> int:
        high = MAX_CONNECTIONS if name == "MaxConnections" else MAX_PACKET_RATE
        annotated = self._number(f"{CALICO_PREFIX}{direction}{name}", 1, high)
        return getattr(controls, attribute) or annotated or 0

    def _connections(self, direction: str) -> Rate | None:
        rate = self._number(f"{PREFIX}{direction}ConnectionRate", 0, MAX_CONNECTION_RATE)
        burst = self._number(f"{PREFIX}{direction}ConnectionBurst", 1, MAX_CONNECTION_RATE)
        if not rate and burst:
            self.faults.append(f"{PREFIX}{direction}ConnectionBurst is not enforced without a rate")
        return None if rate is None else Rate(rate, burst or rate)

    def _number(self, key: str, low: int, high: int) -> int | None:
        text = self.given.pop(key, None)
        if text is None:
            return None
        value = quantity(text)
        if value is None:
            self.faults.append(f"{key} is not enforced: cannot read {text[:_MAX_QUANTITY_CHARACTERS]!r} as a number")
            return None
        nearest = max(low, min(high, value))
        if nearest != value:
            self.faults.append(f"{key} is enforced as {nearest}: must be from {low} to {high}")
        return nearest


def quantity(text: str) -> int | None:
    """A Kubernetes quantity as a whole number, rounded up (`resource.Quantity.Value`); None if it is none."""
    found = _QUANTITY.fullmatch(text.strip()) if len(text) <= _MAX_QUANTITY_CHARACTERS else None
    if found is None:
        return None
    number, suffix = found[1], found[2] or ""
    try:
        scaled = Decimal(number) * (_SUFFIXES.get(suffix) or Decimal(f"1{suffix}"))
        return int(scaled.to_integral_value(ROUND_CEILING))
    except InvalidOperation:
        return None
