"""What the control process asks of the packet process: snapshots in, names and explanations out. Blocks.

Implements `sync.parts.PacketSide`. Whether a packet process is alive is the keeper's knowledge; here it decides between
"nobody to tell" (it will read the snapshot when it starts) and an error that is worth another attempt.
"""

import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from dnsagent.link import LinkClient, LinkError
from dnsagent.snapshot import Snapshot
from dnsagent.snapshot_file import SnapshotError, private_directory, read_snapshot, write_snapshot
from nft.generation import Tally
from policy.rules import DomainSetID, EndpointID, IPAddress
from tidegate.agent.packets import SNAPSHOT, SOCKET
from tidegate.revoke.names import Fact

_QUICK_SECONDS = 0.1
"""For questions whose answer nobody needs who must wait for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketStatus:
    """What a packet process says about itself."""

    pid: int
    version: str
    generation: int
    counters: dict[str, int] = field(default_factory=dict)
    elements: int = 0
    """Learned addresses in the kernel."""
    tcp_connections: int = 0
    """DNS connections over TCP, taken over and open."""
    tunnels: tuple[dict[str, Any], ...] = ()
    """Domains whose questions look like a tunnel: endpoint, domain, score, whether it is in quarantine."""
    forwarder: dict[str, Any] | None = None
    """What the forwarder holds."""
    grace: dict[str, Any] | None = None
    """Pairs of endpoint and address that may be used again, and the sets that are full of them."""
    left_out: dict[str, list[str]] = field(default_factory=dict)
    """Endpoints that have lately been told addresses that stay closed, by the counter of the bound."""
    dns: dict[str, Any] = field(default_factory=dict)
    """What metrics tell of DNS: `dnsagent.desk`."""
    ailments: tuple[str, ...] = ()
    """Why a queue or the query log is not healthy."""

    @classmethod
    def read(cls, reply: dict[str, Any]) -> "PacketStatus":
        """From the reply to `status`."""
        return cls(
            pid=int(reply["pid"]),
            version=str(reply["version"]),
            generation=int(reply["generation"]),
            counters={str(name): int(count) for name, count in reply["counters"].items()},
            elements=int(reply["elements"]),
            tunnels=tuple(reply.get("tunnels", ())),
            grace=reply.get("grace"),
            forwarder=reply.get("forwarder"),
            left_out=reply.get("left_out", {}),
            dns=reply.get("dns", {}),
            tcp_connections=int(reply.get("tcp_connections", 0)),
            ailments=tuple(str(item["reason"]) for item in reply["health"] if not item["healthy"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SightingPage:
    """Questions and answers, as `dnsagent.desk.shown` writes them."""

    sightings: Sequence[Sequence[Any]]
    last: int
    """The number of the latest of them; asking for those behind it confirms them."""
    lost: int
    has_more: bool


class PacketClient:
    """Speaks to the packet process of one state directory."""

    def __init__(self, state: Path) -> None:
        """Reads the snapshot that stands there, if one does."""
        self.is_alive = False
        """Set by the keeper."""
        self.must_replace = False
        """A packet process that runs already is bound to other queues than the present snapshot names."""
        self._state = state
        self._path = state / SNAPSHOT
        self._former = _former(self._path)
        self._link = LinkClient(state / SOCKET)
        self._quick_link = LinkClient(state / SOCKET, _QUICK_SECONDS)

    def is_listening(self) -> bool:
        """Whether somebody has the socket open, even if he does not come to take connections."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)  # noqa: FBT003 - the standard library's own
            try:
                probe.connect(str(self._state / SOCKET))
            except BlockingIOError:
                return True  # so many wait already that he seems to be stopped
            except OSError:
                return False
        return True

    @property
    def former_generation(self) -> int:
        """Of the snapshot that stood there before us; 0 if none did. Ours go on from it."""
        return 0 if self._former is None else self._former.generation

    @property
    def former(self) -> Snapshot | None:
        """The snapshot that stood there before us, if a packet process may be at work by it."""
        return None if self.must_replace else self._former

    def prepare(self, beginning: Snapshot) -> None:
        """Sees to it that a snapshot stands there with the bindings of `beginning`, so that a process can be started.

        What the former snapshot knew of names stays: learning goes on before all documents are read.

        Raises:
            OSError: the state directory cannot be used.
        """
        private_directory(self._state)
        former = self._former
        if former is None:
            write_snapshot(self._path, beginning)
        elif bindings(former) != bindings(beginning):
            self.must_replace = True
            write_snapshot(self._path, rebound(former, beginning))

    def load(self, snapshot: Snapshot) -> bool:
        """Writes the snapshot, then has it loaded."""
        write_snapshot(self._path, snapshot)
        return self._tell("load", path=str(self._path))

    def restore(self, sets: Collection[str]) -> bool:
        """Has it write what it knows into these sets."""
        return self._tell("restore", sets=sorted(sets))

    def forget(self, addresses: Collection[IPAddress]) -> bool:
        """Has it forget what these addresses have learned."""
        return self._tell("forget", addresses=sorted(map(str, addresses)))

    def status(self) -> PacketStatus:
        """What it says about itself.

        Raises:
            LinkError: it cannot be reached, or does not answer.
        """
        return PacketStatus.read(self._link.call("status"))

    def tally(self) -> Tally | None:
        """Its transactions and the generation of that moment; None where none is alive, or does not answer at once."""
        try:
            reply = self._quick_link.call("tally") if self.is_alive else None
        except LinkError:
            return None
        return None if reply is None else Tally(int(reply["generation"]), int(reply["commits"]))

    def stop(self) -> None:
        """Asks it to end. Raises as `status`."""
        self._link.call("stop")

    def succeed(self, command: Sequence[str]) -> None:
        """Has this program take the process over, with its sockets.

        Raises:
            LinkError: as `status`; also where it knows no such thing, or cannot run the program.
        """
        self._link.call("succeed", program=list(command))

    def names(self) -> list[dict[str, Any]]:
        """Every learned name. Raises as `status`."""
        return self._link.names()

    def told(self, endpoint: EndpointID | None) -> list[Fact]:
        """What it remembers that it told a workload, or all of them, open or not. Raises as `status`."""
        return [
            Fact(
                endpoint=EndpointID(entry["endpoint"]),
                address=ip_address(entry["ip"]),
                sets=frozenset(map(DomainSetID, entry["rules"])),
            )
            for entry in self._link.names(endpoint, past=True)
            if entry["name"]
        ]

    def sightings(self, after: int) -> "SightingPage":
        """Questions and answers that passed behind that number, and it listens for more. Raises as `status`."""
        reply = self._link.call("sightings", after=after)
        return SightingPage(
            sightings=reply["sightings"], last=int(reply["last"]), lost=int(reply["lost"]), has_more=bool(reply["more"])
        )

    def logged(self, life: str, after: int) -> dict[str, Any]:
        """What Log rules copied behind that number of that life: `dnsagent.logged`. Raises as `status`."""
        return self._link.call("logged", life=life, after=after)

    def end_sightings(self) -> None:
        """It need not listen any more. Raises as `status`."""
        self._link.call("end-sightings")

    def explain(self, **question: str) -> dict[str, Any]:
        """What it knows about an address or a name, as an endpoint sees it. Raises as `status`."""
        return self._link.call("explain", **question)

    def _tell(self, command: str, **fields: object) -> bool:
        if not self.is_alive:
            return False
        self._link.call(command, **fields)
        return True


def bindings(snapshot: Snapshot) -> tuple[object, ...]:
    """What a packet process is bound to from its start: another value needs another process."""
    logged = (snapshot.log_queue, snapshot.log_group, snapshot.log_drops_overflow) if snapshot.log_queue >= 0 else ()
    queues = (snapshot.answer_queue, snapshot.denied_queue, snapshot.named_queue)
    return (snapshot.table, *queues, snapshot.query_group, *logged)


def rebound(snapshot: Snapshot, other: Snapshot) -> Snapshot:
    """The snapshot with the bindings of the other."""
    return replace(
        snapshot,
        table=other.table,
        answer_queue=other.answer_queue,
        denied_queue=other.denied_queue,
        named_queue=other.named_queue,
        query_group=other.query_group,
        log_queue=other.log_queue,
        log_group=other.log_group,
        log_drops_overflow=other.log_drops_overflow,
    )


def _former(path: Path) -> Snapshot | None:
    try:
        return read_snapshot(path)
    except (OSError, SnapshotError):
        return None
