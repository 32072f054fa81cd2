"""Scenario D60 and its neighbours: a connection to a shared address must itself name what policy allows."""

import os
import signal
import socket
import ssl
import time

import pytest

from tests.dnsagent.greetings import ech, hello, padding, request
from tests.lab.hearing import HEARD, Heard, Hearing, hearing
from tests.lab.scripted import Step
from tests.scenarios.conftest import Stage

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("plain", "secured", "eager")]

PLAIN, TLS, GREETING = 8443, 9443, 2525
BIND = {"dns.tidegate.io/sni": "bind"}


@pytest.fixture(scope="module")
def plain(_stage: Stage):
    with hearing(_stage.lab.world, PLAIN) as heard:
        yield heard


@pytest.fixture(scope="module")
def secured(_stage: Stage):
    with hearing(_stage.lab.world, TLS, tls=True) as heard:
        yield heard


@pytest.fixture(scope="module")
def eager(_stage: Stage):
    with hearing(_stage.lab.world, GREETING, greeting=b"220 ready\r\n") as heard:
        yield heard


def _open(stage: Stage, pod: str, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with stage.lab.pod(pod).namespace.entered():
        client = socket.socket(family, socket.SOCK_STREAM)
    client.settimeout(8)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        client.connect((address, port))
    except OSError:
        client.close()
        raise
    return client


def _bound(stage: Stage, name: str, *, version: int = 4, **more: str) -> str:
    """A learned address under a policy that binds it to the name; another name has it as well."""
    address, qtype = (stage.fresh4(), "A") if version == 4 else (stage.fresh6(), "AAAA")
    server = "10.0.53.53" if version == 4 else "fd00:53::53"
    stage.server.script(name, qtype, Step(answer=[f"{name} 60 {qtype} {address}"]))
    stage.permit(
        "ep1",
        name,
        port=[PLAIN, TLS, GREETING],
        annotations=BIND | {f"dns.tidegate.io/{k}": v for k, v in more.items()},
    )
    assert stage.resolve("ep1", name, qtype, server=server) == [address]
    return address


def _says(stage: Stage, address: str, *parts: bytes) -> bytes:
    """What a server answers to these bytes, each part a segment of its own; empty after a reset."""
    with _open(stage, "ep1", address, PLAIN) as client:
        try:
            for part in parts:
                client.sendall(part)
                time.sleep(0.01)
            return client.recv(100)
        except ConnectionResetError:
            return b""


def _greets(stage: Stage, address: str, name: str | None) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    client = _open(stage, "ep1", address, TLS)
    try:
        with context.wrap_socket(client, server_hostname=name, do_handshake_on_connect=False) as tls:
            tls.do_handshake()
            tls.sendall(b"hello")
            return tls.recv(100)
    except ConnectionResetError:
        return b""
    finally:
        client.close()


def _last(stage: Stage, heard: Hearing, number: int) -> Heard:
    """The connection of this number, counted from one, when it has ended; the last one."""
    stage.until(lambda: len(heard.connections) >= number and heard.connections[-1].end, 5, "the server saw the end")
    assert len(heard.connections) == number
    return heard.connections[-1]


@pytest.mark.parametrize("version", [4, 6])
def test_d60_a_greeting_passes_by_its_own_name_and_is_reset_by_another(stage: Stage, secured: Hearing, version: int):
    address = _bound(stage, f"d60v{version}.test", version=version)
    with stage.counting("named-allowed", by=1):
        assert _greets(stage, address, f"d60v{version}.test") == HEARD
    assert secured.connections[-1].name == f"d60v{version}.test"
    count = len(secured.connections)
    with stage.counting("named-refused", "named-other-name", by=1):
        assert _greets(stage, address, "evil.test") == b""
    assert _last(stage, secured, count + 1) == Heard(end="reset")


def test_d60_without_a_name_the_policy_chooses(stage: Stage, plain: Hearing):
    address, count = _bound(stage, "d60none.test"), len(plain.connections)
    with stage.counting("named-no-name"):
        assert _says(stage, address, hello(None)) == b""
    assert _last(stage, plain, count + 1) == Heard(end="reset")
    address = _bound(stage, "d60none.test", **{"sni-missing": "allow"})
    assert _says(stage, address, hello(None)) == HEARD


def test_d60_a_split_greeting_passes_whole(stage: Stage, plain: Hearing):
    address = _bound(stage, "d60split.test")
    data = hello("d60split.test")
    assert _says(stage, address, data[:20], data[20:70], data[70:]) == HEARD
    assert plain.connections[-1].data.startswith(data[:20])
    stage.until(lambda: plain.connections[-1].data == data, 2, "all of it has come")
    assert _says(stage, address, hello("evil.test")[:60], hello("evil.test")[60:]) == b""


def test_a_segment_that_is_sent_again_while_it_is_held_goes_on_once(stage: Stage, plain: Hearing):
    address = _bound(stage, "again.test")
    data = hello("again.test")
    with _open(stage, "ep1", address, PLAIN) as client:
        before = stage.counters().get("named-copies", 0)
        client.sendall(data[:50])
        stage.until(lambda: stage.counters().get("named-copies", 0) > before, 4, "the segment was sent again")
        client.sendall(data[50:])
        assert client.recv(100) == HEARD
    stage.until(lambda: plain.connections[-1].data == data, 2, "all of it has come")


def test_a_greeting_of_sixteen_kilobytes_passes_where_its_name_comes_early(stage: Stage, plain: Hearing):
    address = _bound(stage, "long.test")
    data = hello("long.test", padding(15_500))
    assert len(data) > 15_000
    assert _says(stage, address, data) == HEARD
    stage.until(lambda: plain.connections[-1].data == data, 2, "all of it has come")


def test_a_judged_connection_costs_nothing_more(stage: Stage, plain: Hearing):
    address = _bound(stage, "judged.test")
    with _open(stage, "ep1", address, PLAIN) as client:
        client.sendall(hello("judged.test"))
        assert client.recv(100) == HEARD
        before = stage.counters()["named-packets"]
        client.sendall(bytes(300_000))
        stage.until(lambda: len(plain.connections[-1].data) > 300_000, 5, "the data have come")
        assert stage.counters()["named-packets"] == before


def test_http_passes_by_its_host(stage: Stage):
    address = _bound(stage, "http.test")
    assert _says(stage, address, request("http.test")) == HEARD
    assert _says(stage, address, request("HTTP.test:8443")[:30], request("HTTP.test:8443")[30:]) == HEARD
    with stage.counting("named-other-name"):
        assert _says(stage, address, request("evil.test")) == b""


def test_what_is_neither_tls_nor_http_is_reset_at_both_ends(stage: Stage, plain: Hearing):
    address, count = _bound(stage, "raw.test"), len(plain.connections)
    with stage.counting("named-neither-tls-nor-http"):
        assert _says(stage, address, b"\0\1\2\3") == b""
    assert _last(stage, plain, count + 1) == Heard(end="reset")


def test_a_server_may_speak_first_but_the_client_must_still_name_itself(stage: Stage, eager: Hearing):
    address, count = _bound(stage, "eager.test"), len(eager.connections)
    with _open(stage, "ep1", address, GREETING) as client:
        assert client.recv(100) == b"220 ready\r\n"
        client.sendall(b"\0binary\r\n")
        with pytest.raises(ConnectionResetError):
            client.recv(100)
    assert _last(stage, eager, count + 1) == Heard(end="reset")


def test_an_encrypted_greeting_follows_the_policy(stage: Stage):
    address = _bound(stage, "ech.test")
    assert _says(stage, address, hello("ech.test", ech())) == HEARD
    address = _bound(stage, "ech.test", **{"sni-ech": "deny"})
    with stage.counting("named-ech"):
        assert _says(stage, address, hello("ech.test", ech())) == b""
    assert _says(stage, address, hello("ech.test")) == HEARD


def test_a_client_that_begins_and_does_not_end_is_reset(stage: Stage, plain: Hearing):
    stage.run_agent(dnsNamedMaxHoldDuration="300ms")
    address, count = _bound(stage, "slow.test"), len(plain.connections)
    with stage.counting("named-timeout"):
        assert _says(stage, address, hello("slow.test")[:40]) == b""
    assert _last(stage, plain, count + 1) == Heard(end="reset")


def test_a_client_that_says_nothing_keeps_its_connection(stage: Stage):
    address = _bound(stage, "silent.test")
    with _open(stage, "ep1", address, PLAIN) as client:
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(5)
        client.sendall(hello("silent.test"))
        assert client.recv(100) == HEARD


def test_while_the_packet_process_stands_still_nothing_unjudged_passes(stage: Stage, plain: Hearing):
    address = _bound(stage, "still.test")
    with _open(stage, "ep1", address, PLAIN) as judged, _open(stage, "ep1", address, PLAIN) as unjudged:
        judged.sendall(hello("still.test"))
        assert judged.recv(100) == HEARD
        pid = stage.agent.get("status")["packets"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            unjudged.sendall(hello("still.test"))
            judged.sendall(b"more")
            stage.until(lambda: plain.connections[-2].data.endswith(b"more"), 5, "judged data pass")
            assert plain.connections[-1].data == b""
        finally:
            os.kill(pid, signal.SIGCONT)
        assert unjudged.recv(100) == HEARD


def test_a_connection_whose_beginning_was_not_seen_is_refused(stage: Stage, plain: Hearing):
    address = _bound(stage, "unseen.test")
    with _open(stage, "ep1", address, PLAIN) as client:
        pid = stage.agent.get("status")["packets"]["pid"]
        os.kill(pid, signal.SIGKILL)
        stage.until(lambda: _other_pid(stage, pid), 10, "another packet process runs")
        client.sendall(hello("unseen.test"))
        with pytest.raises(ConnectionResetError):
            client.recv(100)
    assert stage.counters()["named-unknown-start"] >= 1
    assert plain.connections[-1].data == b""


def _other_pid(stage: Stage, pid: int) -> bool:
    packets = stage.agent.get("status")["packets"]
    return packets.get("state") == "running" and packets.get("pid") not in (None, pid)


def test_explain_says_that_the_connection_must_name_itself(stage: Stage):
    address = _bound(stage, "explained.test")
    assert "must-name" in stage.reasons("ep1", address, PLAIN)
