"""Who is at an address, and whose policies learned: from the documents and the state in force."""

from ipaddress import ip_address

import pytest

from policy.graph import CalcGraph, applied
from policy.rules import NodeState, host_learner
from tests.policy import documents
from tidegate.dnslog.parties import Parties

WEB, DB, HOST, VIP = "10.0.1.2", "10.0.1.3", "192.0.2.5", "10.96.0.10"


def names(*domains):
    return [{"action": "Allow", "destination": {"domains": list(domains)}}]


def out(name, *domains, selector="app == 'web'", order=1):
    return documents.policy(
        name, namespace="shop", selector=selector, types=["Egress"], egress=names(*domains), order=order
    )


RESOURCES = (
    documents.endpoint("web-7d4b9c-abcde", WEB, namespace="shop", node="n", labels={"app": "web"}),
    documents.endpoint("db-0", DB, namespace="shop", node="n", labels={"app": "db"}),
    documents.host_endpoint("eth0-n", HOST, node="n"),
    out("first", "a.test", "b.test"),
    out("second", "c.test", order=2),
    out("others", "c.test", selector="app == 'db'"),
    documents.resource({
        "kind": "Service", "metadata": {"name": "kube-dns", "namespace": "kube-system"},
        "spec": {"clusterIP": VIP, "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}]},
    }),
)  # fmt: skip


def packed(text):
    return ip_address(text).packed


@pytest.fixture(scope="module")
def state():
    graph = CalcGraph("n")
    for item in RESOURCES:
        graph.on_update(item.key, item)
    graph.in_sync()
    return applied(NodeState(), graph.flush())


@pytest.fixture(scope="module")
def parties(state):
    return Parties(RESOURCES, {}, state)


def set_of(state, pattern):
    [found] = [identity for identity, item in state.domain_sets.items() if pattern in item.patterns]
    return str(found)


def test_a_client_is_told_with_its_owner_and_labels(parties):
    found = parties.client(packed(WEB))
    assert (found.ip, found.namespace, found.name, found.name_aggr) == (WEB, "shop", "web-7d4b9c-abcde", "web-*")
    assert found.labels["app"] == "web"
    assert str(found.endpoint).startswith("shop/")


def test_a_service_is_the_server_where_its_own_address_was_asked(parties):
    found = parties.server(packed(VIP), 53)
    assert (found.ip, found.namespace, found.name) == (VIP, "kube-system", "kube-dns")


@pytest.mark.parametrize(("address", "place"), [("10.9.9.9", "pvt"), ("8.8.8.8", "pub")])
def test_strangers_have_no_name(parties, address, place):
    found = parties.server(packed(address), 53)
    assert (found.name, found.name_aggr, found.endpoint) == ("", place, None)


def test_the_policies_that_learned_are_those_of_the_client_that_name_the_set(parties, state):
    web, db = (parties.client(packed(address)).endpoint for address in (WEB, DB))
    first, second = set_of(state, "a.test"), set_of(state, "c.test")
    assert [each.name for each in parties.policies(web, [first])] == ["first"]
    assert [each.name for each in parties.policies(web, [second, first])] == ["first", "second"]
    assert [each.name for each in parties.policies(db, [second])] == ["others"]
    assert parties.policies(db, [first]) == ()
    assert parties.policies(web, []) == ()
    assert parties.policies(None, [first]) == ()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_nodes_own_processes_are_one_client(parties, address):
    assert parties.client(packed(address)).endpoint == host_learner("n")
    assert parties.policies(host_learner("n"), ["none"]) == ()
