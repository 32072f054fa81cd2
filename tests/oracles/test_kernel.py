"""Three oracles, one truth table: real packets in network namespaces against the other two. More of them by a recipe."""

import pytest

from tests.oracles.cases import Case
from tests.oracles.played import LINKS, on_the_wire, play_world, staged_comments
from tests.oracles.worlds import make_world

pytestmark = pytest.mark.kernel

WORLDS = range(16)


@pytest.mark.parametrize("seed", WORLDS)
def test_the_kernel_does_what_evaluate_and_simulate_say(seed):
    """Verdict and deciding rule of every packet of a world; about 30 packets a world."""
    played = play_world(seed)
    assert not played.wrong, played.wrong[0]
    assert played.packets >= 20  # 16 worlds make more than 320


def test_the_worlds_have_staged_rules_to_count():
    cases = [Case(on_the_wire(make_world(seed, nodes=("node1",))), LINKS) for seed in WORLDS]
    assert sum(bool(staged_comments(case.evaluated(packet))) for case in cases for _, packet in case.packets) > 10
