"""From graph events to the node's state, its interfaces, and the packet process's snapshot."""

from ipaddress import ip_address

import pytest

from dnsagent.snapshot import Mode, TrustedServer
from policy import rules
from policy.rules import (
    Action,
    CompiledPolicy,
    CompiledRule,
    Direction,
    DomainOptions,
    DomainSet,
    DomainSetID,
    Endpoint,
    EndpointID,
    EndpointPolicy,
    EndpointTier,
    EntityMatch,
    NodeState,
    PolicyID,
    RuleID,
)
from tidegate.config.dns import DNSPolicyMode
from tidegate.config.settings import Settings
from tidegate.render import names
from tidegate.render.settings import RenderSettings, from_configuration
from tidegate.sync.interfaces import Interfaces
from tidegate.sync.links import Links
from tidegate.sync.node import addresses_given_up
from tidegate.sync.snapshots import SnapshotBuilder, SnapshotSettings

P = PolicyID("p", "a", "NetworkPolicy")
PROFILE = PolicyID("open", "", "Profile")
D1, D2, D3 = DomainSetID("d:1"), DomainSetID("d:2"), DomainSetID("d:3")
A1, A2 = ip_address("10.0.1.2"), ip_address("10.0.1.3")


def domain_policy(policy_id, *domain_sets):
    return CompiledPolicy(
        id=policy_id,
        tier="default",
        egress=tuple(
            CompiledRule(
                id=RuleID("default", policy_id, Direction.EGRESS, index),
                action=Action.ALLOW,
                destination=EntityMatch(domain_set=domain_set),
            )
            for index, domain_set in enumerate(domain_sets)
        ),
    )


def endpoint(name, *addresses, interface="", policies=(), profiles=()):
    return EndpointPolicy(
        endpoint=Endpoint(
            id=EndpointID(f"a/{name}"),
            namespace="a",
            name=name,
            node="n",
            interface_name=interface,
            addresses=addresses,
        ),
        tiers=(EndpointTier(name="default", default_action=Action.DENY, egress=tuple(policies)),) if policies else (),
        profiles=tuple(profiles),
    )


def state_of(*endpoints, policies=(), domain_sets=()):
    return NodeState(
        endpoints={item.endpoint.id: item for item in endpoints},
        policies={item.id: item for item in policies},
        domain_sets={item.id: item for item in domain_sets},
    )


# --- Addresses ---


def test_an_address_is_given_up_when_its_owner_changes_or_goes():
    before = state_of(endpoint("x", A1, A2), endpoint("y", ip_address("10.0.1.4")))
    after = state_of(endpoint("z", A1), endpoint("y", ip_address("10.0.1.4")))
    assert addresses_given_up(before, after) == {A1, A2}
    assert addresses_given_up(after, after) == frozenset()


# --- Interfaces ---


def _interfaces_of(events):
    return {event.endpoint.endpoint.id: event.endpoint.endpoint.interface_name for event in events}


def test_a_pod_gets_the_interface_that_its_route_names_when_the_route_comes():
    interfaces = Interfaces()
    pod, other = endpoint("pod", A1), endpoint("wep", A2, interface="cali-w")
    told = list(interfaces.on_events([rules.EndpointUpdated(pod), rules.EndpointUpdated(other)]))
    assert _interfaces_of(told) == {"a/pod": "", "a/wep": "cali-w"}
    assert interfaces.missing == ("a/pod",)
    links = Links({A1: "veth1", A2: "veth2"})
    assert _interfaces_of(interfaces.on_links(links)) == {"a/pod": "veth1"}
    assert list(interfaces.on_links(links)) == []
    assert interfaces.missing == ()
    assert _interfaces_of(interfaces.on_links(Links())) == {"a/pod": ""}


def test_a_pod_that_comes_after_its_route_has_its_interface_at_once():
    interfaces = Interfaces()
    list(interfaces.on_links(Links({A1: "veth1"})))
    assert _interfaces_of(interfaces.on_events([rules.EndpointUpdated(endpoint("pod", A1))])) == {"a/pod": "veth1"}


def test_a_finished_pod_is_not_missed():
    interfaces = Interfaces()
    list(interfaces.on_events([rules.EndpointUpdated(endpoint("done"))]))
    assert interfaces.missing == ()


def test_a_removed_pod_is_looked_for_no_longer():
    interfaces = Interfaces()
    list(interfaces.on_events([rules.EndpointUpdated(endpoint("pod", A1))]))
    removed = rules.EndpointRemoved(EndpointID("a/pod"))
    assert list(interfaces.on_events([removed])) == [removed]
    assert interfaces.missing == ()
    assert list(interfaces.on_links(Links({A1: "veth1"}))) == []


