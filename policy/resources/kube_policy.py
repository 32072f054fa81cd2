"""Kubernetes' NetworkPolicy as it is written; what it means in Calico's terms is in `kube_conversion`."""

from collections.abc import Iterator
from enum import StrEnum
from functools import partial
from typing import Annotated, ClassVar

from pydantic import Field

from policy.resources.addresses import Prefix, is_within
from policy.resources.conditions import Complaint, Conditions, present
from policy.resources.fields import Distinct, Integer, Items, LabelKey, Labels, LabelValue, between, choice
from policy.resources.metadata import Resource
from policy.resources.model import Model
from policy.resources.policies import PolicyType
from policy.resources.transport import MAX_PORT, TCP, KubernetesPort, TransportProtocol


class Operator(StrEnum):
    """How a label is compared."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class Requirement(Model):
    """One condition on a label."""

    key: LabelKey
    operator: Annotated[Operator, choice(*Operator)]
    values: Items[LabelValue] = ()


class LabelSelector(Model):
    """Kubernetes' selector: everything is and-ed; nothing given selects everything."""

    match_labels: Labels = Field(default_factory=dict)
    match_expressions: Items[Requirement] = ()


class IPBlock(Model):
    """A network, less some parts of it."""

    cidr: Prefix
    except_: Annotated[Items[Prefix], Field(alias="except")] = ()


class Peer(Model):
    """Who is on the other side: pods by selectors, or a network."""

    pod_selector: LabelSelector | None = None
    """Alone: in the policy's own namespace."""
    namespace_selector: LabelSelector | None = None
    ip_block: IPBlock | None = None


class PolicyPort(Model):
    """A port, a range, or every port of a protocol."""

    protocol: TransportProtocol = TCP
    """IANA number."""
    port: KubernetesPort | None = None
    end_port: Annotated[Integer, between(1, MAX_PORT)] | None = None


class IngressRule(Model):
    """Allows what comes from one of the peers (any if none is given) to one of the ports (likewise)."""

    ports: Items[PolicyPort] = ()
    from_: Annotated[Items[Peer], Field(alias="from")] = ()


class EgressRule(Model):
    """Allows what goes to one of the peers (any if none is given), on one of the ports (likewise)."""

    ports: Items[PolicyPort] = ()
    to: Items[Peer] = ()


class NetworkingPolicySpec(Model):
    """Which pods, which directions, what is allowed."""

    pod_selector: LabelSelector = LabelSelector()
    policy_types: Distinct[Annotated[PolicyType, choice(*PolicyType)]] = ()
    ingress: Items[IngressRule] = ()
    egress: Items[EgressRule] = ()


class NetworkingPolicy(Resource):
    """networking.k8s.io/v1 NetworkPolicy."""

    KIND: ClassVar = "KubernetesNetworkPolicy"
    IS_NAMESPACED: ClassVar = True

    spec: NetworkingPolicySpec = NetworkingPolicySpec()


# --- How fields go together (Kubernetes: pkg/apis/networking/validation) ---


def _values_fit_the_operator(requirement: Requirement) -> Iterator[Complaint]:
    needs_values = requirement.operator in (Operator.IN, Operator.NOT_IN)
    if needs_values and not requirement.values:
        yield Complaint(f"cannot be empty with the operator {requirement.operator}", ("values",))
    if not needs_values and requirement.values:
        yield Complaint(f"cannot be given with the operator {requirement.operator}", ("values",))


def _peer_is_somebody(peer: Peer) -> Iterator[Complaint]:
    if peer.pod_selector is None and peer.namespace_selector is None and peer.ip_block is None:
        yield Complaint("must have podSelector, namespaceSelector or ipBlock")


def _block_stands_alone(name: str, peer: Peer) -> Iterator[Complaint]:
    other = peer.pod_selector if name == "podSelector" else peer.namespace_selector
    if peer.ip_block is not None and other is not None:
        yield Complaint("cannot stand beside ipBlock: write one peer for each", (name,))


def _exceptions_are_within(block: IPBlock) -> Iterator[Complaint]:
    for index, part in present(block.except_):
        if part == block.cidr or not is_within(part, block.cidr):
            yield Complaint(f"cannot be {part}: must be a part of {block.cidr}", ("except", index))


def _range_runs_upward(port: PolicyPort) -> Iterator[Complaint]:
    if port.end_port is not None and not isinstance(port.port, int):
        yield Complaint("cannot be given without the number of a first port", ("endPort",))
    if port.end_port is not None and isinstance(port.port, int) and port.end_port < port.port:
        yield Complaint(f"cannot be less than the first port, {port.port}", ("endPort",))


CONDITIONS: Conditions = {
    Requirement: (_values_fit_the_operator,),
    Peer: (_peer_is_somebody, *(partial(_block_stands_alone, name) for name in ("podSelector", "namespaceSelector"))),
    IPBlock: (_exceptions_are_within,),
    PolicyPort: (_range_runs_upward,),
}
"""For Kubernetes' NetworkPolicies."""
