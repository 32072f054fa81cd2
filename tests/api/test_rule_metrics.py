"""Metrics by tier, policy and rule: what they say, and that no number of policies makes too many of them."""

from nft.counts import Count
from policy.rules import Action, CompiledPolicy, CompiledRule, Direction, NodeState, PolicyID, RuleID
from tests.api.test_documents import STATUS
from tidegate.api.metrics import metrics_text
from tidegate.api.rule_metrics import rule_counts, rule_metrics
from tidegate.render import names


def policy_of(name: str, *actions: Action, is_staged: bool = False) -> CompiledPolicy:
    identity = PolicyID(name, "a", "StagedNetworkPolicy" if is_staged else "NetworkPolicy")
    rules = tuple(
        CompiledRule(id=RuleID("t", identity, Direction.EGRESS, index), action=action)
        for index, action in enumerate(actions)
    )
    return CompiledPolicy(id=identity, tier="t", egress=rules, is_staged=is_staged)


def page(*counted: tuple[CompiledPolicy, int, int], most: int = 10) -> list[str]:
    """Of rules by their index that counted so many packets of 60 bytes; index -1 is the end of the tier."""
    state = NodeState(policies={policy.id: policy for policy, _, _ in counted})
    counts = {
        names.comment(
            names.end_of_tier("t", policy.id, Direction.EGRESS) if index < 0 else policy.egress[index].id
        ): Count(packets, packets * 60)
        for policy, index, packets in counted
    }
    lines = metrics_text(STATUS, rule_metrics(rule_counts(state, counts), most)).splitlines()
    return [line for line in lines if line.startswith("tidegate_rule")]


def test_a_rule_is_told_by_tier_policy_index_and_action():
    both = policy_of("p", Action.ALLOW, Action.DENY)
    lines = page((both, 0, 7), (both, 1, 2), (both, -1, 1))
    labels = ['tier="t"', 'kind="NetworkPolicy"', 'namespace="a"', 'policy="p"']
    for index, action, packets in ((0, "Allow", 7), (1, "Deny", 2), (-1, "EndOfTier", 1)):
        wanted = sorted([*labels, 'staged="false"', 'direction="egress"', f'rule="{index}"', f'action="{action}"'])
        assert f"tidegate_rule_packets_total{{{','.join(wanted)}}} {packets}.0" in [_sorted(line) for line in lines]
        assert f"tidegate_rule_bytes_total{{{','.join(wanted)}}} {packets * 60}.0" in [_sorted(line) for line in lines]
    assert "tidegate_rules_without_series 0.0" in lines


def test_a_rule_that_counted_nothing_has_no_series():
    idle = policy_of("p", Action.ALLOW)
    assert page((idle, 0, 0)) == ["tidegate_rules_without_series 0.0"]


def test_a_staged_rule_says_so():
    (line, *_) = page((policy_of("p", Action.DENY, is_staged=True), 0, 3))
    assert 'staged="true"' in line
    assert 'kind="StagedNetworkPolicy"' in line


def test_beyond_the_bound_the_busiest_have_series_and_the_others_are_added_up():
    policies = [policy_of(f"p{number}", Action.ALLOW if number % 2 else Action.DENY) for number in range(10)]
    lines = page(*((policy, 0, number + 1) for number, policy in enumerate(policies)), most=3)
    packets = [line for line in lines if line.startswith("tidegate_rule_packets_total")]
    assert [line for line in packets if 'policy="p' in line] == [
        line for line in packets if any(f'policy="p{number}"' in line for number in (9, 8, 7))
    ]
    others = {_label(line, "action"): float(line.rsplit(" ", 1)[1]) for line in packets if 'rule="others"' in line}
    assert others == {"Deny": 1.0 + 3 + 5 + 7, "Allow": 2.0 + 4 + 6}
    assert "tidegate_rules_without_series 7.0" in lines


def _label(line: str, name: str) -> str:
    return line.split(f'{name}="', 1)[1].split('"', 1)[0]


def _sorted(line: str) -> str:
    """Labels in an order that does not matter."""
    if "{" not in line:
        return line
    name, rest = line.split("{", 1)
    labels, value = rest.rsplit("} ", 1)
    return f"{name}{{{','.join(sorted(labels.split(',')))}}} {value}"
