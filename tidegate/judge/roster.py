"""Who is who: the parties of a probe become the addresses and endpoints of a packet."""

from collections.abc import Iterable
from ipaddress import ip_address

from policy.endpoints import endpoint_id, workload_endpoints
from policy.evaluate import LearnedName, Packet, Party
from policy.resources.metadata import Resource
from policy.resources.workload import WorkloadEndpoint
from policy.rules import EndpointID, IPAddress
from tidegate.judge.errors import ProbeError
from tidegate.judge.probe import PartyReference, Probe

_UNTOLD_HOST = {4: ip_address("192.0.0.8"), 6: ip_address("100::8")}
"""A host's address where the probe gives none: a dummy and a discard-only address (RFC 7600, RFC 6666)."""


class Roster:
    """The workload endpoints of the resources, by id and by address."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._endpoints = {endpoint_id(endpoint): endpoint for endpoint in workload_endpoints(resources)}
        self._by_address: dict[IPAddress, EndpointID] = {}
        for identity in sorted(self._endpoints, reverse=True):
            self._by_address.update(dict.fromkeys(_addresses(self._endpoints[identity]), identity))

    def packet(self, probe: Probe) -> Packet:
        """The packet that the probe means.

        Raises:
            ProbeError: a party does not exist, or has no address of the family.
        """
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
        if name.endpoint not in self._endpoints:
            raise ProbeError("endpoint", f"cannot find {name.endpoint} among the pods and workload endpoints")
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
                raise ProbeError(party.path, f"cannot send or receive: {party.endpoint} has no {families} address")
        raise ProbeError("", "cannot connect: the two have no address family in common")

    def _has(self, party: PartyReference, version: int) -> bool:
        if party.endpoint is None:
            return party.address is None or party.address.version == version
        if party.endpoint not in self._endpoints:
            raise ProbeError(party.path, f"cannot find {party.endpoint} among the pods and workload endpoints")
        return any(address.version == version for address in _addresses(self._endpoints[party.endpoint]))

    def _party(self, party: PartyReference, version: int) -> Party:
        if party.host is not None:
            return Party(address=party.address or _UNTOLD_HOST[version], host=party.host)
        if party.endpoint is None:
            assert party.address is not None  # the parser lets nothing else through
            return Party(address=party.address, endpoint=self._by_address.get(party.address))
        own = _addresses(self._endpoints[party.endpoint])
        return Party(address=next(item for item in own if item.version == version), endpoint=party.endpoint)


def _addresses(endpoint: WorkloadEndpoint) -> list[IPAddress]:
    return [net.network_address for net in endpoint.spec.ip_networks]
