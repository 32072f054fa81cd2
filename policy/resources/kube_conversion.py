"""What a Kubernetes NetworkPolicy means as a Calico policy (Calico: the conversion of its Kubernetes datastore).

podSelector          selector, of pods only
a rule               one Allow rule for each protocol and peer
ports                grouped by protocol, ranges merged; no protocol is TCP; no port is the whole protocol
peer: podSelector    selector, in the policy's namespace
peer: namespaceSelector     namespaceSelector, of pods only
peer: ipBlock        nets, less notNets
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

from policy.resources.kube_policy import (
    EgressRule,
    IngressRule,
    LabelSelector,
    NetworkingPolicy,
    NetworkingPolicySpec,
    Operator,
    Peer,
    PolicyPort,
    Requirement,
)
from policy.resources.policies import NetworkPolicy, PolicySpec, PolicyType
from policy.resources.rule import EntityRule, Rule
from policy.resources.transport import Port
from policy.rules import Action, PortRange

ORDER = 1000.0
"""Of every converted policy, in the tier `default`."""
PODS = "projectcalico.org/orchestrator == 'k8s'"
"""Selects pods, and no host endpoints or network sets."""
_ANYBODY = EntityRule()


class KubernetesNetworkPolicy(NetworkPolicy):
    """A NetworkPolicy that was written in Kubernetes' terms; the kind is part of its name."""

    KIND: ClassVar = "KubernetesNetworkPolicy"


def converted(policy: NetworkingPolicy) -> KubernetesNetworkPolicy:
    """The policy in Calico's terms.

    Built without validation: Calico's limits on the length of selectors and lists are not Kubernetes'.
    """
    spec = policy.spec
    return KubernetesNetworkPolicy.model_construct(
        metadata=policy.metadata,
        spec=PolicySpec.model_construct(
            order=ORDER,
            selector=label_selector(spec.pod_selector, PODS),
            types=_types(spec),
            ingress=tuple(rule for given in spec.ingress for rule in _ingress(given)),
            egress=tuple(rule for given in spec.egress for rule in _egress(given)),
        ),
    )


def _types(spec: NetworkingPolicySpec) -> tuple[PolicyType, ...]:
    """Kubernetes: Ingress is always implied, Egress by rules for it."""
    implied = (PolicyType.INGRESS, PolicyType.EGRESS) if spec.egress else (PolicyType.INGRESS,)
    return spec.policy_types or implied


def _ingress(given: IngressRule) -> Iterator[Rule]:
    for protocol, ports in _by_protocol(given.ports).items():
        for source in map(_entity, given.from_) if given.from_ else (_ANYBODY,):
            destination = EntityRule.model_construct(ports=ports)
            yield _allow(protocol, source, destination)


def _egress(given: EgressRule) -> Iterator[Rule]:
    for protocol, ports in _by_protocol(given.ports).items():
        for peer in map(_entity, given.to) if given.to else (_ANYBODY,):
            yield _allow(protocol, _ANYBODY, peer.model_copy(update={"ports": ports}))


def _allow(protocol: int | None, source: EntityRule, destination: EntityRule) -> Rule:
    return Rule.model_construct(action=Action.ALLOW, protocol=protocol, source=source, destination=destination)


# --- Ports ---


def _by_protocol(given: Sequence[PolicyPort]) -> Mapping[int | None, tuple[Port, ...]]:
    """The ports to match for each protocol; no ports stand for all of them, no protocol for any."""
    if not given:
        return {None: ()}
    protocols = sorted({port.protocol for port in given})
    return {protocol: _merged([port for port in given if port.protocol == protocol]) for protocol in protocols}


def _merged(given: Sequence[PolicyPort]) -> tuple[Port, ...]:
    if any(port.port is None for port in given):
        return ()
    names = sorted({port.port for port in given if isinstance(port.port, str)})
    ranges = [(port.port, port.end_port or port.port) for port in given if isinstance(port.port, int)]
    return (*_joined(sorted(ranges)), *names)


def _joined(ranges: Iterable[tuple[int, int]]) -> Iterator[PortRange]:
    """Ranges in order that overlap or touch, as one."""
    open_range: tuple[int, int] | None = None
    for first, last in ranges:
        if open_range is not None and first <= open_range[1] + 1:
            open_range = (open_range[0], max(last, open_range[1]))
            continue
        if open_range is not None:
            yield PortRange(*open_range)
        open_range = (first, last)
    if open_range is not None:
        yield PortRange(*open_range)


# --- Peers ---


def _entity(peer: Peer) -> EntityRule:
    if peer.ip_block is not None:
        return EntityRule.model_construct(nets=(peer.ip_block.cidr,), not_nets=peer.ip_block.except_)
    selector = label_selector(peer.pod_selector or LabelSelector(), PODS)
    if peer.namespace_selector is None:
        return EntityRule.model_construct(selector=selector)
    return EntityRule.model_construct(
        selector=selector, namespace_selector=label_selector(peer.namespace_selector) or "all()"
    )


def label_selector(given: LabelSelector, *first: str) -> str:
    """Kubernetes' selector in Calico's language, behind what must hold as well; "" selects everything."""
    labels = (f"{key} == '{value}'" for key, value in sorted(given.match_labels.items()))
    return " && ".join((*first, *labels, *map(_requirement, given.match_expressions)))


def _requirement(given: Requirement) -> str:
    values = ", ".join(f"'{value}'" for value in given.values)
    match given.operator:
        case Operator.IN:
            return f"{given.key} in {{{values}}}"
        case Operator.NOT_IN:
            return f"{given.key} not in {{{values}}}"
        case Operator.EXISTS:
            return f"has({given.key})"
        case Operator.DOES_NOT_EXIST:
            return f"!has({given.key})"
