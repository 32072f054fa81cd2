"""A hearing: connections of one scope are judged by what is in force now, twice where names have a say. Pure.

Hearing(before, now, scope, ..) -> doubtful(ways) -> the ways that the rules deny
                                -> denied(doubtful, facts) -> those that no remembered name excuses, with reasons
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from nft.model import Key, Table
from policy.rules import DomainSetID, EndpointID, NodeState, host_learner
from tidegate.render import RenderSettings, render_table
from tidegate.render.places import governing_own
from tidegate.revoke.judge import Judge, Server
from tidegate.revoke.names import Fact, Memory
from tidegate.revoke.part import askers, owners, part_of
from tidegate.revoke.scope import Scope, domain_sets, governing
from tidegate.revoke.way import Way

Elements = Mapping[str, Collection[Key]]
"""Of learned sets, by name."""


@dataclass(slots=True)
class Hearing:
    """Holds what was rendered, so that entries can be heard in pieces."""

    before: NodeState | None
    """What was in force when connections were looked at last; None where nobody knows."""
    now: NodeState
    scope: Scope
    settings: RenderSettings
    servers: frozenset[Server] = frozenset()
    """Whom the packet process speaks to from the host."""
    part: NodeState = field(init=False)
    owners: Mapping[bytes, EndpointID] = field(init=False)
    """The workloads that are asked, by packed address."""
    askers: frozenset[EndpointID] = field(init=False)
    """Those of them whose rules name names."""
    _table: Table | None = None
    _rules: Judge | None = None
    _former: Judge | None = None

    def __post_init__(self) -> None:
        """Takes the part that the scope is about. What the memory of ended connections says is not policy."""
        self.settings = replace(self.settings, ends_connections=False)
        self.part = part_of(self.now, self.scope)
        self.owners = owners(self.part)
        self.askers = askers(self.part)

    def doubtful(self, ways: Iterable[Way], learned: Elements) -> dict[Way, str]:
        """The ways that the rules deny, with the reason. `learned` is what it is at the first call."""
        if self._rules is None:
            self._rules = self._judge(learned)
        judge = self._rules
        return {way: reason for way in ways if (reason := judge.denial(way))}

    def needs_memory(self, doubtful: Iterable[Way]) -> frozenset[EndpointID]:
        """The workloads of which it matters what they were told."""
        return frozenset(
            owner for way in doubtful if (owner := self.owners.get(way.source)) is not None and owner in self.askers
        )

    def _judge(self, learned: Elements) -> Judge:
        """The rules are rendered for the first who asks: mostly a change concerns no connection at all."""
        if self._table is None:
            self._table = render_table(self.part, self.settings)
        return Judge(self._table, self.settings, learned, self.servers)

    @property
    def shares_names(self) -> bool:
        """Whether what one workload was told may open an address for others."""
        return any(item.options.scope == "node" for item in self.part.domain_sets.values())

    def denied(self, doubtful: Mapping[Way, str], facts: Iterable[Fact]) -> dict[Way, str]:
        """Those of the doubtful ways that remembered names do not excuse."""
        added = Memory(facts, self.part, self._standing).elements(doubtful, self.owners)
        if not added:
            return dict(doubtful)
        judge = self._judge(added)
        return {way: reason for way, reason in doubtful.items() if judge.denial(way)}

    def _standing(self, owner: EndpointID, way: Way) -> frozenset[DomainSetID]:
        """None where the policy of before let it through without a name, or where nobody knows that policy."""
        if self.before is None or not self.scope.standing:
            return frozenset()
        known = self.before.endpoints.get(owner)
        hosts = [host for host in self.before.host_endpoints.values() if host_learner(host.endpoint.node) == owner]
        asked = governing(known) if known else {policy for host in hosts for policy in governing_own(host)}
        if self._former is None:
            former = part_of(self.before, self.scope)
            self._former = Judge(render_table(former, self.settings), self.settings, {}, self.servers)
        if not self._former.denial(way):
            return frozenset()
        used = (domain_sets(policy) for one in asked if (policy := self.before.policies.get(one)))
        return self.scope.standing & frozenset[DomainSetID]().union(*used)
