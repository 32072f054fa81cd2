"""Connections that must name themselves: each packet gets one verdict, each connection one judgement."""

import struct
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant
from hypothesis.stateful import rule as step

from dnsagent.named.connections import NamedConnections
from dnsagent.named.flows import MAX_FLOWS_PER_ENDPOINT, MAX_HELD_PER_ENDPOINT, REMEMBERED_SECONDS
from dnsagent.named.resets import checksum
from dnsagent.named.verdicts import MAX_NOTICES_PER_SECOND
from nfq.fake import FakeKernel, FakeQueue
from nfq.headers import read_ip, read_tcp
from nfq.held import DROP, Arrival
from nfq.queue import QueueSettings
from tests.dnsagent.greetings import ech, hello, request
from tests.dnsagent.packets import ip, udp
from tests.dnsagent.stage import CLIENT, POINTER, A, Stage, record, rule

ADDRESS = "198.51.100.10"
NAMED, UNNAMED = 0x80000, 0x100000
SYN, ACK, RST, FIN = 2, 16, 4, 1
START = 0xFFFFFFF0
"""So that numbers wrap on the way."""


def segment(payload: bytes = b"", offset: int = 0, *, flags: int = ACK, port: int = 50_000) -> bytes:
    head = struct.pack("!HHIIBBHHH", port, 443, (START + offset) % 2**32, 7000, 0x50, flags, 1000, 0, 0)
    return ip(CLIENT, ADDRESS, 6, head + payload)


def opening(port: int = 50_000, payload: bytes = b"") -> bytes:
    return segment(payload, -1, flags=SYN, port=port)


class Bench:
    def __init__(self, **options) -> None:
        self.stage = Stage(rule("r", "a.test", is_bound=True, **options))
        self.counters: Counter[str] = Counter()
        self.sent: list[bytes] = []
        self.refusals = []
        self.named = NamedConnections(self.stage.learner, self.counters, self.sent.extend, self.refusals.append)
        self.kernel = FakeKernel()
        self.queue = FakeQueue(self.kernel, QueueSettings(number=102, default=DROP, max_length=50_000))
        self.stage.tell("a.test", record(POINTER, A, 60, ADDRESS))

    def come(self, *packets: bytes, mark: int = 0) -> None:
        for packet in packets:
            self.kernel.queue_packet(102, packet, Arrival(mark=mark))
        with self.queue.receive(50_000) as batch:
            self.named.take(batch, self.stage.now)
        self.named.flush()

    def wait(self, seconds: float) -> None:
        self.stage.now += seconds
        self.named.expire(self.stage.now)

    def marks(self) -> list[int]:
        return [packet.mark for packet in self.kernel.repeated]

    def decided(self) -> int:
        return len(self.kernel.dropped) + len(self.kernel.repeated) + len(self.kernel.passed)

    def reasons(self) -> list[str]:
        return [refusal.reason for refusal in self.refusals]

    def is_empty(self) -> bool:
        flows = self.named._flows
        return not (flows._states or flows._by_source or flows._holding or flows._judged or flows._held_of)


@pytest.fixture
def bench():
    return Bench()


def test_a_connection_opens_and_its_greeting_passes_marked(bench):
    bench.come(opening(), segment())
    assert [packet.payload for packet in bench.kernel.passed] == [opening(), segment()]
    bench.come(segment(hello("a.test")), mark=0x5)
    assert (bench.marks(), bench.sent, bench.refusals) == ([NAMED | 0x5], [], [])
    assert bench.counters["named-allowed"] == 1


def test_another_name_is_refused_once_and_both_ends_are_reset(bench):
    data = hello("evil.test")
    bench.come(opening(), segment(data), segment(b"x", len(data)))
    assert bench.marks() == [UNNAMED, UNNAMED]
    [refusal] = bench.refusals
    assert (refusal.reason, refusal.name, refusal.port) == ("other-name", b"evil.test", 443)
    to_server, to_client = map(_read, bench.sent)
    assert (to_server.sequence, to_server.flags & RST, to_server.source_port) == (START, RST, 50_000)
    assert (to_client.sequence, to_client.flags & RST, to_client.source_port) == (7000, RST, 443)


