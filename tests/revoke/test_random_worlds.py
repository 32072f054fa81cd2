"""Random nodes with open connections, a random change: what is ended is exactly what the reference semantics denies."""

from collections import Counter
from random import Random

import pytest

from tests.revoke.changes import Change, changed_world

WORLDS, PROBES, BATCH = 160, 40, 80


@pytest.mark.parametrize("first", range(0, WORLDS, BATCH))
def test_exactly_those_end_that_the_new_policy_denies(first):
    """Also where names were learned and half of them have expired since: that is no change of policy."""
    seen = Counter()
    for seed in range(first, first + BATCH):
        before, after = changed_world(seed, PROBES)
        change = Change(before, after)
        opened = list(change.connections())
        denied = [one for one in opened if not change.is_allowed(change.after, one.packet)]
        ended = change.ended(opened, 0.5, Random(seed))
        assert ended == denied, f"{[one.packet for one in ended if one not in denied]}\n{after.text()}"
        seen.update(opened=len(opened), ended=len(ended), partial=bool(ended) and not change.scope.is_everything)
    assert seen["ended"] > 30, "the changes end so few connections that nothing was tested"
    assert seen["opened"] > 10 * seen["ended"]
    assert seen["partial"] > 3, "connections must also be found where not all of them are looked at"
