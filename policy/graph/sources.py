"""What documents describe in more than one way: profiles (written or generated) and endpoints (written or pods).

Both answer the change of a document with what the names that it touches stand for now; None is nothing.
"""

from collections.abc import Hashable
from typing import TypeVar

from policy import endpoints, labels, profiles
from policy.resources.conversion import endpoint_of_pod
from policy.resources.kube import Namespace, Pod, ServiceAccount
from policy.resources.profile import Profile
from policy.resources.workload import WorkloadEndpoint
from policy.rules import EndpointID

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")

ProfileMeaning = tuple[str, Profile | None]
EndpointMeaning = tuple[EndpointID, WorkloadEndpoint | None]


class ProfileSource:
    """A profile that somebody wrote stands before the one that a namespace or account generates."""

    def __init__(self) -> None:
        built_in = profiles.default_allow()
        self._written: dict[str, Profile] = {}
        self._generated: dict[str, Profile] = {built_in.metadata.name: built_in}

    def built_in(self) -> list[ProfileMeaning]:
        """The profiles that exist without any document."""
        return list(self._generated.items())

    def on_profile(self, name: str, profile: Profile | None) -> ProfileMeaning:
        """A written profile came, changed or went (None)."""
        _set(self._written, name, profile)
        return self._meaning(name)

    def on_namespace(self, name: str, namespace: Namespace | None) -> ProfileMeaning:
        """A namespace came, changed or went (None)."""
        generated = None if namespace is None else profiles.of_namespace(namespace)
        return self._on_generated(labels.namespace_profile(name), generated)

    def on_service_account(self, namespace: str, name: str, account: ServiceAccount | None) -> ProfileMeaning:
        """A service account came, changed or went (None)."""
        generated = None if account is None else profiles.of_service_account(account)
        return self._on_generated(labels.service_account_profile(namespace, name), generated)

    def _on_generated(self, name: str, profile: Profile | None) -> ProfileMeaning:
        _set(self._generated, name, profile)
        return self._meaning(name)

    def _meaning(self, name: str) -> ProfileMeaning:
        return name, self._written.get(name) or self._generated.get(name)


class EndpointSource:
    """A written endpoint stands for the pods that it names (`policy.endpoints`)."""

    def __init__(self) -> None:
        self._written: dict[EndpointID, WorkloadEndpoint] = {}
        self._pods: dict[EndpointID, Pod] = {}
        self._replaced_by: dict[EndpointID, set[EndpointID]] = {}

    def on_endpoint(self, identity: EndpointID, endpoint: WorkloadEndpoint | None) -> list[EndpointMeaning]:
        """A written endpoint came, changed or went (None)."""
        before = self._written.get(identity)
        touched = {identity}
        if before is not None:
            touched |= self._unreplace(before)
        _set(self._written, identity, endpoint)
        if endpoint is not None:
            touched |= self._replace(endpoint)
        return [(name, self._meaning(name)) for name in sorted(touched)]

    def on_pod(self, identity: EndpointID, pod: Pod | None) -> list[EndpointMeaning]:
        """A pod came, changed or went (None)."""
        _set(self._pods, identity, pod)
        return [(identity, self._meaning(identity))]

    def _replace(self, endpoint: WorkloadEndpoint) -> frozenset[EndpointID]:
        pods = endpoints.stands_for(endpoint)
        for pod in pods:
            self._replaced_by.setdefault(pod, set()).add(endpoints.endpoint_id(endpoint))
        return pods

    def _unreplace(self, endpoint: WorkloadEndpoint) -> frozenset[EndpointID]:
        pods = endpoints.stands_for(endpoint)
        for pod in pods:
            self._replaced_by[pod].discard(endpoints.endpoint_id(endpoint))
            if not self._replaced_by[pod]:
                del self._replaced_by[pod]
        return pods

    def _meaning(self, identity: EndpointID) -> WorkloadEndpoint | None:
        if identity in self._written:
            return self._written[identity]
        pod = None if identity in self._replaced_by else self._pods.get(identity)
        return None if pod is None else endpoint_of_pod(pod)


def _set(mapping: dict[KeyT, ValueT], key: KeyT, value: ValueT | None) -> None:
    """None takes the key out."""
    if value is None:
        mapping.pop(key, None)
    else:
        mapping[key] = value
