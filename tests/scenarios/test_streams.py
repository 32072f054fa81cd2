"""Scenarios D39, D55 and D56: DNS over TCP, taken over message by message."""

import os
import signal
import socket
import struct
from pathlib import Path

import pytest

from tests.lab.scripted import Step, ask_stream, framed_query, read_reply, stream_client
from tests.scenarios.conftest import Stage, policy

pytestmark = pytest.mark.kernel


def _addresses(reply) -> list[str]:
    return [str(record.rdata) for record in reply.rr]


def test_d39_three_hundred_addresses_in_one_answer_are_delivered_and_the_cap_is_learned(stage: Stage):
    name, first, late = "d39.test", stage.fresh4(), stage.fresh4()
    many = [f"{name} 60 A {first}", *(f"{name} 60 A 192.0.2.{number % 250}" for number in range(298))]
    stage.server.script(name, "A", Step(answer=[*many, f"{name} 60 A {late}"]))
    stage.permit("ep1", name)
    with stage.counting("cap-answer"):
        [reply] = ask_stream(stage.lab.pod("ep1").namespace, name)
    assert len(reply.rr) == 300
    stage.assert_passes("ep1", first)
    stage.assert_denied("ep1", late)


def test_d39_twenty_four_addresses_are_all_learned(stage: Stage):
    name, last = "d39b.test", stage.fresh4()
    many = [f"{name} 60 A 192.0.2.{number}" for number in range(1, 24)]
    stage.server.script(name, "A", Step(answer=[*many, f"{name} 60 A {last}"]))
    stage.permit("ep1", name)
    assert len(stage.ask("ep1", name).rr) == 24
    stage.assert_passes("ep1", last)


@pytest.mark.parametrize("version", [4, 6])
def test_d55_a_truncated_answer_and_its_repetition_over_tcp(stage: Stage, version: int):
    fresh, qtype = (stage.fresh4, "A") if version == 4 else (stage.fresh6, "AAAA")
    server = "10.0.53.53" if version == 4 else "fd00:53::53"
    name, addresses = f"d55v{version}.test", [fresh() for _ in range(5)]
    lines = [f"{name} 60 {qtype} {address}" for address in addresses]
    stage.server.script(
        name, qtype, Step(answer=lines[:1], truncated=True, only_over="UDP"), Step(answer=lines, only_over="TCP")
    )
    stage.permit("ep1", name)
    with stage.counting("truncated"):
        assert stage.ask("ep1", name, qtype, server=server).header.tc
    with stage.counting("tcp-connections", "tcp-queries", "tcp-answers"):
        [reply] = ask_stream(stage.lab.pod("ep1").namespace, name, qtype=qtype, server=server)
    assert len(reply.rr) == 5
    stage.assert_passes("ep1", addresses[4])
    stage.assert_passes("ep1", addresses[0])


def _reason(stage: Stage, of_type: str) -> str:
    return next(each["reason"] for each in stage.agent.get("status")["conditions"] if each["type"] == of_type)


SEGMENTS = {"prefix-split": [1], "byte-at-a-time": [1] * 60, "after-prefix": [2, 12], "whole": []}


@pytest.mark.parametrize("plan", SEGMENTS)
def test_d56_an_answer_in_any_pieces(stage: Stage, plan: str):
    name, address = f"d56{plan}.test", stage.fresh4()
    stage.server.script(name, "A", Step(answer=[f"{name} 60 A {address}"], segments=SEGMENTS[plan]))
    stage.permit("ep1", name)
    [reply] = ask_stream(stage.lab.pod("ep1").namespace, name)
    assert _addresses(reply) == [address]
    stage.assert_passes("ep1", address)


def test_d56_a_query_byte_by_byte(stage: Stage):
    name, address = "d56q.test", stage.fresh4()
    stage.server.address(name, address)
    stage.permit("ep1", name)
    with stream_client(stage.lab.pod("ep1").namespace, "10.0.53.53") as client:
        client.settimeout(3)
        client.connect(("10.0.53.53", 53))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in framed_query(name, "A", 7):
            client.send(bytes([byte]))
        assert _addresses(read_reply(client)) == [address]
    stage.assert_passes("ep1", address)


def test_d56_pipelined_queries_and_two_replies_in_a_segment(stage: Stage):
    names, addresses = [f"d56p{number}.test" for number in range(40)], [stage.fresh4() for _ in range(2)]
    for number, name in enumerate(names):
        stage.server.address(name, addresses[number % 2])
    stage.permit("ep1", *names)
    replies = ask_stream(stage.lab.pod("ep1").namespace, *names)
    assert [reply.header.id for reply in replies] == list(range(100, 140))
    for address in addresses:
        stage.assert_passes("ep1", address)


