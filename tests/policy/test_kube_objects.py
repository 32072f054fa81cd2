"""Services, EndpointSlices and nodes: what is read of them, and what is refused."""

from ipaddress import ip_address

import pytest

from policy.errors import Faults
from policy.resources.decode import decode, key_of


def slice_of(**fields):
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "web-x", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"]}],
        "ports": [{"name": "http", "port": 8080}],
        **fields,
    }


def service(**spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"}, "spec": spec}


def read(document):
    decoded = decode(document)
    assert not isinstance(decoded, Faults), str(decoded)
    return decoded


def faults(document):
    decoded = decode(document)
    return {fault.path: fault.message for fault in decoded.faults} if isinstance(decoded, Faults) else {}


# --- EndpointSlice ---


def test_a_slice_says_its_service_addresses_and_ports():
    found = read(slice_of())
    assert (found.service, found.address_type) == ("web", "IPv4")
    assert found.endpoints[0].addresses == (ip_address("10.0.0.1"),)
    assert [(port.name, port.protocol, port.port) for port in found.ports] == [("http", 6, 8080)]


def test_a_slice_without_the_label_belongs_to_no_service():
    assert read(slice_of(metadata={"name": "x"})).service == ""


@pytest.mark.parametrize(
    ("conditions", "is_ready"),
    [
        (None, True),
        ({}, True),
        ({"ready": None}, True),
        ({"ready": True}, True),
        ({"ready": False}, False),
        ({"ready": False, "serving": True, "terminating": True}, False),
    ],
)
def test_unknown_readiness_counts_as_ready(conditions, is_ready):
    endpoint = {"addresses": ["10.0.0.1"], "conditions": conditions}
    assert read(slice_of(endpoints=[endpoint])).endpoints[0].is_ready is is_ready


def test_a_port_without_a_number_is_every_port():
    assert read(slice_of(ports=[{"protocol": "UDP"}])).ports[0].port is None


def test_names_of_a_slice_of_names_are_kept_as_text():
    found = read(slice_of(addressType="FQDN", endpoints=[{"addresses": ["db.example.com"]}]))
    assert found.endpoints[0].addresses == ("db.example.com",)


def test_what_policy_does_not_read_of_a_slice_is_accepted():
    more = {
        "addresses": ["10.0.0.1"],
        "zone": "a",
        "hints": {"forZones": [{"name": "a"}]},
        "targetRef": {"kind": "Pod"},
    }
    assert read(slice_of(endpoints=[more], ports=[{"port": 1, "appProtocol": "http"}]))


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"addressType": None}, "addressType"),
        ({"addressType": "ipv4"}, "addressType"),
        ({"endpoints": [{"addresses": []}]}, "endpoints[0].addresses"),
        ({"endpoints": [{}]}, "endpoints[0].addresses"),
        ({"endpoints": [{"addresses": ["10.0.0.1", "fd00::1"]}]}, "endpoints[0].addresses[1]"),
        ({"endpoints": [{"addresses": ["web"]}]}, "endpoints[0].addresses[0]"),
        ({"endpoints": [{"addresses": ["10.0.0.1/32"]}]}, "endpoints[0].addresses[0]"),
        ({"endpoints": [{"addresses": ["fe80::1%eth0"]}], "addressType": "IPv6"}, "endpoints[0].addresses[0]"),
        ({"endpoints": [{"addresses": [1]}]}, "endpoints[0].addresses[0]"),
        ({"endpoints": [{"addresses": ["10.0.0.1"] * 101}]}, "endpoints[0].addresses"),
        ({"endpoints": [{"addresses": ["10.0.0.1"]}] * 1001}, "endpoints"),
        ({"endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": "yes"}}]}, "endpoints[0].conditions.ready"),
        ({"ports": [{"port": 0}]}, "ports[0].port"),
        ({"ports": [{"port": 80, "protocol": "ICMP"}]}, "ports[0].protocol"),
    ],
)
def test_faults_of_a_slice_are_told_with_their_path(fields, path):
    assert path in faults(slice_of(**fields))


# --- Service ---


