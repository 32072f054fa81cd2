"""Who was left out at a bound: the latest are told of, for a while, and no flood makes the list long."""

from hypothesis import given
from hypothesis import strategies as st

from dnsagent.left_out import MAX_ENDPOINTS, RECENT_SECONDS, LeftOut

bounds = st.sampled_from(["cap-endpoint", "cap-set", "cap-node"])
steps = st.lists(st.tuples(bounds, st.integers(0, 30).map(str), st.floats(0, 90)), max_size=200)


@given(steps)
def test_the_latest_of_each_bound_are_told_of_until_they_are_old(noted):
    left, model, now = LeftOut(), {}, 1000.0
    for bound, endpoint, seconds in noted:
        now += seconds
        left.note(bound, endpoint, now)
        model[bound, endpoint] = now
    wanted: dict = {}
    for (bound, endpoint), at in sorted(model.items(), key=lambda item: -item[1]):
        wanted.setdefault(bound, []).append((at, endpoint))
    found = left.recent(now)
    for bound, all_of_it in wanted.items():
        fresh = [(at, endpoint) for at, endpoint in all_of_it if at > now - RECENT_SECONDS]
        told = found.get(bound, [])
        assert len(told) == min(len(fresh), MAX_ENDPOINTS)
        # Those of one moment may stand in any order.
        assert [model[bound, endpoint] for endpoint in told] == [at for at, _ in fresh[: len(told)]]
    assert found.keys() <= wanted.keys()


def test_a_bound_that_nobody_meets_any_more_is_not_told_of():
    left = LeftOut()
    left.note("cap-set", "ep1", 10.0)
    assert left.recent(10.0 + RECENT_SECONDS - 1) == {"cap-set": ["ep1"]}
    assert left.recent(10.0 + RECENT_SECONDS) == {}


def test_who_comes_again_and_again_pushes_nobody_out():
    left = LeftOut()
    for number in range(1000):
        left.note("cap-endpoint", "quiet" if number == 500 else "busy", float(number) / 10)
    assert left.recent(100.0) == {"cap-endpoint": ["busy", "quiet"]}
