"""What staged policies would do: the policies that they would be, and those that they would take away.

A staged policy stands where an enforced one with its tier, order, name and kind would stand; Set, Learn and Ignore say
what somebody means to do with it, and are walked alike (Calico: pending policy traces). A staged deletion has no
rules: the enforced policy of its name and namespace is left out of the pending walk.
"""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from policy.resources.kube_conversion import KubernetesNetworkPolicy, converted
from policy.resources.kube_policy import NetworkingPolicy
from policy.resources.metadata import Resource
from policy.resources.policies import GlobalNetworkPolicy, NetworkPolicy
from policy.resources.staged import (
    StagedAction,
    StagedGlobalNetworkPolicy,
    StagedKubernetesNetworkPolicy,
    StagedNetworkPolicy,
)
from policy.rules import PolicyID
from policy.tiers import Policy, policy_id

StagedResource = StagedNetworkPolicy | StagedGlobalNetworkPolicy | StagedKubernetesNetworkPolicy

TWINS = {
    StagedNetworkPolicy.KIND: NetworkPolicy.KIND,
    StagedGlobalNetworkPolicy.KIND: GlobalNetworkPolicy.KIND,
    StagedKubernetesNetworkPolicy.KIND: KubernetesNetworkPolicy.KIND,
}
"""The enforced kind that stands for each staged one."""


class TrialPolicy(NetworkPolicy):
    """A StagedNetworkPolicy, read as the policy that it would be."""

    KIND: ClassVar = StagedNetworkPolicy.KIND


class GlobalTrialPolicy(GlobalNetworkPolicy):
    """A StagedGlobalNetworkPolicy, likewise."""

    KIND: ClassVar = StagedGlobalNetworkPolicy.KIND


class KubernetesTrialPolicy(NetworkPolicy):
    """A StagedKubernetesNetworkPolicy, likewise: in the tier `default`, at Kubernetes' order."""

    KIND: ClassVar = StagedKubernetesNetworkPolicy.KIND


def is_staged(policy: PolicyID) -> bool:
    """Whether it is on trial: nothing depends on its rules but what is counted and told."""
    return policy.kind in TWINS


def twin(policy: PolicyID) -> PolicyID:
    """The enforced policy that a staged one is about; it need not exist."""
    return PolicyID(policy.name, policy.namespace, TWINS[policy.kind])


def deletes(resource: Resource | None) -> bool:
    """Whether it asks for its enforced twin to go."""
    return isinstance(resource, StagedResource) and resource.spec.staged_action is StagedAction.DELETE


def on_trial(resource: Resource | None) -> Policy | None:
    """The policy that a staged one would be; None for a deletion, and for anything that is not staged.

    Built without validation: what it is made from was valid.
    """
    if deletes(resource):
        return None
    match resource:
        case StagedNetworkPolicy():
            return TrialPolicy.model_construct(metadata=resource.metadata, spec=resource.spec)
        case StagedGlobalNetworkPolicy():
            return GlobalTrialPolicy.model_construct(metadata=resource.metadata, spec=resource.spec)
        case StagedKubernetesNetworkPolicy():
            written = NetworkingPolicy.model_construct(metadata=resource.metadata, spec=resource.spec)
            return KubernetesTrialPolicy.model_construct(metadata=resource.metadata, spec=converted(written).spec)
        case _:
            return None


def pending(resources: Iterable[Resource]) -> Iterator[Resource]:
    """The documents as they would be if staged policies were enforced."""
    everything = tuple(resources)
    leaving = {
        PolicyID(item.metadata.name, item.metadata.namespace, TWINS[item.KIND]) for item in everything if deletes(item)
    }
    for item in everything:
        if isinstance(item, StagedResource):
            policy = on_trial(item)
            if policy is not None:
                yield policy
        elif not (isinstance(item, NetworkPolicy | GlobalNetworkPolicy) and policy_id(item) in leaving):
            yield item
