"""What passes the packet process, for whoever logs it: questions and answers, in their order, until they are fetched.

Off unless somebody fetches: whoever does says so by doing it, and is forgotten `LEASE_SECONDS` after the last time.
Then a question or an answer costs the look at `is_on` and nothing else. On, messages are neither read nor copied here.
What finds no room is counted and gone; nothing ever waits for who fetches.
"""

from collections import deque
from typing import Final, final

from reconcile.instant import Instant

LEASE_SECONDS: Final = 10.0
"""Who logs fetches a few times a second; so long it may be stopped, or restarted, without loss."""
MAX_SIGHTINGS: Final = 16_384
"""Five seconds of 1,600 answers a second with their questions, 12 MB at most of 700 bytes each."""
MAX_BYTES: Final = 16 << 20
"""Of their messages together: over TCP one may have 64 KiB."""

QUESTION: Final = 0
ANSWER: Final = 1


@final
class Opened:
    """What an answer opened: rules, and addresses with the longest time that a rule gives them, in seconds."""

    __slots__ = ("lifetimes", "rules")

    def __init__(self) -> None:
        self.rules: dict[str, None] = {}
        self.lifetimes: dict[bytes, float] = {}

    def note(self, rule: str, address: bytes, lifetime: float) -> None:
        """A rule has the address open now."""
        self.rules[rule] = None
        if lifetime > self.lifetimes.get(address, -1.0):
            self.lifetimes[address] = lifetime


@final
class Sighting:
    """A question or an answer as the client sees the conversation. Addresses packed."""

    __slots__ = (
        "at",
        "client",
        "client_port",
        "is_stream",
        "kind",
        "opened",
        "payload",
        "reason",
        "server",
        "server_port",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - a record of that many fields, made in one place
        self,
        kind: int,
        at: Instant,
        client: bytes,
        client_port: int,
        server: bytes,
        server_port: int,
        payload: bytes,
        is_stream: bool,  # noqa: FBT001 - positional, for speed
        reason: str,
        opened: Opened | None,
    ) -> None:
        self.kind = kind
        self.at = at
        self.client = client
        self.client_port = client_port
        self.server = server
        self.server_port = server_port
        self.payload = payload
        self.is_stream = is_stream
        self.reason = reason
        """Why an answer taught nothing or less than it might, "" if nothing was refused."""
        self.opened = opened


@final
class Tap:
    """Holds sightings by number, from 1, until the number is confirmed. Bounded in number and bytes; time is told."""

    def __init__(self, max_sightings: int = MAX_SIGHTINGS, max_bytes: int = MAX_BYTES) -> None:
        self.is_on = False
        self.lost = 0
        """Sightings that found no room, or that nobody fetched in time."""
        self._max_sightings = max_sightings
        self._max_bytes = max_bytes
        self._sightings: deque[Sighting] = deque()
        self._bytes = 0
        self._confirmed = 0
        self._until = Instant(0.0)

    def note(self, sighting: Sighting) -> None:
        """Keeps it, if there is room."""
        size = len(sighting.payload)
        if len(self._sightings) >= self._max_sightings or self._bytes + size > self._max_bytes:
            self.lost += 1
            return
        self._bytes += size
        self._sightings.append(sighting)

    def fetch(self, after: int, most: int, now: Instant) -> tuple[list[Sighting], int]:
        """Drops those up to the number, and gives the next ones with the last one's number; listens from now on.

        A number that was not given yet is of another life: then nothing is dropped.
        """
        self.is_on = True
        self._until = Instant(now + LEASE_SECONDS)
        if after <= self._confirmed + len(self._sightings):
            while self._confirmed < after:
                self._bytes -= len(self._sightings.popleft().payload)
                self._confirmed += 1
        found = [each for each, _ in zip(self._sightings, range(most), strict=False)]
        return found, self._confirmed + len(found)

    def end(self) -> None:
        """Nobody wants to know any more: what waits is not missed."""
        self.is_on = False
        self._clear()

    def expire(self, now: Instant) -> None:
        """Stops listening when nobody has come for so long; what waits is lost."""
        if self.is_on and now > self._until:
            self.is_on = False
            self.lost += len(self._sightings)
            self._clear()

    def _clear(self) -> None:
        self._confirmed += len(self._sightings)
        self._sightings.clear()
        self._bytes = 0
