"""Workload endpoints (Calico: WorkloadEndpoint)."""

from typing import ClassVar

from policy.resources.metadata import Resource
from policy.resources.model import Model
from policy.rules import IPAddress, IPNetwork


class EndpointPort(Model):
    """A port of a workload that rules may call by name."""

    name: str = ""
    protocol: int
    """IANA number."""
    port: int
    host_port: int = 0
    host_ip: str = ""


class AddressTranslation(Model):
    """A floating address."""

    internal_ip: IPAddress
    external_ip: IPAddress


class WorkloadEndpointSpec(Model):
    """One interface of one workload."""

    orchestrator: str = ""
    workload: str = ""
    node: str = ""
    pod: str = ""
    container_id: str = ""
    endpoint: str = ""
    service_account_name: str = ""
    ip_networks: tuple[IPNetwork, ...] = ()
    """/32 and /128 only."""
    ip_nats: tuple[AddressTranslation, ...] = ()
    profiles: tuple[str, ...] = ()
    interface_name: str
    """"" only in endpoints made from a Pod, whose interface is found by route."""
    mac: str = ""
    ports: tuple[EndpointPort, ...] = ()
    allow_spoofed_source_prefixes: tuple[IPNetwork, ...] = ()


class WorkloadEndpoint(Resource):
    """A workload's interface on a node."""

    KIND: ClassVar = "WorkloadEndpoint"
    IS_NAMESPACED: ClassVar = True

    spec: WorkloadEndpointSpec
