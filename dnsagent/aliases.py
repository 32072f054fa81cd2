"""Which names an endpoint was told to be aliases of others: whoever asks for the target next means them too.

    told:  a.test is an alias of c.cdn (and no address)
    asks:  c.cdn  ->  its addresses are a.test's as well, as long as the alias was to live

Stub resolvers and caches with a part of the chain ask so (RFC 1034 3.6.2). Each endpoint has its own memory: what one
was told opens nothing for another. Bounded: at a bound the alias told longest ago goes, and is counted.
"""

from typing import Final, final

from reconcile.instant import Instant

MAX_TARGETS: Final = 256
"""Of one endpoint."""
MAX_WAYS: Final = 8
"""To one target: names that are aliases of it, on the way of one or of another."""
MAX_NAMES: Final = 16
"""On one way."""

Way = tuple[tuple[bytes, ...], int, float]
"""The names in front of the target as wire keys, the one that was asked first; the least TTL among them, in seconds;
when the first of them is over."""


@final
class AliasMemory:
    """Aliases by endpoint and target, the latest told last."""

    def __init__(self) -> None:
        self._endpoints: dict[str, dict[bytes, dict[bytes, Way]]] = {}
        self._over_at: dict[str, float] = {}
        """By endpoint at the bound: before that nothing of what it was told is over."""
        self.forgotten = 0
        """Ways dropped at a bound."""

    def note(self, endpoint: str, path: tuple[bytes, ...], ttl: int, now: Instant) -> None:
        """The endpoint was told that the last name of the path is what the others stand for. TTL in seconds."""
        mine = self._endpoints.get(endpoint)
        if mine is None:
            mine = self._endpoints[endpoint] = {}
        target, names = path[-1], path[:-1]
        # Out and in again: what was told last stands last.
        ways = mine.pop(target, None)
        if ways is None:
            ways = {}
        longer = mine.get(names[0])
        if longer is not None:
            _lengthen(ways, longer, path, ttl, now)
        if len(names) <= MAX_NAMES:
            ways.pop(names[0], None)
            ways[names[0]] = (names, ttl, now + ttl)
        mine[target] = ways
        while len(ways) > MAX_WAYS:
            del ways[next(iter(ways))]
            self.forgotten += 1
        if len(mine) > MAX_TARGETS:
            self._over_at[endpoint] = min(self._over_at.get(endpoint, 0.0), now + ttl)
            self._make_room(endpoint, mine, now)

    def ways(self, endpoint: str, target: bytes, now: Instant) -> list[tuple[tuple[bytes, ...], int]]:
        """The names that stand for the target, each way with its least TTL in seconds; mostly none."""
        mine = self._endpoints.get(endpoint)
        ways = None if mine is None else mine.get(target)
        return [] if ways is None else [(way, ttl) for way, ttl, deadline in ways.values() if deadline > now]

    def forget(self, endpoint: str) -> None:
        """The endpoint is gone."""
        self._endpoints.pop(endpoint, None)
        self._over_at.pop(endpoint, None)

    def endpoints(self) -> list[str]:
        """Who has been told of aliases."""
        return list(self._endpoints)

    def _make_room(self, endpoint: str, mine: dict[bytes, dict[bytes, Way]], now: Instant) -> None:
        """Drops what is over; if that is nothing, the target told longest ago."""
        # A busy endpoint comes here with each answer: it is searched only when something is over since the last time.
        if now >= self._over_at.get(endpoint, 0.0):
            deadlines = {name: max(way[2] for way in ways.values()) for name, ways in mine.items()}
            over = [name for name, deadline in deadlines.items() if deadline <= now]
            self._over_at[endpoint] = min((each for each in deadlines.values() if each > now), default=0.0)
            for name in over:
                del mine[name]
            if over:
                return
        self.forgotten += len(mine.pop(next(iter(mine))))


def _lengthen(
    ways: dict[bytes, Way], longer: dict[bytes, Way], path: tuple[bytes, ...], ttl: int, now: Instant
) -> None:
    """Adds the ways whose target is the path's first name, as far as the path leads nowhere twice."""
    for known, least, deadline in longer.values():
        names = known + path[:-1]
        if deadline > now and len(names) <= MAX_NAMES and len({*names, path[-1]}) > len(names):
            ways.pop(known[0], None)
            ways[known[0]] = (names, min(ttl, least), min(now + ttl, deadline))
