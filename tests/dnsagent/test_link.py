"""The socket between the two processes: what arrives in pieces, in heaps, too large, or from who never reads."""

import json
import socket
import struct
import threading
import time

import pytest

from dnsagent import link
from dnsagent.link import LinkClient, LinkError, LinkServer, frame, is_listening
from dnsagent.poller import Poller


class Served:
    """A server in a thread of its own, echoing."""

    def __init__(self, path, handler=None) -> None:
        self.poller = Poller()
        self.requests = []
        self.server = LinkServer(path, self.poller, handler or self.echo)
        self.stopping = False
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def echo(self, document, memory):
        self.requests.append(document)
        memory["count"] = memory.get("count", 0) + 1
        return {"ok": True, "you_said": document, "count": memory["count"]}

    def serve(self):
        try:
            while not self.stopping:
                for descriptor, events in self.poller.wait(0.02):
                    self.poller.handler(descriptor)(events)
        except BaseException as error:
            self.error = error
            raise

    def close(self):
        self.stopping = True
        self.thread.join()
        self.server.close()
        self.poller.close()
        assert self.error is None


@pytest.fixture
def path(tmp_path):
    return tmp_path / "packets.sock"


@pytest.fixture
def served(path):
    server = Served(path)
    yield server
    server.close()


@pytest.fixture
def peer(served, path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        yield connection


def read(connection) -> dict:
    (length,) = struct.unpack("!I", exactly(connection, 4))
    return json.loads(exactly(connection, length))


def exactly(connection, count) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def is_cut_off(connection) -> bool:
    try:
        while connection.recv(1 << 20):
            pass
    except ConnectionError:
        pass
    return True


def test_a_call_gets_its_reply(served, path):
    assert LinkClient(path).call("status", x=[1, "ü"])["you_said"] == {"command": "status", "x": [1, "ü"]}


def test_requests_in_one_segment_are_all_answered_in_order(peer):
    peer.sendall(b"".join(frame({"n": number}) for number in range(50)))
    assert [read(peer)["you_said"]["n"] for _ in range(50)] == list(range(50))


def test_a_request_may_come_byte_by_byte(peer):
    for byte in frame({"command": "x"}):
        peer.sendall(bytes([byte]))
    assert read(peer)["count"] == 1


def test_each_peer_has_a_memory_of_its_own(served, path, peer):
    peer.sendall(frame({}) * 2)
    assert [read(peer)["count"], read(peer)["count"]] == [1, 2]
    assert LinkClient(path).call("x")["count"] == 1


def test_who_says_more_than_he_may_is_cut_off(peer, served, path):
    peer.sendall(struct.pack("!I", link.MAX_REQUEST_BYTES + 1) + b"x" * 100)
    assert is_cut_off(peer)
    assert LinkClient(path).call("x")["ok"]


def test_the_largest_request_is_taken(served, path):
    text = "x" * (link.MAX_REQUEST_BYTES - 100)
    assert LinkClient(path).call("x", text=text)["you_said"]["text"] == text


def test_who_does_not_read_is_cut_off_and_nobody_waits_for_him(path, monkeypatch):
    monkeypatch.setattr(link, "MAX_UNSENT_BYTES", 1 << 20)
    server = Served(path, lambda document, memory: {"ok": True, "filler": "x" * 500_000})
    with socket.socket(socket.AF_UNIX) as lazy:
        lazy.settimeout(5)
        lazy.connect(str(path))
        lazy.sendall(frame({}) * 2)
        start = time.monotonic()
        assert LinkClient(path).call("x")["ok"]
        assert time.monotonic() - start < 2
        lazy.sendall(frame({}) * 3)
        time.sleep(0.2)
        assert is_cut_off(lazy)
    assert LinkClient(path).call("x")["ok"]
    server.close()


def test_a_large_reply_arrives_whole(path):
    server = Served(path, lambda document, memory: {"ok": True, "filler": "x" * 5_000_000})
    assert len(LinkClient(path).call("x")["filler"]) == 5_000_000
    server.close()


@pytest.mark.parametrize(
    "request_bytes",
    [b"", b"{", b"[]", b"5", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"command": []}', b'{"a":' * 50_000],
)
def test_senseless_requests_get_an_error_and_hurt_nobody(path, request_bytes):
    server = Served(path, lambda document, memory: {"ok": True, "x": {"known": 1}[document["command"]]})
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(struct.pack("!I", len(request_bytes)) + request_bytes)
        assert not read(connection)["ok"]
    with pytest.raises(LinkError, match="KeyError"):
        LinkClient(path).call("unknown")
    server.close()


@pytest.mark.parametrize("error", [ValueError("bad"), KeyError("x"), TypeError("t"), AttributeError("a"), OSError("o")])
def test_a_handler_that_fails_says_so_to_its_peer(path, error):
    def fail(document, memory):
        raise error

    server = Served(path, fail)
    with pytest.raises(LinkError, match=type(error).__name__):
        LinkClient(path).call("x")
    server.close()


def test_one_peer_too_many_is_cut_off(served, path):
    peers = []
    for _ in range(link.MAX_PEERS + 1):
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(5)
        peer.connect(str(path))
        peers.append(peer)
    for peer in peers[:-1]:
        peer.sendall(frame({}))
        assert read(peer)["ok"]
    assert is_cut_off(peers[-1])
    for peer in peers:
        peer.close()
    time.sleep(0.1)
    assert LinkClient(path).call("x")["ok"]


def test_peers_that_come_and_go_leave_nothing_behind(served, path):
    for _ in range(100):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(path))
            peer.send(b"\0\0")
        time.sleep(0.002)
    time.sleep(0.1)
    assert LinkClient(path).call("x")["ok"]
    time.sleep(0.05)
    assert len(served.server._peers) <= 1
    assert len(served.poller) <= 2


def test_a_socket_file_that_nobody_listens_at_is_replaced(path):
    first = Served(path)
    assert is_listening(path)
    with pytest.raises(LinkError, match="already"):
        LinkServer(path, Poller(), lambda document, memory: {})
    first.close()
    assert not path.exists()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert not is_listening(path)
    second = Served(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert LinkClient(path).call("x")["ok"]
    second.close()


def test_a_server_that_is_stopped_listens_all_the_same(path):
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(str(path))
        stopped.listen(0)
        waiting = []
        for _ in range(5):
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(str(path))
        assert is_listening(path)
        for each in waiting:
            each.close()


def test_nobody_there(path):
    with pytest.raises(LinkError, match="cannot status"):
        LinkClient(path).call("status")
    with pytest.raises(LinkError, match="cannot list names"):
        LinkClient(path).names()


def test_a_server_that_does_not_answer_is_given_up(path):
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        with pytest.raises(LinkError):
            LinkClient(path, timeout_seconds=0.1).call("status")


def test_names_come_in_pages(path):
    pages = [["a", "b"], [], ["c"]]

    def handler(document, memory):
        if not document.get("next"):
            memory["pages"] = iter(pages)
            assert document["endpoint"] == "ep1"
        page = next(memory["pages"])
        return {"ok": True, "names": page, "more": page != ["c"]}

    server = Served(path, handler)
    assert LinkClient(path).names("ep1") == ["a", "b", "c"]
    server.close()
