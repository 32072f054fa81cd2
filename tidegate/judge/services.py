"""What stands behind a Service: a probe may name it, and policy sees the packet after destination NAT."""

from collections.abc import Iterable

from policy.resources.kube_service import EndpointSlice, Service
from policy.resources.metadata import Resource
from policy.rules import IPAddress
from tidegate.judge.errors import ProbeError

ServiceName = tuple[str, str]
"""Namespace and name."""
Backend = tuple[IPAddress, int]
"""Address and port of an endpoint."""


class Services:
    """The Services of the resources, and their endpoints."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        known = tuple(resources)
        self._services = {
            (item.metadata.namespace, item.metadata.name): item for item in known if isinstance(item, Service)
        }
        self._slices = [item for item in known if isinstance(item, EndpointSlice)]

    def backends(self, name: ServiceName, protocol: int, port: int | None) -> list[Backend]:
        """The endpoints that take connections to a port of the Service: IPv4 first, then by address.

        Raises:
            ProbeError: there is no such Service or port, or nobody behind it.
        """
        shown, service = "/".join(name), self._services.get(name)
        if service is None:
            raise ProbeError("service", f"cannot find the service {shown}")
        names = {item.name for item in service.spec.ports if (item.protocol, item.port) == (protocol, port)}
        if not names:
            raise ProbeError("port", f"cannot be {port}: the service {shown} has no such port of this protocol")
        found = {
            (address, target.port)
            for part in self._slices
            if (part.metadata.namespace, part.service) == name
            for target in part.ports
            if target.name in names and target.protocol == protocol and target.port is not None
            for endpoint in part.endpoints
            if endpoint.is_ready
            for address in endpoint.addresses
            if not isinstance(address, str)
        }
        if not found:
            raise ProbeError("service", f"cannot reach {shown}: no endpoint slice has a ready endpoint for the port")
        return sorted(found, key=lambda backend: (backend[0].version, int(backend[0]), backend[1]))
