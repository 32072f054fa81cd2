"""Scenarios D67 and D68: what a start makes of a journal that is damaged, and of a kernel that has forgotten."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.scenarios.conftest import Stage
from tidegate.agent.packets import JOURNAL

pytestmark = pytest.mark.kernel

TTL_SECONDS = 300


def _journal(stage: Stage) -> Path:
    (found,) = stage.resources.parent.rglob(JOURNAL)
    return found


def _kill(stage: Stage) -> None:
    """Both processes at once, with no moment to tidy up."""
    assert stage.agent.process is not None
    for pid in (stage.agent.process.pid, stage.agent.get("status")["packets"]["pid"]):
        os.kill(pid, signal.SIGKILL)
    stage.agent.process.wait()
    stage.agent.process = None


def _seconds_left(stage: Stage, address: str) -> list[int]:
    """Of the kernel's elements for the address."""
    listing = json.loads(stage.lab.node.command("nft", "-j", "list", "table", "inet", "tidegate"))
    elements = [
        wrapped["elem"]
        for item in listing["nftables"]
        for wrapped in item.get("set", {}).get("elem", ())
        if isinstance(wrapped, dict) and "elem" in wrapped
    ]
    return [
        element["expires"]
        for element in elements
        if address in element["val"].get("concat", ()) and "expires" in element
    ]


DAMAGE = {
    "empty": lambda data: b"",
    "junk": lambda data: bytes(range(256)) * 40,
    "truncated": lambda data: data[:-3],
    "flipped": lambda data: bytes(byte ^ 0x55 for byte in data),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_d67_a_damaged_journal_stops_no_start_and_closes_nothing(stage: Stage, kind: str):
    known, later = stage.fresh4(), stage.fresh4()
    stage.server.address(f"d67{kind}.test", known, ttl=TTL_SECONDS)
    stage.server.address(f"d67{kind}later.test", later, ttl=TTL_SECONDS)
    stage.permit("ep1", f"d67{kind}.test", f"d67{kind}later.test")
    stage.resolve("ep1", f"d67{kind}.test")
    journal = _journal(stage)
    stage.until(lambda: f"d67{kind}".encode() in journal.read_bytes(), 5, "the answer is in the journal")
    _kill(stage)
    try:
        journal.write_bytes(DAMAGE[kind](journal.read_bytes()))
    finally:
        stage.start_agent()
    # The kernel kept the address; only its name may be lost.
    stage.assert_passes("ep1", known)
    stage.assert_denied("ep1", later)
    stage.resolve("ep1", f"d67{kind}later.test")
    stage.assert_passes("ep1", later)


def test_d68_after_a_reboot_addresses_come_back_with_the_time_they_had_left(stage: Stage):
    address, short = stage.fresh4(), stage.fresh4()
    stage.server.address("d68.test", address, ttl=TTL_SECONDS)
    stage.server.address("d68short.test", short, ttl=2)
    stage.permit("ep1", "d68.test", "d68short.test")
    told_at = time.monotonic()
    stage.resolve("ep1", "d68.test")
    stage.resolve("ep1", "d68short.test")
    journal = _journal(stage)
    stage.until(lambda: b"d68short" in journal.read_bytes(), 5, "the answers are in the journal")
    _kill(stage)
    try:
        stage.lab.node.command("nft", "flush ruleset")
        time.sleep(max(0.0, told_at + 2.5 - time.monotonic()))
    finally:
        stage.start_agent()
    stage.assert_passes("ep1", address)
    (seconds,) = _seconds_left(stage, address)
    assert abs(seconds - (TTL_SECONDS - (time.monotonic() - told_at))) < 3
    # What ran out while the node was down stays out.
    stage.assert_denied("ep1", short)
