"""Automatic host endpoints: which a node gets, and what is in them (Calico: KubeControllersConfiguration)."""

from ipaddress import ip_address

import pytest

from policy.auto_hosts import CREATED_BY, host_endpoints
from policy.errors import Faults
from policy.resources.decode import decode
from tests.policy.documents import automatic_hosts, host_endpoint, node

NODE = node(
    "n1",
    "172.18.0.1 10.0.0.1",
    labels={"zone": "a"},
    annotations={
        "projectcalico.org/IPv4Address": "172.18.0.1/24",
        "projectcalico.org/IPv6Address": "fd00::1/64",
        "projectcalico.org/IPv4VXLANTunnelAddr": "10.65.0.1",
    },
)
ALL = ["172.18.0.1", "fd00::1", "10.65.0.1", "10.0.0.1"]


def made(*resources, links=None):
    return {
        item.metadata.name: (item.spec.interface_name, [str(address) for address in item.spec.expected_ips])
        for item in host_endpoints(resources, links or {})
    }


def test_nothing_is_made_unless_it_is_wanted():
    assert made(NODE) == {}
    assert made(NODE, automatic_hosts(autoCreate="Disabled")) == {}
    assert made(NODE, automatic_hosts("other")) == {}


def test_the_default_is_for_every_interface_and_open():
    [found] = host_endpoints([NODE, automatic_hosts()], {})
    assert found.metadata.name == "n1-auto-hep"
    assert found.metadata.labels == {"zone": "a", CREATED_BY: "calico-kube-controllers"}
    assert found.spec.interface_name == "*"
    assert [str(address) for address in found.spec.expected_ips] == ALL
    assert found.spec.profiles == ("projectcalico-default-allow",)


def template(**fields):
    return automatic_hosts(createDefaultHostEndpoint="Disabled", templates=[{"generateName": "t", **fields}])


def test_a_template_expects_the_addresses_in_its_networks():
    assert made(NODE, template()) == {"n1-t-auto-hep": ("", ALL)}
    assert made(NODE, template(interfaceCIDRs=["172.18.0.0/16", "fd00::/8"])) == {"n1-t-auto-hep": ("", ALL[:2])}
    assert made(NODE, template(interfaceCIDRs=["192.0.2.0/24"])) == {}


def test_a_template_is_for_the_nodes_that_it_selects():
    assert made(NODE, template(nodeSelector="zone == 'a'")) != {}
    assert made(NODE, template(nodeSelector="zone == 'b'")) == {}


def test_a_pattern_makes_one_for_each_interface_that_is_known():
    links = {"n1": {"eth0": frozenset([ip_address("172.18.0.1")]), "eth1": frozenset(), "lo": frozenset()}}
    found = made(NODE, template(interfacePattern="^eth"), links=links)
    assert found == {"n1-t-eth0-auto-hep": ("eth0", ["172.18.0.1"]), "n1-t-eth1-auto-hep": ("eth1", [])}
    assert made(NODE, template(interfacePattern="^eth")) == {}


def test_a_templates_labels_win_over_the_nodes():
    [found] = host_endpoints([NODE, template(labels={"zone": "b"}, annotations={"a": "b"})], {})
    assert found.metadata.labels["zone"] == "b"
    assert found.metadata.annotations == {"a": "b"}


def test_one_that_somebody_wrote_stands_before_it():
    written = host_endpoint("n1-auto-hep", node="n1", interfaceName="eth0")
    assert made(NODE, automatic_hosts(), written) == {"n1-auto-hep": ("eth0", [])}


def test_a_name_that_is_too_long_ends_in_its_hash():
    [[name, _]] = made(NODE, template(generateName="x" * 253)).items()
    [[other, _]] = made(NODE, template(generateName="x" * 252 + "y")).items()
    assert len(name) <= 253
    assert name.endswith("-auto-hep")
    assert name != other


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ({"autoCreate": "enabled"}, "autoCreate"),
        ({"createDefaultHostEndpoint": "No"}, "createDefaultHostEndpoint"),
        ({"templates": [{"nodeSelector": "a =="}]}, "templates[0].nodeSelector"),
        ({"templates": [{"interfacePattern": "("}]}, "templates[0].interfacePattern"),
        ({"templates": [{"interfaceCIDRs": ["10.0.0.1"]}]}, "templates[0].interfaceCIDRs[0]"),
        ({"templates": [{"generateName": "x" * 254}]}, "templates[0].generateName"),
        ({"template": []}, "template"),
    ],
)
def test_a_wrong_configuration_is_refused_with_the_field(wanted, path):
    document = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "KubeControllersConfiguration",
        "metadata": {"name": "default"},
        "spec": {"controllers": {"node": {"hostEndpoint": wanted, "reconcilerPeriod": "5m"}}},
    }
    found = decode(document)
    assert isinstance(found, Faults)
    assert [fault.path for fault in found.faults] == [f"spec.controllers.node.hostEndpoint.{path}"]
