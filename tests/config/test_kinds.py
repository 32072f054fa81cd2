"""Each kind of setting reads what YAML gives and what a shell gives, and shows what it would read again."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nft.expr import RateLimit
from tidegate.config import kinds


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [("1m30s", 90), ("50ms", 0.05), (3, 3), ("3", 3), (0.5, 0.5), ("1h", 3600), ("1.5h", 5400), ("0s", 0), ("0", 0)],
)
def test_durations_are_gos_or_bare_numbers(raw, seconds):
    assert kinds.duration().parse(raw) == pytest.approx(seconds)


def test_a_bare_number_has_the_unit_of_its_setting():
    assert kinds.duration("ms").parse("3000") == pytest.approx(3)
    assert kinds.duration("ms").parse("3s") == pytest.approx(3)


@pytest.mark.parametrize("raw", ["", "s", "1x", "1m 30s", "-1s", True, None, ["1s"], "1e3s"])
def test_what_is_no_duration_is_refused(raw):
    with pytest.raises(ValueError, match="not a duration"):
        kinds.duration().parse(raw)


def test_a_duration_below_the_least_is_refused():
    with pytest.raises(ValueError, match="less than 1s"):
        kinds.duration(least_seconds=1).parse("10ms")


@given(st.floats(0, 1e6))
def test_a_shown_duration_reads_as_itself(seconds):
    kind = kinds.duration()
    assert kind.parse(kind.show(seconds)) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize(("raw", "value"), [(True, True), ("TRUE", True), ("off", False), ("0", False)])
def test_booleans(raw, value):
    assert kinds.boolean().parse(raw) is value


@pytest.mark.parametrize(("raw", "message"), [("maybe", "neither"), (None, "neither"), (2, "neither")])
def test_what_is_no_boolean_is_refused(raw, message):
    with pytest.raises(ValueError, match=message):
        kinds.boolean().parse(raw)


def test_integers_are_bounded_and_may_be_hexadecimal():
    kind = kinds.integer(0, 0xFFFF0000, is_hex=True)
    assert kind.parse("0xffff0000") == 0xFFFF0000
    assert kind.show(0x10000) == "0x00010000"
    for raw in (-1, "4294967295", True, "x", 1.5, None):
        with pytest.raises(ValueError, match="not"):
            kind.parse(raw)


def test_lists_come_from_yaml_or_from_commas():
    kind = kinds.listed(kinds.network())
    expected = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert kind.parse(["10.0.0.0/8", "fd00::/8"]) == expected
    assert kind.parse("10.0.0.0/8, fd00::/8") == expected
    assert kind.parse("none") == kind.parse("") == kind.parse([]) == ()
    with pytest.raises(ValueError, match="not a network"):
        kind.parse(["10.0.0.1/8"])
    with pytest.raises(ValueError, match="not a list"):
        kind.parse(7)


def test_rates():
    assert kinds.rate().parse("10/minute") == RateLimit(10, "minute", 5)
    assert kinds.rate().parse("none") is None
    assert kinds.rate().show(RateLimit(10, "minute", 5)) == "10/minute"
    for raw in ("0/second", "10000/second", "5/week", "5"):
        with pytest.raises(ValueError, match="not a rate"):
            kinds.rate().parse(raw)


def test_text_must_match():
    kind = kinds.text(r"[a-z]*", "lower case")
    assert kind.parse("abc") == "abc"
    for raw in ("ABC", None, True, ["a"]):
        with pytest.raises(ValueError, match="is not"):
            kind.parse(raw)


def test_a_path_is_a_path():
    assert str(kinds.path().parse("/run/x")) == "/run/x"
    assert kinds.path().parse("") is None
    with pytest.raises(ValueError, match="not a path"):
        kinds.path().parse(3)
