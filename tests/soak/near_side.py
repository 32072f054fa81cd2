"""An endpoint of the soak, a process: asks for a name, connects to its address at once, again and again.

    near_side OWNER SERVER4 SERVER6 PAIRS     PAIRS 0: denied connections instead, `DENIED_PER_SECOND` of them

Prints one JSON object a second, the last when it is ended. Beside its own pairs each endpoint tries, at a low rate, what
must stay closed: another's address of this moment, and its own of a while ago.
"""

import json
import signal
import socket
import struct
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.soak import plan

LATE_SECONDS = 0.9
"""A SYN that is lost is sent again after a second."""
DENIED_PER_SECOND = 200
_PROBE_EVERY, _STALE_SECONDS, _WATCH_SECONDS = 64, 20.0, 0.4
_SOCKET_EVERY = 100
_LINGER = struct.pack("ii", 1, 0)


@dataclass
class Told:
    """What happened so far."""

    pairs: int = 0
    late: int = 0
    """Connections that took so long that a SYN must have been lost."""
    failed: int = 0
    unanswered: int = 0
    """Questions that had to be asked again."""
    worst_seconds: float = 0.0
    denied: int = 0
    """Attempts at what is closed."""
    wrong: int = 0
    """Those of them that came through."""
    retransmitted_syns: int = 0
    """By the count of the namespace's own kernel, those at what is closed not among them."""
    why: str = ""
    """What the first failure or late connection was, and when (seconds since 1970)."""


class Endpoint:
    """One client, one thing at a time, but for attempts at what is closed: these are left alone for a moment."""

    def __init__(self, owner: int, servers: tuple[str, str]) -> None:
        self.told = Told()
        self._owner = owner
        self._servers = servers
        self._askers: dict[int, socket.socket] = {}
        self._watched: deque[tuple[float, socket.socket]] = deque()
        self._resolved: deque[tuple[float, int]] = deque()

    def pair(self, number: int) -> None:
        """Resolves the name of this number and connects to it."""
        version = 6 if number & 1 else 4
        packed = self._resolve(number, version)
        if packed is None:
            self._fail(f"no answer for {plan.name(self._owner, number)}")
            return
        started = time.perf_counter()
        with _socket(version) as caller:
            caller.settimeout(4)
            try:
                caller.connect((_text(packed), plan.PORT))
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
            except ConnectionResetError:
                pass  # the far side was quicker: it came through
            except OSError as error:
                self._fail(f"{plan.name(self._owner, number)} {_text(packed)}: {error}")
                return
        took = time.perf_counter() - started
        self.told.pairs += 1
        if took > LATE_SECONDS:
            self.told.late += 1
            self._note(f"{plan.name(self._owner, number)} {_text(packed)} took {took:.3f} s")
        self.told.worst_seconds = max(self.told.worst_seconds, took)
        self._probe(number, started)

    def _fail(self, why: str) -> None:
        self.told.failed += 1
        self._note(why)

    def _note(self, why: str) -> None:
        self.told.why = self.told.why or f"{time.time():.3f} {why}"

    def _resolve(self, number: int, version: int) -> bytes | None:
        labels = b"".join(bytes([len(each)]) + each for each in plan.name(self._owner, number).encode().split(b"."))
        kind = b"\0\1\0\1" if version == 4 else b"\0\x1c\0\1"
        query = struct.pack(">H", number & 0xFFFF) + b"\1\0\0\1\0\0\0\0\0\0" + labels + b"\0" + kind
        asker = self._asker(number, version)
        for _ in range(3):
            asker.send(query)
            try:
                while (answer := asker.recv(512))[:2] != query[:2]:
                    pass
            except TimeoutError:
                self.told.unanswered += 1
            else:
                return answer[-4:] if version == 4 else answer[-16:]
        return None

    def _asker(self, number: int, version: int) -> socket.socket:
        """A socket, thus a port, for a hundred questions."""
        asker = self._askers.get(version)
        if asker is None or number % _SOCKET_EVERY < 2:
            if asker is not None:
                asker.close()
            asker = self._askers[version] = _socket(version, socket.SOCK_DGRAM)
            asker.settimeout(2)
            asker.connect((self._servers[version == 6], 53))
        return asker

    def _probe(self, number: int, now: float) -> None:
        """Now and then tries what another is told at this moment, or what was told to oneself long ago."""
        self.look(now)
        if number % _PROBE_EVERY == 0:
            self._resolved.append((now, number))
            self.attempt((self._owner + 1) % plan.ENDPOINTS, number, now)
        elif number % _PROBE_EVERY == _PROBE_EVERY // 2 and self._resolved:
            when, old = self._resolved[0]
            if now - when > _STALE_SECONDS:
                self._resolved.popleft()
                self.attempt(self._owner, old, now)

    def attempt(self, owner: int, number: int, now: float) -> None:
        """Begins a connection to what must be closed."""
        version = 6 if number & 1 else 4
        caller = _socket(version)
        caller.setblocking(False)
        # Given up before the kernel would send the SYN again.
        self._watched.append((now + _WATCH_SECONDS, caller))
        self.told.denied += 1
        caller.connect_ex((_text(plan.address(owner, number, version)), plan.PORT))

    def look(self, now: float) -> None:
        """What became of attempts that had their time."""
        while self._watched and self._watched[0][0] <= now:
            _, caller = self._watched.popleft()
            with caller:
                try:
                    caller.getpeername()
                    self.told.wrong += 1
                except OSError:
                    pass

    def report(self) -> None:
        """One line."""
        self.told.retransmitted_syns = retransmitted_syns()
        print(json.dumps(asdict(self.told)), flush=True)


def retransmitted_syns() -> int:
    """Of this network namespace since it was made (linux/snmp.h: LINUX_MIB_TCPSYNRETRANS)."""
    lines = Path("/proc/net/netstat").read_text().splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        found = dict(zip(names.split(), values.split(), strict=True))
        if "TCPSynRetrans" in found:
            return int(found["TCPSynRetrans"])
    raise LookupError("cannot find TCPSynRetrans in /proc/net/netstat")


def _socket(version: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    return socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, kind)


def _text(packed: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def main() -> None:
    """Works until it is told to end, or its pairs are done."""
    owner, pairs = int(sys.argv[1]), int(sys.argv[4])
    endpoint = Endpoint(owner, (sys.argv[2], sys.argv[3]))
    ends: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ends.append(number))
    number, reported = 0, time.perf_counter()
    begun = reported
    while not ends and (pairs == 0 or number < pairs):
        if pairs:
            endpoint.pair(number)
        else:
            now = time.perf_counter()
            endpoint.look(now)
            # By turns what each of the others is told at this moment, roughly, and in both families.
            endpoint.attempt(number % plan.ENDPOINTS, number // plan.ENDPOINTS, now)
            time.sleep(max(0.0, begun + number / DENIED_PER_SECOND - now))
        number += 1
        if time.perf_counter() - reported > 1:
            reported = time.perf_counter()
            endpoint.report()
    time.sleep(_WATCH_SECONDS)
    endpoint.look(time.perf_counter())
    endpoint.report()


if __name__ == "__main__":
    main()
