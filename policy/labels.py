"""Which labels a thing is matched by: its own, then those of its profiles, the first profile first.

Namespaces and service accounts give their labels to everything in them through generated profiles (`policy.profiles`),
under the prefixes `pcns.` and `pcsa.`. A workload cannot give itself such labels, nor claim another namespace.
"""

from collections.abc import Iterable, Mapping

from policy.resources.sets import GlobalNetworkSet, NetworkSet
from policy.resources.workload import HostEndpoint, WorkloadEndpoint

NAMESPACE = "projectcalico.org/namespace"
SERVICE_ACCOUNT = "projectcalico.org/serviceaccount"
ORCHESTRATOR = "projectcalico.org/orchestrator"
NAME = "projectcalico.org/name"
NAMESPACE_PREFIX = "pcns."
SERVICE_ACCOUNT_PREFIX = "pcsa."
HOST_ENDPOINT = "host endpoint"
"""Marks host endpoints for policies that act on them alone. No label that people write has a space in it."""

_OF_WORKLOADS = frozenset((NAMESPACE, SERVICE_ACCOUNT))


def namespace_profile(namespace: str) -> str:
    """The profile through which a namespace's labels are inherited."""
    return f"kns.{namespace}"


def service_account_profile(namespace: str, name: str) -> str:
    """The profile through which a service account's labels are inherited."""
    return f"ksa.{namespace}.{name}"


def endpoint_labels(endpoint: WorkloadEndpoint) -> dict[str, str]:
    """What an endpoint is matched by, before inheritance."""
    reserved = (NAMESPACE_PREFIX, SERVICE_ACCOUNT_PREFIX)
    labels = {key: value for key, value in endpoint.metadata.labels.items() if not key.startswith(reserved)}
    labels[NAMESPACE] = endpoint.metadata.namespace
    if endpoint.spec.orchestrator:
        labels[ORCHESTRATOR] = endpoint.spec.orchestrator
    # A pod that runs under no account must not be taken for one that does, whatever its labels say.
    labels.pop(SERVICE_ACCOUNT, None)
    if endpoint.spec.service_account_name:
        labels[SERVICE_ACCOUNT] = endpoint.spec.service_account_name
    return labels


def host_endpoint_labels(endpoint: HostEndpoint) -> dict[str, str]:
    """What a host endpoint is matched by, before inheritance; it cannot pass for something in a namespace."""
    return {**_claimable(endpoint.metadata.labels), HOST_ENDPOINT: ""}


def _claimable(labels: Mapping[str, str]) -> dict[str, str]:
    reserved = (NAMESPACE_PREFIX, SERVICE_ACCOUNT_PREFIX)
    return {key: value for key, value in labels.items() if not key.startswith(reserved) and key not in _OF_WORKLOADS}


def network_set_labels(network_set: NetworkSet | GlobalNetworkSet) -> dict[str, str]:
    """What a network set is matched by, before inheritance; a cluster-wide one has no namespace label."""
    labels = dict(network_set.metadata.labels)
    labels.pop(NAMESPACE, None)
    if isinstance(network_set, NetworkSet):
        labels[NAMESPACE] = network_set.metadata.namespace
    return labels


def network_set_profiles(network_set: NetworkSet | GlobalNetworkSet) -> tuple[str, ...]:
    """The profiles a network set inherits from: its namespace's, so that namespace selectors work on it."""
    return (namespace_profile(network_set.metadata.namespace),) if isinstance(network_set, NetworkSet) else ()


def inherited(own: Mapping[str, str], profiles: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The labels in force: own ones win, then the first profile that has the label."""
    labels = dict(own)
    for profile in profiles:
        for key, value in profile.items():
            labels.setdefault(key, value)
    return labels
