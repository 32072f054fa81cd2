"""A large connection table: exactly what is denied ends, within a budget, and nobody else waits for it."""

import gc

import pytest

from bench.revocation import ENTRIES, look, node, tracked
from policy.rules import EndpointID
from tidegate.revoke.scope import BEGINNING, Scope

pytestmark = pytest.mark.kernel
SECONDS, WAIT_SECONDS = 10.0, 0.5
"""Ten times what they take on two idle cores: the machine is shared."""
TRIES = 3
"""A machine that stands still for a moment does so once; a look that keeps others out does so each time."""


@pytest.fixture
def _set_aside():
    """What other tests have left is not searched for garbage, as in the agent: that alone takes half a second."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("_set_aside")
def test_fifty_thousand_connections_are_judged_within_a_budget():
    wide, half = node("198.51.0.0/16"), node("198.51.0.0/17")
    with tracked(ENTRIES) as count:
        assert count == ENTRIES
        one = look(wide, half, Scope(endpoints=frozenset({EndpointID("ns/w3")}), standing=frozenset()))
        assert 0 < one.ended < one.judged < ENTRIES / 100
        stays = [look(wide, wide, BEGINNING) for _ in range(TRIES)]
        assert {(each.judged, each.ended) for each in stays} == {(ENTRIES - one.ended, 0)}
        ends = look(wide, half, BEGINNING)
        assert ENTRIES * 0.4 < ends.ended < ENTRIES * 0.6
        again = look(half, half, BEGINNING)
        assert (again.judged, again.ended) == (ENTRIES - one.ended - ends.ended, 0)
    for each in (one, *stays, ends):
        assert each.seconds < SECONDS
    assert min(each.longest_wait for each in stays) < WAIT_SECONDS
