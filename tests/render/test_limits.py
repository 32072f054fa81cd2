"""Limits in the table: a chain for each, asked in Calico's order, and nothing on a node without any."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from nft import expr
from nft.matching import Packet
from nft.simulate import Simulator
from nft.text import chain_hash
from policy.limits import Limits, Rate, TrafficLimits
from policy.rules import Direction, EndpointUpdated
from tests.render.states import endpoint, policy, profile, state, tier
from tidegate.config.packets import DenyAction
from tidegate.render import RenderSettings, names, render_table
from tidegate.render.names import LimitKind
from tidegate.render.renderer import Renderer, events_of

ALL = Limits(packets=Rate(100, 5), connections=Rate(10, 20), max_connections=7)
BOTH = TrafficLimits(ingress=ALL, egress=ALL)


def table(*endpoints, policies=(), **settings):
    return render_table(state(endpoints=endpoints, policies=policies), RenderSettings(**settings))


def chain_of(made, kind, name="a", direction=Direction.EGRESS):
    return made.chains.get(names.limit_chain(f"prod/{name}", direction, kind))


@pytest.mark.parametrize("direction", Direction)
def test_each_limit_has_a_chain_that_drops_and_counts_what_is_beyond(direction):
    made = table(endpoint("a", limits=BOTH))
    beyond = {
        LimitKind.PACKETS: expr.RateLimit(100, "second", 5, is_over=True),
        LimitKind.CONNECTIONS: expr.RateLimit(10, "second", 20, is_over=True),
        LimitKind.MAX_CONNECTIONS: expr.ConnectionsOver(7),
    }
    for kind, statement in beyond.items():
        (rule,) = chain_of(made, kind, direction=direction).rules
        assert rule.statements == (statement, expr.Counter(), expr.Drop())
        assert rule.comment == f"limit {direction}{kind} prod/a"


def test_packets_are_counted_before_open_connections_are_let_through():
    made = table(endpoint("a", limits=BOTH))
    for name, field, where in (
        (names.FILTER_FORWARD, expr.Field.IIFNAME, names.LIMITED_FROM),
        (names.FILTER_DELIVERY, expr.Field.OIFNAME, names.LIMITED_TO),
    ):
        first, second, *_ = made.chains[name].rules
        assert first.statements[-1] == expr.VerdictMap((field,), where)
        assert second.comment == "established"
    assert set(made.verdicts[names.LIMITED_FROM]) == set(made.verdicts[names.LIMITED_TO]) == {("calia",)}


@pytest.mark.parametrize("ends_connections", [False, True])
def test_limits_stand_before_what_the_base_chains_ask_anyway_and_change_nothing_in_it(ends_connections):
    plain = table(endpoint("a"), ends_connections=ends_connections)
    limits = table(endpoint("a", limits=BOTH), ends_connections=ends_connections)
    for name in (names.FILTER_FORWARD, names.FILTER_DELIVERY):
        assert limits.chains[name].rules[1:] == plain.chains[name].rules
    neighbours, _, *rest = limits.chains[names.FILTER_INPUT].rules
    assert sorted(map(repr, (neighbours, *rest))) == sorted(map(repr, plain.chains[names.FILTER_INPUT].rules))
    assert [rule for rule in plain.chains[names.FILTER_INPUT].rules if rule != neighbours] == rest


def test_connections_too_many_are_refused_as_policy_refuses_and_packets_dropped():
    made = table(endpoint("a", limits=BOTH), deny_action=DenyAction.REJECT)
    ends = {kind: chain_of(made, kind).rules[0].statements[-1] for kind in LimitKind}
    assert ends == {
        LimitKind.PACKETS: expr.Drop(),
        LimitKind.CONNECTIONS: expr.Reject(),
        LimitKind.MAX_CONNECTIONS: expr.Reject(),
    }


def test_a_packet_that_was_held_and_comes_again_uses_no_second_token():
    made = table(endpoint("a", limits=BOTH, profiles=("open",)), policies=(profile("open", egress=({},)),))
    packet = Packet(
        source=ip_address("10.65.0.2"), destination=ip_address("192.0.2.1"), protocol=6, iif="calia", oif="eth0"
    )
    repeated = RenderSettings().repeated_mark
    walks = [
        [(step.chain, step.index) for step in Simulator(made).run(replace(packet, mark=mark), ("forward",)).trace]
        for mark in (0, repeated)
    ]
    own = names.endpoint_chain("prod/a", Direction.EGRESS)
    assert [step for step in walks[0] if step not in walks[1]] == [(names.FILTER_FORWARD, 0), (own, 0)]


def test_towards_the_host_packets_are_counted_behind_neighbour_discovery_alone():
    neighbours, limit, established, *_ = table(endpoint("a", limits=BOTH)).chains[names.FILTER_INPUT].rules
    assert neighbours.statements[-1] == expr.Jump(names.NEIGHBOURS)
    assert limit.statements[-1] == expr.VerdictMap((expr.Field.IIFNAME,), names.LIMITED_FROM)
    assert established.comment == "established"


def test_connections_are_counted_before_policy():
    made = table(endpoint("a", limits=BOTH))
    rate, number, onward = made.chains[names.endpoint_chain("prod/a", Direction.EGRESS)].rules
    assert rate.statements[-1] == expr.Jump(chain_of(made, LimitKind.CONNECTIONS).name)
    assert number.statements[-1] == expr.Jump(chain_of(made, LimitKind.MAX_CONNECTIONS).name)
    assert isinstance(onward.statements[-1], expr.Goto)


def test_a_node_without_limits_has_the_base_chains_of_an_empty_node():
    plain, empty = table(endpoint("a")), table()
    for name in (names.FILTER_FORWARD, names.FILTER_INPUT, names.FILTER_DELIVERY):
        assert plain.chains[name] == empty.chains[name]


def test_limits_that_come_and_go_leave_nothing():
    renderer = Renderer(RenderSettings())
    renderer.apply(events_of(state(endpoints=(endpoint("a"),))))
    before = renderer.table()
    renderer.apply([EndpointUpdated(endpoint("a", limits=BOTH))])
    assert renderer.table() == table(endpoint("a", limits=BOTH))
    change = renderer.apply([EndpointUpdated(endpoint("a"))])
    assert change.chains[names.FILTER_FORWARD] == before.chains[names.FILTER_FORWARD]
    assert renderer.table() == before


def test_a_limit_is_the_same_chain_whatever_else_changes():
    before = table(endpoint("a", limits=BOTH))
    more = policy("p", egress=({},))
    other = replace(BOTH, egress=replace(ALL, connections=Rate(11, 20)))
    after = table(
        endpoint("a", limits=other, tiers=(tier(egress=(more.id,)),)), endpoint("b", limits=BOTH), policies=(more,)
    )
    for kind in (LimitKind.PACKETS, LimitKind.MAX_CONNECTIONS):
        assert chain_hash(chain_of(before, kind)) == chain_hash(chain_of(after, kind))


def test_the_node_has_a_rate_of_connections_for_those_that_say_nothing():
    own = endpoint("b", limits=TrafficLimits(egress=Limits(connections=Rate(3, 3))))
    free = endpoint("c", limits=TrafficLimits(egress=Limits(connections=Rate(0, 0))))
    made = table(endpoint("a"), own, free, egress_connections_per_second=50)
    rates = [chain_of(made, LimitKind.CONNECTIONS, name) for name in "abc"]
    assert [rate and rate.rules[0].statements[0].packets for rate in rates] == [50, 3, None]
    assert chain_of(made, LimitKind.CONNECTIONS, direction=Direction.INGRESS) is None


def test_an_endpoint_that_is_not_active_has_no_limits_to_ask():
    made = table(endpoint("a", limits=BOTH, is_active=False))
    assert chain_of(made, LimitKind.PACKETS) is None
    assert not made.verdicts[names.LIMITED_FROM]
