"""Policies of a cluster's administrators as they are written (policy.networking.k8s.io, v1alpha2 and v1alpha1).

    ClusterNetworkPolicy            v1alpha2, tiers Admin and Baseline
    AdminNetworkPolicy              v1alpha1, the older spelling of tier Admin
    BaselineAdminNetworkPolicy      v1alpha1, the older spelling of tier Baseline; there is one, `default`

What they mean in Calico's terms is in `cluster_conversion`, and what becomes of a rule that cannot be understood in
`cluster_fallback`.
"""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from policy.resources.addresses import Domain, Prefix
from policy.resources.conditions import Complaint, Conditions, present
from policy.resources.fields import Integer, Items, Text, at_most, between, choice, shown
from policy.resources.kube_policy import LabelSelector
from policy.resources.metadata import Resource
from policy.resources.model import Model
from policy.resources.transport import PortName, PortNumber, TransportProtocol

MAX_PRIORITY = 1000
MAX_RULES = 100
"""In one direction (v1alpha1; v1alpha2 has fewer, but what is clear need not be refused)."""
MAX_PEERS = 100
MAX_PARTS = 100
"""Networks or names of one peer, ports of one rule."""
MAX_RULE_NAME = 100

_DOMAIN = re.compile(r"(\*\.)?([A-Za-z0-9]([-A-Za-z0-9_]*[A-Za-z0-9])?\.)+[A-Za-z0-9]([-A-Za-z0-9_]*[A-Za-z0-9])?\.?")


def _domain(value: object) -> object:
    if isinstance(value, str) and not _DOMAIN.fullmatch(value):
        raise ValueError(f"cannot be {shown(value)}: must be a name such as 'example.com' or '*.example.com'")
    return value


ClusterDomain = Annotated[Domain, BeforeValidator(_domain)]
"""A name, with `*` as its first part or without; it spans one or more parts."""


class ClusterTier(StrEnum):
    """Before everybody's policies, or behind them."""

    ADMIN = "Admin"
    BASELINE = "Baseline"


class Decision(StrEnum):
    """What a rule says (v1alpha2)."""

    ACCEPT = "Accept"
    DENY = "Deny"
    PASS = "Pass"


class AdminDecision(StrEnum):
    """What a rule says (v1alpha1)."""

    ALLOW = "Allow"
    DENY = "Deny"
    PASS = "Pass"


# --- Who ---


class PodSelection(Model):
    """Pods by their own labels and those of their namespaces."""

    namespace_selector: LabelSelector
    pod_selector: LabelSelector


class Selection(Model):
    """Pods; exactly one field is given."""

    namespaces: LabelSelector | None = None
    """All pods of these namespaces."""
    pods: PodSelection | None = None


class EgressPeer(Selection):
    """Where traffic goes; exactly one field is given."""

    nodes: LabelSelector | None = None
    """Machines of the cluster, by their labels."""
    networks: Annotated[Items[Prefix], at_most(MAX_PARTS)] | None = None
    domain_names: Annotated[Items[ClusterDomain], at_most(MAX_PARTS)] | None = None


# --- Which ports ---


class ClusterPortRange(Model):
    """Ports from the first to the last."""

    start: PortNumber
    end: PortNumber


class ClusterPort(Model):
    """A port or a range of them; exactly one field is given."""

    number: PortNumber | None = None
    range: ClusterPortRange | None = None


class TransportPorts(Model):
    """A protocol, all of its ports or some."""

    destination_port: ClusterPort | None = None


class ClusterProtocol(Model):
    """Exactly one field is given."""

    tcp: TransportPorts | None = None
    udp: TransportPorts | None = None
    sctp: TransportPorts | None = None
    destination_named_port: PortName | None = None


class AdminPortNumber(Model):
    """A port of a protocol."""

    protocol: TransportProtocol
    """IANA number."""
    port: PortNumber


class AdminPortRange(Model):
    """Ports of a protocol."""

    protocol: TransportProtocol
    """IANA number."""
    start: PortNumber
    end: PortNumber


