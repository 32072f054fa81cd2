"""What `explain` understands."""

from ipaddress import ip_address

import pytest

from policy.domains import DomainName
from tidegate.api.question import QuestionError, parse_question


@pytest.mark.parametrize(
    ("text", "destination", "port", "protocol"),
    [
        ("198.51.100.7:443/TCP", ip_address("198.51.100.7"), 443, 6),
        ("198.51.100.7:443", ip_address("198.51.100.7"), 443, 6),
        ("[2001:db8::1]:53/udp", ip_address("2001:db8::1"), 53, 17),
        ("api.example.com:443", DomainName.parse("api.example.com"), 443, 6),
        ("prod/web:8080", "prod/web", 8080, 6),
        ("198.51.100.7/ICMP", ip_address("198.51.100.7"), None, 1),
        ("[2001:db8::1]/ICMPv6", ip_address("2001:db8::1"), None, 58),
        ("198.51.100.7/47", ip_address("198.51.100.7"), None, 47),
        ("prod/web:80/TCP", "prod/web", 80, 6),
    ],
)
def test_destinations(text, destination, port, protocol):
    question = parse_question("prod/job", text)
    assert (question.destination, question.port, question.protocol) == (destination, port, protocol)


def test_a_probe_has_what_its_protocol_needs():
    tcp = parse_question("10.0.0.1", "198.51.100.7:443").probe(ip_address("198.51.100.7"))
    assert (tcp.source.address, tcp.port, tcp.icmp_type) == (ip_address("10.0.0.1"), 443, None)
    ping = parse_question("a/b", "198.51.100.7/ICMP").probe(ip_address("198.51.100.7"))
    assert (ping.source.endpoint, ping.port, ping.icmp_type, ping.family) == ("a/b", None, 8, 4)


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("No body", "198.51.100.7:443"),
        ("a/b", "198.51.100.7"),
        ("a/b", "198.51.100.7:70000"),
        ("a/b", "198.51.100.7:0"),
        ("a/b", "198.51.100.7:443/QUIC"),
        ("a/b", "exa mple.com:443"),
        ("a/b", ":443"),
        ("a/b", ""),
        ("a/b", "*.example.com:443"),
    ],
)
def test_nonsense_is_refused_with_a_reason(source, destination):
    with pytest.raises(QuestionError, match=r"^cannot "):
        parse_question(source, destination)
