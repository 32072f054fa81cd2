"""The order in which policies are asked, and what ends it."""

from nft import expr
from policy.rules import Action, Direction, RuleID
from tests.render.states import EGRESS, INGRESS, endpoint, policy, profile, state, tier
from tidegate.render import RenderSettings, names, render_table
from tidegate.render.outline import outline
from tidegate.render.tiers import ListRenderer, PolicyList

SETTINGS = RenderSettings()
DENIED = expr.Goto(names.DENY_EGRESS)


def lists(who, *policies, direction=EGRESS):
    """The list's chain, then its tiers'."""
    outlines = {item.id: outline(item, direction) for item in policies}
    *tiers, top = ListRenderer(outlines, direction, SETTINGS.pass_mark).chains(PolicyList.of(who, direction))
    return [top, *tiers]


def ends(chain):
    """The last statement of each rule."""
    return [rule.statements[-1] for rule in chain.rules]


def jump(item, direction=EGRESS):
    return expr.Jump(names.policy_chain(item.id, direction))


def test_tiers_then_profiles_then_deny():
    first, second, default = policy("a", egress=({},)), policy("b", egress=({},)), profile("kns.x", egress=({},))
    who = endpoint("e", tiers=(tier("t1", egress=(first.id,)), tier("t2", egress=(second.id,))), profiles=("kns.x",))
    top, one, two = lists(who, first, second, default)
    assert ends(top) == [expr.Jump(one.name), expr.Jump(two.name), jump(default), DENIED]
    assert ends(one) == [jump(first), DENIED]
    assert one.rules[-1].comment == names.comment(RuleID("t1", first.id, Direction.EGRESS, -1))


def test_a_tier_without_policies_in_this_direction_does_not_count():
    only_in = policy("a", ingress=({},))
    who = endpoint("e", tiers=(tier(ingress=(only_in.id,)),))
    assert ends(lists(who, only_in)[0]) == [DENIED]
    assert len(lists(who, only_in)) == 1
    assert len(lists(who, only_in, direction=INGRESS)) == 2


def test_a_policy_without_rules_is_not_asked_but_ends_the_tier():
    silent = policy("a")
    _, chain = lists(endpoint("e", tiers=(tier(egress=(silent.id,)),)), silent)
    assert ends(chain) == [DENIED]


def test_a_tier_that_passes_at_its_end_returns():
    silent = policy("a")
    _, chain = lists(endpoint("e", tiers=(tier(egress=(silent.id,), default_action=Action.PASS),)), silent)
    assert ends(chain) == [expr.Return()]


def test_only_policies_that_pass_are_followed_by_a_look_at_the_mark():
    plain, passing = policy("a", egress=({},)), policy("b", egress=({"action": Action.PASS},))
    _, chain = lists(endpoint("e", tiers=(tier(egress=(plain.id, passing.id)),)), plain, passing)
    bit = SETTINGS.pass_mark
    assert [rule.statements for rule in chain.rules[:3]] == [
        (jump(plain),),
        (jump(passing),),
        (expr.MarkBits(bit, expr.Op.EQ, bit), expr.SetMark(bit, 0), expr.Return()),
    ]


def test_a_policy_about_one_protocol_is_asked_about_nothing_else():
    tcp, mixed = policy("a", egress=({"protocol": 6}, {"protocol": 6})), policy("b", egress=({"protocol": 6}, {}))
    _, chain = lists(endpoint("e", tiers=(tier(egress=(tcp.id, mixed.id)),)), tcp, mixed)
    guard = expr.Compare(expr.Field.L4PROTO, expr.Op.EQ, 6)
    assert [rule.statements for rule in chain.rules[:2]] == [(guard, jump(tcp)), (jump(mixed),)]


def test_a_pass_in_a_profile_leaves_no_mark():
    passing = profile("kns.x", egress=({"action": Action.PASS},))
    table = render_table(state(policies=(passing,)), SETTINGS)
    (rule,) = table.chains[names.policy_chain(passing.id, EGRESS)].rules
    assert rule.statements == (expr.Counter(), expr.Return())


def test_a_missing_profile_denies_before_the_next_one_is_asked():
    there = profile("kns.x", egress=({},))
    (top,) = lists(endpoint("e", profiles=("kns.gone", "kns.x")), there)
    assert ends(top) == [DENIED, jump(there), DENIED]


def test_a_policy_that_is_not_known_denies():
    gone = policy("gone")
    _, chain = lists(endpoint("e", tiers=(tier(egress=(gone.id,), default_action=Action.PASS),)))
    assert ends(chain)[0] == DENIED


def test_endpoints_with_the_same_policies_share_their_lists():
    web = policy("web", egress=({},))
    who = [endpoint(name, tiers=(tier(egress=(web.id,)),)) for name in ("a", "b", "c")]
    table = render_table(state(endpoints=who, policies=(web,)), SETTINGS)
    kinds = [name.split("-")[0] for name in table.chains]
    assert kinds.count("le") == kinds.count("te") == kinds.count("pe") == 1
    assert len([name for name in table.chains if name.startswith("from-")]) == 3


def test_an_inactive_endpoint_drops():
    table = render_table(state(endpoints=(endpoint("a", is_active=False),)), SETTINGS)
    for direction in Direction:
        (rule,) = table.chains[names.endpoint_chain(endpoint("a").endpoint.id, direction)].rules
        assert rule.statements[-1] == expr.Drop()
