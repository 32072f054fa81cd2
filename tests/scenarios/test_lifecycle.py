"""Scenarios D64 to D78: death, restart, and other programs' hands in the kernel."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import dnslib
import pytest

from tests.lab.scripted import Step, udp_client
from tests.scenarios.conftest import Stage, endpoint
from tidegate.api.client import AgentUnreachableError
from tidegate.demo import servers
from tidegate.demo.lab import Pod
from tidegate.demo.namespace import LabError

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
    told_at: dict[str, float] = {}
    for name in (*(name for name, _ in names), *(f"b{start}.d66.test" for start in range(0, len(bulk), 50))):
        told_at |= dict.fromkeys(stage.resolve("ep1", name, "AAAA"), time.monotonic())
    assert len(told_at) == 5100
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
    assert set(told_at) <= {item["ip"] for item in stage.agent.get("names")}
    elements = dict(_elements(stage))
    now = time.monotonic()
    # Neither prolonged by the second life, nor cut.
    off = {address: elements[address] - (120 - (now - at)) for address, at in told_at.items()}
    assert max(map(abs, off.values())) < 1, off


def _elements(stage: Stage, source: str = "") -> Iterator[tuple[str, float]]:
    """Learned addresses in the kernel with the seconds they have left; of one endpoint address, or of all."""
    listing = stage.lab.node.command("nft", "list", "table", "inet", "tidegate")
    for part in listing.replace("elements = {", "\n").replace(",", "\n").splitlines():
        words = part.split()
        if "expires" in words and words[1] == "." and source in ("", words[0]):
            yield words[2], _seconds(words[words.index("expires") + 1])


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
    repairs = stage.agent.get("status")["counters"]["repairs"]
    stage.lab.node.command("nft", blow)
    flushed_at = time.monotonic()
    stage.until(lambda: _is_closed(stage), 1.0, "the table is back")
    stage.until(lambda: address in dict(_learned(stage)), 1.0, "what was learned is back")
    assert time.monotonic() - flushed_at < 1.0
    stage.assert_passes("ep1", address)
    assert 297 < dict(_learned(stage))[address] < 300
    assert stage.agent.get("status")["counters"]["repairs"] > repairs
    stage.resolve("ep1", name)
    stage.assert_passes("ep1", address)


def _learned(stage: Stage) -> list[tuple[str, float]]:
    """As `_elements`; none while there is no table."""
    try:
        return list(_elements(stage))
    except LabError:
        return []


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


@pytest.mark.parametrize("is_gone_between", [True, False])
def test_d72_an_address_that_is_used_again_inherits_nothing(stage: Stage, is_gone_between: bool):
    address, name = stage.fresh4(), f"d72{int(is_gone_between)}.test"
    stage.server.address(name, address, ttl=300)
    pod = stage.lab.pod("ep2")
    stage.permit("ep2", name, port=[443, 8443])
    with servers.tcp_acceptors(stage.lab.world, (8443,)):
        stage.resolve("ep2", name)
        stage.assert_passes("ep2", address)
        with pod.namespace.entered():
            former = socket.create_connection((address, 8443), 1)
        try:
            assert _inherited(stage, pod)
            if is_gone_between:
                (stage.resources / "ep2.yaml").unlink()
                stage.until(lambda: "test/ep2" not in _endpoints(stage), 5, "the endpoint is gone")
            stage.put("ep2", endpoint(pod, "ep3"), wait=False)
            stage.until(lambda: "test/ep3" in _endpoints(stage), 5, "the endpoint is there")
            stage.wait_in_force()
            assert _inherited(stage, pod) == []
            stage.assert_denied("ep2", address)
            former.send(b"still there?")
            stage.settle()
            assert _inherited(stage, pod) == []
        finally:
            former.close()
            stage.put("ep2", endpoint(pod), wait=False)
            stage.until(lambda: "test/ep2" in _endpoints(stage), 5, "the endpoint is back")
            stage.wait_in_force()


def _endpoints(stage: Stage) -> set[str]:
    return {item["id"] for item in stage.agent.get("endpoints")}


def _inherited(stage: Stage, pod: Pod) -> list[str]:
    """What the kernel knows of the pod's address: learned elements, and connections that may go on."""
    source = str(pod.address4)
    flows = stage.lab.node.command("conntrack", "-L", "-p", "tcp", "-s", source).splitlines()
    going_on = [flow for flow in flows if "ESTABLISHED" in flow]
    return [address for address, _ in _elements(stage, source)] + going_on


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
    # This kernel would take the rules; one that really has no queues would refuse the whole table for them.
    assert "queue" not in stage.lab.node.command("nft", "list table inet tidegate")
    address = stage.fresh4()
    stage.server.address("d78.test", address)
    stage.permit("ep1", "d78.test")
    stage.assert_denied("ep1", address)
    stage.resolve("ep1", "d78.test")
    stage.until(lambda: stage.connect("ep1", address, timeout_seconds=0.3).is_connected, 3, "the name was learned")
    stage.assert_denied("ep1", stage.fresh4())


