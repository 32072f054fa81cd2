"""The servers' side on real sockets: datagrams, streams, TLS; what breaks is told, and nothing waits."""

import socket
import ssl
import threading
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from pathlib import Path

import pytest

from dnsagent.forward import upstreams
from dnsagent.forward.upstreams import IDLE_SECONDS, PORTS, UpstreamServer, tls_context
from dnsagent.framing import frame
from dnsagent.poller import Poller
from dnsagent.snapshot import Upstream
from reconcile.instant import Instant

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("netns")]

CERTIFICATES = Path(__file__).parent / "certificates"
AUTHORITY = CERTIFICATES / "server.pem"
NOW = Instant(0.0)


class Stage:
    """Ears, a poller, and one server."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.poller = Poller()
        self.heard: list[tuple[int, bytes]] = []
        self.broken: list[int] = []
        stack.callback(self.poller.close)

    def on_answer(self, upstream, data):
        self.heard.append((upstream, data))

    def on_broken(self, upstream):
        self.broken.append(upstream)

    def upstream(self, transport: str, port: int, name: str = "", authority: str = str(AUTHORITY)) -> UpstreamServer:
        told = Upstream(transport=transport, address=ip_address("127.0.0.1"), port=port, name=name)
        context = tls_context(authority) if transport == "tls" else None
        made = UpstreamServer(3, told, self, self.poller, context)
        self.stack.callback(made.close)
        return made

    def turn(self, until, rounds: int = 200) -> None:
        for _ in range(rounds):
            if until():
                return
            for descriptor, events in self.poller.wait(0.05):
                handler = self.poller.handler(descriptor)
                if handler is not None:
                    handler(events)
        pytest.fail("it did not come to that")


@pytest.fixture
def stage():
    with ExitStack() as stack:
        yield Stage(stack)


def listening(stage: Stage) -> socket.socket:
    server = stage.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    server.settimeout(5)
    return server


def test_datagrams_come_from_several_ports_and_go_back_to_each(stage):
    server = stage.stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    server.bind(("127.0.0.1", 0))
    upstream = stage.upstream("udp", server.getsockname()[1])
    ports = set()
    for number in range(3 * PORTS):
        upstream.send(bytes([number]) * 12, over_stream=False, now=NOW)
        data, peer = server.recvfrom(100)
        ports.add(peer[1])
        server.sendto(data * 2, peer)
    stage.turn(lambda: len(stage.heard) == 3 * PORTS)
    assert len(ports) == PORTS
    assert {data for _, data in stage.heard} == {bytes([number]) * 24 for number in range(3 * PORTS)}


def test_a_port_is_changed_now_and_then_and_the_former_one_still_heard(stage, monkeypatch):
    monkeypatch.setattr(upstreams, "PORT_QUERIES", 1)
    server = stage.stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    server.bind(("127.0.0.1", 0))
    upstream = stage.upstream("udp", server.getsockname()[1])
    peers = []
    for number in range(4 * PORTS):
        upstream.send(bytes([number]) * 12, over_stream=False, now=NOW)
        peers.append(server.recvfrom(100)[1])
    assert len(set(peers)) > PORTS
    for number, peer in enumerate(peers):
        server.sendto(bytes([number]), peer)
    stage.turn(lambda: len(stage.heard) == 4 * PORTS)
    upstream.expire(Instant(NOW + upstreams.RETIREMENT_SECONDS))
    assert len(stage.poller) <= PORTS


def test_a_datagram_of_anybody_else_is_not_heard(stage):
    server = stage.stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    server.bind(("127.0.0.1", 0))
    upstream = stage.upstream("udp", server.getsockname()[1])
    upstream.send(bytes(12), over_stream=False, now=NOW)
    _, peer = server.recvfrom(100)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger:
        forger.sendto(b"forged", peer)
    server.sendto(b"true", peer)
    stage.turn(lambda: bool(stage.heard))
    assert stage.heard == [(3, b"true")]


def test_a_closed_port_is_told(stage):
    upstream = stage.upstream("udp", 9)
    upstream.send(bytes(12), over_stream=False, now=NOW)
    stage.turn(lambda: stage.broken == [3])


def test_messages_of_a_stream_come_whole_and_the_stream_is_kept(stage):
    server = listening(stage)
    upstream = stage.upstream("tcp", server.getsockname()[1])
    upstream.send(b"a" * 20, over_stream=False, now=NOW)
    upstream.send(b"b" * 20, over_stream=False, now=NOW)
    peer = stage.stack.enter_context(server.accept()[0])
    stage.turn(lambda: upstream._stream is not None and upstream._stream.is_open and not upstream._stream.unsent)
    assert peer.recv(100) == frame(b"a" * 20) + frame(b"b" * 20)
    answer = frame(b"x" * 30) + frame(b"y" * 40)
    peer.sendall(answer[:33])
    peer.sendall(answer[33:])
    stage.turn(lambda: len(stage.heard) == 2)
    assert stage.heard == [(3, b"x" * 30), (3, b"y" * 40)]
    upstream.expire(Instant(NOW + IDLE_SECONDS + 1))
    assert peer.recv(10) == b""
    assert stage.broken == []


@pytest.mark.parametrize("how", ["refused", "ended", "not-dns"])
def test_a_stream_that_breaks_is_told_once(stage, how):
    server = listening(stage)
    port = server.getsockname()[1]
    if how == "refused":
        server.close()
    upstream = stage.upstream("tcp", port)
    upstream.send(b"a" * 20, over_stream=False, now=NOW)
    if how != "refused":
        peer = server.accept()[0]
        peer.sendall(b"\0\0" if how == "not-dns" else b"")
        peer.close()
    stage.turn(lambda: stage.broken == [3])
    assert len(stage.poller) == 0


def serve_tls(server: socket.socket) -> None:
    """Doubles one message of a TLS client, if it gets so far."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem", CERTIFICATES / "server.key")
    with suppress(OSError):
        peer = server.accept()[0]
        with peer, context.wrap_socket(peer, server_side=True) as secured:
            length = int.from_bytes(secured.recv(2), "big")
            secured.sendall(frame(secured.recv(length) * 2000))
            secured.recv(1)


@pytest.mark.parametrize("name", ["dns.test", ""])
def test_a_tls_server_with_the_right_certificate_is_heard(stage, name):
    server = listening(stage)
    thread = threading.Thread(target=serve_tls, args=(server,))
    thread.start()
    upstream = stage.upstream("tls", server.getsockname()[1], name)
    upstream.send(b"q" * 20, over_stream=False, now=NOW)
    stage.turn(lambda: bool(stage.heard) or bool(stage.broken))
    assert stage.heard == [(3, b"q" * 40_000)]
    upstream.close()
    thread.join()


@pytest.mark.parametrize("what", ["name", "authority"])
def test_a_tls_server_that_is_somebody_else_gets_no_question(stage, what):
    server = listening(stage)
    thread = threading.Thread(target=serve_tls, args=(server,))
    thread.start()
    name, authority = ("other.test", str(AUTHORITY)) if what == "name" else ("dns.test", "")
    upstream = stage.upstream("tls", server.getsockname()[1], name, authority)
    upstream.send(b"q" * 20, over_stream=False, now=NOW)
    stage.turn(lambda: stage.broken == [3])
    assert stage.heard == []
    thread.join()
