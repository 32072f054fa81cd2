"""Staged policies count what they would decide, and decide nothing."""

from nft import expr
from nft.matching import Packet
from nft.simulate import End, Simulator
from policy.rules import Action, Direction, PolicyUpdated, RuleID
from tests.render.states import EGRESS, INGRESS, endpoint, host, policy, port, profile, state, tier, to
from tidegate.render import RenderSettings, names, render_table
from tidegate.render.renderer import Renderer, events_of

SETTINGS = RenderSettings()
STAGED = policy(
    "s",
    is_staged=True,
    egress=(
        {"action": Action.LOG},
        {"protocol": 6, "destination": to(ports=(port(443), port(8443)))},
        {"protocol": 17, "action": Action.PASS},
    ),
)
WEB = policy("web", egress=({"protocol": 6, "destination": to(ports=(port(80),))},))
ALLOW = profile("kns.prod", egress=({},))
FORBIDDEN = (
    expr.Accept,
    expr.Drop,
    expr.Reject,
    expr.Goto,
    expr.Queue,
    expr.LogToKernel,
    expr.VerdictMap,
    expr.NoTrack,
)


def world(*egress, policies=(STAGED, WEB, ALLOW), **fields):
    who = endpoint("e", tiers=(tier(egress=tuple(item.id for item in egress), **fields),), profiles=("kns.prod",))
    return state(endpoints=(who,), policies=policies)


def walked(given, port_number=443, protocol=6):
    """How a packet of the endpoint ends, and the comments of rules it met."""
    ends = endpoint("e").endpoint
    packet = Packet(
        source=ends.addresses[0],
        destination=endpoint("o", addresses=("192.0.2.1",)).endpoint.addresses[0],
        protocol=protocol,
        source_port=40000,
        destination_port=port_number,
        iif="calie",
        oif="eth0",
    )
    outcome = Simulator(render_table(given, SETTINGS)).run(packet, ("prerouting", "forward", "postrouting"))
    return outcome.end, [step.comment for step in outcome.trace]


def comment(item, index, direction=EGRESS):
    return names.comment(RuleID("default", item.id, direction, index))


def pending_end(item):
    return names.pending_comment(RuleID("default", item.id, EGRESS, -1))


def on_trial(given):
    return [chain for name, chain in render_table(given, SETTINGS).chains.items() if name[0] in "xy"]


def test_what_would_be_allowed_is_counted_and_denied_all_the_same():
    end, met = walked(world(WEB, STAGED))
    assert end is End.DROP
    assert comment(STAGED, 1) in met
    assert comment(WEB, -1) in met


def test_what_would_be_denied_is_counted_at_the_end_of_the_tier_and_allowed_all_the_same():
    end, met = walked(world(STAGED), port_number=80)
    assert end is End.ACCEPT
    assert pending_end(STAGED) in met


def test_a_staged_log_rule_counts_and_writes_nothing():
    _, met = walked(world(STAGED))
    assert comment(STAGED, 0) in met


def test_a_rule_counts_only_what_reaches_it():
    later = policy("t", is_staged=True, egress=({},))
    both = (STAGED, WEB, ALLOW, later)
    assert comment(later, 0) not in walked(world(STAGED, later, policies=both))[1]
    assert comment(later, 0) in walked(world(STAGED, later, policies=both), port_number=80)[1]
    assert comment(STAGED, 1) not in walked(world(WEB, STAGED), port_number=80)[1]


def test_a_staged_pass_goes_to_the_next_tier_of_the_walk_on_trial():
    later = policy("t", tier="later", is_staged=True, egress=({},))
    tiers = (tier(egress=(WEB.id, STAGED.id)), tier("later", egress=(later.id,)))
    given = state(endpoints=(endpoint("e", tiers=tiers, profiles=("kns.prod",)),), policies=(STAGED, WEB, ALLOW, later))
    end, met = walked(given, protocol=17)
    assert end is End.DROP
    assert names.comment(RuleID("later", later.id, EGRESS, 0)) in met
    assert names.comment(RuleID("later", later.id, EGRESS, 0)) not in walked(given)[1]


