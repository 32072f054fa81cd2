"""Traces in the form of Calico's flow logs."""

from policy.evaluate import Happened, TraceStep
from policy.rules import PolicyID
from tidegate.judge.hits import hits

WEB = PolicyID("web", "shop", "NetworkPolicy")
ADMIN = PolicyID("admin", "", "GlobalNetworkPolicy")
STAGED = PolicyID("try", "shop", "StagedNetworkPolicy")
PROFILE = PolicyID("kns.shop", "", "Profile")


def step(happened, tier="default", policy=WEB, rule=-1):
    return TraceStep(happened=happened, tier=tier, policy=policy, rule=rule)


NO_PROFILE = step(Happened.NO_PROFILE_MATCHED, tier="", policy=None)


def texts(*steps, is_pending=False):
    return [hit.text for hit in hits(steps, is_pending=is_pending)]


def test_every_decision_on_the_way_is_listed_and_numbered():
    assert texts(
        step(Happened.NOT_MATCHED, "security", ADMIN, 0),
        step(Happened.LOGGED, "security", ADMIN, 1),
        step(Happened.PASSED, "security", ADMIN, 2),
        step(Happened.ALLOWED, rule=0),
    ) == ["0|security|gnp:admin|pass|2", "1|default|np:shop/web|allow|0"]


def test_a_staged_policy_has_its_own_short_kind():
    assert texts(step(Happened.DENIED, policy=STAGED, rule=3), is_pending=True) == ["0|default|snp:shop/try|deny|3"]


def test_the_end_of_a_tier_has_no_rule():
    passed, denied = step(Happened.END_OF_TIER_PASSED, "security", ADMIN), step(Happened.END_OF_TIER_DENIED)
    assert texts(passed, denied) == ["0|security|gnp:admin|pass|-1", "1|default|np:shop/web|deny|-1"]


def test_the_end_of_a_tier_is_a_kind_of_its_own_in_the_structure():
    [hit] = hits([step(Happened.END_OF_TIER_DENIED)], is_pending=False)
    assert hit.document == {
        "kind": "EndOfTier",
        "namespace": "",
        "name": "",
        "tier": "default",
        "action": "deny",
        "policy_index": 0,
        "rule_index": -1,
        "trigger": {"kind": "NetworkPolicy", "namespace": "shop", "name": "web", "tier": "default"},
    }


def test_a_profile_stands_in_a_tier_of_its_own():
    passed, allowed = (step(item, "", PROFILE, 0) for item in (Happened.PASSED, Happened.ALLOWED))
    assert texts(passed, allowed) == ["0|__PROFILE__|pro:kns.shop|allow|0"]


def test_without_profiles_the_denial_is_put_down_to_nobody():
    for is_pending in (False, True):
        assert texts(NO_PROFILE, is_pending=is_pending) == ["0|__PROFILE__|pro:__PROFILE__|deny|-1"]


def test_profiles_of_which_none_matched_leave_an_entry_in_the_enforced_trace_only():
    asked = step(Happened.NOT_MATCHED, "", PROFILE, 0)
    assert texts(asked, NO_PROFILE) == ["0|__PROFILE__|pro:__PROFILE__|deny|-1"]
    assert texts(asked, NO_PROFILE, is_pending=True) == []
