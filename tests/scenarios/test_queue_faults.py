"""Scenario D74: the queue's socket fails under the packet process, in every way we can make it fail."""

import os
import signal
import socket

import dnslib
import pytest

from tests.lab.borrowed import borrowed, queue_port, unbind
from tests.lab.scripted import Step, udp_client
from tests.scenarios.conftest import ANSWERS, Stage

pytestmark = pytest.mark.kernel
FLOOD = 300
SMALLEST_BYTES = 1
"""The kernel makes it what it takes for one small packet."""


def _names(stage: Stage, zone: str, count: int) -> list[tuple[str, str]]:
    part = 0x740 + ord(zone[3])
    pairs = [(f"n{index}.{zone}", f"2001:db8:1::{part:x}:{index:x}") for index in range(count)]
    for name, address in pairs:
        stage.server.script(name, "AAAA", Step(answer=[f"{name} 60 AAAA {address}"]))
    return pairs


def _all_is_as_before(stage: Stage, zone: str) -> None:
    stage.permit("ep1", f"*.{zone}")
    for name, address in _names(stage, zone, 100):
        stage.resolve("ep1", name, "AAAA")
        stage.assert_passes("ep1", address, within_seconds=0.5)


def _packets(stage: Stage) -> int:
    return int(stage.agent.get("status")["packets"]["pid"])


def _queues(stage: Stage) -> str:
    """What status says of the queues."""
    return next(item["reason"] for item in stage.agent.get("status")["conditions"] if item["type"] == "Queues")


def test_d74_a_queue_that_is_unbound_behind_its_reader_is_bound_again_within_a_second(stage: Stage):
    stage.permit("ep1", "*.d74u.test")
    node, before = stage.lab.node, queue_port(stage.lab.node, ANSWERS)
    assert before is not None
    rebinds = stage.counters()["answers-rebinds"]
    with borrowed(_packets(stage), before) as one:
        unbind(one, ANSWERS)
        assert queue_port(node, ANSWERS) is None
    stage.until(lambda: queue_port(node, ANSWERS) not in {None, before}, 1.5, "the queue has a reader again")
    stage.until(lambda: stage.counters()["answers-rebinds"] == rebinds + 1, 2, "it is counted")
    _all_is_as_before(stage, "d74u.test")


def test_d74_answers_that_find_the_socket_full_are_delivered_unlearned_and_counted(stage: Stage):
    stage.permit("ep1", "*.d74o.test")
    pid, port = _packets(stage), queue_port(stage.lab.node, ANSWERS)
    assert port is not None
    before = stage.counters()
    with borrowed(pid, port) as one:
        size = one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        os.kill(pid, signal.SIGSTOP)
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALLEST_BYTES)
            with udp_client(stage.lab.pod("ep1").namespace, "10.0.53.53") as client:
                for name, _ in _names(stage, "d74o.test", FLOOD):
                    client.send(dnslib.DNSRecord.question(name, "AAAA").pack())
        finally:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
            os.kill(pid, signal.SIGCONT)
    stage.until(lambda: stage.counters()["answers-missed"] > before["answers-missed"], 5, "the loss is counted")
    stage.until(lambda: _queues(stage) == "Losing", 5, "status tells of it")
    _all_is_as_before(stage, "d74p.test")
