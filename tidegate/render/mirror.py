"""What the renderer remembers of the node's policies and endpoints, and which of them must be rendered anew."""

from collections import defaultdict
from dataclasses import dataclass, field

from policy.rules import CompiledPolicy, Direction, EndpointID, EndpointPolicy, PolicyID
from tidegate.render.policy import domain_sets, passes, rules_of


@dataclass(slots=True)
class Mirror:
    """Holds state: policies, endpoints, who is governed by what, who claims which interface, and what is dirty."""

    policies: dict[PolicyID, CompiledPolicy] = field(default_factory=dict)
    endpoints: dict[EndpointID, EndpointPolicy] = field(default_factory=dict)
    dirty_policies: set[PolicyID] = field(default_factory=set)
    dirty_endpoints: set[EndpointID] = field(default_factory=set)
    dirty_interfaces: set[str] = field(default_factory=set)
    has_new_outline: bool = False
    """Whether a policy has changed in a way that shows in lists and tiers."""
    _governed: defaultdict[PolicyID, set[EndpointID]] = field(default_factory=lambda: defaultdict(set))
    _claims: defaultdict[str, set[EndpointID]] = field(default_factory=lambda: defaultdict(set))

    def put_policy(self, policy_id: PolicyID, policy: CompiledPolicy | None) -> None:
        """Sets or removes a policy; endpoints are touched only if they look different from outside the policy."""
        if _outline(policy) != _outline(self.policies.get(policy_id)):
            self.has_new_outline = True
            for endpoint in self._governed.get(policy_id, ()):
                self._touch(self.endpoints[endpoint])
        if policy is None:
            self.policies.pop(policy_id, None)
        else:
            self.policies[policy_id] = policy
        self.dirty_policies.add(policy_id)

    def put_endpoint(self, endpoint_id: EndpointID, endpoint: EndpointPolicy | None) -> None:
        """Sets or removes an endpoint."""
        old = self.endpoints.pop(endpoint_id, None)
        if old is not None:
            self._touch(old)
            self._unlink(old)
        if endpoint is not None:
            self.endpoints[endpoint_id] = endpoint
            self._touch(endpoint)
            self._link(endpoint)

    def owner(self, interface: str) -> EndpointPolicy | None:
        """The endpoint that has the interface.

        Two may claim it for a moment, when a workload's interface name is used again before the old endpoint's end is
        known: an active one is preferred, then the first by name, so that the choice depends on nothing but the state.
        """
        claims = (self.endpoints[endpoint] for endpoint in self._claims.get(interface, ()))
        return min(claims, key=lambda claim: (not claim.endpoint.is_active, claim.endpoint.id), default=None)

    def clean(self) -> None:
        """Everything dirty has been rendered."""
        self.dirty_policies.clear()
        self.dirty_endpoints.clear()
        self.dirty_interfaces.clear()
        self.has_new_outline = False

    def _touch(self, endpoint: EndpointPolicy) -> None:
        self.dirty_endpoints.add(endpoint.endpoint.id)
        if endpoint.endpoint.interface_name:
            self.dirty_interfaces.add(endpoint.endpoint.interface_name)

    def _link(self, endpoint: EndpointPolicy) -> None:
        for policy in _governing(endpoint):
            self._governed[policy].add(endpoint.endpoint.id)
        if endpoint.endpoint.interface_name:
            self._claims[endpoint.endpoint.interface_name].add(endpoint.endpoint.id)

    def _unlink(self, endpoint: EndpointPolicy) -> None:
        for policy in _governing(endpoint):
            self._governed[policy].discard(endpoint.endpoint.id)
            if not self._governed[policy]:
                del self._governed[policy]
        interface = endpoint.endpoint.interface_name
        self._claims[interface].discard(endpoint.endpoint.id)
        if not self._claims[interface]:
            del self._claims[interface]


def _governing(endpoint: EndpointPolicy) -> set[PolicyID]:
    listed = {policy for tier in endpoint.tiers for policy in (*tier.ingress, *tier.egress)}
    return listed | set(endpoint.profiles)


def _outline(policy: CompiledPolicy | None) -> tuple[bool, ...] | None:
    """What the tiers' chains and the interfaces' sets know of a policy."""
    if policy is None:
        return None
    by_direction = [(bool(rules_of(policy, way)), passes(policy, way)) for way in Direction]
    return (policy.is_staged, bool(domain_sets(policy)), *(flag for flags in by_direction for flag in flags))
