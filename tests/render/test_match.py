"""Rules to nft conditions, one criterion at a time."""

from ipaddress import ip_network

import pytest

from nft.expr import Compare, Field, Lookup, Op, Range
from nft.model import Set
from policy.rules import DomainSetID, ICMPMatch, IPSetID
from tests.render.states import INGRESS, NET4, NET6, port, rule, to
from tidegate.render import names
from tidegate.render.content import ContentSets
from tidegate.render.match import conditions

V4 = Compare(Field.NFPROTO, Op.EQ, "ipv4")
V6 = Compare(Field.NFPROTO, Op.EQ, "ipv6")
TCP = Compare(Field.L4PROTO, Op.EQ, 6)


def written(**criteria):
    return list(conditions(rule(**criteria), ContentSets()))


def test_a_rule_without_criteria_matches_everything_of_both_families():
    assert written() == [()]


def test_a_rule_that_is_not_about_addresses_is_one_for_both_families():
    assert written(protocol=6, destination=to(ports=(port(80),))) == [(TCP, Compare(Field.DPORT, Op.EQ, 80))]


def test_an_ip_version_restricts_to_its_family():
    assert written(ip_version=6) == [(V6,)]


@pytest.mark.parametrize(("protocol", "family"), [(1, V4), (58, V6)])
def test_icmp_implies_its_family(protocol, family):
    assert written(protocol=protocol) == [(Compare(Field.L4PROTO, Op.EQ, protocol), family)]


def test_a_version_that_icmp_contradicts_never_matches():
    assert written(protocol=58, ip_version=4) == []


def test_excluding_a_protocol_implies_no_family():
    assert written(not_protocol=1) == [(Compare(Field.L4PROTO, Op.NE, 1),)]


def test_nets_of_one_family_leave_the_other_out():
    assert written(destination=to(nets=(NET4,))) == [(V4, Compare(Field.IP_DADDR, Op.EQ, NET4))]


def test_excluded_nets_of_one_family_leave_the_other_out():
    assert written(source=to(not_nets=(NET6,))) == [(V6, Compare(Field.IP6_SADDR, Op.NE, NET6))]


@pytest.mark.parametrize("everything", ["0.0.0.0/0", "::/0"])
def test_excluding_everything_never_matches(everything):
    assert written(source=to(not_nets=(ip_network(everything),))) == []


def test_a_net_that_is_everything_is_its_family():
    assert written(destination=to(nets=(ip_network("0.0.0.0/0"), NET4))) == [(V4,)]


def test_several_nets_are_a_set_without_overlap():
    content = ContentSets()
    nets = (NET4, ip_network("10.1.0.0/16"), ip_network("192.0.2.0/25"), ip_network("192.0.2.128/25"), NET6)
    found = list(conditions(rule(destination=to(nets=nets)), content))
    (name,) = content.sets
    assert found == [(V4, Lookup((Field.IP_DADDR,), name)), (V6, Compare(Field.IP6_DADDR, Op.EQ, NET6))]
    assert content.sets[name].is_interval
    assert content.elements[name] == {(NET4,), (ip_network("192.0.2.0/24"),)}


def test_the_same_nets_in_another_order_are_the_same_set():
    first, second = ContentSets(), ContentSets()
    nets = (ip_network("192.0.2.0/24"), NET4)
    list(conditions(rule(destination=to(nets=nets)), first))
    list(conditions(rule(source=to(nets=nets[::-1])), second))
    assert first.sets == second.sets


def test_sets_are_written_for_both_families():
    assert written(source=to(sets=(IPSetID("a"),), not_sets=(IPSetID("b"),))) == [
        (
            family,
            Lookup((address,), names.ip_set(IPSetID("b"), version), negated=True),
            Lookup((address,), names.ip_set(IPSetID("a"), version)),
        )
        for version, family, address in ((4, V4, Field.IP_SADDR), (6, V6, Field.IP6_SADDR))
    ]