def test_d56_an_answer_beyond_sixteen_kilobytes(stage: Stage):
    name, address = "d56big.test", stage.fresh4()
    padding = [f'{name} 60 TXT "{"x" * 200}{number}"' for number in range(100)]
    stage.server.script(name, "A", Step(answer=[f"{name} 60 A {address}", *padding]))
    stage.permit("ep1", name)
    [reply] = ask_stream(stage.lab.pod("ep1").namespace, name)
    assert len(reply.pack()) > 16_384
    stage.assert_passes("ep1", address)


def test_d56_a_reset_in_the_middle_ends_the_client_and_leaves_nothing(stage: Stage):
    name, address = "d56r.test", stage.fresh4()
    stage.server.script(name, "A", Step(answer=[f"{name} 60 A {address}"], resets_after=20))
    stage.permit("ep1", name)
    with pytest.raises((EOFError, ConnectionError)):
        ask_stream(stage.lab.pod("ep1").namespace, name)
    stage.until(lambda: stage.agent.get("status")["counts"]["DNS connections"] == 0, 5, "no connection is left")
    stage.assert_denied("ep1", address)


@pytest.mark.parametrize("length", [0, 5, 11])
def test_d56_lengths_that_cannot_be_end_the_connection(stage: Stage, length: int):
    name = f"d56l{length}.test"
    stage.server.script(name, "A", Step(raw_stream=struct.pack("!H", length) + bytes(20)))
    stage.permit("ep1", name)
    with stage.counting("tcp-framing"), pytest.raises((EOFError, ConnectionError)):
        ask_stream(stage.lab.pod("ep1").namespace, name)


def test_the_server_sees_the_workload_itself(stage: Stage):
    stage.server.address("seen.test", stage.fresh4())
    stage.permit("ep1", "seen.test")
    stage.server.clients.clear()
    ask_stream(stage.lab.pod("ep1").namespace, "seen.test")
    assert [address for address, _ in stage.server.clients] == [str(stage.lab.pod("ep1").address4)]


def test_policy_is_asked_about_the_connection_as_the_workload_made_it(stage: Stage):
    """A workload whose policy does not let it speak TCP with the server does not get through by way of the listener."""
    stage.permit("ep1", "no-tcp.test")
    document = policy("no-tcp", "ep1", ["no-tcp.test"])
    document["spec"]["egress"] = [rule for rule in document["spec"]["egress"] if rule["protocol"] == "UDP"]
    stage.put("policy-ep1", document)
    before = stage.counters().get("tcp-connections", 0)
    with pytest.raises(TimeoutError):
        ask_stream(stage.lab.pod("ep1").namespace, "no-tcp.test", timeout_seconds=0.5)
    assert stage.counters().get("tcp-connections", 0) == before


def test_an_untrusted_server_is_not_taken_over(stage: Stage):
    name, address = "d50tcp.test", stage.fresh4()
    stage.server.address(name, address)
    stage.permit("ep1", name)
    with stage.counting("tcp-connections", by=0):
        [reply] = ask_stream(stage.lab.pod("ep1").namespace, name, server="10.0.53.66")
    assert _addresses(reply) == [address]
    stage.assert_denied("ep1", address)


def test_nobody_reaches_the_listener_by_its_own_address(stage: Stage):
    stage.permit("ep1", "self.test")
    with stream_client(stage.lab.pod("ep1").namespace, "169.254.1.1") as client:
        client.settimeout(0.3)
        with pytest.raises(OSError, match=r"timed out|refused"):
            client.connect(("169.254.1.1", 15053))


def test_without_a_listener_answers_over_tcp_are_delivered_unread(stage: Stage):
    name, address = "alone.test", stage.fresh4()
    stage.server.address(name, address)
    stage.run_agent(dnsReadTCP=False)
    stage.permit("ep1", name)
    assert _reason(stage, "DNSOverTCP") == "Off"
    [reply] = ask_stream(stage.lab.pod("ep1").namespace, name)
    assert _addresses(reply) == [address]
    stage.assert_denied("ep1", address)


def test_a_dead_packet_process_leaves_tcp_to_the_server(stage: Stage):
    """The rule takes over only what somebody listens for: the kernel lets the others go their way."""
    name, address = "dead.test", stage.fresh4()
    stage.server.address(name, address)
    stage.permit("ep1", name)
    pid = stage.agent.get("status")["packets"]["pid"]
    stage.agent.stop()
    os.kill(pid, signal.SIGKILL)
    stage.until(lambda: not _is_alive(pid), 5, "the packet process is dead")
    [reply] = ask_stream(stage.lab.pod("ep1").namespace, name)
    assert _addresses(reply) == [address]
    assert not stage.connect("ep1", address, 443, 0.3).is_connected
    stage.start_agent()
    [reply] = ask_stream(stage.lab.pod("ep1").namespace, name)
    stage.assert_passes("ep1", address)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
