"""What a policy of administrators means as a Calico policy (Calico: the conversion of its Kubernetes datastore).

    tier Admin, Baseline     kube-admin, kube-baseline
    priority                 order
    subject                  selectors, of pods only
    a rule                   one rule for each protocol, peer, and family of its networks
    peer: namespaces         namespaceSelector
    peer: pods               namespaceSelector and selector, of pods only
    peer: nodes              `NodePeer`, the addresses of the nodes (Calico has nothing for it)
    peer: networks           nets
    peer: domainNames        domains (Calico has nothing for it in its open part)

A NetworkPolicy is final for the pods it selects, and Baseline judges only the others: that is what the default action
Deny of the tier `default` does, which stands between the two.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

from policy.resources.cluster_policy import (
    AdminDecision,
    AdminEgressRule,
    AdminIngressRule,
    AdminPolicy,
    AdminPort,
    BaselinePolicy,
    ClusterEgressRule,
    ClusterIngressRule,
    ClusterPolicy,
    ClusterPort,
    ClusterProtocol,
    ClusterTier,
    Decision,
    EgressPeer,
    Selection,
    TransportPorts,
)
from policy.resources.kube_conversion import PODS, label_selector
from policy.resources.policies import GlobalNetworkPolicy, GlobalPolicySpec, PolicyType
from policy.resources.rule import EntityRule, NodePeer, Rule, RuleMetadata
from policy.resources.transport import SCTP, TCP, UDP, Port
from policy.rules import Action, PortRange

TIERS = {ClusterTier.ADMIN: "kube-admin", ClusterTier.BASELINE: "kube-baseline"}
SILENT_KINDS = frozenset(
    ("KubernetesClusterNetworkPolicy", "KubernetesAdminNetworkPolicy", "KubernetesBaselineAdminNetworkPolicy")
)
"""Kinds whose Deny is a silent drop, whatever the node does with other denied packets (network-policy-api: Deny)."""

_ACTIONS = {
    Decision.ACCEPT: Action.ALLOW,
    Decision.DENY: Action.DENY,
    Decision.PASS: Action.PASS,
    AdminDecision.ALLOW: Action.ALLOW,
    AdminDecision.DENY: Action.DENY,
    AdminDecision.PASS: Action.PASS,
}
_ANYBODY = EntityRule()
_BASELINE_PRIORITY = 0

_Ports = Mapping[int | None, tuple[Port, ...]]
"""By protocol (None is any, for ports by name); no ports are all of them."""
_IngressRule = ClusterIngressRule | AdminIngressRule
_EgressRule = ClusterEgressRule | AdminEgressRule


class KubernetesClusterNetworkPolicy(GlobalNetworkPolicy):
    """A policy that was written as a ClusterNetworkPolicy."""

    KIND: ClassVar = "KubernetesClusterNetworkPolicy"


class KubernetesAdminNetworkPolicy(GlobalNetworkPolicy):
    """A policy that was written as an AdminNetworkPolicy."""

    KIND: ClassVar = "KubernetesAdminNetworkPolicy"


class KubernetesBaselineAdminNetworkPolicy(GlobalNetworkPolicy):
    """The policy that was written as BaselineAdminNetworkPolicy."""

    KIND: ClassVar = "KubernetesBaselineAdminNetworkPolicy"


def of_cluster_policy(policy: ClusterPolicy) -> KubernetesClusterNetworkPolicy:
    """In Calico's terms. Built without validation: Calico's limits are not Kubernetes'."""
    spec = policy.spec
    ingress = (rule for given in spec.ingress for rule in _ingress(given, _protocols(given.protocols)))
    egress = (rule for given in spec.egress for rule in _egress(given, _protocols(given.protocols)))
    return KubernetesClusterNetworkPolicy.model_construct(
        metadata=policy.metadata,
        spec=_spec(TIERS[spec.tier], spec.priority, spec.subject, _types(spec.ingress, spec.egress), ingress, egress),
    )


def of_admin_policy(policy: AdminPolicy) -> KubernetesAdminNetworkPolicy:
    """In Calico's terms, among the ClusterNetworkPolicies of tier Admin."""
    spec = policy.spec
    return KubernetesAdminNetworkPolicy.model_construct(
        metadata=policy.metadata,
        spec=_spec(
            TIERS[ClusterTier.ADMIN], spec.priority, spec.subject, _types(spec.ingress, spec.egress),
            _admin_ingress(spec.ingress), _admin_egress(spec.egress),
        ),
    )  # fmt: skip


def of_baseline_policy(policy: BaselinePolicy) -> KubernetesBaselineAdminNetworkPolicy:
    """In Calico's terms, among the ClusterNetworkPolicies of tier Baseline, before those of the same priority 0."""
    spec = policy.spec
    return KubernetesBaselineAdminNetworkPolicy.model_construct(
        metadata=policy.metadata,
        spec=_spec(
            TIERS[ClusterTier.BASELINE], _BASELINE_PRIORITY, spec.subject, _types(spec.ingress, spec.egress),
            _admin_ingress(spec.ingress), _admin_egress(spec.egress),
        ),
    )  # fmt: skip


def _spec(
    tier: str,
    priority: int,
    subject: Selection,
    types: tuple[PolicyType, ...],
    ingress: Iterable[Rule],
    egress: Iterable[Rule],
) -> GlobalPolicySpec:
    selector, namespace_selector = _selectors(subject)
    return GlobalPolicySpec.model_construct(
        tier=tier,
        order=float(priority),
        selector=selector or PODS,
        namespace_selector=namespace_selector,
        types=types,
        ingress=tuple(ingress),
        egress=tuple(egress),
    )


