"""What has been learned: names as each endpoint was told them, and the deadlines of the kernel's elements.

Two stores. `NameCache` remembers every answer to an endpoint, selected by policy or not, for explanation and so that
a policy that comes later finds what was resolved before. `ElementTable` mirrors the kernel's sets, to know what need
not be written again and to restore them after somebody flushed them. Both are bounded; the kernel expires by itself.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import final

from cachetools import TTLCache

from reconcile.instant import Instant

MAX_NAMES_PER_ENDPOINT = 10_000
"""At the bound the name longest unasked is forgotten: it stays open in the kernel, but can be explained no more."""
MAX_ADDRESSES_PER_NAME = 1000
"""A bucket store answers with a few new addresses at a time and never comes to an end. At the bound the oldest goes."""
HISTORY_SECONDS = 3600.0
"""How long a name that has expired is remembered for explanation."""


@final
class Known:
    """How an endpoint was told an address. The addresses of one answer share it where their TTLs are the same."""

    __slots__ = ("chain", "learned_at", "server", "ttl")

    def __init__(self, learned_at: Instant, ttl: int, server: bytes, chain: tuple[bytes, ...]) -> None:
        self.learned_at = learned_at
        self.ttl = ttl
        """Seconds as on the wire, the least of the chain."""
        self.server = server
        """Packed address."""
        self.chain = chain
        """The names from the question to the owner of the record, wire keys."""


class NameCache:
    """Names by endpoint, each with its addresses; the most recently told last."""

    def __init__(self, max_names: int = MAX_NAMES_PER_ENDPOINT, max_addresses: int = MAX_ADDRESSES_PER_NAME) -> None:
        self._max_names = max_names
        self._max_addresses = max_addresses
        self._endpoints: dict[str, OrderedDict[bytes, dict[bytes, Known]]] = {}
        self.forgotten_names = 0
        self.forgotten_addresses = 0

    def note(self, endpoint: str, name: bytes, told: dict[bytes, Known]) -> None:
        """The endpoint was told these addresses for the name. Takes the dictionary over."""
        names = self._endpoints.get(endpoint)
        if names is None:
            names = self._endpoints[endpoint] = OrderedDict()
        addresses = names.get(name)
        if addresses is None:
            if len(names) >= self._max_names:
                names.popitem(last=False)
                self.forgotten_names += 1
            names[name] = told
            return
        names.move_to_end(name)
        for address, known in told.items():
            if address not in addresses and len(addresses) >= self._max_addresses:
                del addresses[next(iter(addresses))]
                self.forgotten_addresses += 1
            addresses[address] = known

    def entries(self, endpoint: str | None = None) -> Iterator[tuple[str, bytes, bytes, Known]]:
        """(endpoint, name, address, known) of one endpoint or of all. Not to be changed meanwhile."""
        for owner in [endpoint] if endpoint is not None else list(self._endpoints):
            for name, addresses in self._endpoints.get(owner, {}).items():
                for address, known in addresses.items():
                    yield owner, name, address, known

    def forget(self, endpoint: str) -> None:
        """The endpoint is gone."""
        self._endpoints.pop(endpoint, None)

    def endpoints(self) -> list[str]:
        """Who has been told anything."""
        return list(self._endpoints)

    def expire(self, now: Instant, limit: int = 64) -> None:
        """Forgets old names from the unasked end of each endpoint, at most `limit` of each at a time."""
        for names in self._endpoints.values():
            for _ in range(min(limit, len(names))):
                name = next(iter(names))
                if any(now - known.learned_at < known.ttl + HISTORY_SECONDS for known in names[name].values()):
                    break
                del names[name]


ElementKey = tuple[str, bytes]
"""(set name, packed key: endpoint address then learned address)."""


class ElementTable:
    """Deadlines of the elements that the kernel has, as far as we wrote or read them. Bounded by the learner."""

    def __init__(self) -> None:
        self._deadlines: dict[ElementKey, Instant] = {}
        self._by_deadline: list[tuple[Instant, ElementKey]] = []
        self.per_owner: Counter[bytes] = Counter()
        """Elements by the endpoint address in their key."""

    def __len__(self) -> int:
        return len(self._deadlines)

    def deadline(self, key: ElementKey) -> Instant | None:
        """When the kernel will expire it; None where it never had it (or has long expired it)."""
        return self._deadlines.get(key)

    def put(self, key: ElementKey, deadline: Instant) -> None:
        """The kernel has acknowledged it."""
        if key not in self._deadlines:
            self.per_owner[owner_of(key)] += 1
        self._deadlines[key] = deadline
        heappush(self._by_deadline, (deadline, key))

    def drop(self, key: ElementKey) -> None:
        """It is no longer there."""
        if self._deadlines.pop(key, None) is not None:
            self._release(key)

    def expire(self, now: Instant, limit: int = 4096) -> None:
        """Drops what the kernel has expired, at most `limit` at a time."""
        heap = self._by_deadline
        for _ in range(limit):
            if not heap or heap[0][0] > now:
                return
            _, key = heappop(heap)
            # A refreshed element has a later entry in the heap.
            deadline = self._deadlines.get(key)
            if deadline is not None and deadline <= now:
                self.drop(key)

    def items(self) -> Iterator[tuple[ElementKey, Instant]]:
        """All of them. Not to be changed meanwhile."""
        return iter(self._deadlines.items())

    def of_owners(self, owners: frozenset[bytes]) -> list[ElementKey]:
        """The elements of these endpoint addresses. Walks the table: for endpoints that go, not for packets."""
        return [key for key in self._deadlines if owner_of(key) in owners]

    def of_sets(self, set_names: frozenset[str]) -> list[ElementKey]:
        """The elements of these sets. Walks the table."""
        return [key for key in self._deadlines if key[0] in set_names]

    def _release(self, key: ElementKey) -> None:
        owner = owner_of(key)
        self.per_owner[owner] -= 1
        if not self.per_owner[owner]:
            del self.per_owner[owner]


def owner_of(key: ElementKey) -> bytes:
    """The endpoint's address in an element's key: the first half."""
    packed = key[1]
    return packed[: len(packed) // 2]


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


class _Timer:
    """The time as it was last told: cachetools wants to ask, the core is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def refusals() -> Refusals:
    """An empty record of refusals."""
    return Refusals(_Timer())
