"""Scenarios D64 to D78: death, restart, and other programs' hands in the kernel."""

import os
import signal
import threading
import time

import pytest

from tests.lab.scripted import Step
from tests.scenarios.conftest import Stage, endpoint

pytestmark = pytest.mark.kernel


def _pids(stage: Stage) -> list[int]:
    assert stage.agent.process is not None
    return [stage.agent.process.pid, stage.agent.get("status")["packets"]["pid"]]


def test_d64_with_both_processes_killed_policy_holds_and_dns_works(stage: Stage):
    known, new = stage.fresh4(), stage.fresh4()
    stage.server.address("d64.test", known, ttl=300)
    stage.server.address("d64new.test", new, ttl=300)
    stage.permit("ep1", "d64.test", "d64new.test")
    stage.resolve("ep1", "d64.test")
    for pid in _pids(stage):
        os.kill(pid, signal.SIGKILL)
    assert stage.agent.process is not None
    stage.agent.process.wait()
    stage.agent.process = None
    try:
        stage.assert_passes("ep1", known)
        assert stage.resolve("ep1", "d64.test") == [known]
        assert stage.resolve("ep1", "d64new.test") == [new]
        stage.assert_denied("ep1", new)
        stage.assert_denied("ep1", stage.fresh4())
    finally:
        stage.start_agent()
    stage.assert_passes("ep1", known)
    stage.resolve("ep1", "d64new.test")
    stage.assert_passes("ep1", new)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_d64_names_are_learned_while_the_control_process_is_away(stage: Stage, how: signal.Signals):
    address, name = stage.fresh4(), f"d64{how.name.lower()}.test"
    stage.server.address(name, address)
    stage.permit("ep1", name)
    assert stage.agent.process is not None
    process = stage.agent.process
    process.send_signal(how)
    try:
        if how is not signal.SIGSTOP:
            process.wait(15)
        stage.resolve("ep1", name)
        stage.assert_passes("ep1", address)
    finally:
        if how is signal.SIGSTOP:
            process.send_signal(signal.SIGCONT)
        else:
            stage.agent.process = None
            stage.start_agent()
    stage.assert_passes("ep1", address)


@pytest.mark.timeout(120)
def test_d66_a_restart_of_everything_closes_and_extends_nothing(stage: Stage):
    names = [(f"n{index}.d66.test", f"2001:db8:1::6:{index:x}") for index in range(100)]
    for name, address in names:
        stage.server.script(name, "AAAA", Step(answer=[f"{name} 120 AAAA {address}"]))
    # Thousands more, fifty to an answer, so that reading back takes its time.
    bulk = [f"2001:db8:1::7:{index:x}" for index in range(5000)]
    for start in range(0, len(bulk), 50):
        lines = [f"b{start}.d66.test 120 AAAA {address}" for address in bulk[start : start + 50]]
        stage.server.script(f"b{start}.d66.test", "AAAA", Step(answer=lines))
    stage.permit("ep1", "*.d66.test")
    learned_at = time.monotonic()
    for name, _ in names:
        stage.resolve("ep1", name, "AAAA")
    for start in range(0, len(bulk), 50):
        stage.resolve("ep1", f"b{start}.d66.test", "AAAA")
    failures: list[str] = []
    stop = threading.Event()

    def loop() -> None:
        index = 0
        while not stop.is_set():
            address = names[index % len(names)][1]
            if not stage.connect("ep1", address, timeout_seconds=0.9).is_connected:
                failures.append(address)
            index += 1
            time.sleep(0.05)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        for pid in _pids(stage):
            os.kill(pid, signal.SIGKILL)
        assert stage.agent.process is not None
        stage.agent.process.wait()
        stage.agent.process = None
        time.sleep(0.5)
        stage.start_agent()
        time.sleep(1)
    finally:
        stop.set()
        thread.join()
    assert failures == []
    remaining = {item["ip"]: item for item in stage.agent.get("names")}
    assert {address for _, address in names} <= set(remaining)
    assert len(remaining) >= 5000
    expires = {text.split(" timeout")[0].strip(): text for text in _elements(stage)}
    age = time.monotonic() - learned_at
    for _, address in names[:20]:
        text = next(value for key, value in expires.items() if key.endswith(f" . {address}"))
        left = _seconds(text.split("expires ")[1].split()[0])
        assert left <= 120 - age + 10.0 + 1
        assert left > 0


