"""From entries to questions."""

from ipaddress import ip_address

import pytest

from nfq.connection import Listed
from nfq.packet import FiveTuple
from tidegate.revoke.way import ELSEWHERE, LOOPBACK, Surroundings, spoken, way_of

POD, NEIGHBOUR, HOST, SERVICE, WORLD = "10.0.1.2", "10.0.1.3", "10.0.53.1", "10.96.0.7", "192.0.2.1"


def packed(address):
    return ip_address(address).packed


def routes(address):
    return {packed(WORLD): "uplink"}.get(address, ELSEWHERE)


AROUND = Surroundings(
    workloads={packed(POD): "cali-a", packed(NEIGHBOUR): "cali-b", packed("fd00::2"): "cali-a"},
    own={packed(HOST)},
    routes=routes,
    has_hosts=True,
)


def entry(source, destination, *, target=None, port=443, target_port=None, answer_to=None, protocol=6, **rest):
    target, answer_to = target or destination, answer_to or source
    version = ip_address(source).version
    original = FiveTuple(version, protocol, packed(source), packed(destination), 40000, port)
    reply = FiveTuple(version, protocol, packed(target), packed(answer_to), target_port or port, 40000)
    return Listed(original, reply, rest.get("icmp"), rest.get("master"), b"")


@pytest.mark.parametrize(
    ("source", "destination", "ways"),
    [
        (POD, WORLD, ("cali-a", "uplink")),
        (WORLD, POD, ("uplink", "cali-a")),
        (POD, NEIGHBOUR, ("cali-a", "cali-b")),
        (POD, HOST, ("cali-a", "")),
        (POD, "224.0.0.5", ("cali-a", "")),
        (POD, "255.255.255.255", ("cali-a", "")),
        ("fd00::2", "ff02::1", ("cali-a", "")),
        (HOST, POD, ("", "cali-a")),
        (HOST, WORLD, ("", "uplink")),
        (HOST, HOST, ("", LOOPBACK)),
        (WORLD, HOST, ("uplink", "")),
        (WORLD, "198.51.100.1", ("uplink", ELSEWHERE)),
    ],
)
def test_interfaces_follow_from_the_addresses(source, destination, ways):
    way = way_of(entry(source, destination), AROUND)
    assert (way.iif, way.oif) == ways


def test_policy_sees_the_address_behind_destination_nat_and_before_source_nat():
    way = way_of(entry(POD, SERVICE, target=NEIGHBOUR, port=80, target_port=8080, answer_to=HOST), AROUND)
    assert (way.source, way.destination, way.destination_port) == (packed(POD), packed(NEIGHBOUR), 8080)
    assert (way.asked, way.asked_port, way.is_translated) == (packed(SERVICE), 80, True)
    assert (way.iif, way.oif) == ("cali-a", "cali-b")


def test_a_hairpin_leaves_by_the_interface_it_came_by():
    way = way_of(entry(POD, SERVICE, target=POD, answer_to=HOST), AROUND)
    assert (way.iif, way.oif) == ("cali-a", "cali-a")


def test_without_host_endpoints_what_passes_no_workload_is_nobodys_business():
    alone = Surroundings(workloads=AROUND.workloads, own=AROUND.own)
    assert way_of(entry(HOST, WORLD), alone) is None
    assert way_of(entry(WORLD, HOST), alone) is None
    assert way_of(entry(POD, WORLD), alone).oif == ELSEWHERE


def test_what_a_helper_foresaw_stands_and_falls_with_its_master():
    control = FiveTuple(4, 6, packed(POD), packed(WORLD), 40001, 21)
    way = way_of(entry(WORLD, POD, port=5555, master=control), AROUND)
    assert (way.source, way.destination, way.destination_port) == (packed(POD), packed(WORLD), 21)


def test_protocols_without_ports_have_zeros_in_their_place_and_icmp_its_type():
    bare = Listed(
        FiveTuple(4, 1, packed(POD), packed(WORLD), None, None),
        FiveTuple(4, 1, packed(WORLD), packed(POD), None, None),
        (8, 0), None, b"",
    )  # fmt: skip
    way = way_of(bare, AROUND)
    assert (way.source_port, way.destination_port, way.icmp) == (0, 0, (8, 0))
    assert spoken(way) == f"{POD} -> {WORLD}"


def test_ways_are_told_as_people_write_them():
    six = way_of(entry("fd00::2", "2001:db8::1"), AROUND)
    assert spoken(six) == "[fd00::2]:40000 -> [2001:db8::1]:443"
