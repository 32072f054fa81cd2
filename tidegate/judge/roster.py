"""Who is who: the parties of a probe become the addresses and endpoints of a packet."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

from policy.auto_hosts import host_endpoints
from policy.endpoints import endpoint_id, workload_endpoints
from policy.evaluate import LearnedName, Links, Packet, Party
from policy.resources.kube_node import Node
from policy.resources.metadata import Resource
from policy.resources.workload import HostEndpoint, WorkloadEndpoint
from policy.rules import EVERY_INTERFACE, EndpointID, IPAddress, host_learner
from tidegate.judge.errors import ProbeError
from tidegate.judge.links import paper_links, uplink
from tidegate.judge.probe import PartyReference, Probe
from tidegate.judge.services import Services

_UNTOLD_HOST = {4: ip_address("192.0.0.8"), 6: ip_address("100::8")}
"""A host's address where the probe gives none: a dummy and a discard-only address (RFC 7600, RFC 6666)."""


class Roster:
    """The endpoints of the resources, by id and by address."""

    def __init__(self, resources: Iterable[Resource], links: Links | None = None) -> None:
        """`links`: the interfaces of nodes, where more is known of them than host endpoints say."""
        known = tuple(resources)
        self._endpoints = {endpoint_id(endpoint): endpoint for endpoint in workload_endpoints(known)}
        self._hosts = {item.metadata.name: item for item in host_endpoints(known, links or {})}
        self.links: Links = {**paper_links(self._hosts.values()), **(links or {})}
        """Addresses by node and interface."""
        self._services = Services(known)
        self._own = _own_addresses(known, self._hosts.values())
        self._by_address: dict[IPAddress, EndpointID] = {}
        for identity in sorted(self._endpoints, reverse=True):
            self._by_address.update(dict.fromkeys(_addresses(self._endpoints[identity]), identity))

    def packet(self, probe: Probe) -> Packet:
        """The packet that the probe means.

        Raises:
            ProbeError: a party does not exist, or has no address of the family; nobody is behind the Service.
        """
        return self._direct(probe) if probe.service is None else self._through(probe.service, probe)

    def _through(self, service: tuple[str, str], probe: Probe) -> Packet:
        """The packet after the Service's destination NAT: to the endpoint that is asked for, or to the first."""
        refusals, to = [], probe.destination
        for address, port in self._services.backends(service, probe.protocol, probe.port):
            behind = PartyReference(path="service", address=address, interface=to.interface)
            try:
                packet = self._direct(replace(probe, service=None, destination=behind, port=port))
                if to.path == "service" or packet.destination == self._direct(replace(probe, service=None)).destination:
                    return packet
            except ProbeError as refusal:
                refusals.append(refusal)
        raise (
            refusals[0] if refusals else ProbeError("to", f"cannot answer for the service: {to.name} is not behind it")
        )

    def _direct(self, probe: Probe) -> Packet:
        version = self._version(probe)
        return Packet(
            source=self._party(probe.source, version),
            destination=self._party(probe.destination, version),
            protocol=probe.protocol,
            source_port=probe.source_port,
            destination_port=probe.port,
            icmp_type=probe.icmp_type,
            icmp_code=probe.icmp_code,
        )

    def checked(self, name: LearnedName) -> LearnedName:
        """The name, if there is somebody who could have learned it.

        Raises:
            ProbeError: there is no such endpoint.
        """
        hosts = {host_learner(host.spec.node) for host in self._hosts.values()}
        if name.endpoint not in self._endpoints and name.endpoint not in hosts:
            raise ProbeError("endpoint", f"cannot find {name.endpoint} among the pods, workload and host endpoints")
        return name

    def _version(self, probe: Probe) -> int:
        """The family: as given, or that of an address, or the first one that both parties have."""
        parties = (probe.source, probe.destination)
        given = {probe.family} | {party.address.version for party in parties if party.address is not None}
        versions = given - {None}
        if len(versions) > 1:
            raise ProbeError("", "cannot mix address families: give addresses of one, or another family")
        candidates = [version for version in (4, 6) if version in (versions or {4, 6})]
        for version in candidates:
            if all(self._has(party, version) for party in parties):
                return version
        for party in parties:
            if not any(self._has(party, version) for version in candidates):
                families = " or ".join(f"IPv{version}" for version in candidates)
                raise ProbeError(party.path, f"cannot send or receive: {party.name} has no {families} address")
        raise ProbeError("", "cannot connect: the two have no address family in common")

    def _has(self, party: PartyReference, version: int) -> bool:
        if party.host_endpoint is not None:
            return self._may_have(party, version)
        if party.endpoint is None:
            return party.address is None or party.address.version == version
        if party.endpoint not in self._endpoints:
            raise ProbeError(party.path, f"cannot find {party.endpoint} among the pods and workload endpoints")
        return any(address.version == version for address in _addresses(self._endpoints[party.endpoint]))

    def _may_have(self, party: PartyReference, version: int) -> bool:
        """A host endpoint that expects no address may have any."""
        endpoint = self._hosts.get(party.host_endpoint or "")
        if endpoint is None:
            raise ProbeError(f"{party.path}.endpoint", f"cannot find the host endpoint {party.host_endpoint}")
        expected = endpoint.spec.expected_ips
        return not expected or any(address.version == version for address in expected)

    def _party(self, party: PartyReference, version: int) -> Party:
        if party.host is not None:
            return self._host(party.host, party.address, party.interface, version)
        if party.host_endpoint is not None:
            return self._protected(self._hosts[party.host_endpoint], party.interface, version)
        if party.endpoint is None:
            assert party.address is not None  # the parser lets nothing else through
            return self._at(party.address, party.interface)
        address = next(item for item in _addresses(self._endpoints[party.endpoint]) if item.version == version)
        return self._workload(party.endpoint, address, party.interface)

    def _at(self, address: IPAddress, interface: str) -> Party:
        """Whoever has the address: a workload, a host that is expected to have it, or nobody."""
        if identity := self._by_address.get(address):
            return self._workload(identity, address, interface)
        nodes = (node for node, own in self._own.items() if address in own)
        if (node := next(nodes, None)) is not None:
            return self._host(node, address, interface, address.version)
        return Party(address=address, interface=interface)

    def _workload(self, identity: EndpointID, address: IPAddress, interface: str) -> Party:
        node = self._endpoints[identity].spec.node
        return Party(address=address, endpoint=identity, interface=interface or uplink(self.links.get(node, {}), None))

    def _host(self, node: str, address: IPAddress | None, interface: str, version: int) -> Party:
        """An address that is not told is one of the interface's, or the first that any interface or the node has."""
        interfaces = self.links.get(node, {})
        preferred = [interfaces[interface]] if interface in interfaces else list(interfaces.values())
        known = (*(item for having in preferred for item in sorted(having, key=int)), *self._own.get(node, ()))
        chosen = address or next((item for item in known if item.version == version), _UNTOLD_HOST[version])
        return Party(address=chosen, host=node, interface=interface or uplink(interfaces, chosen))

    def _protected(self, endpoint: HostEndpoint, interface: str, version: int) -> Party:
        spec = endpoint.spec
        address = next((item for item in spec.expected_ips if item.version == version), None)
        named = "" if spec.interface_name == EVERY_INTERFACE else spec.interface_name
        return self._host(spec.node, address, interface or named, version)


def _own_addresses(resources: Iterable[Resource], hosts: Iterable[HostEndpoint]) -> dict[str, list[IPAddress]]:
    """By node: what its host endpoints expect, then what its Node says."""
    found: dict[str, list[IPAddress]] = {}
    for endpoint in hosts:
        found.setdefault(endpoint.spec.node, []).extend(endpoint.spec.expected_ips)
    for node in resources:
        if isinstance(node, Node):
            found.setdefault(node.metadata.name, []).extend(node.addresses)
    return found


def _addresses(endpoint: WorkloadEndpoint) -> list[IPAddress]:
    return [net.network_address for net in endpoint.spec.ip_networks]