def test_several_ports_are_a_set_and_each_range_a_rule():
    content = ContentSets()
    ports = (port(443), port(80), port(8000, 8005), port(8006, 8010))
    found = list(conditions(rule(protocol=6, destination=to(ports=ports)), content))
    (name,) = content.sets
    assert content.sets[name] == Set(name=name, key=(Field.DPORT.type,))
    assert content.elements[name] == {(80,), (443,)}
    assert found == [
        (TCP, Lookup((Field.DPORT,), name)),
        (TCP, Compare(Field.DPORT, Op.EQ, Range(8000, 8010))),
    ]


def test_excluded_ports_must_all_be_missed():
    excluded = to(not_ports=(port(22), port(1, 10)))
    assert written(protocol=6, source=excluded) == [
        (TCP, Compare(Field.SPORT, Op.NE, 22), Compare(Field.SPORT, Op.NE, Range(1, 10)))
    ]


def test_a_named_port_is_an_alternative_to_a_number():
    four = written(ip_version=4, protocol=6, destination=to(ports=(port(80),), port_sets=(IPSetID("web"),)))
    key = (Field.IP_DADDR, Field.L4PROTO, Field.DPORT)
    assert four == [
        (TCP, V4, Compare(Field.DPORT, Op.EQ, 80)),
        (TCP, V4, Compare(Field.DPORT, Op.NE, 80), Lookup(key, names.ip_set(IPSetID("web"), 4))),
    ]


def test_a_service_is_an_address_as_source_and_an_address_with_port_as_destination():
    service = IPSetID("svc")
    name = names.ip_set(service, 4)
    assert written(ip_version=4, source=to(service_set=service), direction=INGRESS) == [
        (V4, Lookup((Field.IP_SADDR,), name))
    ]
    assert written(ip_version=4, destination=to(service_set=service)) == [
        (V4, Lookup((Field.IP_DADDR, Field.L4PROTO, Field.DPORT), name))
    ]


def test_names_are_looked_up_with_the_endpoint_that_learned_them():
    found = written(destination=to(domain_set=DomainSetID("d")))
    assert found == [
        (V4, Lookup((Field.IP_SADDR, Field.IP_DADDR), names.domain_set(DomainSetID("d"), 4))),
        (V6, Lookup((Field.IP6_SADDR, Field.IP6_DADDR), names.domain_set(DomainSetID("d"), 6))),
    ]


def test_names_are_an_alternative_to_sets():
    found = written(ip_version=4, destination=to(domain_set=DomainSetID("d"), sets=(IPSetID("a"),)))
    assert len(found) == 2
    assert Lookup((Field.IP_DADDR,), names.ip_set(IPSetID("a"), 4)) in found[0]
    assert Lookup((Field.IP_DADDR,), names.ip_set(IPSetID("a"), 4)) not in found[1]


def test_names_do_not_bring_back_a_family_that_the_nets_leave_out():
    found = written(destination=to(domain_set=DomainSetID("d"), nets=(NET4,)))
    assert [condition[0] for condition in found] == [V4, V4]


@pytest.mark.parametrize(
    "criteria",
    [
        {"source": to(domain_set=DomainSetID("d"))},
        {"destination": to(domain_set=DomainSetID("d")), "direction": INGRESS},
    ],
)
def test_names_where_nobody_learns_them_match_nothing(criteria):
    assert written(**criteria) == []


def test_an_icmp_type_without_a_protocol_is_the_familys():
    assert written(icmp=ICMPMatch(8, 0)) == [
        (Compare(Field.L4PROTO, Op.EQ, 1), V4, *pair(Field.ICMP_TYPE, Field.ICMP_CODE)),
        (Compare(Field.L4PROTO, Op.EQ, 58), V6, *pair(Field.ICMPV6_TYPE, Field.ICMPV6_CODE)),
    ]


def pair(kind, code):
    return Compare(kind, Op.EQ, 8), Compare(code, Op.EQ, 0)


def test_an_excluded_icmp_code_leaves_the_other_codes_of_its_type():
    icmp = Compare(Field.L4PROTO, Op.EQ, 1)
    assert written(protocol=1, not_icmp=ICMPMatch(3, 4)) == [
        (icmp, V4, Compare(Field.ICMP_TYPE, Op.NE, 3)),
        (icmp, V4, Compare(Field.ICMP_TYPE, Op.EQ, 3), Compare(Field.ICMP_CODE, Op.NE, 4)),
    ]
