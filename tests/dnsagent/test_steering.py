"""The way of routing by which marked packets reach this host."""

import subprocess

import pytest

from dnsagent.steering import PRIORITY, Steering

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("netns")]


def ip(*words: str) -> str:
    return subprocess.run(("ip", *words), check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("family", ["-4", "-6"])
def test_it_is_put_in_place_once_and_taken_away_whole(family):
    steering = Steering(mark=0x40, table=15_053)
    for _ in range(2):
        steering.install()
    rules = [line for line in ip(family, "rule").splitlines() if "15053" in line]
    assert rules == [f"{PRIORITY}:\tfrom all fwmark 0x40/0x40 lookup 15053"]
    assert ip(family, "route", "show", "table", "15053").startswith("local default dev lo")
    for _ in range(2):
        steering.remove()
    assert "15053" not in ip(family, "rule")
    done = subprocess.run(
        ("ip", family, "route", "show", "table", "15053"), capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
