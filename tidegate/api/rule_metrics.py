"""What rules counted, as metrics by tier, policy and rule, with a bound on the number of series. Pure.

The kernel's counters are of first packets where a rule allows (conntrack lets the others by), of all where it denies.
A counter begins anew when its policy is edited, which is a counter's right (Prometheus: `rate` and `increase` know it).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import nlargest

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from policy.rules import CompiledPolicy, Direction, NodeState, PolicyID
from tidegate.api.documents import Counts
from tidegate.render import names

_LABELS = ("tier", "kind", "namespace", "policy", "staged", "direction", "rule", "action")
_OTHERS = ("",) * (len(_LABELS) - 2)


@dataclass(frozen=True, slots=True)
class RuleCount:
    """One rule that counted something. The rule is its index, -1 where no rule of the tier matched."""

    tier: str
    policy: PolicyID
    is_staged: bool
    direction: str
    rule: int
    action: str
    packets: int
    bytes: int

    @property
    def labels(self) -> tuple[str, ...]:
        """As `_LABELS` has them."""
        policy, staged = self.policy, str(self.is_staged).lower()
        return (
            self.tier, policy.kind, policy.namespace, policy.name, staged, self.direction, str(self.rule), self.action,
        )  # fmt: skip


def rule_counts(state: NodeState, counts: Counts) -> Iterator[RuleCount]:
    """Of every rule in force, and of every end of a tier, that counted something."""
    for policy in state.policies.values():
        for rule in (*policy.ingress, *policy.egress):
            count = counts.get(names.comment(rule.id))
            if count is not None and count.packets:
                yield RuleCount(
                    policy.tier, policy.id, policy.is_staged, rule.id.direction.value, rule.id.index, rule.action.value,
                    count.packets, count.bytes,
                )  # fmt: skip
        yield from _ends(policy, counts)


def _ends(policy: CompiledPolicy, counts: Counts) -> Iterator[RuleCount]:
    """What no rule of the policy's tier decided: the tier's default action did, or would."""
    for direction in Direction:
        end = names.end_of_tier(policy.tier, policy.id, direction)
        for action, comment in (("EndOfTier", names.comment(end)), ("PendingEndOfTier", names.pending_comment(end))):
            count = counts.get(comment)
            if count is not None and count.packets:
                yield RuleCount(
                    policy.tier, policy.id, policy.is_staged, direction.value, -1, action, count.packets, count.bytes
                )


def rule_metrics(found: Iterable[RuleCount], most: int) -> Iterator[Metric]:
    """At most so many series of each metric: of the rules that counted most; the others added up by what they do.

    A policy that a user may write must not be able to fill whoever collects metrics: names of policies are labels.
    """
    counted = list(found)
    shown = nlargest(most, counted, key=lambda each: each.packets)
    chosen = set(shown)
    packets = CounterMetricFamily("tidegate_rule_packets", "Packets that rules decided about", labels=_LABELS)
    octets = CounterMetricFamily("tidegate_rule_bytes", "Bytes of those packets", labels=_LABELS)
    for each in shown:
        packets.add_metric(each.labels, each.packets)
        octets.add_metric(each.labels, each.bytes)
    rest: dict[str, tuple[int, int]] = {}
    for each in counted:
        if each not in chosen:
            so_far = rest.get(each.action, (0, 0))
            rest[each.action] = (so_far[0] + each.packets, so_far[1] + each.bytes)
    for action, (packet_count, byte_count) in sorted(rest.items()):
        packets.add_metric((*_OTHERS, "others", action), packet_count)
        octets.add_metric((*_OTHERS, "others", action), byte_count)
    yield packets
    yield octets
    text = "Rules that counted something and have no series of their own (metricsMaxRules)"
    yield GaugeMetricFamily("tidegate_rules_without_series", text, len(counted) - len(shown))