def _read(packet: bytes):
    header = read_ip(memoryview(packet))
    pseudo = header.source + header.destination + struct.pack("!II", len(header.transport), 6)
    assert checksum(pseudo + bytes(header.transport)) == 0
    return read_tcp(header.transport)


@pytest.mark.parametrize(
    ("doors", "mark"),
    [
        (((6, 443, 443),), NAMED),
        (((6, 80, 80), (6, 440, 450)), NAMED),
        (((0, 0, 65_535),), NAMED),
        (((6, 8443, 8443),), UNNAMED),
        (((17, 443, 443),), UNNAMED),
        ((), UNNAMED),
    ],
)
def test_a_name_counts_at_the_ports_of_its_own_rules_alone(bench, doors, mark):
    bench.stage.adopt(rule("r", "a.test", is_bound=True), rule("s", "b.test", is_bound=True, doors=doors))
    bench.stage.tell("b.test", record(POINTER, A, 60, ADDRESS))
    bench.come(opening(), segment(hello("b.test")))
    assert bench.marks() == [mark]


def test_parts_wait_for_each_other_and_go_together(bench):
    data = hello("a.test")
    bench.come(opening(), segment(data[40:], 40), segment(data[:20]))
    assert bench.kernel.repeated == []
    bench.come(segment(data[20:40], 20))
    assert bench.marks() == [NAMED] * 3
    assert [packet.payload for packet in bench.kernel.repeated][:2] == [segment(data[40:], 40), segment(data[:20])]


def test_a_copy_of_what_is_held_is_dropped(bench):
    data = hello("a.test")
    bench.come(opening(), segment(data[:20]), segment(data[:20]))
    assert (len(bench.kernel.dropped), bench.counters["named-copies"]) == (1, 1)
    bench.come(segment(data[20:], 20))
    assert bench.marks() == [NAMED] * 2


def test_other_bytes_in_the_place_of_known_ones_are_refused(bench):
    bench.come(opening(), segment(hello("a.test")[:64]), segment(hello("b.test")[:64]))
    assert (bench.marks(), bench.reasons()) == ([UNNAMED] * 2, ["overlap"])


def test_what_was_queued_before_the_judgement_shares_it(bench):
    bench.come(opening(), segment(hello("a.test")), segment(b"early", 500))
    assert bench.marks() == [NAMED, NAMED]
    bench.wait(REMEMBERED_SECONDS)
    assert bench.is_empty()


def test_who_does_not_end_in_time_is_refused(bench):
    bench.come(opening(), segment(hello("a.test")[:30]))
    assert bench.named.next_deadline() == bench.stage.now + 5.0
    bench.wait(5.0)
    assert (bench.marks(), bench.reasons(), len(bench.sent)) == ([UNNAMED], ["timeout"], 2)


def test_who_says_nothing_is_left_alone(bench):
    bench.come(opening(), segment())
    bench.wait(10_000)
    bench.come(segment(hello("a.test")))
    assert bench.marks() == [NAMED]


def test_data_whose_beginning_nobody_saw_are_refused(bench):
    bench.come(segment(hello("a.test")))
    assert (bench.marks(), bench.reasons(), len(bench.sent)) == ([UNNAMED], ["unknown-start"], 2)


def test_a_greeting_behind_other_bytes_does_not_count(bench):
    bench.come(opening(), segment(hello("a.test"), 100))
    assert bench.marks() == []
    bench.come(segment(b"evil" * 25))
    assert (bench.marks(), bench.reasons()) == ([UNNAMED] * 2, ["neither-tls-nor-http"])


def test_data_with_the_syn_must_be_sent_again(bench):
    bench.come(opening(payload=hello("a.test")))
    assert (len(bench.kernel.dropped), bench.counters["named-early-data"]) == (1, 1)
    bench.come(opening(), segment(hello("a.test")))
    assert bench.marks() == [NAMED]


def test_the_same_ports_may_be_used_again(bench):
    bench.come(opening(), segment(hello("evil.test")))
    bench.come(opening(), segment(hello("a.test")))
    assert bench.marks() == [UNNAMED, NAMED]


