"""Conditions keep their time while their status stands."""

from reconcile.instant import WallInstant
from tidegate.sync.conditions import Condition, Conditions, ConditionType

T = ConditionType


def _applied(is_true, reason="Done"):
    return Condition(type=T.APPLIED, is_true=is_true, reason=reason)


def _stale(subject, message="bad"):
    return Condition(type=T.STALE_RESOURCE, is_true=True, reason="Invalid", message=message, subject=subject)


def test_since_moves_only_with_the_status():
    conditions = Conditions()
    assert conditions.put(_applied(False, "Starting"), WallInstant(1))
    assert conditions.put(_applied(False, "KernelRefused"), WallInstant(2))
    assert conditions.all()[0].since == 1
    assert not conditions.put(_applied(False, "KernelRefused"), WallInstant(3))
    assert conditions.put(_applied(True), WallInstant(4))
    assert conditions.all()[0].since == 4
    assert conditions.is_true(T.APPLIED)


def test_replacing_a_type_drops_what_is_over_and_keeps_the_time_of_what_stands():
    conditions = Conditions()
    conditions.replace(T.STALE_RESOURCE, [_stale("a.yaml"), _stale("b.yaml")], WallInstant(1))
    conditions.put(_applied(True), WallInstant(1))
    conditions.replace(T.STALE_RESOURCE, [_stale("b.yaml", "worse"), _stale("c.yaml")], WallInstant(2))
    told = [(item.type, item.subject, item.message, item.since) for item in conditions.all()]
    assert told == [
        (T.APPLIED, "", "", 1),
        (T.STALE_RESOURCE, "b.yaml", "worse", 1),
        (T.STALE_RESOURCE, "c.yaml", "bad", 2),
    ]


def test_good_news_and_bad_news_are_told_apart():
    assert _applied(True).is_normal
    assert not _applied(False).is_normal
    assert not _stale("a").is_normal