class AdminPort(Model):
    """Exactly one field is given."""

    port_number: AdminPortNumber | None = None
    port_range: AdminPortRange | None = None
    named_port: PortName | None = None


# --- Rules ---

RuleName = Annotated[Text, at_most(MAX_RULE_NAME)]
Protocols = Annotated[Items[ClusterProtocol], at_most(MAX_PARTS)]
AdminPorts = Annotated[Items[AdminPort], at_most(MAX_PARTS)]
Sources = Annotated[Items[Selection], at_most(MAX_PEERS)]
Destinations = Annotated[Items[EgressPeer], at_most(MAX_PEERS)]


class ClusterRule(Model):
    """What the rules of both directions and versions have in common."""

    name: RuleName = ""


class ClusterIngressRule(ClusterRule):
    """What comes from one of the peers, on one of the protocols (any if none is given)."""

    action: Annotated[Decision, choice(*Decision)]
    from_: Annotated[Sources | None, Field(alias="from")]
    """None only in a rule that nobody understands (`cluster_fallback`)."""
    protocols: Protocols = ()


class ClusterEgressRule(ClusterRule):
    """What goes to one of the peers, on one of the protocols (any if none is given)."""

    action: Annotated[Decision, choice(*Decision)]
    to: Destinations | None
    """None only in a rule that nobody understands (`cluster_fallback`)."""
    protocols: Protocols = ()


class AdminIngressRule(ClusterRule):
    """As a ClusterIngressRule."""

    action: Annotated[AdminDecision, choice(*AdminDecision)]
    from_: Annotated[Sources | None, Field(alias="from")]
    """None only in a rule that nobody understands (`cluster_fallback`)."""
    ports: AdminPorts = ()


class AdminEgressRule(ClusterRule):
    """As a ClusterEgressRule."""

    action: Annotated[AdminDecision, choice(*AdminDecision)]
    to: Destinations | None
    """None only in a rule that nobody understands (`cluster_fallback`)."""
    ports: AdminPorts = ()


# --- Policies ---

Priority = Annotated[Integer, between(0, MAX_PRIORITY)]


class ClusterPolicySpec(Model):
    """The subject, and the rules in the order in which they are asked."""

    tier: Annotated[ClusterTier, choice(*ClusterTier)]
    priority: Priority
    """The lowest is asked first."""
    subject: Selection
    ingress: Annotated[Items[ClusterIngressRule], at_most(MAX_RULES)] = ()
    egress: Annotated[Items[ClusterEgressRule], at_most(MAX_RULES)] = ()


class AdminPolicySpec(Model):
    """As a ClusterPolicySpec of tier Admin."""

    priority: Priority
    """The lowest is asked first."""
    subject: Selection
    ingress: Annotated[Items[AdminIngressRule], at_most(MAX_RULES)] = ()
    egress: Annotated[Items[AdminEgressRule], at_most(MAX_RULES)] = ()


class BaselinePolicySpec(Model):
    """As a ClusterPolicySpec of tier Baseline; has no Pass, because nothing stands behind it."""

    subject: Selection
    ingress: Annotated[Items[AdminIngressRule], at_most(MAX_RULES)] = ()
    egress: Annotated[Items[AdminEgressRule], at_most(MAX_RULES)] = ()


class ClusterPolicy(Resource):
    """ClusterNetworkPolicy, v1alpha2."""

    KIND: ClassVar = "KubernetesClusterNetworkPolicy"
    IS_NAMESPACED: ClassVar = False

    spec: ClusterPolicySpec


class AdminPolicy(Resource):
    """AdminNetworkPolicy, v1alpha1."""

    KIND: ClassVar = "KubernetesAdminNetworkPolicy"
    IS_NAMESPACED: ClassVar = False

    spec: AdminPolicySpec


class BaselinePolicy(Resource):
    """BaselineAdminNetworkPolicy, v1alpha1."""

    KIND: ClassVar = "KubernetesBaselineAdminNetworkPolicy"
    IS_NAMESPACED: ClassVar = False

    spec: BaselinePolicySpec


