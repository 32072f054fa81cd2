"""Clients of the soak, a process each: one that resolves and connects, and one that is denied all it tries.

Nothing listens where they connect to: a connection that is refused has arrived, and no server can be what is slow. A
SYN that was lost is sent again after a second (RFC 6298 2.1), so that a connection as old as that lost one.
"""

import multiprocessing
import socket
import time
from collections import deque
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager

from tidegate.demo.namespace import Namespace

PORT = 443
ASK_SECONDS, CONNECT_SECONDS, LATE_SECONDS = 2.0, 5.0, 0.9
PROBE_EVERY, ASKER_LIFE = 100, 500
"""Pairs between two datagrams to addresses that nobody was told, and pairs for which one port asks."""
HELD_SECONDS = 0.3
"""How long a denied connection is waited for: less than its SYN takes to be sent again."""
PAIRS, LATE, FAILED, UNANSWERED, PROBES, WORST_US, SLOTS = range(7)
"""What a client counts, by place."""

Counts = MutableSequence[int]
_fork = multiprocessing.get_context("fork")


def shared_counts() -> Counts:
    """Counters that the client's process writes and everybody reads."""
    return _fork.Array("Q", SLOTS, lock=False)


@contextmanager
def running(target: object, *arguments: object) -> Iterator[multiprocessing.process.BaseProcess]:
    """The function in a process of its own, ended afterwards."""
    process = _fork.Process(target=target, args=arguments, daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.terminate()
        process.join(10)


def query(label: bytes, zone: bytes, number: int) -> bytes:
    """A question for an A record; `zone` is a wire name."""
    head = (number & 0xFFFF).to_bytes(2, "big") + b"\1\0\0\1\0\0\0\0\0\0"
    return head + bytes([len(label)]) + label + zone + b"\0\1\0\1"


def wire_name(zone: str) -> bytes:
    """The name as in a message, with its root."""
    return b"".join(bytes([len(label)]) + label.encode() for label in zone.split(".")) + b"\0"


def resolve_and_connect(namespace: Namespace, server: str, zone: str, tag: str, counts: Counts) -> None:
    """Asks for names, each once, and connects at once to the last address of each answer. For ever."""
    suffix, asker = wire_name(zone), None
    with namespace.entered():
        prober = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        while True:
            number = counts[PAIRS]
            if asker is None or number % ASKER_LIFE == 0:
                asker = open_asker(server, asker)
            address = ask_address(asker, query(f"{tag}{number}".encode(), suffix, number))
            if address is None:
                counts[UNANSWERED] += 1
                asker = open_asker(server, asker)
                continue
            _connect(address, counts)
            if number % PROBE_EVERY == 0:
                # Sent once, and over ports that are open: only the address is what denies it.
                prober.sendto(b"probe", (f"11.128.{number // 256 % 256}.{number % 256}", PORT))
                counts[PROBES] += 1
            counts[PAIRS] = number + 1


def be_denied(
    namespace: Namespace, server: str, zone: str, others: dict[str, Counts], rate: int, counts: Counts
) -> None:
    """Asks for the very names that others are being told, and connects to their addresses. For ever.

    `others` has the clients' counts by tag; `zone` is not allowed for this endpoint. A late tick is made up for.
    """
    suffix, tags = wire_name(zone), list(others)
    held: deque[tuple[float, socket.socket]] = deque()
    start = time.monotonic()
    with namespace.entered():
        asker = open_asker(server, None)
        while True:
            number = counts[PAIRS]
            due = start + number / rate
            time.sleep(max(0.0, due - time.monotonic()))
            tag = tags[number % len(tags)]
            address = ask_address(asker, query(f"{tag}{others[tag][PAIRS]}".encode(), suffix, number))
            if address is None:
                counts[UNANSWERED] += 1
                asker = open_asker(server, asker)
                start += ASK_SECONDS
                continue
            caller = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            caller.settimeout(0)
            caller.connect_ex((address, PORT))
            held.append((time.monotonic() + HELD_SECONDS, caller))
            while held and held[0][0] < time.monotonic():
                held.popleft()[1].close()
            counts[PAIRS] = number + 1


def open_asker(server: str, before: socket.socket | None) -> socket.socket:
    """A socket that asks from a new port; the one before it is closed."""
    if before is not None:
        before.close()
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.settimeout(ASK_SECONDS)
    asker.connect((server, 53))
    return asker


def ask_address(asker: socket.socket, question: bytes) -> str | None:
    """The last address of the answer; None where there is none in time."""
    try:
        asker.send(question)
        return socket.inet_ntoa(asker.recv(4096)[-4:])
    except OSError:
        return None


def _connect(address: str, counts: Counts) -> None:
    started = time.perf_counter()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as caller:
        caller.settimeout(CONNECT_SECONDS)
        try:
            caller.connect((address, PORT))
        except ConnectionRefusedError:
            pass
        except OSError:
            counts[FAILED] += 1
    took = time.perf_counter() - started
    counts[LATE] += took > LATE_SECONDS
    counts[WORST_US] = max(counts[WORST_US], int(took * 1e6))
