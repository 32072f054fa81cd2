"""Which interface belongs to which host endpoint."""

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from policy.evaluate import World
from policy.evaluate.path import protector
from policy.hosts import owner, protected
from policy.rules import HostEndpoint, HostEndpointID
from tests.policy.documents import host_endpoint

A, B, C = (ip_address(text) for text in ("172.18.0.1", "172.18.0.2", "fd00::1"))
LINKS = {"eth0": frozenset((A, C)), "eth1": frozenset((B,)), "lo": frozenset()}


def endpoint(name, interface="", *addresses):
    return HostEndpoint(id=HostEndpointID(name), node="node-1", interface_name=interface, expected_ips=addresses)


def test_an_endpoint_has_the_interface_that_it_names_there_or_not():
    assert protected([endpoint("a", "eth7")], LINKS) == {"a": ("eth7",)}


def test_an_endpoint_without_a_name_has_the_interfaces_of_its_addresses():
    assert protected([endpoint("a", "", B, C)], LINKS) == {"a": ("eth0", "eth1")}
    assert protected([endpoint("a", "", ip_address("192.0.2.1"))], LINKS) == {"a": ()}


def test_the_addresses_of_an_endpoint_that_names_its_interface_find_nothing():
    assert protected([endpoint("a", "eth1", A)], LINKS) == {"a": ("eth1",)}


def test_of_several_the_first_by_name_has_it_and_the_others_nothing():
    found = protected([endpoint("b", "eth0"), endpoint("a", "", A), endpoint("c", "*"), endpoint("d", "*")], LINKS)
    assert found == {"a": ("eth0",), "b": (), "c": ("*",), "d": ()}
    assert owner("eth0", found) == "a"
    assert owner("eth1", found) == "c"


@given(
    st.dictionaries(
        st.sampled_from("abcd"),
        st.tuples(st.sampled_from(["", "eth0", "eth1", "*"]), st.sets(st.sampled_from([A, B, C]), min_size=1)),
    ),
    st.sampled_from(["eth0", "eth1", "lo", "eth9"]),
)
def test_the_reference_finds_the_same_owner(said, interface):
    documents = [
        host_endpoint(name, " ".join(map(str, sorted(ips, key=str))), interfaceName=named)
        for name, (named, ips) in said.items()
    ]
    found = protector(World(documents, {"node-1": LINKS}), "node-1", interface)
    wanted = owner(interface, protected([endpoint(name, named, *ips) for name, (named, ips) in said.items()], LINKS))
    assert (found.host if found else None) == wanted