# --- How fields go together (network-policy-api: the CRDs' validation) ---


def _exactly_one(part: Model) -> Iterator[Complaint]:
    """One of the fields, no more and no less: what the API server calls min and max properties."""
    fields = {field.alias or name: name for name, field in type(part).model_fields.items()}
    given = [alias for alias, name in fields.items() if getattr(part, name) is not None]
    if len(given) != 1:
        found = f"has {' and '.join(given)}" if given else "has none"
        yield Complaint(f"must have exactly one of {', '.join(fields)}: it {found}")


def _range_runs_upward(part: ClusterPortRange | AdminPortRange) -> Iterator[Complaint]:
    if part.end < part.start:
        yield Complaint(f"cannot be less than start, {part.start}", ("end",))


def _somebody_sends(rule: ClusterIngressRule | AdminIngressRule) -> Iterator[Complaint]:
    if not rule.from_:
        yield Complaint("cannot be empty: write a peer, such as `namespaces: {}` for all pods", ("from",))


def _somebody_receives(rule: ClusterEgressRule | AdminEgressRule) -> Iterator[Complaint]:
    if not rule.to:
        yield Complaint("cannot be empty: write a peer, such as `networks: [0.0.0.0/0]`", ("to",))


def _names_are_only_accepted(rule: ClusterEgressRule | AdminEgressRule) -> Iterator[Complaint]:
    if rule.action not in (Decision.ACCEPT, AdminDecision.ALLOW):
        for index, peer in present(rule.to or ()):
            if peer.domain_names:
                wrong = f"cannot be in a rule with the action {rule.action}: names can only be accepted"
                yield Complaint(wrong, ("to", index, "domainNames"))


def _peer_lists_something(peer: EgressPeer) -> Iterator[Complaint]:
    for alias, given in (("networks", peer.networks), ("domainNames", peer.domain_names)):
        if given is not None and not given:
            yield Complaint("cannot be empty", (alias,))


def _baseline_rules_do_not_pass(spec: BaselinePolicySpec) -> Iterator[Complaint]:
    directions: dict[str, Sequence[AdminIngressRule | AdminEgressRule]]
    directions = {"ingress": spec.ingress, "egress": spec.egress}
    for field, rules in directions.items():
        for index, rule in present(rules):
            if rule.action is AdminDecision.PASS:
                yield Complaint("cannot be Pass: no policy stands behind this one", (field, index, "action"))


def _baseline_knows_no_names(spec: BaselinePolicySpec) -> Iterator[Complaint]:
    for index, rule in present(spec.egress):
        for number, peer in present(rule.to or ()):
            if peer.domain_names is not None:
                location = ("egress", index, "to", number, "domainNames")
                yield Complaint("cannot be in this kind: only AdminNetworkPolicy has it", location)


def _there_is_one_baseline(policy: BaselinePolicy) -> Iterator[Complaint]:
    if policy.metadata.name != "default":
        yield Complaint("cannot be another than 'default': there is one such policy in a cluster", ("metadata", "name"))


CONDITIONS: Conditions = {
    Selection: (_exactly_one,),
    ClusterPort: (_exactly_one,),
    ClusterProtocol: (_exactly_one,),
    AdminPort: (_exactly_one,),
    ClusterPortRange: (_range_runs_upward,),
    AdminPortRange: (_range_runs_upward,),
    ClusterIngressRule: (_somebody_sends,),
    AdminIngressRule: (_somebody_sends,),
    ClusterEgressRule: (_somebody_receives, _names_are_only_accepted),
    AdminEgressRule: (_somebody_receives, _names_are_only_accepted),
    EgressPeer: (_peer_lists_something,),
    BaselinePolicySpec: (_baseline_rules_do_not_pass, _baseline_knows_no_names),
    BaselinePolicy: (_there_is_one_baseline,),
}
"""For policies of administrators."""
