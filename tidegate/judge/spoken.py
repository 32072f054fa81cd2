"""What the comments of a rendered table mean: the rule of policy, or part of the frame around it, that they name."""

from collections.abc import Iterable, Iterator, Mapping

from policy.evaluate import Happened
from policy.rules import Action, CompiledPolicy, Direction, EndpointTier, NodeState, PolicyID, RuleID
from policy.staged import is_staged
from tidegate.judge.answer import Step
from tidegate.judge.hits import PROFILE_TIER
from tidegate.render import names

_BY_ACTION = {
    Action.ALLOW: Happened.ALLOWED,
    Action.DENY: Happened.DENIED,
    Action.PASS: Happened.PASSED,
    Action.LOG: Happened.LOGGED,
}
_FRAME = {
    "VXLAN from a workload": Happened.ENCAPSULATION_DENIED,
    "IP in IP from a workload": Happened.ENCAPSULATION_DENIED,
    "neighbour discovery": Happened.NEIGHBOUR_DISCOVERY_ALLOWED,
    "workload to its own host": Happened.HOST_DENIED,
    "failsafe": Happened.FAILSAFE_ALLOWED,
    "tunnel between nodes": Happened.TUNNEL_ALLOWED,
    "WireGuard": Happened.TUNNEL_ALLOWED,
    "VXLAN from no node": Happened.TUNNEL_DENIED,
}


def spoken(state: NodeState) -> Mapping[str, Step]:
    """The step that each comment stands for. Comments that are not here (jumps, conntrack) decide nothing of policy."""
    steps = {comment: Step(happened=happened) for comment, happened in _FRAME.items()}
    steps |= _of_rules(policy for policy in state.policies.values() if not policy.is_staged)
    workloads = ((known.tiers, known.profiles) for known in state.endpoints.values())
    hosts = (
        ((*host.untracked, *host.pre_dnat, *host.normal, *host.forward), host.profiles)
        for host in state.host_endpoints.values()
    )
    for tiers, profiles in (*workloads, *hosts):
        ends = _ends(tiers, profiles, state)
        steps.update((names.comment(rule), _step(rule, happened)) for rule, happened in ends)
    return steps


def spoken_on_trial(state: NodeState) -> Mapping[str, Step]:
    """The step that each comment stands for by which staged policies count, and the ends of tiers as they would be."""
    steps = _of_rules(policy for policy in state.policies.values() if policy.is_staged)
    hosts = state.host_endpoints.values()
    listed = [tier for known in state.endpoints.values() for tier in known.tiers]
    listed += [tier for host in hosts for tier in (*host.untracked, *host.pre_dnat, *host.normal, *host.forward)]
    for tier in listed:
        does_pass = tier.default_action is Action.PASS
        happened = Happened.END_OF_TIER_PASSED if does_pass else Happened.END_OF_TIER_DENIED
        for direction, policies in ((Direction.EGRESS, tier.egress), (Direction.INGRESS, tier.ingress)):
            walked = [policy for policy in policies if policy not in tier.leaving]
            for rule in (RuleID(tier.name, policy, direction, -1) for policy in walked[:1]):
                steps[names.pending_comment(rule)] = _step(rule, happened)
    return steps


def _of_rules(policies: Iterable[CompiledPolicy]) -> dict[str, Step]:
    return {
        names.comment(rule.id): _step(rule.id, _BY_ACTION[rule.action])
        for policy in policies
        for rule in (*policy.ingress, *policy.egress)
    }


def _ends(
    tiers: Iterable[EndpointTier], profiles: Iterable[PolicyID], state: NodeState
) -> Iterator[tuple[RuleID, Happened]]:
    for direction in Direction:
        for tier in tiers:
            yield from _end_of_tier(tier, direction)
        for profile in profiles:
            if profile not in state.policies:
                yield RuleID("", profile, direction, -1), Happened.PROFILE_MISSING
        yield names.no_profile(direction), Happened.NO_PROFILE_MATCHED


def _end_of_tier(tier: EndpointTier, direction: Direction) -> Iterator[tuple[RuleID, Happened]]:
    listed = tier.egress if direction is Direction.EGRESS else tier.ingress
    decisive = [policy for policy in listed if not is_staged(policy)]
    if decisive:
        does_pass = tier.default_action is Action.PASS
        happened = Happened.END_OF_TIER_PASSED if does_pass else Happened.END_OF_TIER_DENIED
        yield names.end_of_tier(tier.name, decisive[-1], direction), happened


def _step(rule: RuleID, happened: Happened) -> Step:
    policy = None if rule.policy == names.NO_PROFILE else rule.policy
    return Step(happened=happened, tier=rule.tier or PROFILE_TIER, policy=policy, rule=rule.index)
