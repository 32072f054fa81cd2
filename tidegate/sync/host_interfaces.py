"""Puts host endpoints on the interfaces that are theirs. Pure.

    graph events -> HostInterfaces -> the same events, host endpoints with their interfaces
    addresses changed -> HostInterfaces -> HostEndpointUpdated for those that have other interfaces now,
                                           OwnAddressesUpdated on a node that has host endpoints

One host endpoint's coming can take an interface from another, so all of them are looked at together; a node has few.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from policy.hosts import own_addresses, protected
from policy.rules import (
    GraphEvent,
    HostEndpointID,
    HostEndpointPolicy,
    HostEndpointRemoved,
    HostEndpointUpdated,
    IPAddress,
    OwnAddressesUpdated,
)
from tidegate.sync.links import Links


class HostInterfaces:
    """Holds state: the host endpoints, what was told of them, and what the kernel's interfaces are."""

    def __init__(self) -> None:
        self.links = Links()
        self._said: dict[HostEndpointID, HostEndpointPolicy] = {}
        self._told: dict[HostEndpointID, HostEndpointPolicy] = {}
        self._own: frozenset[IPAddress] = frozenset()

    def on_events(self, events: Iterable[GraphEvent]) -> Iterator[GraphEvent]:
        """The same events; those of host endpoints come last, with interfaces."""
        for event in events:
            match event:
                case HostEndpointUpdated(endpoint):
                    self._said[endpoint.endpoint.id] = endpoint
                case HostEndpointRemoved(identity):
                    del self._said[identity]
                    del self._told[identity]
                    yield event
                case _:
                    yield event
        yield from self._changed()

    def on_links(self, links: Links) -> Iterator[GraphEvent]:
        """The host endpoints that have other interfaces now."""
        self.links = links
        yield from self._changed()

    def _changed(self) -> Iterator[GraphEvent]:
        own = own_addresses(self.links.addresses) if self._said else frozenset()
        if own != self._own:
            self._own = own
            yield OwnAddressesUpdated(own)
        found = protected((said.endpoint for said in self._said.values()), self.links.addresses)
        for identity, said in self._said.items():
            placed = replace(said, endpoint=replace(said.endpoint, interfaces=found[identity]))
            if self._told.get(identity) != placed:
                self._told[identity] = placed
                yield HostEndpointUpdated(placed)