def test_d63_a_dns_conversation_older_than_the_policy_is_read(stage: Stage):
    """The client keeps its port: conntrack knew the flow before anybody listened."""
    address = stage.fresh4()
    stage.server.address("d63.test", address)
    stage.server.address("d63old.test", stage.fresh4())
    stage.permit("ep1")
    with udp_client(stage.lab.pod("ep1").namespace, "10.0.53.53") as client:
        client.settimeout(2)
        client.send(dnslib.DNSRecord.question("d63old.test").pack())
        client.recv(4096)
        stage.permit("ep1", "d63.test")
        client.send(dnslib.DNSRecord.question("d63.test").pack())
        client.recv(4096)
        stage.assert_passes("ep1", address)


def test_d65_without_a_learner_fail_closed_stops_dns_of_workloads_with_rules_by_name(stage: Stage):
    stage.run_agent(dnsFailClosed=True)
    address = stage.fresh4()
    stage.server.address("d65.test", address)
    stage.permit("ep1", "d65.test")
    stage.permit("ep2")
    for pid in _pids(stage):
        os.kill(pid, signal.SIGKILL)
    assert stage.agent.process is not None
    stage.agent.process.wait()
    stage.agent.process = None
    try:
        with pytest.raises(TimeoutError):
            stage.resolve("ep1", "d65.test")
        assert stage.resolve("ep2", "d65.test") == [address]
    finally:
        stage.start_agent()
    assert stage.resolve("ep1", "d65.test") == [address]
    stage.assert_passes("ep1", address)


def _dns_service(*endpoints: str) -> list[dict[str, Any]]:
    labels = {"kubernetes.io/service-name": "dns"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "dns", "namespace": "net"},
            "spec": {"clusterIP": "None", "ports": [{"name": "dns", "protocol": "UDP", "port": 53}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "dns-1", "namespace": "net", "labels": labels},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address]} for address in endpoints],
            "ports": [{"name": "dns", "protocol": "UDP", "port": 53}],
        },
    ]


def test_d75_a_trusted_service_that_comes_late_and_moves_is_followed(stage: Stage):
    stage.run_agent(dnsTrustedServers=["k8s-service:net/dns"])
    took = []
    try:
        for number, server in enumerate(("10.0.53.53", "10.0.53.66"), start=1):
            name, address = f"d75-{number}.test", stage.fresh4()
            stage.server.address(name, address)
            stage.permit("ep1", name)
            began = time.monotonic()
            stage.put("dns", *_dns_service(server), wait=False)
            stage.until(partial(_is_learned, stage, name, server), 5, f"names are learned of {server}")
            took.append(time.monotonic() - began)
            stage.until(partial(_trusts, stage, server), 5, f"{server} is trusted")
            stage.wait_in_force()
            assert stage.resolve("ep1", name, server=server) == [address]
            stage.assert_passes("ep1", address)
    finally:
        (stage.resources / "dns.yaml").unlink(missing_ok=True)
    assert min(took) < 1, took  # what runs beside us may take a second of one of them


def _is_learned(stage: Stage, name: str, server: str) -> bool:
    (address,) = stage.resolve("ep1", name, server=server)
    return stage.connect("ep1", address, timeout_seconds=0.05).is_connected


def _trusts(stage: Stage, server: str) -> bool:
    try:
        return f"{server}:53" in stage.agent.get("status")["trusted_servers"]
    except AgentUnreachableError:
        return False  # it starts itself again


def test_d77_a_cache_on_a_link_local_address_is_a_trusted_server(stage: Stage):
    """As NodeLocal DNSCache: the stub answers on the node itself."""
    stage.run_agent(dnsTrustedServers=["169.254.20.10", "10.0.53.53"], defaultEndpointToHostAction="Accept")
    address = stage.fresh4()
    stage.server.address("d77.test", address)
    node = stage.lab.node
    node.command("ip", "address", "add", "169.254.20.10/32", "dev", "lo")
    try:
        with stage.server.running(node):
            stage.permit("ep1", "d77.test")
            assert stage.resolve("ep1", "d77.test", server="169.254.20.10") == [address]
            stage.assert_passes("ep1", address)
    finally:
        node.command("ip", "address", "del", "169.254.20.10/32", "dev", "lo")
