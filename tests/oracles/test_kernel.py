"""Three oracles, one truth table: real packets in network namespaces against the other two. More of them by a recipe."""

import pytest

from tests.oracles.played import play_world

pytestmark = pytest.mark.kernel

WORLDS = range(16)


@pytest.mark.parametrize("seed", WORLDS)
def test_the_kernel_does_what_evaluate_and_simulate_say(seed):
    """Verdict and deciding rule of every packet of a world; about 30 packets a world."""
    played = play_world(seed)
    assert not played.wrong, played.wrong[0]
    assert played.packets >= 20  # 16 worlds make more than 320
