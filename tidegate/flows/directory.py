"""Who is at an address: a workload, a host endpoint, the narrowest network set, or a stranger. Pure."""

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address

from policy.auto_hosts import host_endpoints
from policy.endpoints import endpoint_id, workload_endpoints
from policy.evaluate import Links
from policy.resources.kube_service import Service
from policy.resources.metadata import Resource
from policy.resources.sets import GlobalNetworkSet, NetworkSet
from policy.resources.workload import WorkloadEndpoint
from policy.rules import EndpointID, IPAddress, IPNetwork
from tidegate.flows.record import FlowParty, PartyKind

_GENERATED = re.compile(r"(.+?)(-[0-9a-f]{6,10})?-[0-9a-z]{5}")
"""The name of a pod that a Deployment, DaemonSet or Job made (Kubernetes: GenerateName): a hash of the template, then
five characters."""
_ORDINAL = re.compile(r"(.+)-[0-9]+")
"""Of a StatefulSet's."""


class Directory:
    """Looked up in a moment, built from all documents of a moment."""

    def __init__(self, resources: Iterable[Resource], links: Links | None = None) -> None:
        known = tuple(resources)
        self._at: dict[bytes, FlowParty] = {}
        self._endpoints: dict[bytes, EndpointID] = {}
        for host in host_endpoints(known, links or {}):
            party = FlowParty(PartyKind.HOST, "", host.metadata.name, host.spec.node or host.metadata.name)
            for address in host.spec.expected_ips:
                self._at[address.packed] = party
        for endpoint in reversed(workload_endpoints(known)):
            self._add_workload(endpoint)
        self._nets = _by_length(item for item in known if isinstance(item, NetworkSet | GlobalNetworkSet))
        self._services = _services(item for item in known if isinstance(item, Service))

    def party(self, packed: bytes) -> FlowParty:
        """Who has the address."""
        address = ip_address(packed)
        found = self._at.get(packed) or self._set_with(address)
        if found is None:
            found = FlowParty(PartyKind.NETWORK, "", "", "pvt" if address.is_private else "pub")
        return FlowParty(found.kind, found.namespace, found.name, found.name_aggr, str(address))

    def endpoint(self, packed: bytes) -> EndpointID | None:
        """The workload with the address."""
        return self._endpoints.get(packed)

    def service(self, packed: bytes, protocol: int, port: int | None) -> str:
        """The Service whose own address that is; "" for none."""
        return self._services.get((packed, protocol, port), "")

    def _add_workload(self, endpoint: WorkloadEndpoint) -> None:
        metadata, identity = endpoint.metadata, endpoint_id(endpoint)
        name = endpoint.spec.pod or metadata.name
        party = FlowParty(PartyKind.WORKLOAD, metadata.namespace, name, name_prefix(name))
        for net in endpoint.spec.ip_networks:
            self._at[net.network_address.packed] = party
            self._endpoints[net.network_address.packed] = identity

    def _set_with(self, address: IPv4Address | IPv6Address) -> FlowParty | None:
        value = int(address)
        for length, sets in self._nets[address.version]:
            found = sets.get(value >> address.max_prefixlen - length)
            if found is not None:
                return found
        return None


def name_prefix(name: str) -> str:
    """What the pods of one owner have in common, with `-*`; the name itself where nothing looks made."""
    for pattern in (_GENERATED, _ORDINAL):
        if found := pattern.fullmatch(name):
            return f"{found[1]}-*"
    return name


_Lengths = list[tuple[int, dict[int, FlowParty]]]


def _by_length(sets: Iterable[NetworkSet | GlobalNetworkSet]) -> Mapping[int, _Lengths]:
    """By family, the longest prefixes first; of equal ones the first by name counts."""
    found: dict[int, dict[int, dict[int, FlowParty]]] = {4: {}, 6: {}}
    for item in sorted(sets, key=lambda item: (item.metadata.namespace, item.metadata.name)):
        party = FlowParty(PartyKind.NETWORK_SET, item.metadata.namespace, item.metadata.name, item.metadata.name)
        for net in item.spec.nets:
            _of_length(found[net.version], net).setdefault(_prefix(net), party)
    return {version: sorted(lengths.items(), reverse=True) for version, lengths in found.items()}


def _of_length(lengths: dict[int, dict[int, FlowParty]], net: IPNetwork) -> dict[int, FlowParty]:
    return lengths.setdefault(net.prefixlen, {})


def _prefix(net: IPNetwork) -> int:
    return int(net.network_address) >> net.max_prefixlen - net.prefixlen


def _services(services: Iterable[Service]) -> dict[tuple[bytes, int, int | None], str]:
    found: dict[tuple[bytes, int, int | None], str] = {}
    for item in services:
        name = f"{item.metadata.namespace}/{item.metadata.name}"
        for address in _addresses(item):
            for port in item.spec.ports:
                found[address.packed, port.protocol, port.port] = f"{name}:{port.name or port.port}"
    return found


def _addresses(service: Service) -> Iterable[IPAddress]:
    return (*service.cluster_addresses, *(address for address in service.spec.external_ips if address is not None))
