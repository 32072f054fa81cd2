"""Rules first, then what is remembered of names."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from policy.hosts import FailsafePort
from policy.limits import Limits, Rate, TrafficLimits
from policy.rules import Action, DomainOptions, DomainSet, DomainSetID, EndpointID
from tests.render.states import endpoint, host, policy, port, state, tier, to
from tests.revoke.test_way import entry
from tidegate.config.packets import DenyAction
from tidegate.render import RenderSettings, names
from tidegate.revoke import judge as module
from tidegate.revoke.hearing import Hearing
from tidegate.revoke.names import Fact
from tidegate.revoke.part import surroundings
from tidegate.revoke.scope import BEGINNING, Scope, changed
from tidegate.revoke.way import way_of

POD, OTHER = "10.0.1.2", "10.0.1.3"
NAMED, BY_NET = "192.0.2.1", "198.51.100.1"
A, B = EndpointID("prod/a"), EndpointID("prod/b")
SET = DomainSetID("d")


def node(*, nets=(), domains=("a.test",), others=(), scope=None, edition=0):
    """One endpoint that may go to these networks, and to names on port 443; another that may go to `others`."""
    rules = [{"protocol": 6, "destination": to(nets=tuple(map(ip_network, nets)))}] if nets else []
    if domains:
        rules.append({"protocol": 6, "destination": to(domain_set=SET, ports=(port(443),))})
    first, second = policy("first", egress=tuple(rules)), policy("second", egress=others)
    made = state(
        endpoints=(
            endpoint("a", addresses=(POD,), tiers=(tier(egress=(first.id,)),)),
            endpoint("b", addresses=(OTHER,), tiers=(tier(egress=(second.id,)),)),
        ),
        policies=(first, second),
        domains={"d": domains} if domains else {},
    )
    if domains:
        options = DomainOptions(scope=scope)
        made = replace(made, domain_sets={SET: DomainSet(id=SET, patterns=frozenset(domains), options=options)})
    return made


def kept(before, now):
    """The state after a change that leaves the learned set as it was."""
    return replace(now, domain_sets=before.domain_sets if now.domain_sets else {})


def hear(before, now, destination, *, facts=(), live=(), source=POD, scope=None):
    """Whether a connection to the destination ends."""
    hearing = Hearing(before, now, changed(before, now) if scope is None else scope, RenderSettings())
    way = way_of(entry(source, destination), surroundings(hearing.part, (), lambda address: "(elsewhere)"))
    elements = {names.domain_set(SET, 4): [(ip_address(source), ip_address(item)) for item in live]}
    doubtful = hearing.doubtful([way], elements if now.domain_sets else {})
    if doubtful and hearing.needs_memory(doubtful):
        doubtful = hearing.denied(doubtful, facts)
    return bool(doubtful)


def told(address, *sets, endpoint_id=A):
    return Fact(endpoint=endpoint_id, address=ip_address(address), sets=frozenset(sets))


def test_an_address_that_is_learned_stays():
    before = node(nets=("203.0.113.0/24",))
    assert not hear(before, kept(before, node()), NAMED, live=[NAMED])


def test_an_address_whose_time_is_over_stays_as_long_as_its_name_is_in_policy():
    before = node(nets=("203.0.113.0/24",))
    now = kept(before, node())
    assert not hear(before, now, NAMED, facts=[told(NAMED, SET)])
    assert hear(before, now, NAMED, facts=[told(NAMED)]), "its names are in no set any more"


def test_what_was_told_for_another_name_opens_only_what_that_opens():
    before = node(nets=("203.0.113.0/24",))
    assert hear(before, kept(before, node()), NAMED, facts=[told(NAMED), told(BY_NET, SET)])


def test_what_a_network_had_opened_goes_with_the_network_although_names_are_in_policy():
    before = node(nets=(f"{BY_NET}/32",))
    assert hear(before, kept(before, node()), BY_NET)


def test_what_nobody_remembers_stays_while_the_set_that_must_have_opened_it_stands():
    before = node(nets=(f"{BY_NET}/32",))
    assert not hear(before, kept(before, node()), NAMED)


def test_what_nobody_remembers_goes_where_the_set_has_other_names_now():
    assert hear(node(domains=("a.test", "b.test")), node(), NAMED)


@pytest.mark.parametrize("before", [None, replace(node(), endpoints={})])
def test_what_nobody_remembers_goes_where_nobody_knows_what_was_before(before):
    """At a start, and for an endpoint that was not there."""
    assert hear(before, node(), NAMED, scope=BEGINNING)
    assert not hear(before, node(), NAMED, scope=BEGINNING, facts=[told(NAMED, SET)])


def test_a_name_does_not_excuse_another_port():
    before = node(nets=("192.0.2.0/24",))
    now = kept(before, node())
    hearing = Hearing(before, now, changed(before, now), RenderSettings())
    way = way_of(entry(POD, NAMED, port=80), surroundings(hearing.part, (), lambda address: "(elsewhere)"))
    doubtful = hearing.doubtful([way], {})
    assert hearing.denied(doubtful, [told(NAMED, SET)]) == doubtful


def test_in_node_scope_what_another_was_told_counts():
    before = node(nets=("203.0.113.0/24",), scope="node")
    now = kept(before, node(scope="node"))
    assert not hear(before, now, NAMED, facts=[told(NAMED, SET, endpoint_id=B)])
    own = node(nets=("203.0.113.0/24",))
    assert hear(own, node(domains=("a.test", "c.test")), NAMED, facts=[told(NAMED, SET, endpoint_id=B)])


def test_a_workload_without_names_is_not_asked_what_it_was_told():
    now = node(others=())
    scope = Scope(endpoints=frozenset({A, B}), standing=frozenset({SET}))
    hearing = Hearing(node(others=({"protocol": 6},)), now, scope, RenderSettings())
    way = way_of(entry(OTHER, NAMED), surroundings(hearing.part, (), lambda address: "(elsewhere)"))
    doubtful = hearing.doubtful([way], {})
    assert list(doubtful.values()) == ["default/gnp:second/egress/-1"]
    assert hearing.needs_memory(doubtful) == frozenset()


def test_a_denial_that_would_wait_for_a_name_is_a_denial():
    """The first packet of a connection may wait for a name; an open one has waited long enough."""
    settings = RenderSettings(deny_action=DenyAction.REJECT)
    assert settings.holds_denied
    hearing = Hearing(None, node(), BEGINNING, settings)
    way = way_of(entry(POD, NAMED), surroundings(hearing.part, (), lambda address: "(elsewhere)"))
    assert hearing.doubtful([way], {})


def test_what_was_picked_up_from_the_hosts_end_of_a_failsafe_port_stays():
    """Nobody knows whether its entry began with SYN."""
    closed = policy("closed", egress=({"action": Action.DENY},), ingress=({"action": Action.DENY},))
    both = tier(egress=(closed.id,), ingress=(closed.id,))
    now = state(hosts=(host("h", "eth0", normal=(both,)),), policies=(closed,))
    hearing = Hearing(None, now, BEGINNING, RenderSettings(failsafe_inbound=(FailsafePort(6, 22),)))
    around = surroundings(hearing.part, (ip_address("10.0.53.1").packed,), lambda address: "eth0")
    picked = entry("192.0.2.7", "10.0.53.1", port=22)
    reverse = picked._replace(original=picked.reply, reply=picked.original)
    other = entry("10.0.53.1", "192.0.2.7", port=80)
    ways = [way_of(one, around) for one in (picked, reverse, other)]
    assert list(hearing.doubtful(ways, {})) == [ways[2]]


def test_a_judge_forgets_its_answers_at_the_bound_and_says_the_same(monkeypatch):
    monkeypatch.setattr(module, "MAX_ANSWERS", 1)
    hearing = Hearing(None, node(nets=(f"{BY_NET}/32",)), BEGINNING, RenderSettings())
    around = surroundings(hearing.part, (), lambda address: "(elsewhere)")
    ways = [way_of(entry(POD, address), around) for address in (NAMED, BY_NET, "203.0.113.1")]
    for _ in range(2):
        assert list(hearing.doubtful(ways, {})) == [ways[0], ways[2]]


def test_limits_are_no_policy_and_end_nothing():
    """A connection that is open was counted when it began."""
    limits = TrafficLimits(egress=Limits(packets=Rate(1, 1), connections=Rate(1, 1), max_connections=1))
    open_policy = policy("open", egress=({},))
    now = state(
        endpoints=(endpoint("a", addresses=(POD,), tiers=(tier(egress=(open_policy.id,)),), limits=limits),),
        policies=(open_policy,),
    )
    hearing = Hearing(None, now, BEGINNING, RenderSettings())
    around = surroundings(hearing.part, (), lambda address: "(elsewhere)")
    ways = [way_of(entry(POD, f"192.0.2.{number}"), around) for number in range(1, 9)]
    assert not hearing.doubtful(ways, {})


def test_what_the_packet_process_asks_of_its_servers_stays_where_only_the_hosts_own_questions_are_denied():
    """Its packets have a mark that no entry has."""
    closed = policy("closed", egress=({"action": Action.DENY},))
    now = state(hosts=(host("h", "eth0", normal=(tier(egress=(closed.id,)),)),), policies=(closed,))
    server = ip_address("192.0.2.53").packed
    hearing = Hearing(None, now, BEGINNING, RenderSettings(failsafe_outbound=()), frozenset({(server, 853)}))
    around = surroundings(hearing.part, (ip_address("10.0.53.1").packed,), lambda address: "eth0")
    ours, other = entry("10.0.53.1", "192.0.2.53", port=853), entry("10.0.53.1", "192.0.2.53", port=443)
    ways = [way_of(one, around) for one in (ours, other)]
    assert list(hearing.doubtful(ways, {})) == [ways[1]]


def test_what_routes_call_local_is_the_hosts_own():
    now = state(hosts=(host("h", "eth0"),))
    around = surroundings(now, (), lambda address: "lo" if address[0] == 127 else "eth0")
    way = way_of(entry("127.0.0.2", "127.0.0.3"), around)
    assert (way.iif, way.oif) == ("", "lo")
