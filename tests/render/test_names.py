"""Names and comments."""

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from policy.rules import Direction, IPSetID, RuleID
from tests.render.states import policy_id, typical
from tidegate.render import RenderSettings, names, render_table

VALID = re.compile(r"[a-z][a-z0-9-]{0,30}")
KEYWORDS = {"fwd", "all", "interval", "set", "map", "chain", "table", "rule"}


def test_every_name_in_a_table_is_an_nft_identifier():
    table = render_table(typical(), RenderSettings())
    for name in [*table.chains, *table.sets, *table.maps]:
        assert VALID.fullmatch(name), name
        assert name not in KEYWORDS


def test_names_stay_the_same_from_one_release_to_the_next():
    """A new name for the same thing would empty learned sets and reset counters on upgrade."""
    who = policy_id("web", "prod", "NetworkPolicy")
    assert names.policy_chain(who, Direction.EGRESS) == "pe-d8986628aac2134c"
    assert names.ip_set(IPSetID("s:all"), 4) == "s4-729a566e059fe69e"


def test_policies_that_differ_in_any_part_of_their_key_have_their_own_chains():
    who = policy_id("web", "prod", "NetworkPolicy")
    others = [replace(who, name="web2"), replace(who, namespace="dev"), replace(who, kind="StagedNetworkPolicy")]
    chains = {names.policy_chain(item, direction) for item in (who, *others) for direction in Direction}
    assert len(chains) == 8


def test_a_comment_says_tier_policy_direction_and_index():
    rule = RuleID("apps", policy_id("web", "prod", "NetworkPolicy"), Direction.INGRESS, 2)
    assert names.comment(rule) == "apps/np:prod/web/ingress/2"
    assert names.comment(names.no_profile(Direction.EGRESS)) == "/pro:/egress/-1"


@given(st.integers(0, 1023), st.integers(0, 1023))
def test_long_comments_fit_and_stay_apart(first, second):
    long = RuleID("t" * 63, policy_id("x" * 253, "n" * 63), Direction.EGRESS, first)
    comment = names.comment(long)
    assert len(comment) <= names.MAX_COMMENT_BYTES
    assert (comment == names.comment(replace(long, index=second))) == (first == second)