def _types(ingress: Sequence[_IngressRule], egress: Sequence[_EgressRule]) -> tuple[PolicyType, ...]:
    """Only directions with rules: the others are nobody's business here."""
    return (*((PolicyType.INGRESS,) if ingress else ()), *((PolicyType.EGRESS,) if egress else ()))


def _selectors(given: Selection) -> tuple[str, str]:
    """Of pods ("" for any) and of namespaces."""
    if given.pods is not None:
        namespaces = label_selector(given.pods.namespace_selector) or "all()"
        return label_selector(given.pods.pod_selector, PODS), namespaces
    assert given.namespaces is not None  # exactly one is given
    return "", label_selector(given.namespaces) or "all()"


# --- Rules ---


def _admin_ingress(rules: Iterable[AdminIngressRule]) -> Iterator[Rule]:
    return (rule for given in rules for rule in _ingress(given, _admin_ports(given.ports)))


def _admin_egress(rules: Iterable[AdminEgressRule]) -> Iterator[Rule]:
    return (rule for given in rules for rule in _egress(given, _admin_ports(given.ports)))


def _ingress(given: _IngressRule, ports: _Ports) -> Iterator[Rule]:
    if given.from_ is None:
        yield from _closed(given)
        return
    for protocol, numbers in ports.items():
        for peer in given.from_:
            yield _rule(given, protocol, _pods(peer), EntityRule.model_construct(ports=numbers))


def _egress(given: _EgressRule, ports: _Ports) -> Iterator[Rule]:
    if given.to is None:
        yield from _closed(given)
        return
    for protocol, numbers in ports.items():
        for peer in given.to:
            for entity in _entities(peer):
                yield _rule(given, protocol, _ANYBODY, entity.model_copy(update={"ports": numbers}))


def _closed(given: _IngressRule | _EgressRule) -> Iterator[Rule]:
    """What stands for a rule that nobody understands: see `cluster_fallback`."""
    if _ACTIONS[given.action] is not Action.ALLOW:
        yield Rule(action=Action.DENY)


def _rule(given: _IngressRule | _EgressRule, protocol: int | None, source: EntityRule, destination: EntityRule) -> Rule:
    return Rule.model_construct(
        action=_ACTIONS[given.action],
        protocol=protocol,
        source=source,
        destination=destination,
        metadata=RuleMetadata(annotations={"name": given.name}) if given.name else None,
    )


# --- Peers ---


def _pods(peer: Selection) -> EntityRule:
    """A peer by namespaces only gets no selector of pods: network sets of the namespace belong to it (Calico)."""
    selector, namespace_selector = _selectors(peer)
    return EntityRule.model_construct(selector=selector, namespace_selector=namespace_selector)


def _entities(peer: EgressPeer) -> Iterator[EntityRule]:
    if peer.nodes is not None:
        yield NodePeer.model_construct(node_selector=label_selector(peer.nodes))
    elif peer.networks is not None:
        for version in (4, 6):
            if nets := tuple(net for net in peer.networks if net.version == version):
                yield EntityRule.model_construct(nets=nets)
    elif peer.domain_names is not None:
        yield EntityRule.model_construct(domains=peer.domain_names)
    else:
        yield _pods(peer)


# --- Ports ---


def _protocols(given: Sequence[ClusterProtocol]) -> _Ports:
    return _grouped([pair for protocol in given for pair in _of_protocol(protocol)])


def _of_protocol(given: ClusterProtocol) -> Iterator[tuple[int | None, Port | None]]:
    if given.destination_named_port is not None:
        yield None, given.destination_named_port
    for protocol, ports in ((TCP, given.tcp), (UDP, given.udp), (SCTP, given.sctp)):
        if ports is not None:
            yield protocol, _destination_port(ports)


def _destination_port(given: TransportPorts) -> Port | None:
    return None if given.destination_port is None else _cluster_port(given.destination_port)


def _cluster_port(given: ClusterPort) -> Port | None:
    if given.range is not None:
        return PortRange(given.range.start, given.range.end)
    return None if given.number is None else PortRange(given.number, given.number)


def _admin_ports(given: Sequence[AdminPort]) -> _Ports:
    return _grouped([_of_admin_port(port) for port in given])


def _of_admin_port(given: AdminPort) -> tuple[int | None, Port | None]:
    if given.port_number is not None:
        return given.port_number.protocol, PortRange(given.port_number.port, given.port_number.port)
    if given.port_range is not None:
        return given.port_range.protocol, PortRange(given.port_range.start, given.port_range.end)
    assert given.named_port is not None  # exactly one is given
    return None, given.named_port


def _grouped(pairs: Sequence[tuple[int | None, Port | None]]) -> _Ports:
    """The ports of each protocol; a protocol without a port is all of it."""
    if not pairs:
        return {None: ()}
    protocols = sorted({protocol for protocol, _ in pairs}, key=lambda number: number or 256)
    return {protocol: _ports([port for other, port in pairs if other == protocol]) for protocol in protocols}


def _ports(given: Sequence[Port | None]) -> tuple[Port, ...]:
    if None in given:
        return ()
    return tuple(dict.fromkeys(port for port in given if port is not None))
