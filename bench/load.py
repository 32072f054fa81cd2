"""The load: as many queries as get answered, and a steady thousand a second whose every round trip is timed."""

import os
import re
import select
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.field import cpu_seconds
from tidegate.demo.namespace import Namespace

_COMPLETED = re.compile(r"Queries completed:\s+(\d+)")
_LOST = re.compile(r"Queries lost:\s+(\d+)")
_RATE = re.compile(r"Queries per second:\s+([\d.]+)")


@dataclass(frozen=True, slots=True)
class Throughput:
    """One run at full speed."""

    answers_per_second: float
    lost: int
    cpu_us_per_answer: float


def write_queries(path: Path, count: int, prefix: str, zone: str) -> Path:
    """A file of unique names for dnsperf; `prefix` keeps rounds apart."""
    path.write_text("".join(f"{prefix}{number}.{zone} A\n" for number in range(count)))
    return path


def full_speed(client: Namespace, server: str, queries: Path, seconds: int, pids: Sequence[int]) -> Throughput:
    """Dnsperf with 100 queries in flight from eight ports, one thread."""
    before = cpu_seconds(pids)
    words = [
        "dnsperf",
        "-s",
        server,
        "-d",
        str(queries),
        "-l",
        str(seconds),
        "-c",
        "8",
        "-T",
        "1",
        "-q",
        "100",
        "-t",
        "1",
    ]
    with client.start(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        report = process.communicate()[0].decode()
    spent = cpu_seconds(pids) - before
    completed, lost, rate = (pattern.search(report) for pattern in (_COMPLETED, _LOST, _RATE))
    if completed is None or lost is None or rate is None or "NOERROR" not in report:
        raise RuntimeError(f"cannot read dnsperf's report: {report!r}")
    return Throughput(float(rate[1]), int(lost[1]), spent * 1e6 / max(1, int(completed[1])))


@contextmanager
def urgent(pids: Sequence[int]) -> Iterator[None]:
    """Has the processes run at real-time priority, so that what else the machine does is not measured."""
    for pid in pids:
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        for pid in pids:
            os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


def round_trips(client: Namespace, server: str, zone: str, prefix: str, rate: int, seconds: float) -> list[float]:
    """Sends at a fixed rate whatever comes back (open loop); the round trips in seconds, lost ones as infinity.

    Runs at real-time priority in a child. It sleeps between its packets: one that turns in a loop takes a whole
    processor away from what it measures.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
            times = _probe(client, server, zone, prefix, rate, seconds)
            with os.fdopen(write_end, "w") as pipe:
                pipe.write(" ".join(map(repr, times)))
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return [float(word) for word in text.split()]


def _probe(client: Namespace, server: str, zone: str, prefix: str, rate: int, seconds: float) -> list[float]:
    with client.entered():
        asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.connect((server, 53))
    asker.settimeout(0)
    suffix = b"".join(bytes([len(label)]) + label.encode() for label in zone.split(".")) + b"\0\0\1\0\1"
    count = int(rate * seconds)
    sent, took = [0.0] * count, [float("inf")] * count
    start, clock = time.perf_counter() + 0.01, time.perf_counter
    for number in range(count):
        label = f"{prefix}{number}".encode()
        query = number.to_bytes(2, "big") + b"\1\0\0\1\0\0\0\0\0\0" + bytes([len(label)]) + label + suffix
        due = start + number / rate
        while (left := due - clock()) > 0:
            if select.select([asker], [], [], left)[0]:
                _collect(asker, sent, took)
        sent[number] = clock()
        asker.send(query)
    end = clock() + 0.5
    while clock() < end:
        if select.select([asker], [], [], 0.1)[0]:
            _collect(asker, sent, took)
    return took


def _collect(asker: socket.socket, sent: list[float], took: list[float]) -> None:
    try:
        reply = asker.recv(4096)
    except BlockingIOError:
        return
    number = int.from_bytes(reply[:2], "big")
    took[number] = time.perf_counter() - sent[number]
