"""Which policies and profiles act on local endpoints.

local endpoints' labels ---+
                           +--> SelectorIndex ---> matches ---> Resolver (who is governed by what)
policies' selectors -------+                  +--> first and last match of a policy ---> Rulebook
local endpoints' profiles ----------------------> first and last user of a profile ---> Rulebook
"""

from policy import scopes
from policy.graph.matching import Labels, SelectorIndex
from policy.graph.resolver import Resolver
from policy.graph.rulebook import Rulebook
from policy.resources.profile import Profile
from policy.rules import EndpointID, HostEndpointID, PolicyID
from policy.selectors import Selector
from policy.tiers import Policy

GovernedID = EndpointID | HostEndpointID


def profile_id(name: str) -> PolicyID:
    """How a profile is called among policies."""
    return PolicyID(name, "", "Profile")


class ActivePolicies:
    """Policies, matched with local endpoints."""

    def __init__(self, rulebook: Rulebook, resolver: Resolver) -> None:
        self._rulebook = rulebook
        self._resolver = resolver
        self._index: SelectorIndex[GovernedID] = SelectorIndex()
        self._policies: dict[PolicyID, Policy] = {}
        self._selectors: dict[PolicyID, Selector] = {}
        self._by_selector: dict[Selector, dict[PolicyID, None]] = {}

    def on_policy(self, identity: PolicyID, policy: Policy | None) -> None:
        """A policy came, changed or went (None)."""
        governed_before = self._governed(identity)
        self._file(identity, policy)
        governed = self._governed(identity)
        for endpoint in governed_before - governed:
            self._resolver.on_match(endpoint, identity, is_match=False)
        self._resolver.on_policy(identity, policy)
        for endpoint in governed - governed_before:
            self._resolver.on_match(endpoint, identity, is_match=True)
        if policy is not None and governed:
            self._rulebook.put(identity, policy)
        elif governed_before:
            self._rulebook.drop(identity)

    def on_labels(self, endpoint: GovernedID, labels: Labels | None) -> None:
        """A local endpoint's labels changed, or it is gone or no longer local (None)."""
        for match in self._index.on_labels(endpoint, labels):
            matched = len(self._index.items_of(match.selector))
            for identity in self._by_selector[match.selector]:
                self._resolver.on_match(endpoint, identity, is_match=match.is_match)
                if match.is_match and matched == 1:
                    self._rulebook.put(identity, self._policies[identity])
                elif not matched:
                    self._rulebook.drop(identity)

    def _governed(self, identity: PolicyID) -> frozenset[GovernedID]:
        selector = self._selectors.get(identity)
        return frozenset() if selector is None else frozenset(self._index.items_of(selector))

    def _file(self, identity: PolicyID, policy: Policy | None) -> None:
        """Puts the policy under its selector of now. The index keeps a selector while any policy has it."""
        before = self._selectors.pop(identity, None)
        self._policies.pop(identity, None)
        if policy is not None:
            self._policies[identity] = policy
            selector = self._selectors[identity] = scopes.policy_selector(policy)
            if selector not in self._by_selector:
                self._by_selector[selector] = {}
                self._index.add(selector)
            self._by_selector[selector][identity] = None
        if before is not None and before != self._selectors.get(identity):
            del self._by_selector[before][identity]
            if not self._by_selector[before]:
                del self._by_selector[before]
                self._index.discard(before)


class ActiveProfiles:
    """Profiles, and the local endpoints that name them."""

    def __init__(self, rulebook: Rulebook) -> None:
        self._rulebook = rulebook
        self._profiles: dict[str, Profile] = {}
        self._names_of: dict[GovernedID, frozenset[str]] = {}
        self._users: dict[str, dict[GovernedID, None]] = {}

    def on_profile(self, name: str, profile: Profile | None) -> None:
        """A profile came, changed or went (None)."""
        was_active = name in self._profiles and name in self._users
        if profile is None:
            self._profiles.pop(name, None)
        else:
            self._profiles[name] = profile
        if profile is not None and name in self._users:
            self._rulebook.put(profile_id(name), profile)
        elif was_active:
            self._rulebook.drop(profile_id(name))

    def on_endpoint(self, endpoint: GovernedID, names: frozenset[str]) -> None:
        """A local endpoint names these profiles now; none, if it is gone or no longer local."""
        before = self._names_of.pop(endpoint, frozenset())
        if names:
            self._names_of[endpoint] = names
        for name in sorted(names - before):
            self._begin(name, endpoint)
        for name in sorted(before - names):
            self._end(name, endpoint)

    def _begin(self, name: str, endpoint: GovernedID) -> None:
        is_first = name not in self._users
        self._users.setdefault(name, {})[endpoint] = None
        if is_first and name in self._profiles:
            self._rulebook.put(profile_id(name), self._profiles[name])

    def _end(self, name: str, endpoint: GovernedID) -> None:
        del self._users[name][endpoint]
        if not self._users[name]:
            del self._users[name]
            if name in self._profiles:
                self._rulebook.drop(profile_id(name))
