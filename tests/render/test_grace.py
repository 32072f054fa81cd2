"""Grace in the rules: noted by a live hit alone, admitted behind it, in sets that exist only where a rule gives it."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from nft import expr
from nft.matching import Packet
from nft.simulate import End, Simulator
from policy.rules import Action, DomainOptions
from tests.render.states import endpoint, policy, state, tier, to
from tidegate.render import RenderSettings, names, render_table

OWN, FAR = ip_address("10.65.0.2"), ip_address("198.51.100.1")
OWN6, FAR6 = ip_address("fd00:65::2"), ip_address("2001:db8::1")
LIVE, GRACE = names.domain_set("d", 4), names.grace_set("d", 4)
SETTINGS = RenderSettings(holds_denied_below=False)


def table(grace=60.0, settings=SETTINGS, action=Action.ALLOW, **options):
    rule = {"destination": to(domain_set="d"), "action": action, "protocol": 6, "grace_seconds": grace}
    made = policy("named", egress=(rule,), **options)
    found = state(
        endpoints=(endpoint("a", tiers=(tier(egress=(made.id,)),)),), policies=(made,), domains={"d": ("a.example",)}
    )
    domains = {
        key: replace(item, options=DomainOptions(grace_seconds=grace)) for key, item in found.domain_sets.items()
    }
    return render_table(replace(found, domain_sets=domains), settings)


def sent(rules, elements, source=OWN, destination=FAR):
    packet = Packet(
        source=source, destination=destination, protocol=6, source_port=1, destination_port=443, iif="calia", oif="eth0"
    )
    return Simulator(rules, elements).run(packet, ("prerouting", "forward", "postrouting"))


def test_a_live_hit_is_noted_and_let_through():
    outcome = sent(table(), {LIVE: {(OWN, FAR)}})
    assert (outcome.end, outcome.remembered) == (End.ACCEPT, ((GRACE, (OWN, FAR)),))


def test_a_noted_pair_is_let_through_and_noted_again():
    outcome = sent(table(), {GRACE: {(OWN, FAR)}})
    assert (outcome.end, outcome.remembered) == (End.ACCEPT, ((GRACE, (OWN, FAR)),))


def test_what_was_never_used_is_denied_and_not_noted():
    outcome = sent(table(), {GRACE: {(OWN, ip_address("198.51.100.2"))}})
    assert (outcome.end, outcome.remembered) == (End.DROP, ())


def test_both_families_have_it():
    outcome = sent(table(), {names.grace_set("d", 6): {(OWN6, FAR6)}}, OWN6, FAR6)
    assert outcome.end is End.ACCEPT


def test_a_policy_says_otherwise_than_the_node():
    by_node = replace(SETTINGS, grace_seconds=60.0)
    assert GRACE in table(None, by_node).sets
    assert GRACE not in table(0.0, by_node).sets
    assert GRACE not in table(None).sets


def test_without_grace_the_rules_are_what_they_were():
    chain = table(None).chains[names.policy_chain(policy("named").id, "egress")]
    assert [len([one for one in rule.statements if isinstance(one, expr.Remember)]) for rule in chain.rules] == [0, 0]
    graced = table().chains[names.policy_chain(policy("named").id, "egress")]
    assert len(graced.rules) == 2 * 3  # for each family: live, live where the set is full, in grace


def test_the_sets_are_the_rules_own_and_bounded():
    shape = table(settings=replace(SETTINGS, learned_set_size=99)).sets[GRACE]
    assert (shape.is_dynamic, shape.has_timeout, shape.is_learned, shape.size) == (True, True, False, 99)
    assert GRACE not in table().elements


@pytest.mark.parametrize("seconds", [0.5, 60.0])
def test_the_time_is_the_rules(seconds):
    chain = table(seconds).chains[names.policy_chain(policy("named").id, "egress")]
    times = {one.timeout_ms for rule in chain.rules for one in rule.statements if isinstance(one, expr.Remember)}
    assert times == {int(seconds * 1000)}


def test_a_staged_rule_notes_for_itself():
    outcome = sent(table(is_staged=True), {LIVE: {(OWN, FAR)}})
    assert outcome.remembered == ((GRACE, (OWN, FAR)),)
