"""The forms in which trusted DNS servers are named."""

from ipaddress import ip_address

import pytest

from dnsagent.snapshot import TrustedServer
from tidegate.config.servers import ServiceReference, SystemResolvers, parse_server, show_server

GOOD = {
    "10.0.53.53": TrustedServer(address=ip_address("10.0.53.53")),
    "10.0.53.53:5353": TrustedServer(address=ip_address("10.0.53.53"), port=5353),
    "fd00:53::53": TrustedServer(address=ip_address("fd00:53::53")),
    "[fd00:53::53]": TrustedServer(address=ip_address("fd00:53::53")),
    "[fd00:53::53]:5353": TrustedServer(address=ip_address("fd00:53::53"), port=5353),
    "system": SystemResolvers(),
    "k8s-service:kube-dns": ServiceReference(name="kube-dns"),
    "k8s-service:dns/coredns:5353": ServiceReference(name="coredns", namespace="dns", port=5353),
}


@pytest.mark.parametrize("text", GOOD)
def test_every_form_is_read_and_shown_so_that_it_reads_again(text):
    server = parse_server(text)
    assert server == GOOD[text]
    assert parse_server(show_server(server)) == server


@pytest.mark.parametrize(
    "text",
    ["", "dns.example.com", "10.0.0.1:0", "10.0.0.1:65536", "[10.0.0.1", "k8s-service:", "k8s-service:A/b", "::1:x"],
)
def test_anything_else_is_refused_with_its_text(text):
    with pytest.raises(ValueError, match=r"is not|not a port"):
        parse_server(text)
