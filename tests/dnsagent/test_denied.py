"""First packets that wait for the answer that allows them: each gets one verdict, whatever happens."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant
from hypothesis.stateful import rule as step

from dnsagent.denied import MAX_HELD, MAX_HELD_PER_ENDPOINT, DeniedPackets
from dnsagent.learn import Element
from nfq.fake import FakeKernel, FakeQueue, Passed
from nfq.held import DROP, Arrival
from nfq.queue import QueueSettings
from tests.dnsagent.packets import syn
from tests.dnsagent.stage import CLIENT, OTHER, POINTER, A, Stage, packed, record, rule

ADDRESS = "198.51.100.10"
MARK = 0x20000


class Bench:
    def __init__(self, **options) -> None:
        self.stage = Stage(rule("r", "a.test"), **options)
        self.counters: Counter[str] = Counter()
        self.denied = DeniedPackets(self.stage.learner, self.counters)
        self.kernel = FakeKernel()
        settings = QueueSettings(number=100, default=DROP, max_length=5000)
        self.queue = FakeQueue(self.kernel, settings)

    def come(self, *packets: bytes, mark: int = 0) -> None:
        for packet in packets:
            self.kernel.queue_packet(100, packet, Arrival(mark=mark))
        with self.queue.receive(5000) as batch:
            self.denied.take(batch, self.stage.now)

    def learn(self, address: str = ADDRESS) -> None:
        self.denied.release(self.stage.tell("a.test", record(POINTER, A, 60, address)))

    def wait(self, seconds: float) -> None:
        self.stage.now += seconds
        self.denied.expire(self.stage.now)

    def decided(self) -> int:
        return len(self.kernel.dropped) + len(self.kernel.repeated) + len(self.kernel.passed)

    def is_empty(self) -> bool:
        return not (len(self.denied) or self.denied._waiting or self.denied._per_endpoint)


@pytest.fixture
def bench():
    return Bench()


def test_a_packet_waits_and_goes_when_its_address_is_learned(bench):
    bench.come(syn(ADDRESS))
    assert (bench.decided(), len(bench.denied)) == (0, 1)
    bench.learn("198.51.100.99")
    assert bench.decided() == 0
    bench.learn()
    assert bench.kernel.repeated == [Passed(syn(ADDRESS), MARK)]
    assert bench.counters["denied-released"] == 1
    assert bench.is_empty()
    bench.wait(10)
    assert bench.decided() == 1


def test_the_marks_that_it_came_with_stay(bench):
    bench.come(syn(ADDRESS), mark=0x10007)
    bench.learn()
    assert bench.kernel.repeated == [Passed(syn(ADDRESS), 0x30007)]


def test_a_packet_whose_address_is_open_already_goes_at_once(bench):
    bench.learn()
    bench.come(syn(ADDRESS))
    assert bench.kernel.repeated == [Passed(syn(ADDRESS), MARK)]
    assert bench.is_empty()


def test_a_packet_that_nobody_allows_is_dropped_at_its_deadline(bench):
    bench.come(syn(ADDRESS))
    assert bench.denied.next_deadline() == bench.stage.now + 1.0
    bench.wait(0.9)
    assert bench.decided() == 0
    bench.wait(0.2)
    assert bench.kernel.dropped == [syn(ADDRESS)]
    assert bench.counters["denied-dropped"] == 1
    assert bench.is_empty()
    assert bench.denied.next_deadline() is None


def test_the_hold_is_what_the_snapshot_says():
    bench = Bench(max_denied_hold_seconds=0.2)
    bench.come(syn(ADDRESS))
    bench.wait(0.21)
    assert bench.kernel.dropped == [syn(ADDRESS)]


def test_of_each_flow_one_packet_waits(bench):
    bench.come(syn(ADDRESS), syn(ADDRESS), syn(ADDRESS, port=50_001))
    bench.come(syn(ADDRESS))
    assert (len(bench.kernel.dropped), bench.counters["denied-duplicate"]) == (2, 2)
    bench.learn()
    assert len(bench.kernel.repeated) == 2
    bench.come(syn("198.51.100.11"))
    bench.wait(2)
    bench.come(syn("198.51.100.11"))
    assert len(bench.denied) == 1


def test_one_endpoints_answer_releases_no_others_packet(bench):
    bench.come(syn(ADDRESS, source=OTHER))
    bench.learn()
    assert bench.kernel.repeated == []
    bench.wait(2)
    assert bench.is_empty()


def test_an_endpoint_that_scans_leaves_room_for_others(bench):
    scan = [syn(f"198.51.{number >> 8}.{number & 255}", source=OTHER) for number in range(300)]
    bench.come(*scan)
    assert len(bench.denied) == MAX_HELD_PER_ENDPOINT
    assert bench.counters["cap-held"] == 300 - MAX_HELD_PER_ENDPOINT
    bench.come(syn(ADDRESS))
    bench.learn()
    assert len(bench.kernel.repeated) == 1


def test_all_endpoints_together_have_a_bound(bench):
    many = [
        syn(ADDRESS, source=f"10.{source >> 8}.{source & 255}.1", port=port)
        for source in range(60)
        for port in range(40)
    ]
    bench.come(*many)
    assert len(bench.denied) == MAX_HELD
    assert len(bench.kernel.dropped) == len(many) - MAX_HELD


@pytest.mark.parametrize("junk", [b"", b"\x45\0", b"\x00" * 40, b"\x60" + bytes(10)])
def test_what_is_no_packet_is_dropped(bench, junk):
    bench.come(junk, syn(ADDRESS))
    assert bench.kernel.dropped == [junk]
    assert len(bench.denied) == 1


def test_packets_without_ports_wait_too(bench):
    ping = syn(ADDRESS)[:9] + b"\x01" + syn(ADDRESS)[10:28]
    bench.come(ping)
    bench.learn()
    assert len(bench.kernel.repeated) == 1


def test_closing_drops_all_that_wait(bench):
    bench.come(syn(ADDRESS), syn(ADDRESS, port=1))
    bench.denied.close()
    assert len(bench.kernel.dropped) == 2
    assert bench.is_empty()


def test_a_queue_that_was_lost_takes_its_packets_and_nothing_breaks(bench):
    bench.come(syn(ADDRESS), syn("198.51.100.11"))
    bench.queue.lose()
    bench.learn()
    bench.wait(2)
    assert bench.is_empty()
    assert (len(bench.kernel.dropped), bench.kernel.repeated) == (2, [])


class DeniedMachine(RuleBasedStateMachine):
    """Whatever comes, is learned and expires: verdicts are never two, and the books are right."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.came = 0

    @step(
        flows=st.lists(
            st.tuples(st.sampled_from([CLIENT, OTHER]), st.integers(1, 3), st.integers(1, 40)), min_size=1, max_size=90
        )
    )
    def come(self, flows):
        self.came += len(flows)
        self.bench.come(*(syn(f"198.51.100.{host}", source=source, port=port) for source, host, port in flows))

    @step(host=st.integers(1, 3), source=st.sampled_from([CLIENT, OTHER]))
    def learned(self, host, source):
        key = ("d4-r", packed(source) + packed(f"198.51.100.{host}"))
        self.bench.denied.release([Element(key, self.bench.stage.now + 10, is_present=False)])

    @step(seconds=st.sampled_from([0.3, 0.7, 1.5]))
    def wait(self, seconds):
        self.bench.wait(seconds)

    @invariant()
    def every_packet_waits_or_has_its_verdict(self):
        bench = self.bench
        assert bench.decided() + len(bench.denied) == self.came
        waiting = [flow for flows in bench.denied._waiting.values() for flow in flows]
        assert len(waiting) == len(bench.denied)
        assert all(bench.denied._waiting.values())
        assert dict(bench.denied._per_endpoint) == dict(Counter(flow.source for flow in waiting))
        assert max(bench.denied._per_endpoint.values(), default=0) <= MAX_HELD_PER_ENDPOINT


TestDenied = DeniedMachine.TestCase
TestDenied.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
