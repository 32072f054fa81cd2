"""The packet process on the real kernel: what it knows after a start, and what it writes for it."""

import subprocess
import time

import pytest

from dnsagent.journal import Journal, former, read_journal
from dnsagent.link import LinkClient, LinkError
from dnsagent.snapshot_file import write_snapshot
from nft import features
from nft.elements import Change, ElementWriter, Operation
from reconcile.clock import SystemClock
from tests.dnsagent.stage import CLIENT, POINTER, A, answer, endpoint, packed, packet, record, rule, snapshot
from tests.nft.kernel.conftest import new_namespace
from tidegate.agent import packets

pytestmark = pytest.mark.kernel

RULE = rule("r", "a.test", "*.a.test")
TABLE = """
add table inet tidegate
add set inet tidegate d4-r { type ipv4_addr . ipv4_addr; flags timeout; size 1000; }
add set inet tidegate d6-r { type ipv6_addr . ipv6_addr; flags timeout; size 1000; }
"""
ADDRESS = "198.51.100.10"


@pytest.fixture(scope="module")
def kernel_features():
    return features.probe()


@pytest.fixture
def netns():
    with new_namespace():
        yield


@pytest.fixture
def node(netns, tmp_path, kernel_features):
    made = Node(tmp_path / "state", kernel_features)
    nft(TABLE)
    yield made
    made.writer.close()


def nft(script: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True)


class Node:
    """A state directory and a namespace; processes are built in it and closed again."""

    def __init__(self, state, kernel_features) -> None:
        self.state, self.features, self.clock = state, kernel_features, SystemClock()
        self.writer = ElementWriter("tidegate")
        packets.private_directory(state)
        self.snapshot(RULE)

    def snapshot(self, *rules, **options) -> None:
        write_snapshot(self.state / packets.SNAPSHOT, snapshot(*rules, **options))

    def told(self, name: str, address: str, seconds_ago: float, ttl: int = 600) -> None:
        journal = Journal(self.state / packets.JOURNAL)
        payload = answer(name, record(POINTER, A, ttl, address))
        journal.append(packet(payload), self.clock.wall() - seconds_ago)
        journal.close()

    def has(self) -> dict[str, int]:
        """Milliseconds left by learned address."""
        return {".".join(map(str, element.key[4:])): element.remaining_ms for element in self.writer.read("d4-r")}

    def start(self):
        return packets.build(self.state, self.clock, self.features)

    def run(self, process, turns: int = 2) -> None:
        for _ in range(turns):
            process.loop.turn()

    def end(self, process) -> None:
        process.loop.stop()
        process.run()


def near(seconds: float):
    return pytest.approx(seconds * 1000, abs=2000)


def test_without_anything_it_starts_and_answers(node):
    (node.state / packets.SNAPSHOT).unlink()
    process = node.start()
    node.run(process)
    assert all(reader.condition().is_healthy for reader in process.loop.readers.all())
    assert (node.state / packets.SOCKET).is_socket()
    node.end(process)
    assert not (node.state / packets.SOCKET).exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 99}', "\xff"])
def test_a_broken_snapshot_is_none(node, text):
    (node.state / packets.SNAPSHOT).write_text(text, encoding="latin-1")
    process = node.start()
    assert process.loop.learner.plan.snapshot.generation == 0
    node.end(process)


def test_names_of_the_journal_are_open_with_the_time_that_is_left(node):
    node.told("a.test", ADDRESS, seconds_ago=100)
    node.told("other.test", "198.51.100.11", seconds_ago=100)
    node.told("x.a.test", "198.51.100.12", seconds_ago=700)
    process = node.start()
    assert node.has() == {ADDRESS: near(500)}
    assert process.loop.learner.is_open(packed(CLIENT), packed(ADDRESS), node.clock.now())
    node.end(process)


def test_elements_of_the_kernel_are_kept_as_they_are(node):
    key = packed(CLIENT) + packed(ADDRESS)
    node.writer.write([Change(Operation.ADD, "d4-r", key, 50_000)])
    node.told("a.test", ADDRESS, seconds_ago=560)
    process = node.start()
    assert node.has() == {ADDRESS: near(50)}
    assert dict(process.loop.learner.elements.items()) == {("d4-r", key): pytest.approx(node.clock.now() + 50, abs=2)}
    node.end(process)


def test_missing_sets_stop_nothing(node):
    nft("delete table inet tidegate")
    node.told("a.test", ADDRESS, seconds_ago=100)
    process = node.start()
    assert len(process.loop.learner.elements) == 0
    assert process.loop.counters["program-failed"] > 0
    nft(TABLE)
    desk = process.server._handler
    assert desk({"command": "load", "path": str(node.state / packets.SNAPSHOT)}, {})["ok"]
    assert set(node.has()) == {ADDRESS}
    node.end(process)


def test_an_address_that_changed_hands_while_nobody_lived_inherits_nothing(node):
    node.told("a.test", ADDRESS, seconds_ago=100)
    process = node.start()
    node.run(process)
    assert set(node.has()) == {ADDRESS}
    desk = process.server._handler
    node.snapshot(RULE, endpoints=(endpoint("ep9", CLIENT, rules=("r",)),))
    assert desk({"command": "load", "path": str(node.state / packets.SNAPSHOT)}, {})["ok"]
    assert node.has() == {}
    node.end(process)
    again = node.start()
    assert node.has() == {}
    assert list(again.loop.learner.names.entries()) == []
    node.end(again)


def test_forgotten_stays_forgotten_after_a_restart(node):
    node.told("a.test", ADDRESS, seconds_ago=100)
    process = node.start()
    assert process.server._handler({"command": "forget", "addresses": [CLIENT]}, {})["deleted"] == 1
    assert node.has() == {}
    node.end(process)
    again = node.start()
    assert node.has() == {}
    node.end(again)


@pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "future"])
def test_a_damaged_journal_costs_names_and_nothing_else(node, damage):
    path = node.state / packets.JOURNAL
    node.told("a.test", ADDRESS, seconds_ago=-5000 if damage == "future" else 100)
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "cut": whole[:-3], "garbage": b"\xa5" * 3000, "future": whole}[damage])
    process = node.start()
    assert node.has() == {}
    node.end(process)
    node.told("a.test", ADDRESS, seconds_ago=10)
    again = node.start()
    assert node.has() == {ADDRESS: near(590)}
    node.end(again)


def test_one_process_at_a_time(node):
    process = node.start()
    before = (node.state / packets.JOURNAL).stat().st_mtime_ns
    with pytest.raises(LinkError, match="already"):
        node.start()
    assert (node.state / packets.JOURNAL).stat().st_mtime_ns == before
    with pytest.raises(LinkError):
        LinkClient(node.state / packets.SOCKET, timeout_seconds=0.05).call("status")  # nobody turns the loop
    node.end(process)


def test_ten_thousand_answers_are_recalled_in_a_second(node):
    journal = Journal(node.state / packets.JOURNAL)
    now = node.clock.wall()
    for number in range(10_000):
        address = f"198.{18 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
        journal.append(packet(answer(f"n{number}.b.test", record(POINTER, A, 600, address))), now)
    journal.close()
    assert sum(1 for _ in read_journal(node.state / packets.JOURNAL, now)) == 10_000
    assert not former(node.state / packets.JOURNAL).exists()
    start = time.monotonic()
    process = node.start()
    assert time.monotonic() - start < 3
    assert len(process.loop.learner.names) == 10_000
    node.end(process)
