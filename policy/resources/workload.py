"""Workload and host endpoints (Calico: WorkloadEndpoint, HostEndpoint). See also `object_conditions`."""

from typing import Annotated, ClassVar

from policy.resources.addresses import Address, HostNetwork, Prefix
from policy.resources.fields import (
    HostInterfaceName,
    Integer,
    InterfaceName,
    Items,
    MACAddress,
    ObjectName,
    Text,
    at_most,
    between,
)
from policy.resources.metadata import Resource
from policy.resources.model import Model
from policy.resources.qos import QoSControls
from policy.resources.transport import MAX_PORT, PortNumber, TransportProtocol


class EndpointPort(Model):
    """A port of a workload that rules may call by name."""

    name: Text = ""
    protocol: TransportProtocol
    """IANA number."""
    port: PortNumber
    host_port: Annotated[Integer, between(0, MAX_PORT)] = 0
    host_ip: Text = ""


class AddressTranslation(Model):
    """A floating address."""

    internal_ip: Address
    external_ip: Address


class WorkloadEndpointSpec(Model):
    """One interface of one workload."""

    orchestrator: Text = ""
    workload: Text = ""
    node: Text = ""
    pod: Text = ""
    container_id: Text = ""
    endpoint: Text = ""
    service_account_name: Text = ""
    ip_networks: Items[HostNetwork] = ()
    """/32 and /128 only."""
    ip_nats: Items[AddressTranslation] = ()
    ipv4_gateway: Address | None = None
    ipv6_gateway: Address | None = None
    profiles: Items[ObjectName] = ()
    interface_name: InterfaceName
    """"" only in endpoints made from a Pod, whose interface is found by route."""
    mac: MACAddress | None = None
    ports: Items[EndpointPort] = ()
    allow_spoofed_source_prefixes: Items[Prefix] = ()
    qos_controls: QoSControls = QoSControls()
    """Limits on the endpoint's traffic, beside those that annotations ask for: see `asked_limits`."""


class WorkloadEndpoint(Resource):
    """A workload's interface on a node."""

    KIND: ClassVar = "WorkloadEndpoint"
    IS_NAMESPACED: ClassVar = True

    spec: WorkloadEndpointSpec


class HostEndpointPort(Model):
    """A port of a host that rules may call by name."""

    name: Annotated[Text, at_most(128)]
    protocol: TransportProtocol
    """IANA number."""
    port: PortNumber


class HostEndpointSpec(Model):
    """One interface of a node, or all of them (`*`)."""

    node: Annotated[Text, at_most(253)]
    interface_name: HostInterfaceName = ""
    expected_ips: Items[Address] = ()
    profiles: Items[ObjectName] = ()
    ports: Items[HostEndpointPort] = ()


class HostEndpoint(Resource):
    """An interface of a node that policy protects."""

    KIND: ClassVar = "HostEndpoint"
    IS_NAMESPACED: ClassVar = False

    spec: HostEndpointSpec
