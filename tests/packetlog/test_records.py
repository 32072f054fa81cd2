"""What a record says of a packet, and whose it is."""

import json
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6

from nfq.errors import PacketError
from nfq.log_messages import LoggedPacket, LogOrigin
from policy.rules import Action, Direction, RuleID
from reconcile.instant import WallInstant
from tests.render.states import policy, policy_id, state
from tidegate.packetlog.book import LogBook
from tidegate.packetlog.record import Place, read_record
from tidegate.packetlog.rules import FORMER_LIMIT, LogRules
from tidegate.render import log

RULE = RuleID("default", policy_id("web"), Direction.EGRESS, 0)
PLACE = Place(tag="t", prefix="calico-packet", rule=RULE, endpoint="shop/web", interface="cali1")
AT = WallInstant(1_700_000_000.25)


def logged(packet, **origin):
    return LoggedPacket(memoryview(bytes(packet)), LogOrigin(**origin), 0)


def document(packet, place=PLACE, **origin):
    return read_record(logged(packet, **origin), place, AT).document()


def test_a_tcp_record_says_all_that_the_copy_says():
    packet = IP(src="10.0.0.1", dst="198.51.100.1") / TCP(sport=4000, dport=443, flags="SEC")
    assert document(packet, mark=0x80, mac=b"\x02\0\0\0\0\x07") == {
        "time": "2023-11-14T22:13:20.250000+00:00",
        "prefix": "calico-packet", "direction": "egress", "endpoint": "shop/web", "interface": "cali1",
        "tier": "default", "kind": "GlobalNetworkPolicy", "namespace": None, "policy": "web", "rule": 0, "tag": "t",
        "protocol": "TCP", "source": "10.0.0.1", "source_port": 4000,
        "destination": "198.51.100.1", "destination_port": 443, "names": [],
        "mac": "02:00:00:00:00:07", "length_bytes": 40, "tcp_flags": ["SYN", "ECE", "CWR"],
        "icmp_type": None, "icmp_code": None, "mark": 0x80,
        "packet": b64encode(bytes(packet)).decode(),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("packet", "protocol", "icmp_type"),
    [
        (IP(dst="192.0.2.1") / ICMP(type=8), "ICMP", 8),
        (IPv6(dst="2001:db8::1") / ICMPv6EchoRequest(), "ICMPv6", 128),
    ],
)
def test_an_icmp_record_has_its_type_and_no_ports(packet, protocol, icmp_type):
    found = document(packet)
    assert (found["protocol"], found["icmp_type"], found["icmp_code"]) == (protocol, icmp_type, 0)
    assert found["source_port"] is found["destination_port"] is found["tcp_flags"] is None


def test_a_later_fragment_has_no_flags():
    found = document(IP(dst="192.0.2.1", frag=5, proto=6) / (b"\xff" * 40))
    assert found["tcp_flags"] is None
    assert found["destination_port"] is None


@given(st.binary(max_size=120))
def test_whatever_the_bytes_there_is_a_record_or_a_packet_error(data):
    try:
        found = document(data)
    except PacketError:
        return
    assert json.loads(json.dumps(found)) == found


def with_rules(*names):
    rules = ({"action": Action.ALLOW}, {"action": Action.LOG})
    return state(policies=tuple(policy(name, egress=rules, ingress=rules) for name in names))


def test_a_tag_is_the_rule_and_only_log_rules_have_one():
    rules = LogRules("%t-%n")
    rules.learn(with_rules("a"))
    rule = RuleID("default", policy_id("a"), Direction.EGRESS, 1)
    found = rules.place(log.tag(rule), "cali9", "")
    assert found.rule == rule
    assert found.prefix == "default-a"
    assert not rules.is_known(log.tag(RuleID("default", policy_id("a"), Direction.EGRESS, 0)))


def test_a_rule_that_is_gone_is_known_for_packets_on_their_way_and_those_are_bounded():
    rules, rule = LogRules(""), RuleID("default", policy_id("a"), Direction.EGRESS, 1)
    rules.learn(with_rules("a"))
    rules.learn(with_rules())
    assert rules.place(log.tag(rule), "", "").rule == rule
    many = [f"p{number}" for number in range(FORMER_LIMIT // 2)]
    rules.learn(with_rules(*many))
    rules.learn(with_rules())
    assert not rules.is_known(log.tag(rule))
    assert rules.is_known(log.tag(RuleID("default", policy_id(many[-1]), Direction.INGRESS, 1)))


def test_a_tag_that_nobody_knows_is_told_as_it_is():
    assert LogRules("").place("somebody", "", "") == Place(
        tag="somebody", prefix="", rule=None, endpoint="", interface=""
    )


def test_a_tag_fits_into_the_kernels_prefix():
    long = RuleID("t" * 63, policy_id("n" * 253, "s" * 63, "NetworkPolicy"), Direction.INGRESS, 1234)
    assert len(log.tag(long)) < log.MAX_PREFIX_BYTES


def test_a_follower_sees_every_record_once_and_is_told_how_many_it_missed():
    book = LogBook(limit=3)
    book.add({"n": number} for number in range(2))
    first = book.page(0)
    assert ([item["n"] for item in first["records"]], first["missed"]) == ([0, 1], 0)
    book.add({"n": number} for number in range(2, 7))
    second = book.page(first["next"])
    assert ([item["n"] for item in second["records"]], second["missed"]) == ([4, 5, 6], 2)
    assert book.page(second["next"])["records"] == []


def test_a_number_of_another_run_begins_anew():
    book = LogBook(limit=3)
    book.add([{"n": 0}])
    assert book.page(99)["records"] == [{"n": 0}]
