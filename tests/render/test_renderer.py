"""Events to changes: after any sequence the table is the whole table of the state."""

import random
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nft import expr
from nft.model import Table
from policy import rules
from policy.hosts import Tunnels
from policy.rules import Action, Direction, DomainSet, DomainSetID, IPSetID, IPSetKind
from tests.render.states import NET4, NET6, endpoint, host, policy, port, profile, state, tier, to, typical
from tidegate.config.packets import SourceCheck
from tidegate.render import Renderer, RenderSettings, changed, events_of, names, render_table

SETTINGS = RenderSettings(
    source_check=SourceCheck.LOOSE, honours_source_prefixes=True, tunnels=Tunnels(has_ipip=True, vxlan_port=4789)
)
SETS = [IPSetID("a"), IPSetID("b")]
DOMAINS = [DomainSetID("x"), DomainSetID("y")]
MEMBERS = [NET4, NET6, *(rules.IPv4Network(f"192.0.2.{i}/32") for i in range(4))]

RULES = [
    {},
    {"action": Action.DENY},
    {"action": Action.PASS},
    {"action": Action.LOG, "protocol": 17},
    {"destination": to(sets=(SETS[0],), nets=(NET4, NET6))},
    {"source": to(not_sets=(SETS[1],))},
    {"protocol": 6, "destination": to(ports=(port(80), port(443)))},
    {"destination": to(domain_set=DOMAINS[0])},
    {"destination": to(domain_set=DOMAINS[1])},
]
POLICY_NAMES = ["p1", "p2", "p3", "s1", "s2", "kns.a", "kns.b"]
"""Those with an s are staged, the last two are profiles."""
POLICY_IDS = [policy(name, is_staged=name.startswith("s")).id for name in POLICY_NAMES[:5]]


def some_rules():
    return st.lists(st.sampled_from(RULES), max_size=3).map(tuple)


@st.composite
def policies(draw):
    name = draw(st.sampled_from(POLICY_NAMES))
    make = profile if name.startswith("kns") else policy
    trial = {"is_staged": True} if name.startswith("s") else {}
    made = make(name, egress=draw(some_rules()), ingress=draw(some_rules()), **trial)
    return replace(made, is_proxied=draw(st.booleans()))


@st.composite
def endpoints(draw):
    lists = st.lists(st.sampled_from(POLICY_IDS), unique=True).map(tuple)
    tiers = [
        tier(
            name,
            egress=draw(lists),
            ingress=draw(lists),
            default_action=draw(st.sampled_from([Action.DENY, Action.PASS])),
            leaving=draw(st.sampled_from([(), POLICY_IDS[:1], POLICY_IDS[1:3]])),
        )
        for name in ("first", "second")[: draw(st.integers(0, 2))]
    ]
    return endpoint(
        draw(st.sampled_from(["e1", "e2", "e3"])),
        tiers=tuple(tiers),
        profiles=draw(st.sampled_from([(), ("kns.a",), ("kns.b", "kns.a")])),
        interface=draw(st.sampled_from(["", "cali1", "cali2"])),
        addresses=draw(st.sampled_from([(), ("10.65.0.2",), ("10.65.0.3", "fd00:65::3")])),
        allowed_source_prefixes=draw(st.sampled_from([(), (NET4,)])),
        is_active=draw(st.booleans()),
    )


@st.composite
def hosts(draw):
    """A host endpoint; normal policies stand in for those of every stage."""

    def tiers():
        listed = tuple(draw(st.lists(st.sampled_from(POLICY_IDS), max_size=2, unique=True)))
        return (tier("first", ingress=listed, egress=listed),) if draw(st.booleans()) else ()

    name = draw(st.sampled_from(["h1", "h2"]))
    return host(
        name,
        *draw(st.sampled_from([(), (f"{name}-a",), (f"{name}-b", f"{name}-c")])),
        untracked=tiers(),
        pre_dnat=tiers(),
        normal=tiers(),
        forward=tiers(),
        profiles=draw(st.sampled_from([(), ("kns.a",)])),
    )


def host_for_others(policies_of):
    """At most one host endpoint has all the other interfaces."""
    return host("others", "*", normal=policies_of.normal, pre_dnat=policies_of.pre_dnat, forward=policies_of.forward)


