"""Where to look: no more than what changed, and never less."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from policy.rules import AddressPort, DomainSet, DomainSetID, EndpointID, IPSetID, IPSetKind
from tests.render.states import endpoint, host, policy, state, tier, to
from tidegate.revoke import scope as module
from tidegate.revoke.part import part_of
from tidegate.revoke.scope import BEGINNING, Scope, Wanted, changed

A, B = EndpointID("prod/a"), EndpointID("prod/b")


def node(*, nets=("192.0.2.0/24",), first=({},), hosts=()):
    """Two endpoints with a policy each; that of `b` looks into a set."""
    one, other = policy("one", egress=first), policy("other", egress=({"destination": to(sets=(IPSetID("s"),))},))
    return state(
        endpoints=(
            endpoint("a", addresses=("10.0.1.2",), tiers=(tier(egress=(one.id,)),)),
            endpoint("b", addresses=("10.0.1.3", "fd00::3"), tiers=(tier(egress=(other.id,)),)),
        ),
        policies=(one, other),
        nets={"s": nets},
        hosts=hosts,
    )


def packed(*addresses):
    return [ip_address(address).packed for address in addresses]


def test_nothing_changed_is_nowhere_to_look():
    now = node()
    assert not changed(now, replace(now))
    assert not Scope()


def test_an_endpoint_whose_policy_changed_is_looked_at_and_the_other_is_not():
    before = node()
    (one,) = [item for item in before.policies.values() if item.id.name == "one"]
    now = replace(before, policies=before.policies | {one.id: replace(one)})
    found = changed(before, now)
    assert (found.endpoints, found.is_everything, found.members) == ({A}, False, frozenset())
    wanted = Wanted(found, now)
    assert wanted(*packed("10.0.1.2", "8.8.8.8", "8.8.8.8"))
    assert wanted(*packed("8.8.8.8", "10.96.0.1", "10.0.1.2")), "a service's address is not the endpoint's"
    assert not wanted(*packed("10.0.1.3", "8.8.8.8", "8.8.8.8"))


def test_of_a_changed_set_only_the_members_that_came_or_went_are_looked_for():
    before = node(nets=("192.0.2.0/24", "198.51.100.7/32", "2001:db8::/64"))
    kept = frozenset({ip_network("192.0.2.0/24"), ip_network("203.0.113.0/24")})
    now = replace(before, ip_sets={IPSetID("s"): (IPSetKind.NETS, kept)})
    found = changed(before, now)
    assert (found.endpoints, found.users) == (frozenset(), {B})
    wanted = Wanted(found, now)
    assert wanted(*packed("10.0.1.3", "198.51.100.7", "198.51.100.7"))
    assert wanted(*packed("203.0.113.9", "10.0.1.3", "10.0.1.3"))
    assert wanted(*packed("fd00::3", "2001:db8::5", "2001:db8::5"))
    assert not wanted(*packed("10.0.1.3", "192.0.2.1", "192.0.2.1"))
    assert not wanted(*packed("fd00::3", "2001:db8:0:1::5", "2001:db8:0:1::5"))


def test_members_with_ports_are_looked_for_by_address():
    before, member = node(), AddressPort(ip_address("192.0.2.7"), 6, 80)
    sets = {IPSetID("s"): (IPSetKind.PORTS, frozenset({member}))}
    now = replace(before, ip_sets={IPSetID("s"): (IPSetKind.PORTS, frozenset())})
    assert changed(replace(before, ip_sets=sets), now).members == {member}


def test_a_set_that_nobody_looks_into_is_no_change():
    before = node()
    now = replace(before, ip_sets=before.ip_sets | {IPSetID("t"): (IPSetKind.NETS, frozenset())})
    assert not changed(before, now)


def test_other_names_in_a_learned_set_are_another_policy():
    named = policy("one", egress=({"destination": to(domain_set=DomainSetID("d"))},))
    before = replace(node(), domain_sets={DomainSetID("d"): DomainSet(id=DomainSetID("d"), patterns=frozenset("ab"))})
    before = replace(before, policies=before.policies | {named.id: named})
    now = replace(before, domain_sets={DomainSetID("d"): DomainSet(id=DomainSetID("d"), patterns=frozenset("a"))})
    found = changed(before, now)
    assert found.endpoints == {A}
    assert found.standing == frozenset()


def test_a_new_endpoint_is_looked_at():
    now = node()
    before = replace(now, endpoints={A: now.endpoints[A]})
    assert changed(before, now).endpoints == {B}


def test_a_host_endpoint_has_its_say_about_everything():
    now = node(hosts=(host("h", "eth0"),))
    assert changed(node(), now).is_everything
    assert part_of(now, Scope(endpoints=frozenset({A}))) is now


def test_scopes_add_up_and_learned_sets_stand_only_where_they_stood_all_the_time():
    one = Scope(endpoints=frozenset({A}), standing=frozenset({DomainSetID("d"), DomainSetID("e")}))
    other = Scope(members=frozenset({ip_network("192.0.2.1")}), users=frozenset({B}), standing=frozenset("e"))
    both = one | other
    assert (both.endpoints, both.users, both.members) == ({A}, {B}, other.members)
    assert both.standing == {DomainSetID("e")}
    assert (Scope() | one).standing == one.standing
    assert (BEGINNING | one).is_everything
    assert not (BEGINNING | one).standing


def test_too_many_changed_members_widen_the_look_to_everything(monkeypatch):
    monkeypatch.setattr(module, "MAX_MEMBERS", 2)
    before = node(nets=("192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32"))
    now = replace(before, ip_sets={IPSetID("s"): (IPSetKind.NETS, frozenset())})
    found = changed(before, now)
    assert found.is_everything
    assert found.is_widened
    two = Scope(members=frozenset({ip_network("192.0.2.1"), ip_network("192.0.2.2")}))
    assert not two.is_everything
    assert (two | Scope(members=frozenset({ip_network("192.0.2.3")}))).is_widened


@pytest.mark.parametrize("scope", [Scope(endpoints=frozenset({A})), Scope(users=frozenset({A}))])
def test_a_part_has_only_what_decides_about_its_endpoints(scope):
    part = part_of(node(), scope)
    assert set(part.endpoints) == {A}
    assert [item.name for item in part.policies] == ["one"]
    assert not part.ip_sets