def test_a_policy_that_would_go_is_passed_over():
    end, met = walked(world(WEB, STAGED, leaving=(WEB.id,)), port_number=80)
    assert end is End.ACCEPT
    assert pending_end(STAGED) in met


def test_a_tier_whose_policies_would_all_go_does_not_count():
    tiers = (tier("first", egress=(WEB.id,), leaving=(WEB.id,)), tier(egress=(STAGED.id,)))
    web = policy("web", tier="first", egress=({"protocol": 6},))
    given = state(endpoints=(endpoint("e", tiers=tiers, profiles=("kns.prod",)),), policies=(STAGED, web, ALLOW))
    end, met = walked(given)
    assert end is End.ACCEPT
    assert comment(STAGED, 1) in met


def test_nothing_on_trial_is_a_verdict():
    chains = on_trial(world(WEB, STAGED))
    assert len(chains) == 2
    assert not [
        item for chain in chains for rule in chain.rules for item in rule.statements if isinstance(item, FORBIDDEN)
    ]


def test_without_staged_policies_nothing_is_on_trial():
    assert not on_trial(world(WEB, leaving=(WEB.id,)))


def test_a_direction_that_no_staged_policy_has_is_as_it_was():
    other = policy("s", is_staged=True, ingress=({},))
    alone, beside = (render_table(world(*each, policies=(other, WEB, ALLOW)), SETTINGS) for each in [(WEB,), (WEB,)])
    assert alone == beside
    tiers = (tier(egress=(WEB.id,), ingress=(other.id,)),)
    given = state(endpoints=(endpoint("e", tiers=tiers, profiles=("kns.prod",)),), policies=(other, WEB, ALLOW))
    lists = {name for name in render_table(given, SETTINGS).chains if name.startswith("le-")}
    assert lists == {name for name in alone.chains if name.startswith("le-")}


def test_a_changed_rule_of_an_enforced_policy_changes_the_walk_on_trial_too():
    renderer = Renderer(SETTINGS)
    renderer.apply(events_of(world(WEB, STAGED)))
    changed = policy("web", egress=({"protocol": 6, "destination": to(ports=(port(81),))},))
    renderer.apply([PolicyUpdated(changed)])
    assert renderer.table() == render_table(world(WEB, STAGED, policies=(STAGED, changed, ALLOW)), SETTINGS)


def test_names_are_learned_for_staged_rules():
    named = policy("s", is_staged=True, egress=({"destination": to(domain_set="d")},))
    given = world(named, policies=(named, ALLOW))
    table = render_table(given, SETTINGS)
    assert table.elements[names.DNS_CLIENTS] == {("calie",)}


def test_a_host_endpoint_with_staged_policies_alone_drops_nothing_at_what_it_forwards():
    forward = policy("f", is_staged=True, ingress=({"action": Action.DENY},))
    given = state(hosts=(host("h", "eth0", forward=(tier(ingress=(forward.id,)),)),), policies=(forward,))
    chain = render_table(given, SETTINGS).chains["host-forward"]
    assert [rule.comment for rule in chain.rules] == ["established", "allowed before conntrack or DNAT", ""]


def test_the_tables_of_directions_do_not_mix():
    both = policy("s", is_staged=True, ingress=({},), egress=({"action": Action.DENY},))
    tiers = (tier(egress=(both.id,), ingress=(both.id,)),)
    given = state(endpoints=(endpoint("e", tiers=tiers, profiles=("kns.prod",)),), policies=(both, ALLOW))
    chains = {chain.name[:2]: chain for chain in on_trial(given)}
    assert chains["ye"].rules[0].comment == comment(both, 0, Direction.EGRESS)
    assert chains["yi"].rules[0].comment == comment(both, 0, INGRESS)
