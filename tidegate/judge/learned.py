"""Where learned names stand in a node's table: what the packet process would have written into the learned sets."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from nft.model import Key
from policy.domains import DomainPattern
from policy.evaluate import LearnedName
from policy.rules import DomainSet, DomainSetID, EndpointID, IPAddress, NodeState, host_learner
from tidegate.render import RenderSettings, names
from tidegate.render.grace import grace_seconds
from tidegate.render.places import governing_own


def learned_elements(
    state: NodeState, learned: Iterable[LearnedName], settings: RenderSettings
) -> Mapping[str, frozenset[Key]]:
    """Elements by set name: (endpoint address, learned address). Guards and lifetimes have been applied before.

    What is past stands in the grace sets of the rules that give grace, where its connections have put it.
    """
    facts = tuple(learned)
    elements: defaultdict[str, set[Key]] = defaultdict(set)
    for identity, learners in _learners(state).items():
        domain_set = state.domain_sets[identity]
        for version, key in _pairs(domain_set, learners, (fact for fact in facts if not fact.is_past)):
            elements[names.domain_set(identity, version)].add(key)
        if grace_seconds(domain_set.options, settings):
            own = replace(domain_set, options=replace(domain_set.options, scope="endpoint"))
            for version, key in _pairs(own, learners, (fact for fact in facts if fact.is_past)):
                elements[names.grace_set(identity, version)].add(key)
    return {name: frozenset(keys) for name, keys in elements.items()}


def _pairs(
    domain_set: DomainSet, learners: Mapping[EndpointID, Collection[IPAddress]], facts: Iterable[LearnedName]
) -> Iterable[tuple[int, Key]]:
    patterns = [DomainPattern.from_canonical(text) for text in domain_set.patterns]
    for fact in facts:
        if fact.endpoint in learners and any(pattern.matches(fact.name.labels) for pattern in patterns):
            is_shared = domain_set.options.scope == "node"
            for addresses in learners.values() if is_shared else (learners[fact.endpoint],):
                for address in addresses:
                    if address.version == fact.address.version:
                        yield address.version, (address, fact.address)


def _learners(state: NodeState) -> Mapping[DomainSetID, Mapping[EndpointID, Collection[IPAddress]]]:
    """The addresses of the endpoints that have a rule with the set, by set; the host's processes are one of them."""
    sets_of = {
        identity: {rule.destination.domain_set for rule in policy.egress if rule.destination.domain_set}
        for identity, policy in state.policies.items()
    }
    learners: defaultdict[DomainSetID, dict[EndpointID, Collection[IPAddress]]] = defaultdict(dict)
    for identity, known in state.endpoints.items():
        governing = {policy for tier in known.tiers for policy in tier.egress} | set(known.profiles)
        for domain_set in (one for policy in governing for one in sets_of.get(policy, ())):
            learners[domain_set][identity] = known.endpoint.addresses
    for host in state.host_endpoints.values():
        for domain_set in (one for policy in governing_own(host) for one in sets_of.get(policy, ())):
            learners[domain_set][host_learner(host.endpoint.node)] = state.own_addresses
    return learners
