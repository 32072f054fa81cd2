"""What the API shows: frozen values made at the moment of the question, and their JSON.

Field names of the documents are part of the command contract: add, don't change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from reconcile.instant import WallInstant
from tidegate.api.limits import LimitView
from tidegate.sync.conditions import Condition
from tidegate.sync.progress import LastApply

JSONObject = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationView:
    """How far the present policy has come: each change of the sources makes a generation."""

    wanted: int
    applied: int
    """In the kernel, in full."""
    packets: int
    """Loaded by the packet process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeView:
    """The DNS policy mode, and why it is not the one asked for."""

    wanted: str
    in_force: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """One NFQUEUE queue as the kernel counts it."""

    number: int
    waiting: int
    dropped: int
    """Packets that found the queue full."""
    undelivered: int
    """Packets that found the reader's socket full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketsView:
    """The packet process."""

    state: str
    """`running`, `starting` or `absent`."""
    pid: int | None = None
    version: str = ""
    counters: Mapping[str, int] = field(default_factory=dict)
    queues: Sequence[QueueView] = ()
    forwarder: Mapping[str, object] | None = None
    """What the DNS forwarder holds."""
    dns: Mapping[str, object] = field(default_factory=dict)
    """Answers by server and code, seconds that they were held, questions that wait, endpoints with most addresses."""
    tunnels: Sequence[Mapping[str, object]] = ()
    """Domains whose questions look like data in names."""
    grace: Mapping[str, object] | None = None
    """How many pairs of endpoint and address have been used and may be again, and the sets that are full of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionsView:
    """What becomes of open connections when policy stops allowing them."""

    on_policy_change: str
    """`Keep` or `Terminate`."""
    judged_by: int
    """The generation by which they were judged last; under `Keep`, the one in force."""
    judged: int
    """Entries looked at since the process began, because they might have lost their permission."""
    ended: int
    last_look_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusView:
    """Everything `tidegate status` shows."""

    ready: bool
    in_sync: bool
    node: str
    version: str
    pid: int
    started_at: WallInstant
    generation: GenerationView
    last_apply: LastApply | None
    """The last change that reached the kernel, and how long that took."""
    mode: ModeView
    trusted_servers: Sequence[str]
    features: Mapping[str, bool | str]
    encodings: Mapping[str, str]
    """How things are said to this kernel."""
    packets: PacketsView
    connections: ConnectionsView
    counts: Mapping[str, int]
    counters: Mapping[str, int | float]
    """What the control process counted since it began."""
    conditions: Sequence[Condition]
    limits: Sequence[LimitView] = ()
    """Of workloads' traffic, with the packets beyond them."""
    full_sets: Mapping[str, int] = field(default_factory=dict)
    """Packets that found a set of rates full, by set."""
    tunnels: Sequence[Mapping[str, object]] = ()
    """WireGuard devices, as `tidegate wireguard` shows them."""

    def document(self) -> JSONObject:
        """Its JSON."""
        plain = asdict(self)
        plain["started_at"] = timestamp(self.started_at)
        plain["conditions"] = [condition_document(condition) for condition in self.conditions]
        return plain


def condition_document(condition: Condition) -> JSONObject:
    """A condition as Kubernetes writes it, with what it is about."""
    return {
        "type": condition.type.value,
        "status": "True" if condition.is_true else "False",
        "normal": condition.is_normal,
        "reason": condition.reason,
        "message": condition.message,
        "since": timestamp(condition.since),
        "subject": condition.subject,
        "path": condition.path,
    }


def timestamp(instant: WallInstant) -> str:
    """RFC 3339, UTC."""
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