def _elements(stage: Stage) -> list[str]:
    listing = stage.lab.node.command("nft", "list", "table", "inet", "tidegate")
    return [part for part in listing.replace("elements = {", "\n").replace(",", "\n").splitlines() if "expires" in part]


def _seconds(text: str) -> float:
    units = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
    total, number, unit = 0.0, "", ""
    for char in text.rstrip("}") + "0":
        if char.isdigit() and unit:
            total, number, unit = total + float(number) * units[unit], char, ""
        elif char.isdigit():
            number += char
        else:
            unit += char
    return total


@pytest.mark.parametrize("blow", ["flush ruleset", "delete table inet tidegate"])
def test_d69_a_flush_by_another_program_is_repaired_within_a_second(stage: Stage, blow: str):
    address, name = stage.fresh4(), f"d69{len(blow)}.test"
    stage.server.address(name, address, ttl=300)
    stage.permit("ep1", name)
    stage.resolve("ep1", name)
    stage.lab.node.command("nft", blow)
    flushed_at = time.monotonic()
    stage.until(lambda: _is_closed(stage), 1.0, "the table is back")
    assert time.monotonic() - flushed_at < 1.1
    stage.until(lambda: stage.connect("ep1", address, timeout_seconds=0.2).is_connected, 2.0, "learned names are back")
    stage.resolve("ep1", name)
    stage.assert_passes("ep1", address)


def _is_closed(stage: Stage) -> bool:
    return not stage.connect("ep1", stage.fresh4(), timeout_seconds=0.1).is_connected


def test_d70_a_policy_that_comes_after_the_answer_finds_it(stage: Stage):
    address = stage.fresh4()
    stage.server.address("d70.test", address)
    stage.permit("ep1", "d70-other.test")
    stage.resolve("ep1", "d70.test")
    stage.assert_denied("ep1", address)
    stage.permit("ep1", "d70.test")
    stage.assert_passes("ep1", address, within_seconds=0.9)


def test_d72_an_address_that_is_used_again_inherits_nothing(stage: Stage):
    address = stage.fresh4()
    stage.server.address("d72.test", address, ttl=300)
    pod = stage.lab.pod("ep2")
    stage.permit("ep2", "d72.test")
    stage.resolve("ep2", "d72.test")
    stage.assert_passes("ep2", address)
    try:
        (stage.resources / "ep2.yaml").unlink()
        stage.until(
            lambda: "test/ep2" not in {item["id"] for item in stage.agent.get("endpoints")}, 5, "the endpoint is gone"
        )
        stage.put("ep2", endpoint(pod, "ep3"), wait=False)
        stage.until(
            lambda: "test/ep3" in {item["id"] for item in stage.agent.get("endpoints")}, 5, "the endpoint is there"
        )
        stage.wait_in_force()
        stage.assert_denied("ep2", address)
    finally:
        stage.put("ep2", endpoint(pod), wait=False)
        stage.wait_in_force()


def test_d78_the_status_names_how_packets_are_queued(stage: Stage):
    status = stage.agent.get("status")
    features = status["features"]
    assert features["native_queue"] or features["compat_queue"]
    assert status["mode"]["in_force"] == "DelayDNSResponse"


def test_d78_without_queues_the_fallback_is_named_and_nothing_opens(stage: Stage):
    stage.run_agent(debugMissingFeatures=["native_queue", "compat_queue"])
    status = stage.agent.get("status")
    assert status["mode"]["in_force"] == "NoDelay"
    assert status["mode"]["wanted"] == "DelayDNSResponse"
    assert status["mode"]["reason"]
    address = stage.fresh4()
    stage.server.address("d78.test", address)
    stage.permit("ep1", "d78.test")
    stage.assert_denied("ep1", address)
    stage.resolve("ep1", "d78.test")
    stage.until(lambda: stage.connect("ep1", address, timeout_seconds=0.3).is_connected, 3, "the name was learned")
    stage.assert_denied("ep1", stage.fresh4())
