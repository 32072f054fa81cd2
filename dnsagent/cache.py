"""What has been told to endpoints: names with their addresses, and why addresses were not learned. Both are bounded.

`NameCache` remembers every answer to an endpoint, selected by policy or not, for explanation and so that a policy that
comes later finds what was resolved before. What the kernel's sets hold is `dnsagent.element_table`'s.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, cast, final

from cachetools import TTLCache

from reconcile.instant import Instant

MAX_NAMES_PER_ENDPOINT: Final = 10_000
"""At the bound the name longest unasked is forgotten: it stays open in the kernel, but can be explained no more."""
MAX_ADDRESSES_PER_NAME: Final = 1000
"""A bucket store answers with a few new addresses at a time and never comes to an end. At the bound the oldest goes."""
MAX_ADDRESSES_PER_ENDPOINT: Final = 40_000
"""Of all its names together, 4 to 15 MB. At the bound its names longest unasked go."""
MAX_ADDRESSES: Final = 500_000
"""Of all endpoints together. At the bound the endpoint that is just told something pays, down to one name."""
_MAX_SERVERS: Final = 256
HISTORY_SECONDS: Final = 3600.0
"""How long a name that has expired is remembered for explanation."""
MAX_TTL_SECONDS: Final = 86_400
"""Longer TTLs do not keep a name in memory."""


@final
class Known:
    """How an endpoint was told addresses: those of one answer share it where their TTLs are the same."""

    __slots__ = ("_way", "addresses", "learned_at", "other", "server", "ttl", "width")

    def __init__(self, learned_at: Instant, ttl: int, server: bytes, chain: tuple[bytes, ...]) -> None:
        self.learned_at = learned_at
        self.ttl = ttl
        """Seconds, the least of the chain."""
        self.server = server
        """Packed address."""
        self._way: object = chain[0] if len(chain) == 1 else chain
        """There may be 100,000, and most are of one name: that needs no tuple."""
        self.addresses = b""
        """Used by the cache: one after the other, where all that is known of a name is this."""
        self.width = 0
        """Bytes of each."""
        self.other: Known | None = None
        """The same of the other family."""

    @property
    def chain(self) -> tuple[bytes, ...]:
        """The names from the question to the owner of the record, wire keys."""
        way = self._way
        return (way,) if isinstance(way, bytes) else cast("tuple[bytes, ...]", way)


@final
class _Told:
    """The names of one endpoint, the most recently told last, and how many addresses they have together."""

    __slots__ = ("names", "size")

    def __init__(self) -> None:
        self.names: OrderedDict[bytes, Known | dict[bytes, Known]] = OrderedDict()
        """Packed where there is one answer of a family; by address where several answers have gathered."""
        self.size = 0


class NameCache:
    """Names by endpoint, each with its addresses."""

    def __init__(
        self,
        max_names: int = MAX_NAMES_PER_ENDPOINT,
        max_addresses_per_name: int = MAX_ADDRESSES_PER_NAME,
        max_addresses_per_endpoint: int = MAX_ADDRESSES_PER_ENDPOINT,
        max_addresses: int = MAX_ADDRESSES,
    ) -> None:
        self._max_names = max_names
        self._max_per_name = max_addresses_per_name
        self._max_per_endpoint = max_addresses_per_endpoint
        self._max = max_addresses
        self._endpoints: dict[str, _Told] = {}
        self._size = 0
        self._servers: dict[bytes, bytes] = {}
        self.forgotten_names = 0
        """Names dropped at a bound."""
        self.forgotten_addresses = 0
        """Addresses dropped because their name has too many."""

    def __len__(self) -> int:
        """Addresses, each counted once for each name and endpoint that has it."""
        return self._size

    def note(self, endpoint: str, name: bytes, told: dict[bytes, Known]) -> None:
        """The endpoint was told these addresses for the name. Takes the dictionary over."""
        mine = self._endpoints.get(endpoint)
        if mine is None:
            mine = self._endpoints[endpoint] = _Told()
        new = packed(told)
        before = mine.names.get(name)
        if before is None:
            mine.names[name] = told if new is None else new
            self._grow(mine, len(told))
            return
        mine.names.move_to_end(name)
        joined = beside(before, new) if new is not None and isinstance(before, Known) else None
        if joined is not None:
            mine.names[name], more = joined
            self._grow(mine, more)
            return
        addresses = by_address(before)
        mine.names[name] = addresses
        self._grow(mine, self._merge(addresses, told))

    def one(self, server: bytes) -> bytes:
        """The same address, of which there is one object for all that it told."""
        known = self._servers.get(server)
        if known is None:
            known = server
            if len(self._servers) < _MAX_SERVERS:
                self._servers[server] = server
        return known

    def _merge(self, addresses: dict[bytes, Known], told: dict[bytes, Known]) -> int:
        """Adds what was told; how many addresses more there are."""
        count = len(addresses)
        for address, known in told.items():
            if address not in addresses and len(addresses) >= self._max_per_name:
                del addresses[next(iter(addresses))]
                self.forgotten_addresses += 1
            addresses[address] = known
        return len(addresses) - count

    def entries(self, endpoint: str | None = None) -> Iterator[tuple[str, bytes, bytes, Known]]:
        """(endpoint, name, address, known) of one endpoint or of all.

        May be left and resumed while the cache changes: then each name is given as it is when its turn comes.
        """
        for owner in [endpoint] if endpoint is not None else list(self._endpoints):
            mine = self._endpoints.get(owner)
            for name in [] if mine is None else list(mine.names):
                what = mine.names.get(name) if mine is not None else None
                for address, known in [] if what is None else list(by_address(what).items()):
                    yield owner, name, address, known

    def find(self, name: bytes | None, address: bytes | None) -> Iterator[tuple[str, bytes, bytes, Known]]:
        """The entries with that name, or with that address, or both; None stands for any. Not to be changed meanwhile.

        A walk over all names where only the address is known: 50 ms for 100,000.
        """
        for owner, mine in self._endpoints.items():
            for each in mine.names if name is None else (name,):
                what = mine.names.get(each)
                if what is None or (address is not None and isinstance(what, Known) and not _may_have(what, address)):
                    continue
                addresses = by_address(what)
                if address is None:
                    yield from ((owner, each, found, known) for found, known in addresses.items())
                elif address in addresses:
                    yield owner, each, address, addresses[address]

    def forget(self, endpoint: str) -> None:
        """The endpoint is gone."""
        mine = self._endpoints.pop(endpoint, None)
        if mine is not None:
            self._size -= mine.size
            mine.names.clear()

    def endpoints(self) -> list[str]:
        """Who has been told anything."""
        return list(self._endpoints)

    def sizes(self) -> list[tuple[str, int, int]]:
        """Endpoint, names, addresses of all its names together."""
        return [(endpoint, len(mine.names), mine.size) for endpoint, mine in self._endpoints.items()]

    def expire(self, now: Instant, limit: int = 64) -> None:
        """Forgets old names from the unasked end of each endpoint, at most `limit` of each at a time."""
        for mine in self._endpoints.values():
            for _ in range(min(limit, len(mine.names))):
                name = next(iter(mine.names))
                if any(_is_remembered(known, now) for known in by_address(mine.names[name]).values()):
                    break
                self._forget_oldest(mine)

    def _grow(self, mine: _Told, count: int) -> None:
        mine.size += count
        self._size += count
        while len(mine.names) > 1 and (
            len(mine.names) > self._max_names or mine.size > self._max_per_endpoint or self._size > self._max
        ):
            self._forget_oldest(mine)
            self.forgotten_names += 1

    def _forget_oldest(self, mine: _Told) -> None:
        _, addresses = mine.names.popitem(last=False)
        count = _count(addresses)
        mine.size -= count
        self._size -= count


def packed(told: dict[bytes, Known]) -> Known | None:
    """The one that all the addresses share, with these, where all are of one family; otherwise None."""
    shared: Known | None = None
    width = 0
    for address, known in told.items():
        if shared is None:
            shared, width = known, len(address)
        elif known is not shared or len(address) != width:
            return None
    if shared is not None:
        shared.addresses, shared.width = b"".join(told), width
    return shared


def by_address(what: Known | dict[bytes, Known]) -> dict[bytes, Known]:
    """What is known of a name, address by address."""
    if not isinstance(what, Known):
        return what
    result = dict.fromkeys(_split(what), what)
    if what.other is not None:
        result.update(dict.fromkeys(_split(what.other), what.other))
    return result


def beside(before: Known, new: Known) -> tuple[Known, int] | None:
    """Both, and how many addresses are added, where the new ones replace the same or are the first of their family."""
    other = before.other
    if before.width == new.width:
        if not _same(before, new):
            return None
        new.other = other
        return new, 0
    if other is not None and not _same(other, new):
        return None
    before.other = new
    return before, 0 if other is not None else _count(new)


def _split(known: Known) -> list[bytes]:
    addresses, width = known.addresses, known.width
    return [addresses[at : at + width] for at in range(0, len(addresses), width)]


def _same(one: Known, other: Known) -> bool:
    """Whether both have the same addresses: servers like to change their order."""
    if len(one.addresses) != len(other.addresses):
        return False
    return one.addresses == other.addresses or set(_split(one)) == set(_split(other))


def _may_have(known: Known, address: bytes) -> bool:
    """A quick look."""
    return address in known.addresses or (known.other is not None and address in known.other.addresses)


def _count(what: Known | dict[bytes, Known]) -> int:
    if not isinstance(what, Known):
        return len(what)
    count = len(what.addresses) // what.width
    return count if what.other is None else count + len(what.other.addresses) // what.other.width


def _is_remembered(known: Known, now: Instant) -> bool:
    return now - known.learned_at < min(known.ttl, MAX_TTL_SECONDS) + HISTORY_SECONDS


class Refusals:
    """Why addresses were told to endpoints but not learned, for an hour, at most a few thousand."""

    def __init__(self, timer: "_Timer", most: int = 4096) -> None:
        self._reasons: TTLCache[tuple[str, bytes], tuple[str, bytes]] = TTLCache(most, HISTORY_SECONDS, timer)
        self._timer = timer

    def note(self, endpoint: str, address: bytes, reason: str, name: bytes, now: Instant) -> None:
        """The endpoint was told the address, and it was refused for that reason."""
        self._timer.now = now
        self._reasons[endpoint, address] = (reason, name)

    def find(self, endpoint: str, address: bytes, now: Instant) -> tuple[str, bytes] | None:
        """The latest reason and the name that was asked."""
        self._timer.now = now
        return self._reasons.get((endpoint, address))

    def of_name(self, endpoint: str, name: bytes, now: Instant) -> list[tuple[bytes, str]]:
        """(address, latest reason) of what answers to a question for the name gave. A walk over all of them: 1 ms."""
        self._timer.now = now
        self._reasons.expire()
        return [
            (address, reason)
            for (owner, address), (reason, asked) in self._reasons.items()
            if owner == endpoint and asked == name
        ]


class _Timer:
    """The time as it was last told: cachetools wants to ask, the core is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def refusals() -> Refusals:
    """An empty record of refusals."""
    return Refusals(_Timer())
