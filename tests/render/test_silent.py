"""What administrators deny is dropped without a word, whatever the node says to others."""

import pytest

from nft import expr
from policy.rules import Action, Direction
from tests.render.states import EGRESS, INGRESS, endpoint, policy, state, tier
from tidegate.config.packets import DenyAction
from tidegate.render import RenderSettings, names, render_table

DENY = ({"action": Action.DENY},)
KIND = "KubernetesClusterNetworkPolicy"


def ends(kind, direction, action):
    made = policy("p", kind=kind, egress=DENY, ingress=DENY, tier="kube-admin")
    who = endpoint("e", tiers=(tier("kube-admin", egress=(made.id,), ingress=(made.id,), default_action=Action.PASS),))
    table = render_table(state(endpoints=(who,), policies=(made,)), RenderSettings(deny_action=action))
    chain = table.chains[names.policy_chain(made.id, direction)]
    return table, chain.rules[0].statements[-1]


@pytest.mark.parametrize("direction", list(Direction))
def test_what_is_dropped_anyway_ends_as_everybodys(direction):
    table, end = ends(KIND, direction, DenyAction.DROP)
    assert end == expr.Goto(names.DENY_EGRESS if direction is EGRESS else names.DENY_INGRESS)
    assert names.DROP_EGRESS not in table.chains


def test_where_denied_packets_are_rejected_administrators_still_drop_theirs():
    assert ends(KIND, INGRESS, DenyAction.REJECT)[1] == expr.Drop()
    table, end = ends(KIND, EGRESS, DenyAction.REJECT)
    assert end == expr.Goto(names.DROP_EGRESS)
    silent, loud = table.chains[names.DROP_EGRESS], table.chains[names.DENY_EGRESS]
    assert silent.rules[:-1] == loud.rules[:-1]  # a name may be learned in time here, too
    assert silent.rules[-1].statements[-1] == expr.Drop()


@pytest.mark.parametrize("kind", ["GlobalNetworkPolicy", "KubernetesNetworkPolicy"])
def test_others_denials_are_rejected_where_that_is_asked_for(kind):
    assert ends(kind, EGRESS, DenyAction.REJECT)[1] == expr.Goto(names.DENY_EGRESS)
    assert ends(kind, INGRESS, DenyAction.REJECT)[1] == expr.Goto(names.DENY_INGRESS)
