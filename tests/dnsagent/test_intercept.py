"""The interceptor on real sockets of a namespace of its own, without the kernel's rules: bounds, ends, and order."""

import socket
import struct
from contextlib import ExitStack, suppress

import pytest

from dnsagent import intercept
from dnsagent.framing import frame
from dnsagent.intercept import Interceptor
from dnsagent.learn import Learner
from dnsagent.plan import make_plan
from dnsagent.poller import Poller
from dnsagent.relay import IDLE_SECONDS
from reconcile.clock import ManualClock
from tests.dnsagent.stage import A, answer, endpoint, query, record, rule
from tests.dnsagent.stage import snapshot as make_snapshot

pytestmark = pytest.mark.kernel

PORT = 15_053


@pytest.fixture
def stage(netns):
    with ExitStack() as stack:
        yield Stage(stack)


class Stage:
    """Client and server both live at the loopback address, where the listener is: it stands for the server's address."""

    def __init__(self, stack: ExitStack) -> None:
        self.clock, self.poller = ManualClock(), Poller()
        self.stack = stack
        self.server = stack.enter_context(socket.create_server(("127.0.0.1", 53)))
        self.server.settimeout(3)
        snapshot = make_snapshot(rule("r", "*.test"), endpoints=(endpoint("ep1", "127.0.0.1", rules=("r",)),))
        self.learner = Learner(make_plan(snapshot))
        self.told: list[bytes] = []
        self.steered: list[tuple[int, int]] = []
        self.interceptor = Interceptor(
            self.learner,
            self.learn,
            self.clock,
            self.poller,
            lambda mark, table: self.steered.append((mark, table)),
            lambda *_: False,
        )
        stack.callback(self.poller.close)
        stack.callback(self.interceptor.close)

    def learn(self, packet, now):
        self.told.append(packet.payload)
        self.learner.commit(self.learner.judge(packet, now))

    def listen(self, monkeypatch) -> None:
        """Connections to the listener count as connections to the server."""
        monkeypatch.setattr(intercept, "original_destination", lambda _: ("10.0.53.53", 53))
        real = intercept.connect_as
        monkeypatch.setattr(intercept, "connect_as", lambda source, _, *rest: real(source, ("127.0.0.1", 53), *rest))
        self.interceptor.adopt(
            make_snapshot(intercept_port=PORT, intercept_mark=4, intercept_table=77), self.clock.now()
        )
        assert self.interceptor.trouble == ""

    def connect(self) -> socket.socket:
        client = self.stack.enter_context(socket.create_connection(("127.0.0.1", PORT), 3))
        self.turn()
        return client

    def accept(self) -> socket.socket:
        connection = self.stack.enter_context(self.server.accept()[0])
        connection.settimeout(3)
        self.turn()
        return connection

    def turn(self, times: int = 6) -> None:
        for _ in range(times):
            for descriptor, events in self.poller.wait(0.02):
                handler = self.poller.handler(descriptor)
                if handler is not None:
                    handler(events)

    def count(self, name: str) -> int:
        return self.learner.counters[name]


def read(connection: socket.socket) -> bytes:
    size = int.from_bytes(connection.recv(2, socket.MSG_WAITALL), "big")
    return connection.recv(size, socket.MSG_WAITALL)


def is_ended(connection: socket.socket) -> bool:
    with suppress(ConnectionError):
        return connection.recv(1) == b""
    return True


def test_it_listens_where_packets_are_steered_to(stage, monkeypatch):
    stage.listen(monkeypatch)
    assert stage.steered == [(4, 77)]


def test_nobody_listens_where_packets_do_not_come(stage):
    def refuse(mark, table):
        raise OSError(1, "not permitted")

    stage.interceptor._steer = refuse
    stage.interceptor.adopt(make_snapshot(intercept_port=PORT), stage.clock.now())
    assert "not permitted" in stage.interceptor.trouble
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", PORT), 3)
    stage.interceptor._steer = lambda mark, table: None
    stage.clock.advance(intercept.RETRY_SECONDS)
    stage.interceptor.expire(stage.clock.now())
    assert stage.interceptor.trouble == ""
    stage.connect()


