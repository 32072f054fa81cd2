"""A day of churn in minutes: `python -m bench.turnover [--hours 24]`, needs no root.

Two hundred new names a second, each with an address that was never told before and a TTL of five seconds, through the
packet process's own learner and journal, under a clock that is told the time. The kernel takes every element; its own
expiry is not part of this. Prints every simulated hour what is held; 1 where anything grew after the first.
"""

import argparse
import os
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, fields
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.field import resident_mb
from bench.questions import query, wire_name
from dnsagent.journal import FILE_BYTES, Journal, former
from dnsagent.learn import Learner, Packet
from dnsagent.plan import make_plan
from dnsagent.snapshot import Snapshot, SnapshotEndpoint, SnapshotRule, TrustedServer
from reconcile.instant import Instant, WallInstant

RATE, TTL_SECONDS, ENDPOINTS, ZONE = 200, 5, 4, "churn.test"
TICKS_PER_SECOND = 4
"""As often as the packet process forgets what is over."""
GROWTH, SLACK_MB = 1.02, 3.0
_SERVER = ip_address("10.0.53.53")
_POINTER = b"\xc0\x0c"


@dataclass(frozen=True, slots=True)
class Held:
    """What the packet process holds at a moment: entries, bytes of its files, MB."""

    elements: int
    names: int
    questions: int
    waiting: int
    """Entries in the lists of deadlines."""
    file_bytes: int
    resident_mb: float


def snapshot() -> Snapshot:
    """Endpoints that share one rule."""
    rule = SnapshotRule(
        id="r", patterns=(f"*.{ZONE}",), set4="d4-r", set6="d6-r",
        ttl_floor_seconds=0.0, ttl_ceiling_seconds=86_400.0, extra_ttl_seconds=0.0,
    )  # fmt: skip
    clients = [
        SnapshotEndpoint(
            id=f"ep{number}",
            interface_name=f"cali-{number}",
            addresses=(ip_address("10.0.1.2") + number,),
            rules=("r",),
        )
        for number in range(ENDPOINTS)
    ]
    return Snapshot(
        generation=1,
        table="tidegate",
        trusted_servers=(TrustedServer(address=_SERVER),),
        rules={"r": rule},
        endpoints={client.id: client for client in clients},
        guarded_networks=(),
    )


def turn_over(seconds: int, every: int, journal_path: Path) -> Iterator[Held]:
    """Lives through so many seconds and gives what is held after each `every` of them."""
    learner = Learner(make_plan(snapshot()))
    clients = [(ip_address("10.0.1.2") + number).packed for number in range(ENDPOINTS)]
    zone, number = wire_name(ZONE), 0
    with closing(Journal(journal_path)) as journal:
        for tick in range(1, seconds * TICKS_PER_SECOND + 1):
            now = Instant(1000.0 + tick / TICKS_PER_SECOND)
            for _ in range(RATE // TICKS_PER_SECOND):
                number += 1
                question = query(f"n{number}".encode(), zone, number)
                client, port = clients[number % ENDPOINTS], 1024 + number % 60_000
                learner.note_query(Packet(client, port, _SERVER.packed, 53, question), now)
                packet = Packet(client, port, _SERVER.packed, 53, _answer(question, number))
                learner.commit(learner.judge(packet, now))
                journal.append(packet, WallInstant(now))
            learner.expire(now)
            journal.flush()
            if tick % (every * TICKS_PER_SECOND) == 0:
                yield _held(learner, journal_path)


def _answer(question: bytes, number: int) -> bytes:
    address = struct.pack("!I", 0x0B000000 + number)
    record = _POINTER + struct.pack("!HHIH", 1, 1, TTL_SECONDS, len(address)) + address
    return question[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question[12:] + record


def _held(learner: Learner, path: Path) -> Held:
    files = sum(each.stat().st_size for each in (path, former(path)) if each.exists())
    table = learner.elements
    return Held(
        len(table), len(learner.names), len(learner.queries), table.waiting, files, round(resident_mb(os.getpid()), 1)
    )


def grown(first: Held, last: Held) -> list[str]:
    """What is more than it was, beyond what noise explains; the journal's two files go up and down, to a bound."""
    found = []
    for item, before, after in zip(fields(Held), astuple(first), astuple(last), strict=True):
        slack = SLACK_MB if item.name == "resident_mb" else 0.0
        most = 2 * FILE_BYTES if item.name == "file_bytes" else before * GROWTH + slack
        if after > most:
            found.append(f"{item.name}: {before} -> {after}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Lives through the hours; 1 where anything grew after the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=24)
    options = parser.parse_args(arguments)
    started, seen = time.monotonic(), list[Held]()
    with TemporaryDirectory(prefix="tidegate-turnover-") as scratch:
        for held in turn_over(options.hours * 3600, 3600, Path(scratch) / "names.journal"):
            seen.append(held)
            print(f"hour {len(seen)}, {time.monotonic() - started:.0f} s: {held}", flush=True)
    troubles = grown(seen[0], seen[-1])
    print(f"{options.hours * 3600 * RATE} answers: {'; '.join(troubles) or 'nothing grew'}")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
