"""The feature probe."""

import time
from pathlib import Path

import pytest

from nft import features

pytestmark = pytest.mark.kernel


def test_the_probe_takes_less_than_a_second_and_finds_what_every_kernel_has():
    started = time.monotonic()
    found = features.probe()
    assert time.monotonic() - started < 1.0
    assert found.conntrack
    assert found.element_timeouts
    assert found.queue


def test_the_probe_leaves_this_namespace_alone():
    before = Path("/proc/thread-self/ns/net").stat().st_ino
    features.probe()
    assert Path("/proc/thread-self/ns/net").stat().st_ino == before


def test_a_feature_nobody_probes_is_no_answer():
    with pytest.raises(LookupError):
        features.probe().has("teleport")


def test_what_is_absent_is_named():
    found = features.probe()
    assert all(not found.has(name) for name in found.absent)
