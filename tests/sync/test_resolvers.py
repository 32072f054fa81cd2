"""Trusted servers: addresses as they are, `system` from resolv.conf, Services reported where nobody knows them."""

from ipaddress import ip_address

from dnsagent.snapshot import TrustedServer
from policy.resources.decode import decode
from tidegate.config.servers import parse_server
from tidegate.sync.resolvers import look_up, nameservers
from tidegate.sync.service_servers import servers_of

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
    found = look_up(names, {}, path)
    assert found.servers == (_server("10.0.0.54"), _server("10.0.0.53"), _server("fe80::1"))
    assert found.unresolved == ()


def test_what_cannot_be_looked_up_is_reported(tmp_path):
    names = [parse_server(text) for text in ("k8s-service:kube-dns", "system")]
    found = look_up(names, {}, tmp_path / "none")
    assert found.servers == ()
    assert [name for name, _ in found.unresolved] == ["k8s-service:kube-system/kube-dns:53", "system"]
    empty = tmp_path / "empty"
    empty.write_text("")
    assert look_up([parse_server("system")], {}, empty).unresolved == (("system", f"{empty} names no server"),)


def test_a_service_is_its_own_addresses_and_its_endpoints():
    resources = {item.key: item for item in map(decode, documents())}
    names = [parse_server("k8s-service:kube-dns"), parse_server("k8s-service:other/absent"), parse_server("10.0.0.1")]
    known = servers_of(names, resources)
    assert known == {
        "k8s-service:kube-system/kube-dns:53": (
            _server("10.96.0.10"),
            TrustedServer(address=ip_address("10.0.0.7"), port=5353),
            TrustedServer(address=ip_address("10.0.0.8"), port=5353),
        )
    }
    found = look_up(names, known)
    assert len(found.servers) == 4
    assert [name for name, _ in found.unresolved] == ["k8s-service:other/absent:53"]


def documents():
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system"},
        "spec": {
            "clusterIP": "10.96.0.10",
            "ports": [{"name": "dns", "protocol": "UDP", "port": 53}, {"name": "metrics", "port": 9153}],
        },
    }
    for service, addresses in (("kube-dns", ["10.0.0.7", "10.0.0.8"]), ("else", ["10.0.0.9"])):
        yield {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{service}-1",
                "namespace": "kube-system",
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address]} for address in addresses],
            "ports": [{"name": "dns", "protocol": "UDP", "port": 5353}, {"name": "metrics", "port": 9153}],
        }
