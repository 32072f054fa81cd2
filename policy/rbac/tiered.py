"""Who may write a policy of a tier, and who may write tiers (Calico: apiserver authorizer, webhooks/pkg/rbac).

Besides the plain grant on the policy's own resource, its writer needs two things in the policy's tier, and in both
tiers for a move from one to the other: to `get` the tier, and the verb on `tier.<resource>`, under the policy's name or
under `<tier>.*`. The `tier.*` resources exist in roles only. So one role can give away all of a tier, and nothing else.

`deploy/kubernetes/tiered-rbac.yaml` asks an API server the same questions in CEL; one table of cases tests both.
"""

from dataclasses import dataclass
from enum import StrEnum

from policy.rbac.model import GROUP, Caller, Request
from policy.rbac.roles import Grants
from policy.resources.policies import RESERVED_TIERS

DEFAULT_TIER = "default"
TIERED = frozenset(
    (
        *("networkpolicies", "globalnetworkpolicies", "stagednetworkpolicies", "stagedglobalnetworkpolicies"),
        "stagedkubernetesnetworkpolicies",
    )
)
"""Resources whose objects stand in a tier; the last one's always in the default tier."""


class Verb(StrEnum):
    """What is done to an object; a patch that changes one is an update, as it is for admission."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class TierWrite:
    """Somebody wants to write one policy."""

    verb: Verb
    resource: str
    """Plural and in lower case, as in `TIERED`."""
    name: str
    """As the client sent it; "" where the server is to make the name, which only grants on whole tiers allow."""
    namespace: str = ""
    tier: str = ""
    """The tier it is to stand in; ignored where it is deleted. "" is the default tier."""
    old_tier: str = ""
    """The tier it stands in; ignored where it is created. "" is the default tier."""

    @property
    def tiers(self) -> tuple[str, ...]:
        """The tiers whose leave is needed, without repetition: the new one, then the old one."""
        new, old = self.tier or DEFAULT_TIER, self.old_tier or DEFAULT_TIER
        if self.verb is Verb.CREATE:
            return (new,)
        if self.verb is Verb.DELETE or new == old:
            return (old,)
        return (new, old)


@dataclass(frozen=True, slots=True)
class Decision:
    """Yes, or no with a sentence for the user."""

    is_allowed: bool
    reason: str = ""
    """Why not."""


_YES = Decision(is_allowed=True)


def decide_policy(grants: Grants, caller: Caller, write: TierWrite) -> Decision:
    """Whether the caller may write the policy.

    Raises:
        ValueError: The resource is none of `TIERED`: there is no tier that could decide.
    """
    if write.resource not in TIERED:
        raise ValueError(f"{write.resource!r} is no resource whose objects stand in tiers")
    if not grants.allow(caller, _plain(write)):
        return _no(caller, f"{write.verb} {write.resource}{_place(write.namespace)}")
    for tier in write.tiers:
        if not grants.allow(caller, Request(verb="get", resource="tiers", name=tier)):
            return _no(caller, f'get tier "{tier}"')
        if not any(grants.allow(caller, _within(write, name)) for name in (f"{tier}.*", write.name)):
            return _no(caller, f'{write.verb} {write.resource} in tier "{tier}"{_place(write.namespace)}')
    return _YES


def decide_tier(grants: Grants, caller: Caller, verb: Verb, name: str, *, changes_spec: bool = True) -> Decision:
    """Whether the caller may write a tier: plain roles say so, and nobody takes the reserved ones away.

    Args:
        grants: All roles and bindings.
        caller: Who asks.
        verb: What is to be done.
        name: The tier.
        changes_spec: Whether an update touches more than labels and annotations.
    """
    if not grants.allow(caller, Request(verb=verb, resource="tiers", name=name)):
        return _no(caller, f'{verb} tier "{name}"')
    if name in RESERVED_TIERS and verb is Verb.DELETE:
        return Decision(is_allowed=False, reason=f'tier "{name}" is reserved and cannot be deleted')
    if name in RESERVED_TIERS and verb is Verb.UPDATE and changes_spec:
        return Decision(is_allowed=False, reason=f'tier "{name}" is reserved: its order and action cannot be changed')
    return _YES


def _plain(write: TierWrite) -> Request:
    # Creations reach Kubernetes' roles without the object's name: it is in the body, which they do not read.
    name = "" if write.verb is Verb.CREATE else write.name
    return Request(verb=write.verb, resource=write.resource, name=name, namespace=write.namespace, group=GROUP)


def _within(write: TierWrite, name: str) -> Request:
    return Request(verb=write.verb, resource=f"tier.{write.resource}", name=name, namespace=write.namespace)


def _place(namespace: str) -> str:
    return f' in namespace "{namespace}"' if namespace else ""


def _no(caller: Caller, what: str) -> Decision:
    return Decision(is_allowed=False, reason=f'user "{caller.name}" cannot {what}')
