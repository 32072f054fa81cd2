"""Each observation is in one bucket, the one whose bound it does not exceed; and in the sum."""

from hypothesis import given
from hypothesis import strategies as st

from dnsagent.histogram import BOUNDS, Histogram


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 9))))
def test_buckets_say_how_many_took_at_most_so_long(facts):
    histogram = Histogram()
    for seconds, times in facts:
        histogram.note(seconds, times)
    for bound, count in histogram.cumulative():
        assert count == sum(times for seconds, times in facts if seconds <= bound)
    assert sum(histogram.counts) == sum(times for _, times in facts)
    assert abs(histogram.sum - sum(seconds * times for seconds, times in facts)) < 1e-6
    assert [bound for bound, _ in histogram.cumulative()] == list(BOUNDS)
