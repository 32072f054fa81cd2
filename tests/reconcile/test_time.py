"""Throttle, Watermark and the clocks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.clock import ManualClock, SystemClock
from reconcile.instant import Instant
from reconcile.throttle import Throttle, ThrottleSettings
from reconcile.watermark import Generation, Watermark

SETTINGS = ThrottleSettings(settle_seconds=1, patience_seconds=5, interval_seconds=2, retry_seconds=4)


def test_nothing_is_due_while_nothing_changed():
    throttle = Throttle(SETTINGS)
    assert throttle.next_at() is None
    assert not throttle.is_due(Instant(1e9))


def test_changes_settle_before_acting_but_not_for_ever():
    throttle = Throttle(SETTINGS)
    for second in range(20):
        throttle.note_change(Instant(100 + second * 0.9))
        assert throttle.next_at() == min(100 + second * 0.9 + 1, 105)


def test_actions_keep_their_distance():
    throttle = Throttle(SETTINGS)
    throttle.note_change(Instant(100))
    throttle.note_success(Instant(101))
    throttle.note_change(Instant(101.1))
    assert throttle.next_at() == 103


def test_failures_back_off_and_success_forgives():
    throttle = Throttle(SETTINGS)
    throttle.note_change(Instant(0))
    waits = []
    now = Instant(1)
    for _ in range(5):
        throttle.note_failure(now)
        due = throttle.next_at()
        assert due is not None
        waits.append(due - now)
        now = due
    assert waits == [4, 8, 10, 10, 10]
    throttle.note_success(now)
    throttle.note_change(now)
    assert throttle.next_at() == now + 2


@given(st.lists(st.tuples(st.sampled_from(["change", "success", "failure"]), st.floats(0, 10)), max_size=30))
def test_whatever_is_dirty_becomes_due_within_bounds(steps):
    throttle, now = Throttle(SETTINGS), 0.0
    for what, later in steps:
        now += later
        getattr(throttle, f"note_{what}")(Instant(now))
        due = throttle.next_at()
        assert (due is not None) == throttle.is_dirty
        if due is not None:
            assert due <= now + 10 + SETTINGS.patience_seconds


def test_a_watermark_only_rises():
    mark = Watermark()
    assert mark.is_level
    first, second = mark.advance(), mark.advance()
    mark.reach(second)
    mark.reach(first)
    assert mark.applied == second
    assert mark.is_reached(first)
    assert mark.is_level
    with pytest.raises(ValueError, match="cannot have applied"):
        mark.reach(Generation(3))


def test_a_manual_clock_stands_and_never_goes_back():
    clock = ManualClock(now=5, wall=7)
    clock.advance(2)
    assert (clock.now(), clock.wall()) == (7, 9)
    with pytest.raises(ValueError, match="cannot move a clock back"):
        clock.advance(-1)


def test_the_system_clock_moves_on():
    clock = SystemClock()
    assert clock.now() <= clock.now()
    assert clock.wall() > 1_600_000_000
