"""The pattern index says what every pattern by itself says, at a cost that does not grow with their number."""

import time

from hypothesis import given
from hypothesis import strategies as st

from dnsagent.match import PatternIndex, wire_key
from policy.domains import DomainPattern, Wildcard
from tests.dnsagent.stage import key

LABEL = st.sampled_from([b"a", b"b", b"www", b"a.b", b"x" * 63])
NAME = st.lists(LABEL, min_size=0, max_size=5).map(tuple)


@st.composite
def patterns(draw):
    wildcard = draw(st.sampled_from([None, *Wildcard]))
    suffix = draw(NAME.filter(bool))
    return DomainPattern(draw(NAME) if wildcard else (), wildcard, suffix)


RULES = st.dictionaries(st.integers(0, 9), st.lists(patterns(), max_size=4), max_size=6)


@given(RULES, st.lists(NAME, max_size=8))
def test_finds_the_rules_whose_patterns_match(rules, names):
    index = PatternIndex(rules)
    # Names made of the patterns' own parts, so that many do match.
    names += [
        (*p.prefix, *middle, *p.suffix) for ps in rules.values() for p in ps for middle in [(), (b"a",), (b"a", b"b")]
    ]
    for name in names:
        expected = {number for number, mine in rules.items() if any(p.matches(name) for p in mine)}
        assert index.find(wire_key(name)) == expected


def test_a_label_with_a_dot_is_one_label():
    index = PatternIndex({1: [DomainPattern.parse("*.a.test")], 2: [DomainPattern.parse("a.test")]})
    assert index.find(key("evil\0a.test")) == frozenset()
    assert index.find(key("x.a.test")) == {1}


def test_bytes_of_a_label_are_never_taken_for_a_length():
    index = PatternIndex({1: [DomainPattern.parse("*.a.test"), DomainPattern.parse("a.test")]})
    assert index.find(key("x\1a\4test")) == frozenset()


def test_the_root_has_no_rules():
    assert PatternIndex({1: [DomainPattern.parse("*.test")]}).find(b"") == frozenset()


def test_ten_thousand_patterns_cost_no_more_than_ten():
    def index(count):
        return PatternIndex(
            {
                number: [
                    DomainPattern.parse(f"*.d{number}.example.com"),
                    DomainPattern.parse(f"host{number}.example.org"),
                ]
                for number in range(count // 2)
            }
        )

    names = [key(f"a.b.d{number % 7}.example.com") for number in range(500)]
    few, many = (best_seconds(index(count), names) for count in (10, 10_000))
    assert many < 3 * few


def best_seconds(index, names):
    best = 1.0
    for _ in range(15):
        start = time.perf_counter()
        for name in names:
            index.find(name)
        best = min(best, time.perf_counter() - start)
    return best
