"""A flow record: a frozen value, and its JSON (command contract: add, don't change). Pure.

One for each local end of a connection, as its own policy saw it (Calico: reporter). Field names are those of Calico's
flow logs where they have the field.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum, StrEnum

from reconcile.instant import WallInstant
from tidegate.flows.table import Loss

PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp", 136: "udplite"}
"""Words for the protocols that have one in Calico's flow logs; others are numbers."""


class Reporter(StrEnum):
    """Whose policy is told of."""

    SOURCE = "src"
    DESTINATION = "dst"
    FORWARDER = "fwd"
    """Neither end is here; the node passes it on."""


class Level(IntEnum):
    """What is added up in one record (Calico: FlowLogsFileAggregationKind)."""

    NONE = 0
    SOURCE_PORT = 1
    PREFIX = 2
    DESTINATION_PORT = 3


class PartyKind(StrEnum):
    """What an end is (Calico: wep, hep, ns, net)."""

    WORKLOAD = "wep"
    HOST = "hep"
    NETWORK_SET = "ns"
    NETWORK = "net"


@dataclass(frozen=True, slots=True)
class FlowParty:
    """One end."""

    kind: PartyKind
    namespace: str = ""
    name: str = ""
    """"" is nobody that documents tell of."""
    name_aggr: str = ""
    """The beginning that pods of one owner share, with `-*`; of networks `pub` or `pvt`."""
    address: str = ""
    """"" where ends are added up by name."""

    @property
    def document(self) -> Mapping[str, object]:
        """As JSON has it."""
        return {
            "type": self.kind.value,
            "namespace": self.namespace,
            "name": self.name,
            "name_aggr": self.name_aggr,
            "ip": self.address,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Why: the decisions on the reporter's side, as `tidegate.judge.hits` writes them."""

    enforced: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    """What they would be if staged policies were enforced; the same where nothing is staged."""
    enforced_hits: tuple[Mapping[str, object], ...] = ()
    pending_hits: tuple[Mapping[str, object], ...] = ()
    agrees: bool | None = None
    """Whether policy as it stood when the record was written says what the kernel did. False where policy or names
    changed in between; None where nobody was asked."""


NO_TRACE = Trace()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRecord:
    """What passed between two ends in a window of time."""

    started_at: WallInstant
    """When its first connection began."""
    ended_at: WallInstant
    """The end of the window."""
    reporter: Reporter
    is_allowed: bool
    protocol: int
    """IANA number."""
    source: FlowParty
    destination: FlowParty
    """Behind destination NAT."""
    source_port: int | None = None
    destination_port: int | None = None
    service: str = ""
    """The Service that was asked for, `<namespace>/<name>:<port>`."""
    domains: tuple[str, ...] = ()
    """The names by which the source knows the destination's address."""
    packets_in: int = 0
    """Towards the reporter; of the forwarder, towards the source."""
    bytes_in: int = 0
    packets_out: int = 0
    bytes_out: int = 0
    flows: int = 0
    """Connections, or attempts."""
    started: int = 0
    completed: int = 0
    trace: Trace = NO_TRACE

    def document(self, number: int) -> dict[str, object]:
        """As JSON has it; the number is its place in the stream."""
        return {
            "type": "flow",
            "id": number,
            "start_time": timestamp(self.started_at),
            "end_time": timestamp(self.ended_at),
            "reporter": self.reporter.value,
            "action": "allow" if self.is_allowed else "deny",
            "proto": PROTOCOLS.get(self.protocol, str(self.protocol)),
            "source": {**self.source.document, "port": self.source_port},
            "dest": {**self.destination.document, "port": self.destination_port},
            "dest_service": self.service,
            "dest_domains": list(self.domains),
            "packets_in": self.packets_in,
            "bytes_in": self.bytes_in,
            "packets_out": self.packets_out,
            "bytes_out": self.bytes_out,
            "num_flows": self.flows,
            "num_flows_started": self.started,
            "num_flows_completed": self.completed,
            "policies": {
                "enforced": list(self.trace.enforced),
                "pending": list(self.trace.pending),
                "enforced_hits": list(self.trace.enforced_hits),
                "pending_hits": list(self.trace.pending_hits),
                "agrees": self.trace.agrees,
            },
        }


def loss_document(number: int, from_at: WallInstant, to_at: WallInstant, loss: Loss) -> dict[str, object]:
    """The record of what is missing."""
    return {
        "type": "loss",
        "id": number,
        "start_time": timestamp(from_at),
        "end_time": timestamp(to_at),
        "event_overruns": loss.overruns,
        "denied_packets_lost": loss.copies,
        "flows_without_room": loss.totals,
        "windows_lost": loss.windows,
        "records_without_trace": loss.unjudged,
    }


def timestamp(at: float) -> str:
    """RFC 3339, UTC, milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