def test_a_service_has_its_addresses_once():
    found = read(service(clusterIP="10.96.0.1", clusterIPs=["10.96.0.1", "fd00::1"], ports=[{"port": 80}]))
    assert found.cluster_addresses == (ip_address("10.96.0.1"), ip_address("fd00::1"))
    assert [(port.protocol, port.port) for port in found.spec.ports] == [(6, 80)]


@pytest.mark.parametrize("address", ["None", "", None])
def test_a_headless_service_has_no_address(address):
    assert read(service(clusterIP=address, clusterIPs=[address] if address else None)).cluster_addresses == ()


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"clusterIP": "10.96.0"}, "spec.clusterIP"),
        ({"clusterIPs": ["none"]}, "spec.clusterIPs[0]"),
        ({"ports": [{}]}, "spec.ports[0].port"),
        ({"ports": [{"port": 65536}]}, "spec.ports[0].port"),
        ({"ports": [{"port": 80, "protocol": "tcp"}]}, "spec.ports[0].protocol"),
    ],
)
def test_faults_of_a_service_are_told_with_their_path(spec, path):
    assert path in faults(service(**spec))


# --- Node ---


def test_a_node_has_the_addresses_that_its_status_and_calico_say():
    found = read(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": "node-1",
                "labels": {"zone": "a"},
                "annotations": {
                    "projectcalico.org/IPv4Address": "192.0.2.1/24",
                    "projectcalico.org/IPv4VXLANTunnelAddr": "10.1.0.0",
                    "projectcalico.org/IPv6Address": "nonsense",
                },
            },
            "status": {
                "addresses": [
                    {"type": "InternalIP", "address": "192.0.2.1"},
                    {"type": "InternalIP", "address": "2001:db8::1"},
                    {"type": "ExternalIP", "address": "198.51.100.1"},
                    {"type": "Hostname", "address": "10.9.9.9"},
                ],
                "nodeInfo": {"kubeletVersion": "v1.34"},
            },
        }
    )
    assert list(map(str, found.internal_addresses)) == ["192.0.2.1", "2001:db8::1"]
    assert list(map(str, found.calico_addresses)) == ["192.0.2.1", "10.1.0.0"]
    assert list(map(str, found.addresses)) == ["192.0.2.1", "2001:db8::1", "198.51.100.1", "10.1.0.0"]


def test_what_nodes_say_about_encryption_is_the_same_in_both_forms():
    kubernetes = read(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": "node-1",
                "annotations": {
                    "projectcalico.org/WireguardPublicKey": " key4 ",
                    "projectcalico.org/WireguardPublicKeyV6": "key6",
                    "projectcalico.org/IPv4WireguardInterfaceAddr": "10.0.1.1",
                    "projectcalico.org/IPv6WireguardInterfaceAddr": "fd00:1::1",
                },
            },
            "spec": {"podCIDR": "10.0.1.0/24", "podCIDRs": ["10.0.1.0/24", "fd00:1::/64", "nonsense"]},
        }
    )
    calico = read(
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": "Node",
            "metadata": {"name": "node-1"},
            "spec": {"wireguard": {"interfaceIPv4Address": "10.0.1.1", "interfaceIPv6Address": "fd00:1::1"}},
            "status": {
                "wireguardPublicKey": "key4",
                "wireguardPublicKeyV6": "key6",
                "podCIDRs": ["10.0.1.0/24", "fd00:1::/64"],
            },
        }
    )
    for node in (kubernetes, calico):
        assert list(map(str, node.pod_networks)) == ["10.0.1.0/24", "fd00:1::/64"]
        assert [node.wireguard_key(version) for version in (4, 6)] == ["key4", "key6"]
        assert [str(node.wireguard_address(version)) for version in (4, 6)] == ["10.0.1.1", "fd00:1::1"]


def test_calicos_own_node_is_read_as_the_same_thing():
    document = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "Node",
        "metadata": {"name": "node-1", "labels": {"zone": "a"}},
        "spec": {"bgp": {"ipv4Address": "192.0.2.1/24", "asNumber": 64512}, "addresses": [{"address": "2001:db8::1"}]},
    }
    found = read(document)
    assert found.key == key_of(document)
    assert found.key.kind == "Node"
    assert list(map(str, found.addresses)) == ["192.0.2.1", "2001:db8::1"]
    assert found.metadata.labels == {"zone": "a"}
