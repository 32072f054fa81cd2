"""Who asked, who answered, and whose policy learned from it: what the documents of a moment say of addresses. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import final

from policy.endpoints import endpoint_id, workload_endpoints
from policy.evaluate import Links
from policy.resources.metadata import Resource
from policy.rules import DomainSetID, EndpointID, NodeState, PolicyID
from tidegate.flows.directory import Directory
from tidegate.flows.record import PartyKind
from tidegate.sync.snapshots import domain_sets_of, naming_policies

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

    def client(self, address: bytes) -> Party:
        """Who asked."""
        return self._party(address)

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
        known = self._state.endpoints.get(endpoint) if endpoint is not None else None
        wanted = frozenset(map(DomainSetID, rules))
        if known is None or not wanted:
            return ()
        governing = dict.fromkeys((*(each for tier in known.tiers for each in tier.egress), *known.profiles))
        naming = {identity: self._naming.get(identity, ()) for identity in governing}
        return tuple(each for each in governing if wanted.intersection(domain_sets_of(known, {each: naming[each]})))

    def _party(self, address: bytes) -> Party:
        found, endpoint = self._directory.party(address), self._directory.endpoint(address)
        labels = self._labels.get(endpoint, {}) if endpoint is not None else {}
        name = "" if found.kind is PartyKind.NETWORK else found.name
        return Party(found.address, found.namespace, name, found.name_aggr, labels, endpoint)