def steps():
    """What happens to the state; removals name things that may not be there."""
    return st.lists(
        st.one_of(
            policies(),
            endpoints(),
            hosts(),
            hosts().map(host_for_others),
            st.tuples(
                st.just("nodes"),
                st.none(),
                st.frozensets(st.sampled_from([ip_address("172.18.0.1"), ip_address("fd00::1")])),
            ),
            st.tuples(
                st.just("drop host"), st.sampled_from([host(name).endpoint.id for name in ("h1", "h2", "others")])
            ),
            st.tuples(st.just("drop policy"), st.sampled_from(POLICY_IDS)),
            st.tuples(
                st.just("drop endpoint"), st.sampled_from([endpoint(name).endpoint.id for name in ("e1", "e2", "e3")])
            ),
            st.tuples(st.just("members"), st.sampled_from(SETS), st.frozensets(st.sampled_from(MEMBERS))),
            st.tuples(st.just("drop set"), st.sampled_from(SETS)),
            st.tuples(
                st.just("names"), st.sampled_from(DOMAINS), st.frozensets(st.sampled_from(["a.example", "*.b.example"]))
            ),
            st.tuples(st.just("drop names"), st.sampled_from(DOMAINS)),
        ),
        max_size=12,
    )


class Node:
    """The state that the events tell, kept as the graph would."""

    def __init__(self):
        self.policies, self.endpoints, self.hosts, self.ip_sets, self.domain_sets = {}, {}, {}, {}, {}
        self.nodes = frozenset()

    def state(self):
        return rules.NodeState(
            policies=self.policies,
            endpoints=self.endpoints,
            host_endpoints=self.hosts,
            ip_sets=self.ip_sets,
            domain_sets=self.domain_sets,
            node_addresses=self.nodes,
        )

    def event(self, step):  # noqa: PLR0911 - one for each kind of step
        if isinstance(step, rules.CompiledPolicy):
            self.policies[step.id] = step
            return rules.PolicyUpdated(step)
        if isinstance(step, rules.EndpointPolicy):
            self.endpoints[step.endpoint.id] = step
            return rules.EndpointUpdated(step)
        if isinstance(step, rules.HostEndpointPolicy):
            self.hosts[step.endpoint.id] = step
            return rules.HostEndpointUpdated(step)
        kind, key, *rest = step
        if kind == "nodes":
            self.nodes = rest[0]
            return rules.NodeAddressesUpdated(self.nodes)
        if kind == "members":
            _, old = self.ip_sets.get(key, (None, frozenset()))
            self.ip_sets[key] = (IPSetKind.NETS, rest[0])
            return rules.IPSetUpdated(key, IPSetKind.NETS, rest[0] - old, old - rest[0])
        if kind == "names":
            self.domain_sets[key] = DomainSet(id=key, patterns=rest[0])
            return rules.DomainSetUpdated(self.domain_sets[key])
        where, event = {
            "drop policy": (self.policies, rules.PolicyRemoved),
            "drop endpoint": (self.endpoints, rules.EndpointRemoved),
            "drop host": (self.hosts, rules.HostEndpointRemoved),
            "drop set": (self.ip_sets, rules.IPSetRemoved),
            "drop names": (self.domain_sets, rules.DomainSetRemoved),
        }[kind]
        where.pop(key, None)
        return event(key)


@settings(max_examples=300, deadline=None)
@given(steps(), st.randoms(use_true_random=False))
def test_the_table_after_any_events_is_the_table_of_the_state(items, chance):
    node, renderer = Node(), Renderer(SETTINGS)
    told: Table = renderer.table()
    events = [node.event(step) for step in items]
    while events:
        size = chance.randint(1, 3)
        told = changed(told, renderer.apply(events[:size]))
        del events[:size]
    whole = render_table(node.state(), SETTINGS)
    assert renderer.table() == whole
    assert told == whole


@settings(max_examples=100, deadline=None)
@given(steps(), st.randoms(use_true_random=False))
def test_the_order_in_which_a_state_appears_does_not_matter(items, chance):
    node = Node()
    for step in items:
        node.event(step)
    events = list(events_of(node.state()))
    chance.shuffle(events)
    renderer = Renderer(SETTINGS)
    for event in events:
        renderer.apply([event])
    assert renderer.table() == render_table(node.state(), SETTINGS)


@settings(max_examples=100, deadline=None)
@given(steps())
def test_every_jump_leads_to_a_chain_and_every_lookup_into_a_set(items):
    node = Node()
    for key in SETS:
        node.event(("members", key, frozenset()))
    for key in DOMAINS:
        node.event(("names", key, frozenset()))
    for step in items:
        if not isinstance(step, tuple):
            node.event(step)
    table = render_table(node.state(), SETTINGS)
    verdicts = [verdict for entries in table.verdicts.values() for verdict in entries.values()]
    statements = [item for chain in table.chains.values() for rule in chain.rules for item in rule.statements]
    for item in [*verdicts, *statements]:
        match item:
            case expr.Jump(chain=chain) | expr.Goto(chain=chain):
                assert chain in table.chains
            case expr.Lookup(set_name=name) | expr.RateLimitPer(set_name=name):
                assert name in table.sets
            case expr.VerdictMap(map_name=name):
                assert name in table.maps


