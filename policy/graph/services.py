"""The endpoints of Services that rules name, from EndpointSlices: a Service may have many, a slice may change hands.

Cost of a change: what differs in the slice, for each of the at most two sets about its Service.
"""

from typing import Protocol

from policy.graph.definitions import ServiceDefinition
from policy.graph.items import NOTHING, Contribution, exchanged, of_slice
from policy.resources.kube_service import EndpointSlice
from policy.resources.metadata import ResourceKey

ServiceName = tuple[str, str]
"""Namespace and name."""


class ServiceSet(Protocol):
    """A set of the endpoints of one Service."""

    def add(self, contribution: Contribution) -> None:
        """These endpoints came."""

    def discard(self, contribution: Contribution) -> None:
        """These endpoints went."""


class ServiceSlices:
    """All slices by their Service, and the sets that want to know of them."""

    def __init__(self) -> None:
        self._slices: dict[ServiceName, dict[ResourceKey, Contribution]] = {}
        self._service_of: dict[ResourceKey, ServiceName] = {}
        self._sets: dict[ServiceName, dict[ServiceDefinition, ServiceSet]] = {}

    def on_slice(self, key: ResourceKey, endpoints: EndpointSlice | None) -> None:
        """A slice came, changed, belongs to another Service, or went (None)."""
        before = self._service_of.pop(key, None)
        after = None if endpoints is None or not endpoints.service else (key.namespace, endpoints.service)
        brings = NOTHING if endpoints is None or after is None else of_slice(endpoints)
        if before is not None and before != after:
            self._put(before, key, NOTHING)
        if after is not None:
            self._service_of[key] = after
            self._put(after, key, brings)

    def add(self, definition: ServiceDefinition, members: ServiceSet) -> None:
        """A rule names the Service; its set is told all endpoints."""
        service = (definition.namespace, definition.name)
        self._sets.setdefault(service, {})[definition] = members
        for contribution in self._slices.get(service, {}).values():
            members.add(contribution)

    def discard(self, definition: ServiceDefinition) -> None:
        """No rule names the Service in this way any more."""
        service = (definition.namespace, definition.name)
        del self._sets[service][definition]
        if not self._sets[service]:
            del self._sets[service]

    def _put(self, service: ServiceName, key: ResourceKey, after: Contribution) -> None:
        slices = self._slices.setdefault(service, {})
        before = slices.pop(key, NOTHING)
        if after != NOTHING:
            slices[key] = after
        if not slices:
            del self._slices[service]
        if before != after:
            lost, gained = exchanged(before, after)
            for members in self._sets.get(service, {}).values():
                members.discard(lost)
                members.add(gained)
