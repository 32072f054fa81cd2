"""Who may write which policy: Kubernetes' roles, and what tiers add to them."""

from policy.rbac.model import (
    ANYONE,
    GROUP,
    MASTERS,
    Binding,
    Caller,
    Request,
    Role,
    RoleRef,
    RoleRule,
    Subject,
    SubjectKind,
)
from policy.rbac.roles import Grants
from policy.rbac.tiered import Decision, TierWrite, Verb, decide_policy, decide_tier

__all__ = [
    "ANYONE",
    "GROUP",
    "MASTERS",
    "Binding",
    "Caller",
    "Decision",
    "Grants",
    "Request",
    "Role",
    "RoleRef",
    "RoleRule",
    "Subject",
    "SubjectKind",
    "TierWrite",
    "Verb",
    "decide_policy",
    "decide_tier",
]