def test_base_chains_do_not_depend_on_the_state():
    empty, full = render_table(state(), SETTINGS), render_table(typical(), SETTINGS)
    assert {name for name, chain in full.chains.items() if chain.hook} == {
        name for name, chain in empty.chains.items() if chain.hook
    }
    for name, chain in empty.chains.items():
        assert full.chains[name] == chain


def test_a_changed_rule_changes_its_chain_and_nothing_else():
    renderer = Renderer(SETTINGS)
    renderer.apply(events_of(typical()))
    (web,) = (item for item in typical().policies.values() if item.id.name == "web")
    changed_rule = replace(web.ingress[0], destination=to(ports=(port(8443),)))
    change = renderer.apply([rules.PolicyUpdated(replace(web, ingress=(changed_rule,)))])
    assert set(change.chains) == {names.policy_chain(web.id, Direction.INGRESS)}
    assert list(change.sets.values()) == [None]  # the set of the old ports
    assert not change.elements


def test_a_new_pass_rule_shows_in_the_tiers_that_ask_the_policy():
    renderer = Renderer(SETTINGS)
    renderer.apply(events_of(typical()))
    (web,) = (item for item in typical().policies.values() if item.id.name == "web")
    changes = renderer.apply(
        [rules.PolicyUpdated(replace(web, ingress=policy("web", ingress=({"action": Action.PASS},)).ingress))]
    )
    assert sorted(name[:2] for name in changes.chains) == ["pi", "ti"]


def test_a_new_endpoint_with_known_policies_changes_nothing_of_the_others():
    renderer = Renderer(SETTINGS)
    renderer.apply(events_of(typical()))
    other = next(iter(typical().endpoints.values()))
    twin = replace(other, endpoint=endpoint("twin", addresses=("10.65.0.4",)).endpoint)
    change = renderer.apply([rules.EndpointUpdated(twin)])
    assert set(change.chains) == {names.endpoint_chain(twin.endpoint.id, direction) for direction in Direction}
    assert not change.sets
    assert set(change.verdicts) == {names.FROM_ENDPOINT, names.TO_ENDPOINT}


def test_saying_the_same_again_changes_nothing():
    renderer = Renderer(SETTINGS)
    renderer.apply(events_of(typical()))
    assert not renderer.apply(events_of(typical()))


def test_removing_everything_leaves_the_empty_table():
    renderer = Renderer(SETTINGS)
    full = typical()
    renderer.apply(events_of(full))
    renderer.apply(
        [
            *(rules.EndpointRemoved(key) for key in full.endpoints),
            *(rules.PolicyRemoved(key) for key in full.policies),
            *(rules.DomainSetRemoved(key) for key in full.domain_sets),
            *(rules.IPSetRemoved(key) for key in full.ip_sets),
        ]
    )
    assert renderer.table() == render_table(state(), SETTINGS)


def test_an_active_endpoint_keeps_its_interface_from_an_inactive_one():
    old = endpoint("a", interface="cali1", is_active=False, addresses=("10.65.0.8",))
    new = endpoint("b", interface="cali1", addresses=("10.65.0.9",))
    table = render_table(state(endpoints=(old, new)), RenderSettings())
    goto = table.verdicts[names.FROM_ENDPOINT]["cali1",]
    assert goto == expr.Goto(names.endpoint_chain(new.endpoint.id, Direction.EGRESS))
    assert table.elements[names.sources(4)] == {("cali1", new.endpoint.addresses[0])}


def test_an_endpoint_whose_interface_is_not_known_has_no_entry():
    table = render_table(state(endpoints=(endpoint("a", interface=""),)), RenderSettings())
    assert table == render_table(state(), RenderSettings())


@pytest.mark.parametrize("size", [10, 1000])
def test_a_packet_passes_the_same_number_of_rules_however_many_endpoints_there_are(size):
    """Dispatch is by map: no chain but the maps' entries grows with the number of endpoints or policies."""
    chance = random.Random(size)
    many = [policy(f"p{i}", egress=({},), ingress=({},)) for i in range(size)]
    some = [
        endpoint(f"e{i}", tiers=(tier(egress=(chance.choice(many).id,), ingress=(chance.choice(many).id,)),))
        for i in range(size)
    ]
    table = render_table(state(endpoints=some, policies=many), RenderSettings())
    assert max(len(chain.rules) for chain in table.chains.values()) <= 12
