"""Roles, bindings, callers and requests, as Kubernetes has them (API group rbac.authorization.k8s.io/v1)."""

from dataclasses import dataclass
from enum import StrEnum

GROUP = "projectcalico.org"
"""The API group of tiers, of the policies in them and of the resources that stand only in roles (`tier.*`)."""
ANYONE = "*"
"""In a rule: every verb, API group or resource. It means nothing among resource names."""
MASTERS = "system:masters"
"""The group that may do everything, whatever roles say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRule:
    """What a role allows: every combination of its lists. A list that is empty allows nothing, but for the names."""

    verbs: frozenset[str]
    api_groups: frozenset[str]
    resources: frozenset[str]
    resource_names: frozenset[str] = frozenset()
    """Empty stands for every name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A Role, or a ClusterRole if it has no namespace. Aggregated roles have the rules that were gathered for them."""

    name: str
    namespace: str = ""
    rules: tuple[RoleRule, ...] = ()

    @property
    def ref(self) -> "RoleRef":
        """How bindings name it."""
        return RoleRef(self.name, self.namespace)


@dataclass(frozen=True, slots=True)
class RoleRef:
    """Names a role in a binding."""

    name: str
    namespace: str = ""
    """"" for a ClusterRole; of a Role always the binding's own."""


class SubjectKind(StrEnum):
    """What a binding gives a role to."""

    USER = "User"
    GROUP = "Group"
    SERVICE_ACCOUNT = "ServiceAccount"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who has the role of a binding."""

    kind: SubjectKind
    name: str
    namespace: str = ""
    """Of service accounts only; "" stands for the binding's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A RoleBinding, or a ClusterRoleBinding if it has no namespace."""

    role: RoleRef
    subjects: tuple[Subject, ...]
    namespace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, as authentication says."""

    name: str
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question to the roles (Kubernetes: ResourceAttributes of a SubjectAccessReview)."""

    verb: str
    resource: str
    """With its subresource, if any: `tiers`, `tiers/status`."""
    name: str = ""
    """"" for requests that name no object: lists, and creations where the server makes the name."""
    namespace: str = ""
    """"" for cluster-wide resources and for all namespaces together."""
    group: str = GROUP
