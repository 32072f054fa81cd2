"""Scenarios D27 to D36: how long an address stays open."""

import json
import os
import signal
import socket
import sys
import time

import pytest

from tests.lab.scripted import Step
from tests.scenarios.conftest import Stage, policy
from tidegate.demo import servers

pytestmark = pytest.mark.kernel


def unacknowledged(client: socket.socket) -> int:
    """Segments that the far side has not confirmed (tcp(7): TCP_INFO, tcpi_unacked)."""
    return int.from_bytes(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)[24:28], sys.byteorder)


class Since:
    """Sleeps until so many seconds after it was made."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    def at(self, seconds: float) -> None:
        time.sleep(max(0.0, self.start + seconds - time.monotonic()))


@pytest.mark.parametrize("agent_is_stopped", [False, True])
def test_d27_an_address_closes_with_its_ttl_by_the_kernel_alone(stage: Stage, agent_is_stopped: bool):
    address, name = stage.fresh4(), f"d27{int(agent_is_stopped)}.test"
    stage.server.address(name, address, ttl=3)
    stage.permit("ep1", name)
    since = Since()
    stage.resolve("ep1", name)
    packets_pid = stage.agent.get("status")["packets"]["pid"]
    stopped = [stage.agent.process.pid, packets_pid] if agent_is_stopped and stage.agent.process else []
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        since.at(1)
        stage.assert_passes("ep1", address)
        since.at(2.8)
        assert stage.connect("ep1", address).is_connected
        since.at(3.8)
        before = stage.wire.syns(address, 443)
        assert not stage.connect("ep1", address, timeout_seconds=0.3).is_connected
        assert stage.wire.syns(address, 443) == before
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def test_d28_extra_ttl_is_added(stage: Stage):
    address = stage.fresh4()
    stage.server.address("d28.test", address, ttl=1)
    stage.permit("ep1", "d28.test", annotations={"dns.tidegate.io/extra-ttl": "2s"})
    since = Since()
    stage.resolve("ep1", "d28.test")
    since.at(2.4)
    stage.assert_passes("ep1", address)
    since.at(3.8)
    stage.assert_denied("ep1", address)


def test_d29_a_ttl_of_zero_lives_for_the_floor(stage: Stage):
    address = stage.fresh4()
    stage.server.address("d29.test", address, ttl=0)
    stage.permit("ep1", "d29.test", annotations={"dns.tidegate.io/ttl-floor": "3s"})
    since = Since()
    stage.resolve("ep1", "d29.test")
    since.at(1.5)
    stage.assert_passes("ep1", address)
    since.at(3.8)
    stage.assert_denied("ep1", address)


@pytest.mark.parametrize(("ttl", "most_seconds"), [(2**31 - 1, 60), (2**31, 10)], ids=["huge", "top-bit"])
def test_d30_a_huge_ttl_lives_for_the_ceiling(stage: Stage, ttl: int, most_seconds: int):
    address, name = stage.fresh4(), f"d30{ttl % 7}.test"
    stage.server.address(name, address, ttl=ttl)
    options = {"dns.tidegate.io/ttl-ceiling": "60s", "dns.tidegate.io/ttl-floor": "10s"}
    stage.permit("ep1", name, annotations=options)
    stage.resolve("ep1", name)
    listing = stage.lab.node.command("nft", "list", "table", "inet", "tidegate")
    line = next(text for text in listing.replace(", ", "\n").splitlines() if address in text)
    timeout = line.split("timeout ")[1].split()[0]
    seconds = {"10s": 10, "60s": 60, "1m": 60}.get(timeout)
    assert seconds is not None, line
    assert seconds <= most_seconds


def test_d32_each_connection_prolongs_the_grace_and_idleness_ends_it(stage: Stage):
    address, unused, name = stage.fresh4(), stage.fresh4(), "d32.test"
    stage.server.script(name, "A", Step(answer=[f"{name} 2 A {address}", f"{name} 2 A {unused}"]))
    stage.permit("ep1", name, annotations={"dns.tidegate.io/grace": "10s"})
    since = Since()
    stage.resolve("ep1", name)
    stage.assert_passes("ep1", address)
    for number in range(1, 5):
        since.at(5 * number)
        stage.assert_passes("ep1", address)
    stage.assert_denied("ep1", unused)
    assert stage.reasons("ep1", address)[0] == "grace"
    since.at(20 + 12)
    stage.assert_denied("ep1", address)


def test_grace_outlives_the_packet_process_and_not_its_policy(stage: Stage):
    address, name = stage.fresh4(), "graced.test"
    stage.server.address(name, address, ttl=3)
    graced = {"dns.tidegate.io/grace": "60s"}
    stage.permit("ep1", name, annotations=graced)
    stage.permit("ep2", name, annotations=graced)
    since = Since()
    for pod in ("ep1", "ep2"):
        stage.resolve(pod, name)
        stage.assert_passes(pod, address)
    since.at(4)
    stage.replace_packet_process()
    stage.agent.stop()
    stage.start_agent()
    for pod in ("ep1", "ep2"):
        stage.assert_passes(pod, address)
    stage.permit("ep1", "other.test", annotations=graced)  # the set goes on for ep2 alone
    stage.assert_denied("ep1", address)
    stage.permit("ep1", name, annotations=graced)
    stage.assert_denied("ep1", address)
    stage.assert_passes("ep2", address)
    told = json.loads(stage.agent.call("names", "-o", "json").stdout)
    assert [(one["endpoint"], one["grace"]) for one in told if one["ip"] == address] == [("test/ep2", True)]


def test_d33_each_address_lives_its_own_time(stage: Stage):
    first, second = stage.fresh4(), stage.fresh4()
    stage.server.script(
        "d33.test", "A", Step(answer=[f"d33.test 30 A {first}"]), Step(answer=[f"d33.test 30 A {second}"])
    )
    stage.permit("ep1", "d33.test")
    stage.resolve("ep1", "d33.test")
    stage.resolve("ep1", "d33.test")
    stage.assert_passes("ep1", first)
    stage.assert_passes("ep1", second)


def test_d34_names_that_share_an_address_keep_their_own_ports_and_times(stage: Stage):
    address = stage.fresh4()
    stage.server.address("d34a.test", address, ttl=1)
    stage.server.address("d34b.test", address, ttl=60)
    document = policy("d34", "ep1", ["d34a.test"])
    other = policy("x", "ep1", ["d34b.test"], port=80)["spec"]["egress"][-1]
    document["spec"]["egress"].append(other)
    stage.put("policy-ep1", document)
    since = Since()
    stage.resolve("ep1", "d34a.test")
    stage.resolve("ep1", "d34b.test")
    stage.assert_passes("ep1", address, 443)
    since.at(2)
    stage.assert_denied("ep1", address, 443)
    stage.assert_passes("ep1", address, 80)


def test_d35_an_address_lives_as_long_as_one_of_its_names(stage: Stage):
    address = stage.fresh4()
    stage.server.address("d35a.test", address, ttl=1)
    stage.server.address("d35b.test", address, ttl=60)
    stage.permit("ep1", "d35a.test", "d35b.test")
    since = Since()
    stage.resolve("ep1", "d35b.test")
    stage.resolve("ep1", "d35a.test")
    since.at(2)
    stage.assert_passes("ep1", address)


def test_d36_a_shorter_ttl_never_shortens(stage: Stage):
    address = stage.fresh4()
    stage.server.script(
        "d36.test", "A", Step(answer=[f"d36.test 60 A {address}"]), Step(answer=[f"d36.test 1 A {address}"])
    )
    stage.permit("ep1", "d36.test")
    since = Since()
    stage.resolve("ep1", "d36.test")
    stage.resolve("ep1", "d36.test")
    since.at(2.2)
    stage.assert_passes("ep1", address)


def test_d23_each_family_lives_its_own_time(stage: Stage):
    address4, address6 = stage.fresh4(), stage.fresh6()
    stage.server.script("d23.test", "A", Step(answer=[f"d23.test 300 A {address4}"]))
    stage.server.script("d23.test", "AAAA", Step(answer=[f"d23.test 2 AAAA {address6}"]))
    stage.permit("ep1", "d23.test")
    since = Since()
    stage.resolve("ep1", "d23.test")
    stage.resolve("ep1", "d23.test", "AAAA")
    assert stage.connect("ep1", address6).is_connected
    since.at(3.5)
    stage.assert_denied("ep1", address6)
    stage.assert_passes("ep1", address4)


def test_d31_an_open_connection_outlives_its_address(stage: Stage):
    address = stage.fresh4()
    stage.server.address("d31.test", address, ttl=1)
    stage.permit("ep1", "d31.test", port=8031)
    with stage.lab.pod("ep1").namespace.entered():
        client = socket.socket()
    with servers.tcp_acceptors(stage.lab.world, (8031,)), client:
        stage.resolve("ep1", "d31.test")
        client.connect((address, 8031))
        since = Since()
        for second in range(4):
            since.at(second)
            client.send(b"x")
        stage.assert_denied("ep1", address, 8031)
        client.send(b"y")
        stage.until(lambda: unacknowledged(client) == 0, 2, "all was received")


@pytest.mark.timeout(60)
def test_d37_answers_that_count_down_leave_no_gap(stage: Stage):
    """A stub's cache hands out what is left of a TTL; each answer that is delivered prolongs."""
    address = stage.fresh4()
    stage.permit("ep1", "d37.test")
    since, failures = Since(), 0
    for second in range(15):
        left = 5 - second % 5
        stage.server.address("d37.test", address, ttl=left)
        since.at(second)
        stage.resolve("ep1", "d37.test")
        for quarter in range(4):
            since.at(second + quarter / 4)
            failures += not stage.connect("ep1", address, timeout_seconds=0.2).is_connected
    assert failures == 0


def test_an_answer_that_the_name_does_not_exist_closes_nothing(stage: Stage):
    address = stage.fresh4()
    answers = Step(answer=[f"gone.test 60 A {address}"])
    stage.server.script("gone.test", "A", answers, Step(rcode="NXDOMAIN"))
    stage.permit("ep1", "gone.test")
    stage.resolve("ep1", "gone.test")
    assert stage.resolve("ep1", "gone.test") == []
    stage.assert_passes("ep1", address)