# --- Snapshot ---


def build_snapshot(state, generation, given):
    return SnapshotBuilder(given).build(state, generation)


def _given(**options):
    settings = Settings(**options)
    servers = (TrustedServer(address=ip_address("10.0.53.53")),)
    return SnapshotSettings(settings=settings, render=from_configuration(settings, servers))


def test_only_endpoints_with_domain_rules_and_used_sets_are_in_the_snapshot():
    state = state_of(
        endpoint("x", A1, interface="cali-x", policies=[P], profiles=[PROFILE]),
        endpoint("y", A2, interface="cali-y"),
        policies=[domain_policy(P, D2, D1, D2), domain_policy(PROFILE, D1)],
        domain_sets=[DomainSet(id=item, patterns=frozenset({"b.test", "a.test"})) for item in (D1, D2, D3)],
    )
    snapshot = build_snapshot(state, 7, _given(dns_policy_mode=DNSPolicyMode.NO_DELAY))
    assert snapshot.generation == 7
    assert snapshot.mode is Mode.NO_DELAY
    assert list(snapshot.endpoints) == ["a/x"]
    assert snapshot.endpoints["a/x"].rules == (D2, D1)
    assert snapshot.endpoints["a/x"].interface_name == "cali-x"
    assert set(snapshot.rules) == {D1, D2}
    rule = snapshot.rules[D1]
    assert rule.patterns == ("a.test", "b.test")
    assert (rule.set4, rule.set6) == (names.domain_set(D1, 4), names.domain_set(D1, 6))
    assert snapshot.trusted_servers == (TrustedServer(address=ip_address("10.0.53.53")),)


def test_a_rule_that_names_a_set_which_is_not_there_learns_nothing():
    state = state_of(
        endpoint("x", A1, policies=[P, PolicyID("gone", "a", "NetworkPolicy")]), policies=[domain_policy(P, D1)]
    )
    assert build_snapshot(state, 1, _given()).endpoints == {}


@pytest.mark.parametrize(
    ("options", "floor", "ceiling", "extra"),
    [
        (DomainOptions(), 10, 86400, 5),
        (DomainOptions(extra_ttl_seconds=0.0), 10, 86400, 0),
        (DomainOptions(ttl_floor_seconds=0.0), 0, 86400, 5),
        (DomainOptions(ttl_floor_seconds=90000.0), 90000, 90000, 5),
        (DomainOptions(ttl_ceiling_seconds=3.0), 3, 3, 5),
        (DomainOptions(ttl_floor_seconds=9.0, ttl_ceiling_seconds=4.0), 4, 4, 5),
    ],
)
def test_a_policys_bounds_move_the_nodes_out_of_their_way(options, floor, ceiling, extra):
    state = state_of(
        endpoint("x", A1, policies=[P]),
        policies=[domain_policy(P, D1)],
        domain_sets=[DomainSet(id=D1, patterns=frozenset({"a.test"}), options=options)],
    )
    rule = build_snapshot(state, 1, _given(dns_extra_ttl_seconds=5.0)).rules[D1]
    assert (rule.ttl_floor_seconds, rule.ttl_ceiling_seconds, rule.extra_ttl_seconds) == (floor, ceiling, extra)


def test_queues_and_marks_are_those_of_the_rules():
    settings = Settings(dns_policy_nfqueue_id=7, nftables_mark_mask=0x7000)
    render = from_configuration(settings, ())
    assert render != RenderSettings()
    snapshot = build_snapshot(NodeState(), 1, SnapshotSettings(settings=settings, render=render))
    assert snapshot.denied_queue == 7
    assert snapshot.repeated_mark == render.repeated_mark == 0x2000


def test_a_builder_that_remembers_says_what_a_new_one_says():
    given = _given()
    builder = SnapshotBuilder(given)
    sets = [DomainSet(id=item, patterns=frozenset({"a.test"})) for item in (D1, D2)]
    x, y = endpoint("x", A1, policies=[P], profiles=[PROFILE]), endpoint("y", A2, policies=[P])
    states = [
        state_of(x, policies=[domain_policy(P)]),
        state_of(x, y, policies=[domain_policy(P, D1)], domain_sets=sets),
        state_of(x, y, policies=[domain_policy(P, D1), domain_policy(PROFILE, D2)], domain_sets=sets),
        state_of(endpoint("x", A2, policies=[P]), policies=[domain_policy(P, D2)], domain_sets=sets),
        state_of(y, policies=[domain_policy(P, D1)], domain_sets=sets[1:]),
        state_of(),
    ]
    for state in states + states[::-1]:
        assert builder.build(state, 1) == build_snapshot(state, 1, given)
