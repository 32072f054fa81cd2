"""Who was told an alias and asks for its target is told about both names."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dnsagent import aliases
from dnsagent.aliases import AliasMemory
from tests.dnsagent.stage import CLIENT, CNAME, OTHER, POINTER, A, Stage, answer, endpoint, key, packet, record, rule

ADDRESS = "198.51.100.10"
RULE = rule("r", "a.test")
NAMES = [b"a", b"b", b"c", b"d"]


def alias(name: str, target: str, ttl: int = 60) -> bytes:
    return record(name, CNAME, ttl, target)


def opened(stage: Stage, target: str, ttl: int = 300, **options) -> list[float]:
    """How long the addresses are open that the endpoint is told for the target."""
    elements = stage.tell(target, record(POINTER, A, ttl, ADDRESS), **options)
    return [element.deadline - stage.now for element in elements]


def test_the_target_of_an_alias_that_was_told_alone_is_the_aliass_address():
    stage = Stage(RULE)
    assert stage.tell("a.test", alias("a.test", "c.cdn")) == []
    assert stage.learner.is_alias_only
    stage.now += 20
    assert opened(stage, "c.cdn") == [60]
    assert not stage.learner.is_alias_only
    assert next(stage.learner.names.find(key("a.test"), None))[3].chain == (key("a.test"), key("c.cdn"))


def test_a_target_nobody_was_told_of_stays_closed():
    stage = Stage(RULE, endpoints=(endpoint("ep1", CLIENT, rules=("r",)), endpoint("ep2", OTHER, rules=("r",))))
    stage.tell("a.test", alias("a.test", "c.cdn"))
    assert opened(stage, "d.cdn") == []
    assert opened(stage, "c.cdn", client=OTHER) == []


def test_an_alias_lives_as_long_as_it_was_told_to():
    stage = Stage(RULE)
    stage.tell("a.test", alias("a.test", "c.cdn"))
    stage.now += 61
    assert opened(stage, "c.cdn") == []


def test_aliases_told_one_after_the_other_are_one_way():
    stage = Stage(RULE)
    stage.tell("a.test", alias("a.test", "b.cdn", 200))
    stage.tell("b.cdn", alias("b.cdn", "c.cdn", 50))
    assert opened(stage, "c.cdn") == [50]


def test_an_alias_told_with_addresses_counts_for_the_other_family_too():
    stage = Stage(RULE)
    stage.tell("a.test", alias("a.test", "c.cdn"), record("c.cdn", A, 60, "198.51.100.11"))
    assert opened(stage, "c.cdn") == [60]


def test_every_name_that_stands_for_the_target_counts():
    stage = Stage(rule("r", "a.test"), rule("s", "b.test"))
    stage.tell("a.test", alias("a.test", "c.cdn"))
    stage.tell("b.test", alias("b.test", "c.cdn", 90))
    assert sorted(opened(stage, "c.cdn")) == [60, 90]


def test_without_the_option_only_the_name_that_was_asked_counts():
    stage = Stage(RULE, remembers_aliases=False)
    stage.tell("a.test", alias("a.test", "c.cdn"))
    assert opened(stage, "c.cdn") == []


def test_an_earlier_lifes_aliases_count_again():
    stage = Stage(RULE)
    stage.learner.remember(packet(answer("a.test", alias("a.test", "c.cdn"))), stage.now - 30)
    assert opened(stage, "c.cdn") == [60]
    later = Stage(RULE)
    later.learner.remember(packet(answer("a.test", alias("a.test", "c.cdn"))), later.now - 70)
    assert opened(later, "c.cdn") == []


def test_whoever_gets_an_address_inherits_no_aliases():
    stage = Stage(RULE)
    stage.tell("a.test", alias("a.test", "c.cdn"))
    stage.adopt(RULE, endpoints=(endpoint("ep9", CLIENT, rules=("r",)),))
    assert stage.learner.aliases.endpoints() == []


paths = st.lists(st.sampled_from(NAMES), min_size=2, max_size=4, unique=True).map(tuple)


@given(st.lists(st.tuples(paths, st.integers(1, 100), st.sampled_from([0.0, 5.0, 30.0]))))
def test_no_way_is_a_loop_or_outlives_any_alias_on_it(told):
    memory, now = AliasMemory(), 1000.0
    edges: dict[tuple[bytes, bytes], float] = {}
    for path, ttl, pause in told:
        now += pause
        memory.note("ep", path, ttl, now)
        for pair in pairwise(path):
            edges[pair] = max(edges.get(pair, 0.0), now + ttl)
        for target in NAMES:
            for way, least in memory.ways("ep", target, now):
                whole = (*way, target)
                assert len(set(whole)) == len(whole)
                assert 0 < least <= 100
                assert all(edges[pair] > now for pair in pairwise(whole))


def test_bounds_hold_and_count(monkeypatch):
    memory = AliasMemory()
    for number in range(aliases.MAX_TARGETS + 10):
        memory.note("ep", (b"a", b"%d" % number), 60, 1000.0)
    assert (memory.ways("ep", b"0", 1000.0), memory.forgotten) == ([], 10)
    for number in range(aliases.MAX_WAYS + 5):
        memory.note("ep", (b"x%d" % number, b"t"), 60, 1000.0)
    assert len(memory.ways("ep", b"t", 1000.0)) == aliases.MAX_WAYS
    assert memory.forgotten == 10 + 1 + 5


def test_what_is_over_makes_room_first():
    memory = AliasMemory()
    memory.note("ep", (b"a", b"kept"), 500, 1000.0)
    for number in range(aliases.MAX_TARGETS):
        memory.note("ep", (b"a", b"%d" % number), 10, 1000.0 + number)
    assert len(memory.ways("ep", b"kept", 1300.0)) == 1
    assert memory.forgotten == 0


def test_what_is_told_last_and_over_first_makes_room_too():
    memory = AliasMemory()
    for number in range(aliases.MAX_TARGETS + 1):
        memory.note("ep", (b"a", b"%d" % number), 500, 1000.0)
    assert memory.forgotten == 1
    memory.note("ep", (b"a", b"short"), 2, 1001.0)
    assert memory.forgotten == 2
    memory.note("ep", (b"a", b"next"), 500, 1004.0)
    assert (memory.forgotten, len(memory.ways("ep", b"next", 1004.0))) == (2, 1)
