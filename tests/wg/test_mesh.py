"""Which nodes are peers: all agree, copied keys belong to nobody, and strict leaves no way in clear."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wg.worlds import OWN, PRIVATE
from wg.mesh import Node, Reason, Wants, mesh
from wg.model import Device, Endpoint
from wg.routing import Route, RouteKind, differences, mtu

NAMES = ("a", "b", "c", "d", "e")
BLOCKS = tuple(map(ip_network, ("10.0.0.0/26", "10.0.0.64/26", "10.0.0.0/24", "10.0.1.0/26", "fd00::/64")))


def node(name, *networks, key=None, **other):
    number = NAMES.index(name)
    given = {
        "name": name,
        "address": ip_address(f"192.0.2.{number + 1}"),
        "tunnel_address": ip_address(f"10.9.0.{number}"),
        "public_key": PRIVATE[number].public if key is None else key.public,
        "networks": frozenset(map(ip_network, networks)),
    }
    return Node(**(given | other))


def wants(own, **other):
    return Wants(**({"version": 4, "own_key": own.public_key or OWN[0].public, "port": 51820} | other))


@st.composite
def clusters(draw):
    keys = st.sampled_from((*(key.public for key in PRIVATE[:5]), None))
    return [
        Node(
            name=name,
            address=draw(st.sampled_from((ip_address(f"192.0.2.{number}"), None))),
            networks=draw(st.frozensets(st.sampled_from(BLOCKS), max_size=3)),
            tunnel_address=draw(st.sampled_from((ip_address(f"10.9.0.{number}"), None))),
            public_key=draw(keys),
            has_bad_key=draw(st.sampled_from((False, False, False, True))),
        )
        for number, name in enumerate(NAMES)
    ]


def of(cluster, name, **other):
    own = next(each for each in cluster if each.name == name)
    return mesh(own, cluster, wants(own, **other))


def test_nodes_with_keys_are_peers_with_what_is_behind_them():
    a, b = node("a", "10.0.0.0/26"), node("b", "10.0.0.64/26", "fd00::/64")
    found = mesh(a, [a, b], wants(a, keepalive_seconds=25))
    (peer,) = found.peers.values()
    assert peer.endpoint == Endpoint(ip_address("192.0.2.2"), 51820)
    assert peer.allowed_ips == {ip_network("10.0.0.64/26"), ip_network("10.9.0.1/32")}
    assert peer.keepalive_seconds == 25
    assert found.names == {b.public_key: "b"}
    assert found.routes == {
        Route(ip_network("10.0.0.0/26"), RouteKind.THROW),
        Route(ip_network("10.9.0.0/32"), RouteKind.THROW),
        Route(ip_network("10.0.0.64/26"), RouteKind.TUNNEL),
        Route(ip_network("10.9.0.1/32"), RouteKind.TUNNEL),
    }


def test_the_other_version_has_a_mesh_of_its_own():
    a, b = node("a"), node("b", "10.0.0.64/26", "fd00::/64")
    assert {route.network for route in mesh(a, [b], wants(a, version=6)).routes} == {ip_network("fd00::/64")}


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"public_key": None}, Reason.NO_KEY),
        ({"public_key": None, "has_bad_key": True}, Reason.BAD_KEY),
        ({"address": None}, Reason.NO_ADDRESS),
        ({"public_key": PRIVATE[0].public}, Reason.OWN_KEY_TAKEN),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_a_node_that_is_no_peer_is_named_with_its_reason_and_reached_in_clear_or_not_at_all(other, reason, strict):
    a, b = node("a", "10.0.0.0/26"), node("b", "10.0.0.64/26", tunnel_address=None, **other)
    found = mesh(a, [a, b], wants(a, is_strict=strict))
    (left,) = found.left_out
    assert (left.node, left.reason, left.networks) == ("b", reason, (ip_network("10.0.0.64/26"),))
    kind = RouteKind.UNREACHABLE if strict else RouteKind.THROW
    assert {route.kind for route in found.routes if route.network == ip_network("10.0.0.64/26")} == {kind}
    assert not found.peers


def test_a_key_that_two_nodes_have_disables_both_and_nobody_else():
    nodes = [node("a"), node("b", key=PRIVATE[4]), node("c", key=PRIVATE[4]), node("d")]
    found = mesh(nodes[0], nodes, wants(nodes[0]))
    assert [(left.node, left.reason, left.others) for left in found.left_out] == [
        ("b", Reason.DUPLICATE_KEY, ("c",)),
        ("c", Reason.DUPLICATE_KEY, ("b",)),
    ]
    assert list(found.names.values()) == ["d"]
    # From where the key is: both of them encrypt to nobody.
    assert not mesh(nodes[1], nodes, wants(nodes[1])).peers


def test_it_is_the_key_in_the_device_that_counts_not_what_the_own_document_says():
    a, b = node("a", key=PRIVATE[5]), node("b", key=PRIVATE[0])
    assert mesh(a, [a, b], wants(a, own_key=PRIVATE[0].public)).left_out[0].reason is Reason.OWN_KEY_TAKEN


@pytest.mark.parametrize("own", [{"public_key": None}, {"public_key": None, "has_bad_key": True}])
@pytest.mark.parametrize("strict", [False, True])
def test_a_node_that_is_not_published_believes_its_peers_and_sends_to_nobody_through_the_tunnel(own, strict):
    a, b = node("a", **own), node("b", "10.0.0.64/26")
    found = mesh(a, [a, b], wants(a, is_strict=strict))
    assert list(found.peers) == [b.public_key]
    assert [left.reason for left in found.left_out] == [Reason.NOT_PUBLISHED]
    assert not {route for route in found.routes if route.kind is RouteKind.TUNNEL}


def test_a_node_whose_document_says_its_former_key_goes_on_encrypting():
    a, b = node("a"), node("b", "10.0.0.64/26")
    found = mesh(a, [a, b], wants(a, own_key=PRIVATE[5].public))
    assert Route(ip_network("10.0.0.64/26"), RouteKind.TUNNEL) in found.routes
    assert not found.left_out


def test_a_node_whose_document_says_another_nodes_key_encrypts_to_nobody():
    a, b, c = node("a", key=PRIVATE[1]), node("b"), node("c")
    found = mesh(a, [a, b, c], wants(a, own_key=PRIVATE[0].public))
    assert not found.peers


def test_a_network_that_two_nodes_claim_is_the_first_ones_and_said():
    nodes = [node("c"), node("b", "10.0.0.0/26"), node("a", "10.0.0.0/26")]
    found = mesh(nodes[0], nodes, wants(nodes[0]))
    assert ip_network("10.0.0.0/26") in found.peers[PRIVATE[0].public].allowed_ips
    assert [(each.owner, each.losers) for each in found.contested] == [("a", ("b",))]


def test_nobody_takes_this_nodes_own_network():
    nodes = [node("c", "10.0.0.0/26"), node("a", "10.0.0.0/26")]
    found = mesh(nodes[0], nodes, wants(nodes[0]))
    assert Route(ip_network("10.0.0.0/26"), RouteKind.THROW) in found.routes
    assert Route(ip_network("10.0.0.0/26"), RouteKind.TUNNEL) not in found.routes


@given(clusters(), st.permutations(range(len(NAMES))))
def test_the_order_of_the_nodes_is_of_no_account(cluster, order):
    assert of(cluster, "a") == of([cluster[index] for index in order], "a")


@given(clusters())
def test_two_nodes_agree_whether_they_encrypt_to_each_other(cluster):
    cluster = [replace(each, public_key=None if each.has_bad_key else each.public_key) for each in cluster]
    # A node without a key in its document has no device, as far as others can know.
    taking_part = [each for each in cluster if each.public_key and each.address]
    found = {each.name: of(cluster, each.name) for each in taking_part}
    left = {name: {item.node for item in each.left_out} for name, each in found.items()}
    for one in taking_part:
        for other in taking_part:
            if one.name != other.name:
                assert (one.name in left[other.name]) == (other.name in left[one.name])


@given(clusters(), st.booleans(), st.sampled_from((4, 6)))
def test_every_network_has_a_route_and_a_device_can_be_made(cluster, strict, version):
    found = of(cluster, "a", is_strict=strict, version=version)
    claimed = frozenset(network for each in cluster for network in each.behind(version))
    assert {route.network for route in found.routes} == claimed
    Device(
        name="wg0",
        private_key=PRIVATE[6],
        listen_port=51820,
        peers={key: peer for key, peer in found.peers.items() if key != PRIVATE[6].public},
    )
    own = next(each for each in cluster if each.name == "a").behind(version)
    kinds = {network: {route.kind for route in found.routes if route.network == network} for network in claimed}
    for network, found_kinds in kinds.items():
        if network in own:
            assert found_kinds == {RouteKind.THROW}
        elif strict:
            # Whatever happens to the device, no packet to another node's workload goes on to the main table.
            assert RouteKind.UNREACHABLE in found_kinds
            assert RouteKind.THROW not in found_kinds
        else:
            assert len(found_kinds) == 1


@pytest.mark.parametrize(
    ("underlay", "version", "configured", "expected"),
    [(1500, 4, 0, 1440), (1500, 6, 0, 1420), (9000, 4, 0, 8940), (1300, 6, 0, 1280), (1500, 4, 1300, 1300)],
)
def test_the_mtu_is_what_the_underlay_leaves(underlay, version, configured, expected):
    assert mtu(underlay, version, configured) == expected


@given(st.frozensets(st.builds(Route, st.sampled_from(BLOCKS), st.sampled_from(RouteKind))), st.data())
def test_adding_and_then_removing_makes_the_table_as_wanted_without_a_gap(found, data):
    wanted = data.draw(st.frozensets(st.builds(Route, st.sampled_from(BLOCKS), st.sampled_from(RouteKind))))
    added, removed = differences(wanted, found)
    assert (found | set(added)) - set(removed) == wanted
    lasting = {route.network for route in wanted} & {route.network for route in found}
    table = set(found)
    for route in added:
        table.add(route)
        assert lasting <= {each.network for each in table}
    for route in removed:
        table.discard(route)
        assert lasting <= {each.network for each in table}
