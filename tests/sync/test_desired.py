"""From documents and routes to steps, through the real graph and renderer."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from dnsagent.snapshot import TrustedServer
from tests.policy.documents import automatic_hosts, host_endpoint, node
from tests.sync.documents import pod, policy, tell, workload
from tidegate.config.settings import Settings
from tidegate.render import names
from tidegate.render.fragment import changed
from tidegate.render.settings import from_configuration
from tidegate.render.table import static_table
from tidegate.sync.desired import Desired, learned_sets
from tidegate.sync.links import Links
from tidegate.sync.snapshots import SnapshotSettings

GIVEN = SnapshotSettings(settings=Settings(), render=from_configuration(Settings(), ()))


@pytest.fixture
def desired():
    return Desired("n", GIVEN, first_generation=5)


def test_nothing_is_given_out_before_all_documents_were_told(desired):
    tell(desired, workload("x"))
    assert desired.advance() is None
    desired.in_sync()
    step = desired.advance()
    assert step.generation == 5
    assert list(step.state.endpoints) == ["a/x"]


def test_the_first_step_makes_the_table_even_of_an_empty_node(desired):
    desired.in_sync()
    step = desired.advance()
    assert (step.generation, dict(step.state.endpoints)) == (5, {})
    assert desired.table() == static_table(GIVEN.render)
    assert desired.advance() is None


def test_documents_that_change_nothing_here_are_no_step(desired):
    desired.in_sync()
    desired.advance()
    tell(desired, policy("a.test"))
    assert desired.advance() is None
    assert len(desired.resources) == 1


def test_other_trusted_servers_are_a_step_of_their_own(desired):
    desired.in_sync()
    table = changed(static_table(GIVEN.render), desired.advance().change)
    for addresses in (["10.0.53.53", "fd00:53::53"], ["10.0.53.66"], []):
        servers = tuple(TrustedServer(address=ip_address(address)) for address in addresses)
        desired.on_servers(servers)
        assert desired.has_news
        step = desired.advance()
        assert step.snapshot.trusted_servers == servers
        table = changed(table, step.change)
        assert table == desired.table() == static_table(replace(GIVEN.render, trusted_servers=servers))
        desired.on_servers(servers)
        assert desired.advance() is None


def test_servers_told_before_the_first_step_are_in_it(desired):
    server = TrustedServer(address=ip_address("10.0.53.53"))
    desired.on_servers((server,))
    assert desired.advance() is None
    desired.in_sync()
    step = desired.advance()
    assert step.snapshot.trusted_servers == (server,)
    assert changed(static_table(GIVEN.render), step.change) == desired.table()


def test_changes_add_up_to_the_table(desired):
    table = static_table(GIVEN.render)
    desired.in_sync()
    x = workload("x")
    for update in ([x], [policy("a.test")], [policy("b.test")], [workload("y", "10.0.1.3", "cali-y")]):
        tell(desired, *update)
        table = changed(table, desired.advance().change)
    assert table.chains == desired.table().chains
    assert table.verdicts == desired.table().verdicts


def test_a_learned_set_that_ends_is_told_apart_and_not_removed_with_the_rest(desired):
    desired.in_sync()
    tell(desired, workload("x"), policy("a.test"))
    first = desired.advance()
    (old,) = first.state.domain_sets
    assert {names.domain_set(old, 4), names.domain_set(old, 6)} <= set(first.change.sets)
    tell(desired, policy("b.test"))
    second = desired.advance()
    assert (
        second.ended_sets
        == {names.domain_set(old, 4), names.domain_set(old, 6)}
        == learned_sets(first.state.domain_sets)
    )
    assert not second.ended_sets & set(second.change.sets)
    assert old not in second.snapshot.rules
    assert len(second.snapshot.rules) == 1


def test_an_endpoint_that_goes_gives_up_its_address(desired):
    desired.in_sync()
    x = workload("x")
    tell(desired, x)
    desired.advance()
    desired.on_update(x.key, None)
    assert desired.advance().given_up == {ip_address("10.0.1.2")}


def test_a_pod_is_enforced_when_its_route_comes(desired):
    desired.in_sync()
    tell(desired, pod("x"), policy("a.test"))
    first = desired.advance()
    assert first.state.endpoints["a/x"].endpoint.interface_name == ""
    assert desired.missing_interfaces == ("a/x",)
    desired.on_links(Links({ip_address("10.0.1.2"): "veth7"}))
    second = desired.advance()
    assert second.state.endpoints["a/x"].endpoint.interface_name == "veth7"
    assert second.snapshot.endpoints["a/x"].interface_name == "veth7"
    assert second.change
    desired.on_links(Links({ip_address("10.0.1.2"): "veth7"}))
    assert desired.advance() is None


def test_a_pod_that_goes_in_the_moment_its_route_comes_is_gone(desired):
    desired.in_sync()
    item = pod("x")
    tell(desired, item)
    desired.advance()
    desired.on_links(Links({ip_address("10.0.1.2"): "veth7"}))
    desired.on_update(item.key, None)
    assert desired.advance().state.endpoints == {}


def test_a_host_endpoint_is_in_force_where_its_address_is(desired):
    desired.in_sync()
    tell(desired, host_endpoint("h", "172.18.0.1", node="n"))
    first = desired.advance()
    assert first.state.host_endpoints["h"].endpoint.interfaces == ()
    assert [condition.reason for condition in desired.host_conditions] == ["NoInterface"]
    assert not any(name.startswith("host-in-") for name in first.change.chains)
    on_eth0 = Links(addresses={"eth0": frozenset([ip_address("172.18.0.1")])}, interfaces=frozenset(["eth0"]))
    desired.on_links(on_eth0)
    second = desired.advance()
    assert second.state.host_endpoints["h"].endpoint.interfaces == ("eth0",)
    assert desired.host_conditions == []
    assert ("eth0",) in second.change.verdicts["host-in"]
    desired.on_links(on_eth0)
    assert not desired.has_news
    desired.on_links(Links())
    third = desired.advance()
    assert third.change.verdicts["host-in"] == {("eth0",): None}
    assert third.change.chains["host-input"].rules == ()


def test_templates_look_at_the_interfaces_of_the_node(desired):
    desired.in_sync()
    wanted = automatic_hosts(
        createDefaultHostEndpoint="Disabled", templates=[{"generateName": "t", "interfacePattern": "^eth"}]
    )
    tell(desired, node("n"), wanted)
    assert not desired.advance().state.host_endpoints
    desired.on_links(Links(addresses={"eth0": frozenset([ip_address("172.18.0.1")]), "lo": frozenset()}))
    assert list(desired.advance().state.host_endpoints) == ["n-t-eth0-auto-hep"]
    desired.on_links(Links())
    assert not desired.advance().state.host_endpoints
