"""Services and the endpoints behind them, as far as policy reads them; the rest is accepted and dropped.

A rule's `services` are the endpoints of EndpointSlices, never the Service's own address: policy sees packets after
DNAT. The Service is read for its addresses and ports, through which a probe of `eval` may name it.
"""

from collections.abc import Iterator
from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated, ClassVar

from pydantic import ConfigDict, PlainValidator

from policy.resources import names
from policy.resources.conditions import Complaint, Conditions, present
from policy.resources.fields import Flag, Integer, Items, Text, at_most, between, choice, shown, unlike
from policy.resources.kube import OpenModel
from policy.resources.metadata import Resource
from policy.resources.transport import MAX_PORT, TCP, PortNumber, TransportProtocol
from policy.rules import IPAddress

SERVICE_NAME = "kubernetes.io/service-name"
"""The label of an EndpointSlice that says to which Service of its namespace it belongs."""
MAX_ENDPOINTS = 1000
"""Of one slice (Kubernetes: discovery validation)."""
MAX_ADDRESSES = 100
"""Of one endpoint."""

_NO_ADDRESS = frozenset(("", "None"))
"""What a Service says that has no address of its own: ExternalName, headless."""


# --- Services ---


def _cluster_address(value: object) -> IPAddress | None:
    if not isinstance(value, str):
        raise unlike("an address such as '10.96.0.1', or 'None'", value)
    if value in _NO_ADDRESS:
        return None
    return _address(value)


def _address(value: str) -> IPAddress:
    if "%" not in value:
        try:
            return ip_address(value)
        except ValueError:
            pass
    raise ValueError(f"cannot be {shown(value)}: must be an address such as '10.0.0.1' or 'fd00::1'")


ClusterAddress = Annotated[IPAddress | None, PlainValidator(_cluster_address)]


class ServicePort(OpenModel):
    """A port of a Service, and where it leads."""

    name: Text = ""
    protocol: TransportProtocol = TCP
    """IANA number."""
    port: PortNumber
    node_port: Annotated[Integer, between(0, MAX_PORT)] = 0
    """0 is none."""


class ServiceSpec(OpenModel):
    """Addresses and ports."""

    type: Text = "ClusterIP"
    cluster_ip: ClusterAddress = None
    cluster_ips: Items[ClusterAddress] = ()
    external_ips: Items[ClusterAddress] = ()
    ports: Items[ServicePort] = ()


class Service(Resource):
    """A service. Rules are about its endpoints (`EndpointSlice`), not about its address."""

    model_config = ConfigDict(extra="ignore")
    KIND: ClassVar = "Service"
    IS_NAMESPACED: ClassVar = True

    spec: ServiceSpec = ServiceSpec()

    @property
    def cluster_addresses(self) -> tuple[IPAddress, ...]:
        """Its own addresses, each once; none for a headless one."""
        given = (*self.spec.cluster_ips, self.spec.cluster_ip)
        return tuple(dict.fromkeys(address for address in given if address is not None))


# --- Endpoints ---


class AddressType(StrEnum):
    """What all addresses of a slice are."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"
    FQDN = "FQDN"
    """Names: of no use to policy."""


def _endpoint_address(value: object) -> IPAddress | str:
    if not isinstance(value, str):
        raise unlike("an address or a name", value)
    try:
        return _address(value)
    except ValueError:
        if names.wrong_subdomain(value):
            raise
        return value


EndpointAddress = Annotated[IPAddress | str, PlainValidator(_endpoint_address)]
"""An address; in slices of the type FQDN a name."""


class EndpointConditions(OpenModel):
    """How an endpoint is; what is left out is unknown."""

    ready: Flag | None = None
    serving: Flag | None = None
    terminating: Flag | None = None


class SliceEndpoint(OpenModel):
    """A backend of a Service."""

    addresses: Annotated[Items[EndpointAddress], at_most(MAX_ADDRESSES)]
    """All of one machine."""
    conditions: EndpointConditions = EndpointConditions()
    node_name: Text = ""

    @property
    def is_ready(self) -> bool:
        """Whether it takes connections; unknown counts as ready (Kubernetes: EndpointConditions.ready)."""
        return self.conditions.ready is not False


class SlicePort(OpenModel):
    """A port that every endpoint of the slice serves."""

    name: Text = ""
    protocol: TransportProtocol = TCP
    """IANA number."""
    port: PortNumber | None = None
    """None: every port (Kubernetes: EndpointPort.port)."""


class EndpointSlice(Resource):
    """Some of the endpoints of a Service (discovery.k8s.io/v1)."""

    model_config = ConfigDict(extra="ignore")
    KIND: ClassVar = "EndpointSlice"
    IS_NAMESPACED: ClassVar = True

    address_type: Annotated[AddressType, choice(*AddressType)]
    endpoints: Annotated[Items[SliceEndpoint], at_most(MAX_ENDPOINTS)] = ()
    ports: Items[SlicePort] = ()

    @property
    def service(self) -> str:
        """The Service of its namespace to which it belongs; "" for none."""
        return self.metadata.labels.get(SERVICE_NAME, "")


# --- How fields go together (Kubernetes: pkg/apis/discovery/validation) ---


def _addresses_are_of_the_type(part: EndpointSlice) -> Iterator[Complaint]:
    for index, endpoint in present(part.endpoints):
        for place, address in present(endpoint.addresses):
            found = "FQDN" if isinstance(address, str) else f"IPv{address.version}"
            if found != part.address_type:
                wrong = f"cannot be {address}: the slice's addressType is {part.address_type}"
                yield Complaint(wrong, ("endpoints", index, "addresses", place))


def _somebody_is_there(endpoint: SliceEndpoint) -> Iterator[Complaint]:
    if not endpoint.addresses:
        yield Complaint("cannot be empty: an endpoint has at least one address", ("addresses",))


CONDITIONS: Conditions = {
    EndpointSlice: (_addresses_are_of_the_type,),
    SliceEndpoint: (_somebody_is_there,),
}
"""For EndpointSlices."""