def test_an_answer_is_learned_before_it_is_told(stage, monkeypatch):
    stage.listen(monkeypatch)
    client = stage.connect()
    client.sendall(frame(query("a.test", identifier=9)))
    server = stage.accept()
    assert read(server) == query("a.test", identifier=9)
    said = answer("a.test", record("a.test", A, 60, "198.51.100.7"), identifier=9)
    server.sendall(frame(said))
    stage.turn()
    assert read(client) == said
    assert stage.told == [said]
    assert stage.count("elements-written") == 1


def test_the_same_answer_twice_teaches_once(stage, monkeypatch):
    stage.listen(monkeypatch)
    client = stage.connect()
    client.sendall(frame(query("a.test")))
    server = stage.accept()
    said = frame(answer("a.test", record("a.test", A, 60, "198.51.100.7")))
    server.sendall(said * 2)
    stage.turn()
    assert read(client) == read(client)
    assert (stage.count("replay"), stage.count("elements-written")) == (1, 1)


def test_who_comes_for_nobodys_server_is_turned_away(stage):
    stage.interceptor.adopt(make_snapshot(intercept_port=PORT), stage.clock.now())
    assert is_ended(stage.connect())
    assert stage.count("tcp-not-a-server") == 1
    assert len(stage.interceptor) == 0


def test_an_idle_conversation_ends_on_both_sides(stage, monkeypatch):
    stage.listen(monkeypatch)
    client = stage.connect()
    server = stage.accept()
    assert stage.interceptor.next_deadline() == stage.clock.now() + IDLE_SECONDS
    client.sendall(b"\0")
    stage.clock.advance(IDLE_SECONDS / 2)
    stage.turn()
    stage.clock.advance(IDLE_SECONDS / 2)
    stage.interceptor.expire(stage.clock.now())
    assert is_ended(client)
    assert is_ended(server)
    assert stage.count("tcp-idle") == 1


def test_a_client_at_its_cap_loses_its_longest_idle_connection(stage, monkeypatch):
    monkeypatch.setattr(intercept, "MAX_CONNECTIONS_PER_CLIENT", 2)
    stage.listen(monkeypatch)
    first, second = stage.connect(), stage.connect()
    stage.accept(), stage.accept()
    third = stage.connect()
    assert is_ended(first)
    assert len(stage.interceptor) == 2
    for busy in (second, third):
        busy.sendall(frame(query("a.test")))
    stage.accept()
    stage.turn()
    assert is_ended(stage.connect())
    assert stage.count("tcp-cap") == 1
    assert len(stage.interceptor) == 2


def test_a_reset_by_either_side_leaves_nothing(stage, monkeypatch):
    stage.listen(monkeypatch)
    for resets_client in (True, False):
        client = stage.connect()
        client.sendall(frame(query("a.test")))
        server = stage.accept()
        resetting = client if resets_client else server
        resetting.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        resetting.close()
        stage.turn()
        assert len(stage.interceptor) == 0
    assert len(stage.poller) == len(stage.interceptor._listeners)


def test_a_server_that_cannot_be_reached_ends_the_client(stage, monkeypatch):
    stage.listen(monkeypatch)
    stage.server.close()
    assert is_ended(stage.connect())
    assert stage.count("tcp-upstream-failed") == 1


def test_a_client_that_reads_nothing_stops_its_server_and_nobody_else(stage, monkeypatch):
    stage.listen(monkeypatch)
    deaf = stage.connect()
    deaf.sendall(frame(query("a.test")))
    flooding = stage.accept()
    flooding.setblocking(False)
    said = frame(answer("a.test", record("a.test", 16, 60, bytes(4000))))
    sent = 0
    for _ in range(20_000):
        try:
            sent += flooding.send(said)
        except BlockingIOError:
            stage.turn(2)
            if sent > 20_000_000:
                break
            with suppress(BlockingIOError):
                sent += flooding.send(said)
                continue
            break
    assert sum(len(link.relay.to_client) for link in stage.interceptor._links) < 3 * intercept.RECEIVE_BYTES + (1 << 17)
    client = stage.connect()
    client.sendall(frame(query("b.test")))
    server = stage.accept()
    server.sendall(frame(answer("b.test")))
    stage.turn()
    assert read(client) == answer("b.test")
