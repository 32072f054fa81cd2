"""Names in the table, and the comments that say which rule a counter belongs to.

A name is a prefix and the hash of what it stands for, so it is a valid nft identifier whatever the policy is called, is
the same on every node and after every restart, and a changed name means a changed thing.
"""

import hashlib
from enum import StrEnum

from policy.rules import (
    Direction,
    DomainSetID,
    EndpointID,
    EndpointTier,
    HostEndpointID,
    IPSetID,
    PolicyID,
    RuleID,
)

FROM_ENDPOINT = "from-endpoint"
"""Verdict map: interface of a workload -> what it may send."""
TO_ENDPOINT = "to-endpoint"
"""Verdict map: interface of a workload -> what it may receive."""
SOURCE_PREFIXES = "source-prefixes"
"""Verdict map: interface of a workload -> source prefixes it may use beside its own addresses."""
WORKLOADS = "workloads"
DNS_CLIENTS = "dns-clients"
DNS_PROXIED = "dns-proxied"
"""Interfaces of workloads whose questions the forwarder answers."""
LIMITED_FROM = "limited-from"
"""Verdict map: interface of a workload that may send so many packets a second -> its limit."""
LIMITED_TO = "limited-to"
"""Likewise, of one that may receive so many."""
FILTER_FORWARD = "filter-forward"
FILTER_DELIVERY = "filter-delivery"
FILTER_INPUT = "filter-input"
HELD_RATE = "held-rate"
"""Dynamic set: interface of a workload -> its packets that were held."""
HELD_RATE_FULL = "held-rate is full"
"""Comment of the rule that counts what found no place in that set, and was denied without waiting for a name."""
TCP_RATE_FULL = "tcp-rate is full"
"""Likewise, of DNS connections over TCP: they were not taken over, and opened nothing."""
TCP_RATE = "tcp-rate"
"""Dynamic set: interface of a workload -> its DNS connections over TCP."""
ENDED = "ended"
"""What far ends send on connections that were ended; exists where connections are ended."""
NEIGHBOURS = "neighbours"
DENY_EGRESS = "deny-egress"
DENY_INGRESS = "deny-ingress"
DROP_EGRESS = "drop-egress"
"""As `deny-egress`, and silent: exists where denied packets are rejected otherwise."""
QUEUE_ANSWERS = "queue-answers"
QUEUE_DENIED = "queue-denied"
QUEUE_NAMED = "queue-named"
"""Exists where a connection must name itself."""
QUEUE_LOGGED = "queue-logged"
"""Exists where packets wait until they are recorded."""
LOG_HOLD = "log-hold"
LOG_INPUT = "log-input"
LOG_POSTROUTING = "log-postrouting"
NAMED_FORWARD = "named-forward"
NAMED_INPUT = "named-input"

FAILSAFE_IN = "failsafe-in"
FAILSAFE_OUT = "failsafe-out"
FAILSAFE_IN_RAW = "failsafe-in-raw"
FAILSAFE_OUT_RAW = "failsafe-out-raw"
DNS_OUTPUT = "dns-output"
DNS_INPUT = "dns-input"
HOST_TAKEN = "host-taken"
"""What workloads send to DNS servers and the packet process answers: asked about as if it were forwarded."""
HOST_RELAYED = "host-relayed"
"""What the packet process passes on in a workload's name: likewise, where it leaves."""
HOST_NEIGHBOURS = "host-neighbours"
HOST_SENT = "host-sent"
"""What the host itself sends: asked from `output`, or from `postrouting` where NAT changed the way."""

PROFILE_KIND = "Profile"
NO_PROFILE = PolicyID(name="", namespace="", kind=PROFILE_KIND)
"""Stands in the `RuleID` of the final deny, behind the last profile."""

MAX_COMMENT_BYTES = 96
"""Leaves room for a content tag in the kernel's 128 bytes of user data."""

SHORT_KINDS = {
    "NetworkPolicy": "np",
    "GlobalNetworkPolicy": "gnp",
    "StagedNetworkPolicy": "snp",
    "StagedGlobalNetworkPolicy": "sgnp",
    "StagedKubernetesNetworkPolicy": "sknp",
    "KubernetesNetworkPolicy": "knp",
    "KubernetesClusterNetworkPolicy": "kcnp",
    "KubernetesAdminNetworkPolicy": "kanp",
    "KubernetesBaselineAdminNetworkPolicy": "kbanp",
    PROFILE_KIND: "pro",
}
"""As Calico abbreviates kinds in log prefixes and flow logs."""

_LETTER = {Direction.EGRESS: "e", Direction.INGRESS: "i"}


def digest(*parts: str) -> str:
    """16 hex digits (64 bits) of SHA-256: two of a million names collide with a chance of 1 in 36 million."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def short_kind(kind: str) -> str:
    """Calico's abbreviation; a kind that has none is its own, in lower case."""
    return SHORT_KINDS.get(kind, kind.lower())


def policy_chain(policy: PolicyID, direction: Direction) -> str:
    """The chain with the rules of one policy or profile in one direction."""
    return f"p{_LETTER[direction]}-{digest(policy.kind, policy.namespace, policy.name)}"


