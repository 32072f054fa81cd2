"""Churn: answers that never repeat leave everything at its steady size."""

from bench.turnover import ENDPOINTS, RATE, TTL_SECONDS, turn_over
from dnsagent.cache import MAX_NAMES_PER_ENDPOINT
from dnsagent.element_table import LINGER_SECONDS
from dnsagent.queries import LIFE_SECONDS

STEP_SECONDS = 60


def test_names_that_never_repeat_are_held_for_their_time_and_within_the_bounds(tmp_path):
    seen = list(turn_over(5 * STEP_SECONDS, STEP_SECONDS, tmp_path / "names.journal"))
    # Each address is written once, lives five seconds, and is remembered one or two more.
    longest = TTL_SECONDS + LINGER_SECONDS + 1
    for held in seen:
        assert RATE * TTL_SECONDS <= held.elements <= RATE * longest + RATE
        assert held.waiting == held.elements
        assert held.questions <= RATE * (2 * LIFE_SECONDS + 1)
    assert seen[-1].elements == seen[0].elements
    # 10,000 of each endpoint are reached after 200 seconds, and never passed.
    assert seen[-1].names == seen[-2].names == ENDPOINTS * MAX_NAMES_PER_ENDPOINT