def test_a_reset_by_the_client_forgets_the_connection(bench):
    bench.come(opening(), segment(hello("a.test")[:30]), segment(flags=RST))
    assert bench.is_empty()
    assert (len(bench.kernel.dropped), len(bench.kernel.passed)) == (1, 2)


def test_udp_is_refused(bench):
    bench.come(udp(CLIENT, 5000, ADDRESS, 443, b"x" * 1200))
    assert (bench.marks(), bench.reasons()) == ([UNNAMED], ["other-protocol"])


@pytest.mark.parametrize(("allows", "mark"), [(False, UNNAMED), (True, NAMED)])
def test_a_client_that_names_nobody_follows_the_policy(allows, mark):
    bench = Bench(allows_missing=allows)
    bench.come(opening(), segment(hello(None)), opening(50_001), segment(request(None), port=50_001))
    assert bench.marks() == [mark] * 2


@pytest.mark.parametrize(("refuses", "mark"), [(False, NAMED), (True, UNNAMED)])
def test_an_encrypted_greeting_follows_the_policy(refuses, mark):
    bench = Bench(refuses_ech=refuses)
    bench.come(opening(), segment(hello("a.test", ech())))
    assert bench.marks() == [mark]


def test_a_lost_binding_loses_what_was_held_and_the_client_begins_again(bench):
    data = hello("a.test")
    bench.come(opening(), segment(data[:30]))
    bench.named.lose_held()
    bench.come(segment(data[:30]), segment(data[30:], 30))
    assert bench.marks() == [NAMED] * 2


def test_silent_connections_beyond_the_bound_push_out_the_oldest(bench):
    for port in range(MAX_FLOWS_PER_ENDPOINT + 1):
        bench.come(opening(port))
    assert (len(bench.named), bench.counters["cap-named-flows"]) == (MAX_FLOWS_PER_ENDPOINT, 1)
    bench.come(segment(hello("a.test"), port=0), segment(hello("a.test"), port=1))
    assert bench.marks() == [UNNAMED, NAMED]


def test_held_packets_are_bounded(bench):
    for port in range(MAX_HELD_PER_ENDPOINT + 1):
        bench.come(opening(port), segment(b"\x16", port=port))
    assert (bench.marks(), bench.reasons()) == ([UNNAMED], ["cap-held"])


def test_notices_are_bounded_and_counts_are_not(bench):
    for port in range(100):
        bench.come(opening(port), segment(b"\0", port=port))
    assert (len(bench.refusals), bench.counters["named-refused"]) == (MAX_NOTICES_PER_SECOND, 100)


def test_closing_drops_what_is_held(bench):
    bench.come(opening(), segment(b"\x16"))
    bench.named.close()
    assert (len(bench.kernel.dropped), bench.is_empty()) == (1, True)


class AnyTraffic(RuleBasedStateMachine):
    """Whatever comes in whatever order, each packet gets one verdict, and none of another name passes."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.count = 0

    @step(port=st.integers(1, 3), start=st.integers(0, 60), size=st.integers(0, 80), name=st.sampled_from("ab"))
    def say(self, port, start, size, name):
        self.count += 1
        data = hello(f"{name}.test")[start : start + size]
        self.bench.come(segment(data, start, port=port))

    @step(port=st.integers(1, 3), flags=st.sampled_from([SYN, RST, FIN | ACK, ACK]))
    def signal(self, port, flags):
        self.count += 1
        self.bench.come(segment(b"", -1 if flags == SYN else 0, flags=flags, port=port))

    @step(seconds=st.sampled_from([0.1, 5.0, 100.0]))
    def wait(self, seconds):
        self.bench.wait(seconds)

    @step()
    def lose(self):
        self.bench.named.lose_held()

    @invariant()
    def every_packet_is_decided_or_held_by_a_connection(self):
        flows = self.bench.named._flows
        held = sum(len(state.packets) for state in flows._states.values())
        assert held == len(flows._holder) == sum(flows._held_of.values())
        assert self.bench.decided() + held == self.count

    def teardown(self):
        self.bench.named.close()
        assert self.bench.decided() == self.count
        assert self.bench.is_empty()


AnyTraffic.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
test_any_traffic = AnyTraffic.TestCase
