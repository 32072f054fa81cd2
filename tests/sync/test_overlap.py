"""Between two snapshots endpoints that stay learn for both: nothing new is empty, and nobody gets what neither gives."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.dnsagent.stage import CLIENT, OTHER, endpoint, rule, snapshot
from tidegate.sync.overlap import new_sets, overlap

NAMES = ("a", "b", "c")


def snapshots(generation: int) -> st.SearchStrategy:
    """Two endpoints, each with some of three rules; one may be absent or have another address."""
    some = st.lists(st.sampled_from(NAMES), unique=True).map(tuple)
    return st.builds(
        lambda first, second, address, patterns: snapshot(
            *(rule(name, *sorted(patterns)) for name in NAMES),
            endpoints=(
                endpoint("ep1", CLIENT, rules=first),
                *([endpoint("ep2", address, rules=second)] if address else []),
            ),
            generation=generation,
        ),
        some,
        some,
        st.sampled_from(["", OTHER, "10.0.1.77"]),
        st.sets(st.sampled_from(["a.test", "*.b.test"]), min_size=1),
    )


def test_an_endpoint_whose_names_move_to_another_set_has_both():
    before = snapshot(rule("a", "x.test"), generation=1)
    after = snapshot(rule("b", "x.test", "y.test"), generation=2)
    both = overlap(before, after)
    assert both is not None
    assert (both.generation, both.endpoints["ep1"].rules) == (1, ("b", "a"))
    assert set(both.rules) == {"a", "b"}
    assert new_sets(before, after) == {"d4-b", "d6-b"}


def test_nothing_new_needs_no_overlap():
    before = snapshot(rule("a", "x.test"), rule("b", "y.test"), generation=1)
    assert overlap(before, replace(before, generation=2)) is None
    assert overlap(before, snapshot(rule("a", "x.test"), generation=2)) is None
    fresh = snapshot(rule("a", "x.test"), endpoints=(endpoint("new", OTHER, rules=("a",)),), generation=2)
    assert overlap(before, fresh) is None


def test_a_rule_with_other_patterns_has_all_of_them():
    before = snapshot(rule("a", "x.test"), rule("c"), endpoints=(endpoint("ep1", CLIENT, rules=("a",)),), generation=1)
    after = snapshot(rule("a", "y.test"), rule("c", "z.test"), endpoints=(endpoint("ep1", CLIENT, rules=("a", "c")),))
    both = overlap(before, after)
    assert both is not None
    assert set(both.rules["a"].patterns) == {"x.test", "y.test"}


@given(snapshots(1), snapshots(2))
def test_who_stays_loses_nothing_and_nobody_gets_what_neither_gives(before, after):
    both = overlap(before, after)
    if both is None:
        assert all(
            set(endpoint.rules) <= set(before.endpoints[name].rules)
            for name, endpoint in after.endpoints.items()
            if name in before.endpoints and before.endpoints[name].addresses == endpoint.addresses
        )
        return
    assert both.endpoints.keys() == after.endpoints.keys()
    for name, between in both.endpoints.items():
        old, new = before.endpoints.get(name), after.endpoints[name]
        stays = old is not None and old.addresses == new.addresses
        assert set(between.rules) == set(new.rules) | (set(old.rules) if stays else set())
        assert between.addresses == new.addresses
    for name, between in both.rules.items():
        given_by = [each.rules[name] for each in (before, after) if name in each.rules]
        assert set(between.patterns) <= {pattern for each in given_by for pattern in each.patterns}
