"""QUIC clients that must name themselves: each datagram gets one verdict, each conversation one judgement."""

import pytest

from dnsagent.named.datagrams import MAX_READ_PER_SECOND
from dnsagent.named.flows import MAX_FLOWS_PER_ENDPOINT, MAX_HELD_PER_ENDPOINT
from tests.dnsagent.greetings import ech, handshake, padding, server_name
from tests.dnsagent.packets import udp
from tests.dnsagent.quic_client import crypto, datagram
from tests.dnsagent.stage import CLIENT, POINTER, A, record, rule
from tests.dnsagent.test_named import ADDRESS, NAMED, UNNAMED, Bench, opening, segment


def greeting(name: str | None = "a.test", *more: bytes) -> bytes:
    named = () if name is None else (server_name(name.encode()),)
    return handshake(*named, *more)


def whole(name: str | None = "a.test", *more: bytes) -> bytes:
    return datagram(crypto(0, greeting(name, *more)))


def halves(name: str = "a.test") -> tuple[bytes, bytes]:
    """Two datagrams, of which neither says the name alone."""
    hello = handshake(padding(1000), server_name(name.encode()))
    return datagram(crypto(0, hello[:600]), 0), datagram(crypto(600, hello[600:]), 1)


def sent(payload: bytes, port: int = 50_000) -> bytes:
    return udp(CLIENT, port, ADDRESS, 443, payload)


@pytest.fixture
def bench():
    return Bench(reads_quic=True)


def is_empty(bench) -> bool:
    flows = bench.named._datagrams.flows
    return not (flows._states or flows._by_source or flows._holding or flows._judged or flows._held_of)


def test_a_greeting_passes_by_its_name_and_is_refused_by_another(bench):
    bench.come(sent(whole()), sent(whole("b.test"), 50_001))
    assert bench.marks() == [NAMED, UNNAMED]
    assert bench.reasons() == ["other-name"]
    assert (bench.refusals[0].name, bench.refusals[0].port) == (b"b.test", 443)


def test_a_greeting_in_two_datagrams_is_held_until_it_is_whole_in_any_order(bench):
    for port, (first, second) in ((50_000, halves()), (50_001, halves()[::-1])):
        bench.come(sent(first, port))
        assert bench.decided() == 2 * (port - 50_000)
        bench.come(sent(second, port))
    assert bench.marks() == [NAMED] * 4
    assert bench.counters["named-allowed"] == 2


def test_what_is_held_is_refused_with_what_says_the_wrong_name(bench):
    first, second = halves("b.test")
    bench.come(sent(first), sent(second))
    assert bench.marks() == [UNNAMED] * 2
    assert bench.reasons() == ["other-name"]


def test_a_judgement_holds_for_datagrams_that_were_on_their_way(bench):
    bench.come(sent(whole()), sent(b"\x40 anything"), sent(whole("b.test"), 50_001), sent(whole(), 50_001))
    assert bench.marks() == [NAMED, NAMED, UNNAMED, UNNAMED]


def test_half_a_greeting_is_refused_when_its_time_is_over(bench):
    bench.come(sent(halves()[0]))
    deadline = bench.named.next_deadline()
    assert bench.stage.now < deadline <= bench.stage.now + 10
    bench.wait(deadline - bench.stage.now)
    assert (bench.marks(), bench.reasons()) == ([UNNAMED], ["timeout"])
    bench.wait(60)
    assert is_empty(bench)
    assert bench.named.next_deadline() is None


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"x" * 1200, "quic-no-initial"),
        (b"\xc0", "quic-malformed"),
        (datagram(crypto(0, b"\1\0\0\1\0")), "malformed-hello"),
        (datagram(crypto(0, greeting()))[:1100], "quic-malformed"),
    ],
)
def test_what_is_no_greeting_is_refused(bench, payload, reason):
    bench.come(sent(payload))
    assert (bench.marks(), bench.reasons()) == ([UNNAMED], [reason])


@pytest.mark.parametrize("allows", [False, True])
def test_a_client_that_names_nobody_follows_the_policy(allows):
    bench = Bench(reads_quic=True, allows_missing=allows)
    bench.come(sent(whole(None)))
    assert bench.marks() == [NAMED if allows else UNNAMED]


@pytest.mark.parametrize("refuses", [False, True])
def test_an_encrypted_greeting_follows_the_policy(refuses):
    bench = Bench(reads_quic=True, refuses_ech=refuses)
    bench.come(sent(whole("a.test", ech())))
    assert bench.marks() == [UNNAMED if refuses else NAMED]


def test_without_leave_nothing_is_read():
    bench = Bench()
    bench.come(sent(whole()))
    assert (bench.marks(), bench.reasons()) == ([UNNAMED], ["other-protocol"])


def test_only_names_of_rules_that_have_quic_read_count():
    bench = Bench(reads_quic=True)
    bench.stage.adopt(rule("r", "a.test", is_bound=True, reads_quic=True), rule("s", "b.test", is_bound=True))
    bench.stage.tell("b.test", record(POINTER, A, 60, ADDRESS))
    bench.come(sent(whole("b.test")), sent(whole("a.test"), 50_001))
    assert bench.marks() == [UNNAMED, NAMED]


def test_a_rule_about_tcp_has_no_quic_read():
    bench = Bench(reads_quic=True, doors=((6, 443, 443),))
    bench.come(sent(whole()))
    assert (bench.marks(), bench.reasons()) == ([UNNAMED], ["other-protocol"])


def test_fragments_and_other_protocols_are_refused(bench):
    packet = bytearray(sent(whole()))
    packet[6] |= 0x20
    bench.come(bytes(packet))
    assert bench.reasons() == ["other-protocol"]


def test_tcp_from_the_same_port_is_another_connection(bench):
    bench.come(
        sent(halves()[0], 50_000),
        opening(),
        sent(halves()[1], 50_000),
        segment(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    )
    assert bench.marks() == [NAMED] * 3


def test_who_greets_too_often_is_heard_later(bench):
    bench.come(*(sent(whole(), 1000 + number) for number in range(MAX_READ_PER_SECOND + 5)))
    assert bench.counters["cap-quic-rate"] == len(bench.kernel.dropped) == 5
    bench.stage.now += 1
    bench.come(sent(whole(), 999))
    assert bench.marks()[-1] == NAMED


def test_held_datagrams_have_a_bound_of_their_workload(bench):
    first, ports = halves()[0], range(2000, 2000 + MAX_HELD_PER_ENDPOINT + 1)
    for start in range(0, len(ports), MAX_READ_PER_SECOND):
        bench.stage.now += 1
        bench.come(*(sent(first, port) for port in ports[start : start + MAX_READ_PER_SECOND]))
    assert bench.reasons() == ["cap-held"]
    assert len(bench.named) <= MAX_FLOWS_PER_ENDPOINT


def test_when_the_binding_is_lost_clients_begin_anew(bench):
    first, second = halves()
    bench.come(sent(first))
    bench.named.lose_held()
    bench.come(sent(second))
    assert bench.marks() == []
    bench.come(sent(first))
    assert bench.marks() == [NAMED] * 2


def test_when_it_ends_all_that_is_held_is_dropped(bench):
    bench.come(sent(halves()[0]))
    bench.named.close()
    assert len(bench.kernel.dropped) == 1
    assert is_empty(bench)
