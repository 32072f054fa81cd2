"""Trusted servers: addresses as they are, `system` from resolv.conf, Services reported where nobody knows them."""

from ipaddress import ip_address

from dnsagent.snapshot import TrustedServer
from tidegate.config.servers import parse_server
from tidegate.sync.resolvers import look_up, nameservers

TEXT = """# comment
search example.com
nameserver 10.0.0.53
nameserver fe80::1%eth0
nameserver nonsense
nameserver
nameserver 10.0.0.54
nameserver 10.0.0.55
"""


def _server(text):
    return TrustedServer(address=ip_address(text))


def test_the_first_three_nameservers_count():
    assert nameservers(TEXT) == [_server("10.0.0.53"), _server("fe80::1"), _server("10.0.0.54")]


def test_each_server_is_named_once_in_order(tmp_path):
    path = tmp_path / "resolv.conf"
    path.write_text(TEXT)
    names = [parse_server(text) for text in ("10.0.0.54", "system", "10.0.0.54")]
    found = look_up(names, path)
    assert found.servers == (_server("10.0.0.54"), _server("10.0.0.53"), _server("fe80::1"))
    assert found.unresolved == ()


def test_what_cannot_be_looked_up_is_reported(tmp_path):
    names = [parse_server(text) for text in ("k8s-service:kube-dns", "system")]
    found = look_up(names, tmp_path / "none")
    assert found.servers == ()
    assert [name for name, _ in found.unresolved] == ["k8s-service:kube-system/kube-dns:53", "system"]
    empty = tmp_path / "empty"
    empty.write_text("")
    assert look_up([parse_server("system")], empty).unresolved == (("system", f"{empty} names no server"),)
