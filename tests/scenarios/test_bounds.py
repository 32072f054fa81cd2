"""Scenarios D38 to D57 about size: names and addresses without end cost nobody else anything."""

import json
import random
import statistics
import threading
import time
from pathlib import Path

import pytest

from tests.lab.scripted import Step
from tests.scenarios.conftest import EXACT, Stage

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300 if EXACT else 180)]


def _elements(stage: Stage) -> int:
    return int(stage.agent.get("status")["counts"]["learned addresses"])


def _in_kernel(stage: Stage) -> int:
    """Elements of the learned sets that the kernel has and has not expired."""
    listed = json.loads(stage.lab.node.command("nft", "-j", "list", "table", "inet", "tidegate"))["nftables"]
    learned = (item["set"] for item in listed if "set" in item and item["set"]["name"].startswith(("d4-", "d6-")))
    return sum(len(each.get("elem", ())) for each in learned)


def _resident_kib(stage: Stage) -> int:
    """Memory of the packet process."""
    status = Path(f"/proc/{stage.agent.get('status')['packets']['pid']}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def test_d38_names_that_change_with_every_answer_keep_a_steady_size(stage: Stage):
    """50 new addresses a second with a short TTL: the sets hold so many seconds' worth, and nothing else grows."""
    stage.permit("ep1", "*.d38.test", annotations={"dns.tidegate.io/ttl-floor": "0s"})
    rate, ttl, seconds, lost = (50, 5, 120, 0) if EXACT else (50, 2, 20, 0)
    sizes: list[int] = []
    grown_from = 0
    due = time.monotonic()
    for number in range(rate * seconds):
        name, address = f"n{number % 50}.d38.test", f"2001:db8:1::38:{number:x}"
        stage.server.script(name, "AAAA", Step(answer=[f"{name} {ttl} AAAA {address}"]))
        stage.resolve("ep1", name, "AAAA")
        lost += not stage.connect("ep1", address, timeout_seconds=0.9).is_connected
        if number % rate == rate - 1:
            sizes.append(_in_kernel(stage))
        if number == rate * 8:
            grown_from = _resident_kib(stage)
        due = max(due + 1 / rate, now := time.monotonic())  # what a busy machine has missed is not made up for
        time.sleep(due - now)
    assert lost == 0
    assert max(sizes) <= rate * ttl * 1.2, sizes
    assert _resident_kib(stage) - grown_from < 5 * 1024


def test_d40_an_endpoint_at_its_bound_keeps_what_it_has(stage: Stage):
    """5,000 addresses of one name at a bound of 1,000: the first one, in use all the while, is not among those left out."""
    stage.run_agent(dnsMaxElementsPerEndpoint=1000)
    stage.replace_packet_process()  # it remembers who was left out for five minutes
    stage.permit("ep1", "d40.test")
    stage.until(lambda: not _left_out(stage), 10, "nobody is left out")
    earlier = stage.agent.log.read_text().count("names left out")
    told: list[str] = []
    for start in range(0, 5000, 50):
        addresses = [f"2001:db8:1::40:{number:x}" for number in range(start, start + 50)]
        stage.server.script("d40.test", "AAAA", Step(answer=[f"d40.test 300 AAAA {each}" for each in addresses]))
        told += stage.resolve("ep1", "d40.test", "AAAA")
        assert stage.connect("ep1", told[0]).is_connected
    assert len(told) == 5000
    assert _elements(stage) == _in_kernel(stage) == 1000
    assert stage.connect("ep1", told[999]).is_connected
    stage.assert_denied("ep1", told[-1])
    assert stage.counters()["cap-endpoint"] >= 4000
    assert stage.reasons("ep1", told[-1]) == ["cap-endpoint", "not-open"]
    stage.until(lambda: _left_out(stage) == ["EndpointFull"], 10, "a condition says who is left out")
    assert stage.agent.log.read_text().count("names left out") - earlier == 1


def test_a_learned_set_that_is_full_refuses_no_transaction_and_keeps_nobody_waiting(stage: Stage):
    """400 addresses at a bound of 256; those that expire give their places to others."""
    stage.run_agent(dnsLearnedSetSize=256)
    stage.replace_packet_process()
    stage.permit("ep1", "*.full.test")
    stage.until(lambda: not _left_out(stage), 10, "nobody is left out")
    names = [f"{number}.full.test" for number in range(8)]
    for number, name in enumerate(names):
        addresses = [f"2001:db8:1::f0:{number:x}:{each:x}" for each in range(50)]
        ttl = 6 if number == 0 else 300
        stage.server.script(name, "AAAA", Step(answer=[f"{name} {ttl} AAAA {each}" for each in addresses]))
    before, told, took = stage.counters(), [], []
    for name in names:
        started = time.perf_counter()
        told.append(stage.resolve("ep1", name, "AAAA"))
        took.append(time.perf_counter() - started)
    assert _in_kernel(stage) == _elements(stage) == 256
    assert statistics.median(took) < 0.5
    stage.until(lambda: _left_out(stage) == ["SetFull"], 10, "a condition says that the set is full")
    stage.assert_passes("ep1", told[1][0])
    assert stage.reasons("ep1", told[-1][0]) == ["cap-set", "not-open"]
    stage.until(lambda: _elements(stage) == 206, 20, "what has expired is forgotten")
    assert len(stage.resolve("ep1", names[-1], "AAAA")) == 50
    stage.assert_passes("ep1", told[-1][0])
    after = stage.counters()
    assert after["cap-set"] - before.get("cap-set", 0) == 400 - 256
    assert all(after.get(name, 0) == before.get(name, 0) for name in ("program-failed", "kernel-set-full"))


def _left_out(stage: Stage) -> list[str]:
    """Reasons for which names are left out at present."""
    conditions = stage.agent.get("status")["conditions"]
    return [item["reason"] for item in conditions if item["type"] == "NamesLeftOut" and "test/ep1" in item["message"]]


def test_d48_ten_thousand_names_slow_no_answer_down(stage: Stage):
    """10,000 names with four addresses each, then new ones are asked for and connected to as fast as before."""
    stage.run_agent(dnsMaxElementsPerEndpoint=50_000)
    stage.permit("ep1", "*.d48.test")

    def took_ms(batch: int) -> list[float]:
        took = []
        for number in range(300):
            name, address = f"b{batch}-{number}.d48.test", f"2001:db8:1::48:{batch:x}:{number:x}"
            stage.server.script(name, "AAAA", Step(answer=[f"{name} 300 AAAA {address}"]))
            started = time.perf_counter()
            stage.resolve("ep1", name, "AAAA")
            took.append((time.perf_counter() - started) * 1000)
            assert stage.connect("ep1", address, timeout_seconds=0.9).is_connected
        return sorted(took)

    before = took_ms(0)
    before_p99 = min(took_ms(batch)[296] for batch in range(1, 6)) if EXACT else 0.0
    for number in range(10_000):
        name = f"p{number}.d48.test"
        lines = [f"{name} 300 AAAA 2001:db8:1::4:{number * 4 + each:x}" for each in range(4)]
        stage.server.script(name, "AAAA", Step(answer=lines))
        stage.resolve("ep1", name, "AAAA")
    assert _elements(stage) >= 40_000

    if EXACT:
        p99 = min(took_ms(batch)[296] for batch in range(6, 11))
        assert p99 < 1.2 * before_p99, (before_p99, p99)
        return

    def is_as_fast(batch: int) -> bool:
        after = took_ms(batch)
        return after[150] < before[150] * 1.5 + 0.5 and after[270] < before[270] * 2 + 2

    # Whoever works beside may slow one look down; ten thousand names would slow every one.
    assert any(is_as_fast(batch) for batch in range(6, 14))


def test_d57_a_neighbours_flood_of_names_forgets_only_its_own(stage: Stage):
    mine = stage.fresh4()
    stage.server.address("mine.d57.test", mine, ttl=300)
    for pod in ("ep1", "ep2"):
        stage.permit(pod, "*.d57.test")
    stage.resolve("ep1", "mine.d57.test")
    stage.server.script("d57.test", "A", Step())
    chance, stop = random.Random(57), threading.Event()

    def flood() -> None:
        while not stop.is_set():
            name = f"{chance.randbytes(8).hex()}.d57.test"
            stage.server.script(name, "A", Step(answer=[f"{name} 60 A 198.51.100.250"]))
            stage.resolve("ep2", name)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        took = []
        for number in range(100):
            name, address = f"m{number}.d57.test", f"2001:db8:1::57:{number:x}"
            stage.server.script(name, "AAAA", Step(answer=[f"{name} 60 AAAA {address}"]))
            stage.resolve("ep1", name, "AAAA")
            outcome = stage.connect("ep1", address)
            assert outcome.is_connected
            took.append(outcome.seconds)
    finally:
        stop.set()
        thread.join()
    assert max(took) < 0.9
    stage.assert_passes("ep1", mine)
    names = {item["name"] for item in stage.agent.get("names") if item["endpoint"].endswith("ep1")}
    assert "mine.d57.test" in names
