"""Scenario D60 over QUIC: the first datagrams of a client are held until they name what policy allows."""

import socket
import threading
from collections import Counter
from contextlib import closing

import pytest

from tests.dnsagent.greetings import handshake, padding, server_name
from tests.dnsagent.quic_client import crypto, datagram
from tests.lab.quic_peers import shake_hands
from tests.lab.scripted import Step
from tests.scenarios.conftest import Stage

pytestmark = pytest.mark.kernel
PORT = 4443
REFUSED = r"[Rr]efused|[Uu]nreachable|[Pp]rohibited|[Pp]ermitted"
"""What an ICMP error does to the next call."""
READ = {"dns.tidegate.io/sni": "bind", "dns.tidegate.io/sni-quic": "read"}


_IP_PKTINFO = 8
_TELL = {
    socket.AF_INET: (socket.IPPROTO_IP, _IP_PKTINFO),
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO),
}
"""Has the kernel say to which address a datagram came (ip(7), ipv6(7))."""


class Server:
    """Answers each datagram with its size, on every address; counts them by the client's port."""

    def __init__(self, namespace) -> None:
        self.heard: Counter[int] = Counter()
        with namespace.entered():
            self._sockets = [socket.socket(family, socket.SOCK_DGRAM) for family in (socket.AF_INET, socket.AF_INET6)]
            for number, each in enumerate(self._sockets):
                if number:
                    each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                each.setsockopt(*_TELL[each.family], 1)
                each.bind(("", PORT))
                each.settimeout(0.1)
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._serve, args=(each,), daemon=True) for each in self._sockets]
        for thread in self._threads:
            thread.start()

    def _serve(self, listener: socket.socket) -> None:
        while not self._is_over.is_set():
            try:
                data, about, _, client = listener.recvmsg(65536, 256)
            except TimeoutError:
                continue
            self.heard[client[1]] += 1
            # From the address that was spoken to: the node's side has a thousand.
            listener.sendmsg([str(len(data)).encode()], about, 0, client)

    def close(self) -> None:
        self._is_over.set()
        for thread, each in zip(self._threads, self._sockets, strict=True):
            thread.join()
            each.close()


@pytest.fixture(scope="module")
def server(_stage: Stage):
    with closing(Server(_stage.lab.world)) as running:
        yield running


def _bound(stage: Stage, name: str, version: int = 4, annotations: dict[str, str] = READ, port: int = PORT) -> str:
    address, qtype = (stage.fresh4(), "A") if version == 4 else (stage.fresh6(), "AAAA")
    stage.server.script(name, qtype, Step(answer=[f"{name} 60 {qtype} {address}"]))
    stage.permit("ep1", name, port=[port], protocol="UDP", annotations=annotations)
    assert stage.resolve("ep1", name, qtype, server="10.0.53.53" if version == 4 else "fd00:53::53") == [address]
    return address


def _client(stage: Stage, address: str, port: int = PORT) -> socket.socket:
    with stage.lab.pod("ep1").namespace.entered():
        client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(5)
    client.connect((address, port))
    return client


def _hello(name: str) -> bytes:
    return datagram(crypto(0, handshake(server_name(name.encode()))))


@pytest.mark.parametrize("version", [4, 6])
def test_a_client_passes_by_its_own_name_and_costs_nothing_afterwards(stage: Stage, server: Server, version: int):
    name = f"quic{version}.test"
    with _client(stage, _bound(stage, name, version)) as client, stage.counting("named-allowed", by=1):
        client.send(_hello(name))
        assert int(client.recv(100)) >= 1200
        before = stage.counters()["named-packets"]
        for number in range(20):
            client.send(b"\x40 later" + bytes([number]))
            assert client.recv(100) == b"8"
        assert stage.counters()["named-packets"] == before


@pytest.mark.parametrize("version", [4, 6])
def test_a_real_client_and_a_real_server_greet_each_other_by_an_allowed_name_alone(stage: Stage, version: int):
    name, port = f"real{version}.test", PORT + 1
    address = _bound(stage, name, version, port=port)
    with stage.lab.world.entered():
        server = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_DGRAM)
    with server:
        server.bind((address, port))
        with _client(stage, address, port) as client, stage.counting("named-allowed", by=1):
            assert shake_hands(client, server, name, seconds=10)
        with _client(stage, address, port) as client, pytest.raises(OSError, match=REFUSED):
            shake_hands(client, server, f"evil.{name}", seconds=10)


@pytest.mark.parametrize("version", [4, 6])
def test_another_name_is_refused_and_the_client_is_told(stage: Stage, server: Server, version: int):
    with (
        _client(stage, _bound(stage, f"quicno{version}.test", version)) as client,
        stage.counting("named-refused", "named-other-name", by=1),
    ):
        client.send(_hello("evil.test"))
        with pytest.raises(OSError, match=REFUSED):
            client.recv(100)
        assert server.heard[client.getsockname()[1]] == 0


def test_a_greeting_in_two_datagrams_goes_on_whole(stage: Stage, server: Server):
    hello = handshake(padding(1500), server_name(b"quic2.test"))
    parts = datagram(crypto(0, hello[:900]), 0), datagram(crypto(900, hello[900:]), 1)
    with _client(stage, _bound(stage, "quic2.test")) as client:
        client.send(parts[1])
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(100)
        client.settimeout(5)
        client.send(parts[0])
        assert {int(client.recv(100)), int(client.recv(100))} == {len(part) for part in parts}


def test_without_leave_all_udp_is_refused(stage: Stage, server: Server):
    address = _bound(stage, "quicdeny.test", annotations={"dns.tidegate.io/sni": "bind"})
    with _client(stage, address) as client, stage.counting("named-other-protocol", by=1):
        client.send(_hello("quicdeny.test"))
        with pytest.raises(OSError, match=REFUSED):
            client.recv(100)
        assert server.heard[client.getsockname()[1]] == 0
    told = stage.agent.call("explain", "--from", "test/ep1", "--to", f"{address}:{PORT}/UDP", "-o", "json", check=False)
    assert "it is refused, but for QUIC" in told.stdout


def test_half_a_greeting_reaches_nobody(stage: Stage, server: Server):
    hello = handshake(padding(1500), server_name(b"quichalf.test"))
    with _client(stage, _bound(stage, "quichalf.test")) as client, stage.counting("named-timeout", by=1):
        client.settimeout(15)
        client.send(datagram(crypto(0, hello[:900]), 0))
        with pytest.raises(OSError, match=REFUSED):
            client.recv(100)
        assert server.heard[client.getsockname()[1]] == 0
