"""What is remembered of answers and of the kernel's elements, and that none of it grows without end."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dnsagent.cache import (
    HISTORY_SECONDS,
    LINGER_SECONDS,
    MAX_TTL_SECONDS,
    ElementTable,
    Known,
    NameCache,
    owner_of,
    refusals,
)


def known(at: float = 0.0, ttl: int = 60) -> Known:
    return Known(at, ttl, b"serv", (b"\1a",))


def addresses(*numbers: int) -> dict[bytes, Known]:
    return {number.to_bytes(4, "big"): known() for number in numbers}


def told(cache: NameCache, endpoint: str | None = None) -> list[tuple[str, bytes, int]]:
    return [(owner, name, int.from_bytes(address)) for owner, name, address, _ in cache.entries(endpoint)]


def test_every_name_and_address_of_an_endpoint_is_remembered():
    cache = NameCache()
    cache.note("ep1", b"a", addresses(1, 2))
    cache.note("ep1", b"a", addresses(2, 3))
    cache.note("ep2", b"a", addresses(9))
    assert told(cache, "ep1") == [("ep1", b"a", 1), ("ep1", b"a", 2), ("ep1", b"a", 3)]
    assert len(cache) == 4
    cache.forget("ep1")
    assert told(cache) == [("ep2", b"a", 9)]
    assert len(cache) == 1
    assert told(cache, "ep1") == []


def test_entries_are_found_by_name_and_by_address():
    cache = NameCache()
    cache.note("ep1", b"a", addresses(1, 2))
    cache.note("ep2", b"a", addresses(2))
    cache.note("ep2", b"b", addresses(2))
    two = (2).to_bytes(4, "big")

    def found(name, address):
        return {(owner, each, int.from_bytes(number)) for owner, each, number, _ in cache.find(name, address)}

    assert found(b"a", None) == {("ep1", b"a", 1), ("ep1", b"a", 2), ("ep2", b"a", 2)}
    assert found(None, two) == {("ep1", b"a", 2), ("ep2", b"a", 2), ("ep2", b"b", 2)}
    assert found(b"b", two) == {("ep2", b"b", 2)}
    assert found(b"c", two) == set()
    assert len(found(None, None)) == 4


def test_the_name_longest_unasked_goes_at_the_bound():
    cache = NameCache(max_names=2)
    for name in (b"a", b"b", b"a", b"c"):
        cache.note("ep1", name, addresses(1))
    assert {name for _, name, _ in told(cache)} == {b"a", b"c"}
    assert (cache.forgotten_names, len(cache)) == (1, 2)


def test_the_oldest_address_of_a_name_goes_at_the_bound():
    cache = NameCache(max_addresses_per_name=3)
    for number in range(6):
        cache.note("ep1", b"a", addresses(number))
    assert [number for _, _, number in told(cache)] == [3, 4, 5]
    assert (cache.forgotten_addresses, len(cache)) == (3, 3)


def test_an_endpoint_with_many_addresses_pays_with_its_own_old_names():
    cache = NameCache(max_addresses_per_endpoint=5)
    cache.note("ep2", b"quiet", addresses(1))
    for number in range(10):
        cache.note("ep1", bytes([number]), addresses(1, 2))
    assert len(told(cache, "ep1")) == 4
    assert len(told(cache, "ep2")) == 1
    cache.note("ep1", b"\x09", addresses(3, 4, 5))
    assert {name for _, name, _ in told(cache, "ep1")} == {b"\x09"}


def test_the_node_has_a_bound_that_the_teller_pays():
    cache = NameCache(max_addresses=6)
    cache.note("ep2", b"quiet", addresses(1, 2))
    for number in range(10):
        cache.note("ep1", bytes([number]), addresses(1, 2))
    assert len(cache) == 6
    assert len(told(cache, "ep2")) == 2


def test_names_are_forgotten_an_hour_after_they_expired():
    cache = NameCache()
    cache.note("ep1", b"a", addresses(1))
    cache.expire(60 + HISTORY_SECONDS - 1)
    assert len(cache) == 1
    cache.expire(60 + HISTORY_SECONDS + 1)
    assert len(cache) == 0


def test_a_ttl_of_decades_keeps_a_name_for_a_day():
    cache = NameCache()
    cache.note("ep1", b"a", {b"addr": known(ttl=2**31 - 1)})
    cache.expire(MAX_TTL_SECONDS + HISTORY_SECONDS + 1)
    assert len(cache) == 0


def test_expiry_is_bounded_work():
    cache = NameCache()
    for number in range(100):
        cache.note("ep1", bytes([number]), addresses(1))
    cache.expire(1e6, limit=30)
    assert len(cache) == 70


def test_a_walk_goes_on_while_the_cache_changes():
    cache = NameCache()
    for number in range(5):
        cache.note("ep1", bytes([number]), addresses(1, 2))
    walk = cache.entries()
    next(walk)
    cache.note("ep1", b"new", addresses(1))
    cache.note("ep1", b"\x01", addresses(7))
    assert len(list(walk)) == 10
    walk = cache.entries()
    next(walk)
    cache.forget("ep1")
    assert len(list(walk)) == 1  # the rest of the name that it was at


owners = st.sampled_from([b"\1\1", b"\2\2", b"\3\3"])
keys = st.tuples(st.sampled_from(["d4-a", "d4-b"]), st.tuples(owners, owners).map(b"".join))


class TableMachine(RuleBasedStateMachine):
    """Against a dictionary of deadlines."""

    def __init__(self) -> None:
        super().__init__()
        self.table = ElementTable()
        self.model: dict = {}
        self.now = 100.0

    @rule(key=keys, seconds=st.integers(0, 30))
    def put(self, key, seconds):
        deadline = max(self.now + seconds, self.model.get(key, 0.0))
        self.table.put(key, deadline)
        self.model[key] = deadline

    @rule(key=keys)
    def drop(self, key):
        self.table.drop(key)
        self.model.pop(key, None)

    @rule(seconds=st.sampled_from([0.5, 1.0, 10.0, 40.0]))
    def expire(self, seconds):
        self.now += seconds
        self.table.expire(self.now)
        self.model = {key: deadline for key, deadline in self.model.items() if deadline > self.now - LINGER_SECONDS}

    @invariant()
    def equal(self):
        assert dict(self.table.items()) == self.model
        assert set(self.table.all_keys()) == self.model.keys()
        counts: dict = {}
        for key in self.model:
            counts[owner_of(key)] = counts.get(owner_of(key), 0) + 1
        assert dict(self.table.per_owner) == counts  # no zeros
        assert set(self.table.of_owners(frozenset([b"\1\1"]))) == {k for k in self.model if owner_of(k) == b"\1\1"}
        assert set(self.table.of_sets(frozenset(["d4-a"]))) == {k for k in self.model if k[0] == "d4-a"}


TestTable = TableMachine.TestCase
TestTable.settings = settings(max_examples=100, stateful_step_count=40)


def test_refreshes_do_not_grow_the_heap():
    table = ElementTable()
    for number in range(100_000):
        table.put(("d4", bytes([number % 10, 1])), 1000.0 + number)
    assert len(table) == 10
    assert heap_of(table) == 10


def test_elements_dropped_and_put_again_do_not_grow_the_heap():
    table = ElementTable()
    for _ in range(200):
        for number in range(100):
            table.put(("d4", bytes([number, 1])), 1e6)
        for number in range(100):
            table.drop(("d4", bytes([number, 1])))
    assert heap_of(table) < 2000


def heap_of(table) -> int:
    return len(table._by_deadline)


def test_expiry_of_elements_is_bounded_work():
    table = ElementTable()
    for number in range(100):
        table.put(("d4", bytes([number, 1])), 10.0)
    table.expire(20.0, limit=30)
    assert len(table) == 70


def test_refusals_are_remembered_for_an_hour_and_at_most_so_many():
    record = refusals()
    for number in range(10_000):
        record.note("ep1", number.to_bytes(4, "big"), "unsolicited", b"\1a", 0.0)
    assert record.find("ep1", (9999).to_bytes(4, "big"), 1.0) == ("unsolicited", b"\1a")
    assert record.find("ep1", bytes(4), 1.0) is None
    assert record.find("ep1", (9999).to_bytes(4, "big"), HISTORY_SECONDS + 1) is None
