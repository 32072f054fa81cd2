"""What a node's compiled state means, read naively: rule by rule, for one packet. The kernel's part, without a kernel."""

from collections.abc import Iterable, Iterator

from policy.domains import DomainPattern
from policy.evaluate import LearnedName, Packet
from policy.rules import (
    Action,
    AddressPort,
    CompiledRule,
    Direction,
    DomainSetID,
    EndpointID,
    EndpointPolicy,
    EntityMatch,
    IPAddress,
    IPSetKind,
    NodeState,
    PolicyID,
)


class Interpreter:
    """A node's state and the names that its endpoints learned."""

    def __init__(self, state: NodeState, names: Iterable[LearnedName] = ()):
        self.state = state
        self.learned = {
            (identity, endpoint, learned.address)
            for identity in state.domain_sets
            for learned in names
            if self.learns(learned, identity)
            for endpoint in self.sharers(learned.endpoint, identity)
        }

    def learns(self, learned: LearnedName, identity: DomainSetID) -> bool:
        if learned.endpoint not in self.state.endpoints:
            return False
        patterns = map(DomainPattern.from_canonical, self.state.domain_sets[identity].patterns)
        is_meant = any(pattern.matches(learned.name.labels) for pattern in patterns)
        return is_meant and identity in self.sets_of(learned.endpoint)

    def sharers(self, endpoint: EndpointID, identity: DomainSetID) -> list[EndpointID]:
        if self.state.domain_sets[identity].options.scope != "node":
            return [endpoint]
        return [other for other in self.state.endpoints if identity in self.sets_of(other)]

    def sets_of(self, endpoint: EndpointID) -> set[DomainSetID]:
        governing = self.state.endpoints[endpoint]
        policies = [*(policy for tier in governing.tiers for policy in tier.egress), *governing.profiles]
        return {
            rule.destination.domain_set
            for policy in policies
            if policy in self.state.policies
            for rule in self.state.policies[policy].egress
            if rule.destination.domain_set is not None
        }

    def decide(
        self, endpoint: EndpointID, direction: Direction, packet: Packet, *, is_pending: bool = False
    ) -> tuple[bool, str, str, int]:
        """Allowed or not, and by which tier, policy and rule (-1: none); or how it would be, with staged policies."""
        governing = self.state.endpoints[endpoint]
        for decided in self.decisions(governing, direction, packet, is_pending=is_pending):
            return decided
        return False, "", "", -1

    def decisions(
        self, governing: EndpointPolicy, direction: Direction, packet: Packet, *, is_pending: bool
    ) -> Iterator[tuple]:
        for tier in governing.tiers:
            listed = tier.ingress if direction is Direction.INGRESS else tier.egress
            policies = [item for item in listed if self.counts(item, tier.leaving, is_pending=is_pending)]
            if not policies:
                continue
            final = self.first(governing, policies, direction, packet)
            if final is None:
                if tier.default_action is Action.DENY:
                    yield False, tier.name, policies[0 if is_pending else -1].name, -1
            elif final.action is not Action.PASS:
                yield final.action is Action.ALLOW, tier.name, final.id.policy.name, final.id.index
        for profile in governing.profiles:
            if profile not in self.state.policies:
                yield False, "", profile.name, -1
                return
            final = self.first(governing, (profile,), direction, packet)
            if final is not None and final.action is not Action.PASS:
                yield final.action is Action.ALLOW, "", profile.name, final.id.index

    def counts(self, policy: PolicyID, leaving: frozenset[PolicyID], *, is_pending: bool) -> bool:
        return policy not in leaving if is_pending else not self.state.policies[policy].is_staged

    def first(
        self, governing: EndpointPolicy, policies: Iterable[PolicyID], direction: Direction, packet: Packet
    ) -> CompiledRule | None:
        for identity in policies:
            policy = self.state.policies[identity]
            for rule in policy.ingress if direction is Direction.INGRESS else policy.egress:
                if rule.action is not Action.LOG and self.matches(governing.endpoint.id, rule, packet):
                    return rule
        return None

    def matches(self, endpoint: EndpointID, rule: CompiledRule, packet: Packet) -> bool:
        version = packet.version
        icmp = (packet.icmp_type, packet.icmp_code)
        is_icmp = packet.protocol == {4: 1, 6: 58}[version]

        def is_type(match) -> bool:
            return is_icmp and match.type == icmp[0] and match.code in (None, icmp[1])

        return (
            rule.ip_version in (None, version)
            and rule.protocol in (None, packet.protocol)
            and rule.not_protocol != packet.protocol
            and (rule.icmp is None or is_type(rule.icmp))
            and (rule.not_icmp is None or not is_type(rule.not_icmp))
            and self.side(endpoint, rule.source, packet.source.address, packet.protocol, packet.source_port)
            and self.side(
                endpoint, rule.destination, packet.destination.address, packet.protocol, packet.destination_port
            )
        )

    def side(
        self, endpoint: EndpointID, match: EntityMatch, address: IPAddress, protocol: int, port: int | None
    ) -> bool:
        is_plain = (not match.nets or any(address in net for net in match.nets)) and all(
            self.is_in(identity, address) for identity in match.sets
        )
        if match.domain_set is not None:
            is_named = (match.domain_set, endpoint, address) in self.learned
            is_plain = is_named or (is_plain and bool(match.nets or match.sets))

        def is_port(ranges, sets) -> bool:
            return any(port is not None and r.first <= port <= r.last for r in ranges) or any(
                AddressPort(address, protocol, port) in self.members(identity) for identity in sets
            )

        return (
            is_plain
            and not any(address in net for net in match.not_nets)
            and not any(self.is_in(identity, address) for identity in match.not_sets)
            and (not (match.ports or match.port_sets) or is_port(match.ports, match.port_sets))
            and not is_port(match.not_ports, match.not_port_sets)
            and (match.service_set is None or self.is_service(match.service_set, address, protocol, port))
        )

    def is_service(self, identity, address: IPAddress, protocol: int, port: int | None) -> bool:
        kind, members = self.state.ip_sets[identity]
        if kind is IPSetKind.NETS:
            return self.is_in(identity, address)
        return AddressPort(address, protocol, port) in members

    def members(self, identity):
        return self.state.ip_sets[identity][1]

    def is_in(self, identity, address: IPAddress) -> bool:
        return any(address in net for net in self.members(identity))
