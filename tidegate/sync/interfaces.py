"""Gives endpoints without an interface (Pods) the one that their addresses are routed to. Pure.

    graph events -> Interfaces -> the same events, endpoints with their interface
    routes changed -> Interfaces -> EndpointUpdated for those whose interface is another now

An endpoint that names its interface itself (WorkloadEndpoint) is believed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from policy.rules import EndpointID, EndpointPolicy, EndpointRemoved, EndpointUpdated, GraphEvent
from tidegate.sync.links import Links


class Interfaces:
    """Holds state: the endpoints that need a look-up, and what the kernel's routes are."""

    def __init__(self) -> None:
        self._links = Links()
        self._wanting: dict[EndpointID, EndpointPolicy] = {}
        self._found: dict[EndpointID, str] = {}

    @property
    def missing(self) -> tuple[EndpointID, ...]:
        """Endpoints that no route leads to, sorted. A finished pod has no addresses and is not missed."""
        wanting = self._wanting
        return tuple(sorted(one for one, name in self._found.items() if not name and wanting[one].endpoint.addresses))

    def on_events(self, events: Iterable[GraphEvent]) -> Iterator[GraphEvent]:
        """The same events with interfaces."""
        for event in events:
            match event:
                case EndpointUpdated(endpoint):
                    yield EndpointUpdated(self._on_endpoint(endpoint))
                case EndpointRemoved(endpoint_id):
                    self._forget(endpoint_id)
                    yield event
                case _:
                    yield event

    def on_links(self, links: Links) -> Iterator[GraphEvent]:
        """The endpoints whose interface is another now. Proportional to the endpoints that need a look-up."""
        self._links = links
        for endpoint_id, endpoint in self._wanting.items():
            interface = links.interface_of(endpoint.endpoint.addresses)
            if interface != self._found[endpoint_id]:
                self._found[endpoint_id] = interface
                yield EndpointUpdated(_on(endpoint, interface))

    def _on_endpoint(self, endpoint: EndpointPolicy) -> EndpointPolicy:
        endpoint_id = endpoint.endpoint.id
        if endpoint.endpoint.interface_name:
            self._forget(endpoint_id)
            return endpoint
        self._wanting[endpoint_id] = endpoint
        self._found[endpoint_id] = self._links.interface_of(endpoint.endpoint.addresses)
        return _on(endpoint, self._found[endpoint_id])

    def _forget(self, endpoint_id: EndpointID) -> None:
        self._wanting.pop(endpoint_id, None)
        self._found.pop(endpoint_id, None)


def _on(endpoint: EndpointPolicy, interface: str) -> EndpointPolicy:
    return replace(endpoint, endpoint=replace(endpoint.endpoint, interface_name=interface))
