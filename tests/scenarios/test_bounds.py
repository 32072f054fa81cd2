"""Scenarios D38 to D57 about size: names and addresses without end cost nobody else anything."""

import random
import threading
import time

import pytest

from tests.lab.scripted import Step
from tests.scenarios.conftest import Stage

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(180)]


def _elements(stage: Stage) -> int:
    return int(stage.agent.get("status")["counts"]["learned addresses"])


def test_d38_names_that_change_with_every_answer_keep_a_steady_size(stage: Stage):
    """New addresses with a TTL of 2 s, as fast as they come: after two lives of an address nothing grows."""
    stage.permit("ep1", "*.d38.test", annotations={"dns.tidegate.io/ttl-floor": "0s"})
    rate, lost = 40, 0
    sizes: list[int] = []
    began = time.monotonic()
    for number in range(rate * 12):
        name, address = f"n{number % 50}.d38.test", f"2001:db8:1::38:{number:x}"
        stage.server.script(name, "AAAA", Step(answer=[f"{name} 2 AAAA {address}"]))
        stage.resolve("ep1", name, "AAAA")
        lost += number % 10 == 0 and not stage.connect("ep1", address, timeout_seconds=0.5).is_connected
        if number % rate == 0:
            sizes.append(_elements(stage))
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
    assert lost == 0
    assert max(sizes[4:]) <= max(1.5 * max(sizes[2:5]), 6 * rate), sizes


def test_d40_an_endpoint_at_its_bound_keeps_what_it_has(stage: Stage):
    stage.run_agent(dnsMaxElementsPerEndpoint=1000)
    stage.permit("ep1", "d40.test")
    told: list[str] = []
    for start in range(0, 1200, 50):
        addresses = [f"2001:db8:1::40:{number:x}" for number in range(start, start + 50)]
        stage.server.script("d40.test", "AAAA", Step(answer=[f"d40.test 300 AAAA {each}" for each in addresses]))
        told += stage.resolve("ep1", "d40.test", "AAAA")
    assert len(told) == 1200
    assert _elements(stage) == 1000
    assert stage.connect("ep1", told[0]).is_connected
    stage.assert_denied("ep1", told[-1])
    assert stage.counters()["cap-endpoint"] >= 200
    assert stage.reasons("ep1", told[-1]) == ["cap-endpoint", "not-open"]


def test_d48_ten_thousand_names_slow_no_answer_down(stage: Stage):
    stage.permit("ep1", "*.d48.test")

    def median_ms(prefix: str) -> float:
        took = []
        for number in range(200):
            name = f"{prefix}{number}.d48.test"
            stage.server.script(name, "AAAA", Step(answer=[f"{name} 300 AAAA 2001:db8:1::48:{number:x}"]))
            started = time.perf_counter()
            stage.resolve("ep1", name, "AAAA")
            took.append(time.perf_counter() - started)
        return sorted(took)[100] * 1000

    before = median_ms("a")
    for start in range(0, 10_000, 200):
        name = f"p{start}.d48.test"
        lines = [f"{name} 300 AAAA 2001:db8:1::4:{number:x}" for number in range(start, start + 200)]
        stage.server.script(name, "AAAA", Step(answer=lines))
        stage.resolve("ep1", name, "AAAA")
    assert _elements(stage) >= 10_000
    assert median_ms("b") < before * 1.5 + 0.5


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
