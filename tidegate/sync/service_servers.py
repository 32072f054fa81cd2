"""Trusted DNS servers that are Kubernetes Services: their own addresses, and those of their endpoints.

Workloads ask the Service's address, or an endpoint by itself where the Service is headless or a cache knows it; answers
are seen as the client sees them, so both are trusted.
"""

from collections.abc import Iterable, Iterator, Mapping

from dnsagent.snapshot import TrustedServer
from policy.resources.kube_service import EndpointSlice, Service
from policy.resources.metadata import Resource, ResourceKey
from tidegate.config.servers import ServiceReference, TrustedServerName

Resources = Mapping[ResourceKey, Resource]
Known = Mapping[str, tuple[TrustedServer, ...]]
"""Servers by the Service that the configuration names."""

KINDS = frozenset((Service.KIND, EndpointSlice.KIND))
"""Documents that tell."""


def servers_of(names: Iterable[TrustedServerName], resources: Resources) -> dict[str, tuple[TrustedServer, ...]]:
    """The servers of every Service among the names; those of which documents say nothing are left out."""
    references = [name for name in names if isinstance(name, ServiceReference)]
    if not references:
        return {}
    slices = [item for key, item in resources.items() if key.kind == EndpointSlice.KIND]
    found = {str(name): tuple(dict.fromkeys(_servers(name, resources, slices))) for name in references}
    return {name: servers for name, servers in found.items() if servers}


def _servers(name: ServiceReference, resources: Resources, slices: Iterable[Resource]) -> Iterator[TrustedServer]:
    service = resources.get(ResourceKey(Service.KIND, name.namespace, name.name))
    if not isinstance(service, Service):
        return
    for address in service.cluster_addresses:
        yield TrustedServer(address=address, port=name.port)
    named = {port.name for port in service.spec.ports if port.port == name.port}
    for item in slices:
        if isinstance(item, EndpointSlice) and _belongs(item, service):
            yield from _endpoints(item, named)


def _belongs(item: EndpointSlice, service: Service) -> bool:
    return (item.metadata.namespace, item.service) == (service.metadata.namespace, service.metadata.name)


def _endpoints(item: EndpointSlice, named: set[str]) -> Iterator[TrustedServer]:
    ports = sorted({port.port for port in item.ports if port.port is not None and port.name in named})
    for endpoint in item.endpoints:
        for address in endpoint.addresses:
            for port in ports:
                if not isinstance(address, str):
                    yield TrustedServer(address=address, port=port)