def tier_chain(tier: EndpointTier, direction: Direction) -> str:
    """The chain of one tier as every endpoint with the same policies in it sees it."""
    policies = tier.egress if direction is Direction.EGRESS else tier.ingress
    parts = [part for policy in policies for part in (policy.kind, policy.namespace, policy.name)]
    return f"t{_LETTER[direction]}-{digest(tier.name, tier.default_action, *parts)}"


def trial_tier_chain(tier: EndpointTier, walked: tuple[PolicyID, ...], direction: Direction) -> str:
    """The chain of one tier as it would be with these policies, which counts only."""
    parts = [part for policy in walked for part in (policy.kind, policy.namespace, policy.name)]
    return f"y{_LETTER[direction]}-{digest(tier.name, tier.default_action, *parts)}"


def trial_chain(tiers: tuple[str, ...], direction: Direction) -> str:
    """The chain that asks the tiers as they would be."""
    return f"x{_LETTER[direction]}-{digest(*tiers)}"


def list_chain(chains: tuple[str, ...], direction: Direction) -> str:
    """The chain that every endpoint with the same tiers and profiles shares."""
    return f"l{_LETTER[direction]}-{digest(*chains)}"


def endpoint_chain(endpoint: EndpointID, direction: Direction) -> str:
    """The chain of one endpoint: the entry of its interface in the verdict map."""
    return f"{'from' if direction is Direction.EGRESS else 'to'}-{digest(endpoint)}"


def host_chain(endpoint: HostEndpointID, place: str) -> str:
    """The chain of one host endpoint at one of the places of `tidegate.render.places`."""
    return f"{place}-{digest(endpoint)}"


class LimitKind(StrEnum):
    """What a limit counts; the values are Calico's names, or made like them."""

    PACKETS = "PacketRate"
    CONNECTIONS = "ConnectionRate"
    MAX_CONNECTIONS = "MaxConnections"


_LIMIT_LETTER = {LimitKind.PACKETS: "q", LimitKind.CONNECTIONS: "c", LimitKind.MAX_CONNECTIONS: "m"}


def limit_chain(endpoint: EndpointID, direction: Direction, kind: LimitKind) -> str:
    """The chain of one limit of one endpoint."""
    return f"{_LIMIT_LETTER[kind]}{_LETTER[direction]}-{digest(endpoint)}"


def limit_comment(endpoint: EndpointID, direction: Direction, kind: LimitKind) -> str:
    """Of the rule that counts what was beyond the limit: `limit ingressPacketRate namespace/name`."""
    return _within(f"limit {direction.value}{kind.value} {endpoint}")


def source_chain(endpoint: EndpointID) -> str:
    """The chain with the source prefixes an endpoint may use."""
    return f"src-{digest(endpoint)}"


def ip_set(ip_set_id: IPSetID, version: int) -> str:
    """The set with the members of one address family."""
    return f"s{version}-{digest(ip_set_id)}"


def domain_set(domain_set_id: DomainSetID, version: int) -> str:
    """The learned set (endpoint address . learned address) of one address family."""
    return f"d{version}-{digest(domain_set_id)}"


def grace_set(domain_set_id: DomainSetID, version: int) -> str:
    """The set of (endpoint address . learned address) that the rules themselves fill, of one address family."""
    return f"g{version}-{digest(domain_set_id)}"


def servers(version: int) -> str:
    """The set of trusted DNS servers (address . port) of one family."""
    return f"dns-servers{version}"


def ended(version: int) -> str:
    """The set of directions (source . destination . protocol . ports) in which an ended connection was answered."""
    return f"ended{version}"


def ended_pairs(version: int) -> str:
    """The same for protocols without ports (source . destination . protocol)."""
    return f"ended-pairs{version}"


def nodes(version: int) -> str:
    """The set of the cluster's nodes' addresses of one family."""
    return f"nodes{version}"


def sources(version: int) -> str:
    """The set of (interface . address) that workloads may send from."""
    return f"sources{version}"


def comment(rule: RuleID) -> str:
    """`tier/kind:namespace/name/direction/index`; one that is too long keeps its head and ends in its hash."""
    return _within(_where(rule))


def pending_comment(rule: RuleID) -> str:
    """The same, of a decision that would be: it must not be counted with the one that is."""
    return _within(f"pending {_where(rule)}")


def _where(rule: RuleID) -> str:
    policy = rule.policy
    name = f"{policy.namespace}/{policy.name}" if policy.namespace else policy.name
    return f"{rule.tier}/{short_kind(policy.kind)}:{name}/{rule.direction}/{rule.index}"


def _within(text: str) -> str:
    if len(text.encode()) <= MAX_COMMENT_BYTES:
        return text
    return f"{text.encode()[: MAX_COMMENT_BYTES - 18].decode(errors='ignore')}~{digest(text)}"


def end_of_tier(tier: str, last_policy: PolicyID, direction: Direction) -> RuleID:
    """The decision at the end of a tier, which belongs to its last policy (Calico: flow logs)."""
    return RuleID(tier, last_policy, direction, -1)


def no_profile(direction: Direction) -> RuleID:
    """The final deny, where no profile has allowed the packet."""
    return RuleID("", NO_PROFILE, direction, -1)
