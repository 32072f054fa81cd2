"""Scenario D73: the program of the packet process is replaced while workloads resolve and connect."""

import sys
import threading
from pathlib import Path

import pytest

from tests.lab.scripted import Step
from tests.scenarios.conftest import Stage
from tidegate.agent.packet_client import PacketClient

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]
PAIRS, SUCCESSIONS = 600, 3


def _pid(stage: Stage) -> int:
    return int(stage.agent.get("status")["packets"]["pid"])


def _succeed(stage: Stage) -> None:
    """As a control process of another version has it."""
    state = stage.agent.scratch / "state"
    PacketClient(state).succeed([sys.executable, "-m", "tidegate", "packets", "--state", str(state)])


@pytest.mark.parametrize("mode", ["DelayDNSResponse", "DelayDeniedPacket"])
def test_d73_a_successor_loses_no_connection(stage: Stage, mode: str):
    stage.run_agent(dnsPolicyMode=mode)
    zone, part = f"d73{mode.lower()}.test", len(mode)
    stage.permit("ep1", f"*.{zone}")
    pairs = [(f"n{index}.{zone}", f"2001:db8:1::73{part}:{index:x}") for index in range(PAIRS)]
    for name, address in pairs:
        stage.server.script(name, "AAAA", Step(answer=[f"{name} 300 AAAA {address}"]))
    before = _pid(stage)
    done = 0

    def succeed_now_and_then() -> None:
        for number in range(SUCCESSIONS):
            while done < (number + 1) * PAIRS // (SUCCESSIONS + 1):
                threading.Event().wait(0.005)
            _succeed(stage)

    thread = threading.Thread(target=succeed_now_and_then)
    thread.start()
    for name, address in pairs:
        assert stage.resolve("ep1", name, "AAAA", timeout_seconds=10) == [address]
        outcome = stage.connect("ep1", address, 443, 5)
        assert outcome.is_connected, f"{name}: {outcome.error}\n{stage.why('ep1', address, 443)}"
        done += 1
    thread.join()
    stage.settle()
    seen = {key[2]: count for key, count in stage.wire.seen.items() if key[0] == 6 and key[3] == 443}
    if mode == "DelayDNSResponse":  # in the other mode a packet waits for longer than its client does
        assert [address for _, address in pairs if seen.get(address) != 1] == []
    assert _pid(stage) == before
    assert b"--sockets" in Path(f"/proc/{before}/cmdline").read_bytes()
    first = pairs[0][1]
    stage.assert_passes("ep1", first, within_seconds=1)
    stage.until(lambda: stage.agent.get("status")["ready"], 5, "all is well")
