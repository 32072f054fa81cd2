"""What counts as a first packet that was missed."""

from collections import Counter
from ipaddress import ip_address

import pytest

from dnsagent.learn import Element
from dnsagent.missed import MAX_REMEMBERED, MissedPackets
from reconcile.instant import Instant
from tests.dnsagent.packets import udp

CLIENT = "10.0.1.2"


def packet(address: str = "198.51.100.7") -> memoryview:
    return memoryview(udp(CLIENT, 4000, address, 443, b""))


def element(address: str = "198.51.100.7", *, is_present: bool = False) -> Element:
    pair = ip_address(CLIENT).packed + ip_address(address).packed
    return Element(("d4-x", pair), Instant(1000.0), is_present=is_present)


@pytest.fixture
def counters() -> Counter[str]:
    return Counter()


@pytest.fixture
def missed(counters: Counter[str]) -> MissedPackets:
    return MissedPackets(counters)


@pytest.mark.parametrize(("seconds", "count"), [(0.0, 1), (2.9, 1), (3.1, 0)])
def test_a_packet_denied_shortly_before_its_address_is_learned_counts_once(missed, counters, seconds, count):
    missed.note_denied(packet(), Instant(10.0))
    missed.note_learned([element()], Instant(10.0 + seconds))
    missed.note_learned([element()], Instant(10.0 + seconds))
    assert counters["first-packet-missed"] == count


@pytest.mark.parametrize(("seconds", "count"), [(0.01, 1), (0.1, 0)])
def test_a_copy_that_is_read_a_moment_after_learning_counts(missed, counters, seconds, count):
    missed.note_learned([element()], Instant(10.0))
    missed.note_denied(packet(), Instant(10.0 + seconds))
    assert counters["first-packet-missed"] == count


def test_another_address_and_an_open_one_count_nothing(missed, counters):
    missed.note_denied(packet("198.51.100.8"), Instant(10.0))
    missed.note_denied(packet(), Instant(10.0))
    missed.note_learned([element(is_present=True)], Instant(10.1))
    missed.note_learned([element("198.51.100.9")], Instant(10.1))
    assert not counters


def test_junk_is_ignored(missed, counters):
    missed.note_denied(memoryview(b"junk"), Instant(10.0))
    assert not counters


def test_the_oldest_make_room(missed, counters):
    for number in range(MAX_REMEMBERED + 1):
        missed.note_denied(packet(f"198.51.{number >> 8}.{number & 255}"), Instant(10.0))
    missed.note_learned([element("198.51.0.0"), element("198.51.0.1")], Instant(10.1))
    assert counters["first-packet-missed"] == 1
