"""The rules of active policies and profiles: compiles them, and keeps hold of the sets that they refer to.

policy or profile is active ---> compile ---> definitions ---> Memberships
                                      +-----> rules ---------> PolicyBinder
"""

from policy import staged
from policy.graph.binder import PolicyBinder
from policy.graph.compile import RuleSource, compile_rules
from policy.graph.definitions import Definition
from policy.graph.memberships import Memberships
from policy.options import asks_for_proxy
from policy.resources.metadata import ObjectMeta
from policy.resources.profile import Profile
from policy.rules import CompiledPolicy, Direction, PolicyID, Stage
from policy.tiers import Policy, stage_of


class Rulebook:
    """Compiles each active policy when it becomes active or its resource changes, and at no other time."""

    def __init__(self, memberships: Memberships, binder: PolicyBinder) -> None:
        self._memberships = memberships
        self._binder = binder
        self._definitions: dict[PolicyID, frozenset[Definition]] = {}

    def put(self, identity: PolicyID, resource: Policy | Profile) -> None:
        """A policy or profile became active, or an active one changed."""
        source = _source(identity, resource)
        ingress = compile_rules(source, Direction.INGRESS, resource.spec.ingress)
        egress = compile_rules(source, Direction.EGRESS, resource.spec.egress)
        self._hold(identity, ingress.definitions | egress.definitions)
        stage = Stage.NORMAL if isinstance(resource, Profile) else stage_of(resource)
        is_staged = staged.is_staged(identity)
        self._binder.put(
            CompiledPolicy(
                id=identity,
                tier=source.tier,
                ingress=ingress.rules,
                egress=egress.rules,
                is_staged=is_staged,
                stage=stage,
                is_proxied=stage is Stage.NORMAL and not is_staged and asks_for_proxy(resource.metadata.annotations),
            )
        )

    def drop(self, identity: PolicyID) -> None:
        """It acts on no local endpoint any more."""
        self._binder.drop(identity)
        self._hold(identity, frozenset())
        del self._definitions[identity]

    def _hold(self, identity: PolicyID, wanted: frozenset[Definition]) -> None:
        held = self._definitions.get(identity, frozenset())
        self._definitions[identity] = wanted
        for definition in wanted - held:
            self._memberships.acquire(definition)
        for definition in held - wanted:
            self._memberships.release(definition)


def _source(identity: PolicyID, resource: Policy | Profile) -> RuleSource:
    if isinstance(resource, Profile):
        # Profiles stand outside of tiers and namespaces, and have no DNS options.
        return RuleSource(id=identity, tier="", owner=ObjectMeta.model_construct(name=identity.name))
    return RuleSource(id=identity, tier=resource.spec.tier, owner=resource.metadata)
