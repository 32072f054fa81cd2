"""Who asked, who answered, and whose policy learned from it: what the documents of a moment say of addresses. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import final

from policy.endpoints import endpoint_id, workload_endpoints
from policy.evaluate import Links
from policy.resources.metadata import Resource
from policy.rules import DomainSetID, EndpointID, NodeState, PolicyID, host_learner
from tidegate.flows.directory import Directory
from tidegate.flows.record import PartyKind
from tidegate.render.places import governing_own
from tidegate.sync.snapshots import naming_policies

_UDP, _TCP = 17, 6


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody at an address."""

    ip: str
    namespace: str
    name: str
    name_aggr: str
    """What workloads of one owner have in common; `pvt` or `pub` for strangers."""
    labels: Mapping[str, str] = field(default_factory=dict)
    endpoint: EndpointID | None = None


@final
class Parties:
    """Looked up in a moment, built from all documents of a moment."""

    def __init__(self, resources: Iterable[Resource], links: Links, state: NodeState) -> None:
        known = tuple(resources)
        self._directory = Directory(known, links)
        self._labels = {endpoint_id(each): dict(each.metadata.labels) for each in workload_endpoints(known)}
        self._state = state
        self._naming = naming_policies(state)
        self._own = frozenset(each.packed for each in state.own_addresses)
        hosts = tuple(state.host_endpoints.values())
        self._host = host_learner(hosts[0].endpoint.node) if hosts else None
        self._of_host = tuple(dict.fromkeys(policy for host in hosts for policy in governing_own(host)))

    def client(self, address: bytes) -> Party:
        """Who asked; the node's own processes are one client, as they are to the learner."""
        found = self._party(address)
        is_own = address in self._own or ip_address(address).is_loopback
        return replace(found, endpoint=self._host) if is_own and found.endpoint is None else found

    def server(self, address: bytes, port: int) -> Party:
        """Who was asked; a Service's own address is that Service."""
        found = self._party(address)
        service = next(filter(None, (self._directory.service(address, each, port) for each in (_UDP, _TCP))), "")
        if not service:
            return found
        namespace, _, name = service.partition(":")[0].partition("/")
        return Party(found.ip, namespace, name, name)

    def policies(self, endpoint: EndpointID | None, rules: Iterable[str]) -> tuple[PolicyID, ...]:
        """The endpoint's policies whose rules name one of these domain sets, in their order of evaluation."""
        wanted = frozenset(map(DomainSetID, rules))
        if endpoint is None or not wanted:
            return ()
        return tuple(each for each in self._governing(endpoint) if wanted.intersection(self._naming.get(each, ())))

    def _governing(self, endpoint: EndpointID) -> tuple[PolicyID, ...]:
        if endpoint == self._host:
            return self._of_host
        known = self._state.endpoints.get(endpoint)
        if known is None:
            return ()
        return tuple(dict.fromkeys((*(each for tier in known.tiers for each in tier.egress), *known.profiles)))

    def _party(self, address: bytes) -> Party:
        found, endpoint = self._directory.party(address), self._directory.endpoint(address)
        labels = self._labels.get(endpoint, {}) if endpoint is not None else {}
        name = "" if found.kind is PartyKind.NETWORK else found.name
        return Party(found.address, found.namespace, name, found.name_aggr, labels, endpoint)
