"""What is remembered of answers and of the kernel's elements, and that none of it grows without end."""

from hypothesis import given
from hypothesis import strategies as st

from dnsagent.cache import (
    HISTORY_SECONDS,
    MAX_TTL_SECONDS,
    Known,
    NameCache,
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


def one_answer(width: int, *numbers: int, ttl: int = 60) -> dict[bytes, Known]:
    """Addresses of one answer: they share what is known."""
    return dict.fromkeys((number.to_bytes(width, "big") for number in numbers), known(ttl=ttl))


@given(
    st.lists(st.tuples(st.sampled_from([4, 16]), st.lists(st.integers(1, 5), min_size=1, unique=True), st.booleans()))
)
def test_what_is_kept_of_a_name_is_what_all_its_answers_said(answers):
    """However it is packed: addresses of either family, in the order in which they were told first."""
    cache, model = NameCache(), {}
    for ttl, (width, numbers, is_mixed) in enumerate(answers, 1):
        what = one_answer(width, *numbers, ttl=ttl) | (one_answer(4, 9, ttl=ttl) if is_mixed else {})
        cache.note("ep1", b"a", dict(what))
        model |= what
    found = {address: each.ttl for _, _, address, each in cache.entries()}
    assert found == {address: each.ttl for address, each in model.items()}
    assert len(cache) == len(model) == sum(size for _, _, size in cache.sizes())
    for address, each in model.items():
        assert [item[3].ttl for item in cache.find(None, address)] == [each.ttl]
    assert list(cache.find(None, b"\0\1\0\0")) == []
    cache.forget("ep1")
    assert len(cache) == 0


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


def test_refusals_are_remembered_for_an_hour_and_at_most_so_many():
    record = refusals()
    for number in range(10_000):
        record.note("ep1", number.to_bytes(4, "big"), "unsolicited", b"\1a", 0.0)
    assert record.find("ep1", (9999).to_bytes(4, "big"), 1.0) == ("unsolicited", b"\1a")
    assert record.find("ep1", bytes(4), 1.0) is None
    assert record.find("ep1", (9999).to_bytes(4, "big"), HISTORY_SECONDS + 1) is None


def test_refusals_are_found_by_the_name_that_was_asked_for_an_hour():
    known = refusals()
    known.note("ep1", b"a", "late", b"\1a", 0.0)
    known.note("ep1", b"b", "replay", b"\1b", 0.0)
    known.note("ep2", b"c", "late", b"\1a", 0.0)
    assert known.of_name("ep1", b"\1a", 1.0) == [(b"a", "late")]
    assert known.of_name("ep1", b"\1a", HISTORY_SECONDS + 1) == []
