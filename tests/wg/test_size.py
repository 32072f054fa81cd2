"""A cluster of 500 nodes: how long it takes to program them, and one change; in a process of its own, for its memory."""

import json
import subprocess
import sys

import pytest

from tests.wg import lab
from wg.tunnel import Kind

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(180)]

ALL_MILLISECONDS, CHANGE_MILLISECONDS = 2000.0, 20.0
"""The promise, kept by the best of five: the machine may have others to serve. bench/wireguard.py tells all."""
ROUND_FACTOR = 5.0
"""A whole round for a changed document: 20 ms on a calm machine, and mostly Python's."""


@pytest.fixture(scope="module")
def measured():
    done = subprocess.run(
        [sys.executable, "-m", "bench.wireguard", "json"], check=True, capture_output=True, text=True, timeout=150
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", list(Kind))
def test_500_peers_keep_a_budget_of_two_seconds_and_a_change_one_of_20_milliseconds(measured, kind):
    lacks = lab.kernel_lacks() if kind is Kind.KERNEL else lab.userspace_lacks()
    if lacks:
        pytest.skip(lacks)
    best = {what: min(times) for what, times in measured[kind.value].items()}
    assert best["all peers"] < ALL_MILLISECONDS
    assert best["one more"] < CHANGE_MILLISECONDS
    assert best["round: all peers"] < ALL_MILLISECONDS
    assert best["round: one more"] < CHANGE_MILLISECONDS * ROUND_FACTOR
    assert best["round: one less"] < CHANGE_MILLISECONDS * ROUND_FACTOR
