"""What a new plan takes away and gives: found by comparing plans, it is what a walk over everything would find."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dnsagent.element_table import owner_of
from dnsagent.plan import Plan, make_plan
from dnsagent.plan_change import is_same_policy, permissions, plan_change
from tests.dnsagent.stage import CLIENT, CLIENT6, OTHER, POINTER, A, Stage, endpoint, packed, record, rule, snapshot

RULE, SECOND = rule("r", "a.test", "*.a.test"), rule("s", "a.test")
ADDRESSES = ("198.51.100.1", "198.51.100.2", "10.0.9.9")
NAMES = ("a.test", "x.a.test", "b.test")


def one(*rules, name="ep1", **options) -> Plan:
    """A plan with one endpoint that has all the rules."""
    ids = tuple(each.id for each in rules)
    return make_plan(snapshot(*rules, endpoints=(endpoint(name, CLIENT, rules=ids),), **options))


def test_a_plan_of_the_next_generation_changes_nothing():
    before, after = one(RULE), one(RULE, generation=2)
    assert is_same_policy(before.snapshot, after.snapshot)
    assert not is_same_policy(before.snapshot, one(RULE, mode="NoDelay").snapshot)
    change = plan_change(before, after)
    assert not change.takes_away
    assert change.fresh == {}


def test_a_rule_that_an_endpoint_has_no_more_is_withdrawn_while_others_have_it():
    two = (endpoint("ep1", CLIENT, rules=("r",)), endpoint("ep2", OTHER, rules=("r",)))
    before = make_plan(snapshot(RULE, endpoints=two))
    after = make_plan(snapshot(RULE, endpoints=(two[0], endpoint("ep2", OTHER, rules=()))))
    assert plan_change(before, after).withdrawn == {("d4-r", packed(OTHER))}
    assert plan_change(before, after).dead_sets == frozenset()


def test_a_set_that_goes_takes_its_elements_along():
    change = plan_change(one(RULE, SECOND), one(RULE))
    assert (change.withdrawn, change.dead_sets) == (frozenset(), {"d4-s", "d6-s"})


def test_an_address_that_becomes_another_endpoints_keeps_nothing():
    change = plan_change(one(RULE), one(RULE, name="ep9"))
    assert change.moved == {packed(CLIENT)}
    assert change.withdrawn == {("d4-r", packed(CLIENT))}
    assert change.fresh == {"ep9": frozenset([0])}


def test_an_address_more_makes_all_rules_of_its_endpoint_fresh():
    after = make_plan(snapshot(RULE, endpoints=(endpoint("ep1", CLIENT, CLIENT6, rules=("r",)),)))
    assert plan_change(one(RULE), after).fresh == {"ep1": frozenset([0])}


def test_a_rule_that_names_more_lives_longer_or_guards_less_is_fresh():
    before = one(RULE, SECOND)
    for other in (rule("s", "a.test", "b.test"), rule("s", "a.test", extra_ttl_seconds=5.0)):
        assert plan_change(before, one(RULE, other)).fresh == {"ep1": frozenset([1])}
    assert plan_change(before, one(RULE, SECOND, guarded=("192.0.2.0/24",))).fresh == {"ep1": frozenset([0, 1])}


def test_the_same_rules_lend_their_index():
    before = one(RULE)
    assert make_plan(one(RULE, generation=2).snapshot, before).index is before.index
    assert make_plan(one(rule("r", "b.test")).snapshot, before).index is not before.index


# --- against a walk over everything ---

rule_sets = st.lists(
    st.builds(
        lambda name, patterns, options: rule(name, *patterns, **options),
        st.sampled_from("rst"),
        st.lists(st.sampled_from(("a.test", "*.a.test", "b.test", "*.test")), min_size=1, unique=True),
        st.sampled_from(({}, {"scope": "node"}, {"extra_ttl_seconds": 30.0}, {"allow_private": True})),
    ),
    unique_by=lambda each: each.id,
)
addresses = st.sampled_from((CLIENT, OTHER, CLIENT6))


@st.composite
def plans(draw) -> Plan:
    rules = draw(rule_sets)
    ids = st.lists(st.sampled_from([each.id for each in rules]), unique=True) if rules else st.just([])
    owners = draw(st.dictionaries(addresses, st.sampled_from(("ep1", "ep2"))))
    return make_plan(
        snapshot(
            *rules,
            endpoints=tuple(
                endpoint(name, *(a for a, owner in owners.items() if owner == name), rules=tuple(draw(ids)))
                for name in sorted(set(owners.values()))
            ),
        )
    )


@given(plans(), plans(), st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(ADDRESSES), addresses)))
def test_what_is_open_after_a_change_is_what_a_walk_over_everything_leaves_and_opens(before, after, told):
    stage, other = Stage(), Stage()
    for each in (stage, other):
        each.take(before)
        for name, address, client in told:
            each.tell(name, record(POINTER, A, 60, address), client=client)
    change = plan_change(before, after)
    for key in [key for keys in stage.learner.elements.withdrawn(change.withdrawn, change.dead_sets) for key in keys]:
        stage.learner.elements.drop(key)
    for key in other.learner.elements.all_keys():
        if (key[0], owner_of(key)) not in permissions(after) or owner_of(key) in change.moved:
            other.learner.elements.drop(key)
    assert dict(stage.learner.elements.items()) == dict(other.learner.elements.items())
    stage.take(after, change.fresh)
    other.take(after)
    assert dict(stage.learner.elements.items()) == dict(other.learner.elements.items())


@given(plans())
def test_a_plan_after_itself_gives_and_takes_nothing(plan):
    change = plan_change(plan, replace(plan, snapshot=replace(plan.snapshot, generation=9)))
    assert not change.takes_away
    assert change.fresh == {}
