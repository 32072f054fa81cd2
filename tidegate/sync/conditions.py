"""Conditions: what status says about the agent's health, in Kubernetes' words (type, status, reason, message, since).

A condition is *normal* while its status is what its type wants: `Applied` wants True, `StaleResource` wants never to be
there at all. A type may stand several times with different subjects (each faulty document is one).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from reconcile.instant import WallInstant


class ConditionType(StrEnum):
    """What a condition is about."""

    CONFIGURATION = "Configuration"
    SOURCES_IN_SYNC = "SourcesInSync"
    APPLIED = "Applied"
    PACKET_PROCESS = "PacketProcess"
    QUEUES = "Queues"
    DNS_POLICY_MODE = "DNSPolicyMode"
    DNS_OVER_TCP = "DNSOverTCP"
    TRUSTED_SERVERS = "TrustedServers"
    FLOW_LOGS = "FlowLogs"
    """Connections are recorded. Not there where nobody asked for it."""
    INVALID_RESOURCE = "InvalidResource"
    """A document is not valid and was never in force."""
    STALE_RESOURCE = "StaleResource"
    """A document is not valid any more; its last valid meaning is still in force."""
    NOT_ENFORCED = "NotEnforced"
    """A document, or a part of it, is valid and does nothing."""
    TIER_MISSING = "TierMissing"
    """Policies name a tier that does not exist: they are asked behind all others, and deny what they do not decide."""
    INTERFACE_MISSING = "InterfaceMissing"
    """No route leads to a local workload, so nothing is enforced for it and it has no link to be reached by."""
    HOST_ENDPOINT_IDLE = "HostEndpointIdle"
    """A host endpoint of this node, or a part of its policy, is in force nowhere; the reason says why."""
    CONNECTIONS_JUDGED = "ConnectionsJudged"
    """Open connections are those that policy allows. Not there where they are kept whatever policy says."""
    LOG_RECORDS = "LogRecords"
    """Records of Log rules are read and written. Not there where they go to the kernel's log."""
    DNS_LOGS = "DNSLogs"
    """Questions and answers are recorded. Not there where nobody asked for it."""
    ENCRYPTION = "Encryption"
    """The WireGuard device of a version of IP is as configured. Not there where none is wanted."""
    NOT_ENCRYPTED = "NotEncrypted"
    """Traffic to a node that should be encrypted to is not; the reason says why."""
    NAMES_LEFT_OUT = "NamesLeftOut"
    """Addresses of names that policy selects stay closed, because a bound was reached in the last minutes."""
    TABLE_REPAIRED = "TableRepaired"
    """Another program changed our table; it was put right."""


_FAULTS = frozenset(
    {
        ConditionType.INVALID_RESOURCE,
        ConditionType.STALE_RESOURCE,
        ConditionType.NOT_ENFORCED,
        ConditionType.TIER_MISSING,
        ConditionType.INTERFACE_MISSING,
        ConditionType.HOST_ENDPOINT_IDLE,
        ConditionType.NOT_ENCRYPTED,
        ConditionType.NAMES_LEFT_OUT,
    }
)
"""Types that are bad news when True."""
_NEVER = WallInstant(0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One statement, true since `since`."""

    type: ConditionType
    is_true: bool
    reason: str
    """One word for programs: `KernelRefused`."""
    message: str = ""
    subject: str = ""
    """What it is about where the type alone does not say: `file#document`, an endpoint."""
    path: str = ""
    """The field of a faulty document."""
    since: WallInstant = _NEVER

    @property
    def is_normal(self) -> bool:
        """Whether an operator need not care."""
        return self.type is ConditionType.TABLE_REPAIRED or self.is_true != (self.type in _FAULTS)


class Conditions:
    """Holds state: the conditions that stand now. `since` moves only when the status changes."""

    def __init__(self) -> None:
        self._known: dict[tuple[ConditionType, str, str], Condition] = {}

    def put(self, condition: Condition, now: WallInstant) -> bool:
        """States it; whether anything changed but the time."""
        key = (condition.type, condition.subject, condition.path)
        known = self._known.get(key)
        since = known.since if known is not None and known.is_true == condition.is_true else now
        dated = replace(condition, since=since)
        self._known[key] = dated
        return dated != known

    def replace(self, of_type: ConditionType, conditions: Iterable[Condition], now: WallInstant) -> None:
        """States that these are all there are of the type; those that stood before keep their time."""
        wanted = {(item.type, item.subject, item.path): item for item in conditions}
        for key in [key for key in self._known if key[0] is of_type and key not in wanted]:
            del self._known[key]
        for condition in wanted.values():
            self.put(condition, now)

    def all(self) -> tuple[Condition, ...]:
        """In the order of their types, then subjects."""
        order: Mapping[ConditionType, int] = {item: index for index, item in enumerate(ConditionType)}
        return tuple(
            sorted(
                self._known.values(), key=lambda condition: (order[condition.type], condition.subject, condition.path)
            )
        )

    def is_true(self, of_type: ConditionType) -> bool:
        """Whether a condition of that type without a subject stands and is true."""
        known = self._known.get((of_type, "", ""))
        return known is not None and known.is_true
