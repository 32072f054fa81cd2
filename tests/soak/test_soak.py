"""Five minutes of the soak: `just soak` has the long one."""

import pytest

from tests.soak.run import KILL_EVERY_SECONDS, soak

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(480)]
SECONDS, LEAST_PAIRS = 300, 100_000


def test_no_first_packet_is_lost_and_nothing_wrong_passes_while_policy_changes_and_the_control_process_dies():
    outcome = soak(1_000_000_000, SECONDS)
    assert outcome.faults() == []
    assert outcome.pairs >= LEAST_PAIRS
    assert outcome.kills >= SECONDS // KILL_EVERY_SECONDS - 1
    assert outcome.endpoints[-1].denied > SECONDS * 150
