"""What every resource has: a kind, a name, perhaps a namespace, labels and annotations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from policy.resources.fields import Annotations, Labels, Text
from policy.resources.model import Model

_BOOK_KEEPING = frozenset(
    (
        *("clusterName", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers"),
        *("generateName", "generation", "managedFields", "ownerReferences", "resourceVersion", "selfLink"),
    )
)
"""Kubernetes: ObjectMeta; what the server writes there and a dump of a cluster holds."""

_TYPE_META = frozenset(("apiVersion", "kind"))

DEFAULT_NAMESPACE = "default"
"""kubectl and calicoctl: where a namespaced resource goes that names no namespace."""


@dataclass(frozen=True, slots=True, order=True)
class ResourceKey:
    """Identifies a resource: two resources may share a name if kind or namespace differ."""

    kind: str
    """The kind, told apart where two groups use one word: `KubernetesNetworkPolicy`."""
    namespace: str
    """"" for cluster-wide kinds."""
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class ObjectMeta(Model):
    """The part of Kubernetes' ObjectMeta that policy reads; the server's book-keeping is accepted and dropped."""

    name: Text
    namespace: Text = ""
    labels: Labels = Field(default_factory=dict)
    annotations: Annotations = Field(default_factory=dict)
    uid: Text = ""

    @classmethod
    def prepared(cls, given: dict[str, object]) -> dict[str, object]:
        """Without the book-keeping."""
        return {key: value for key, value in given.items() if key not in _BOOK_KEEPING}


class Resource(Model):
    """A document that was found valid."""

    KIND: ClassVar[str]
    """The kind in keys."""
    IS_NAMESPACED: ClassVar[bool]

    IGNORED: ClassVar[frozenset[str]] = frozenset(("status",))
    """Fields of a dump that policy has no use for."""

    metadata: ObjectMeta

    @classmethod
    def prepared(cls, given: dict[str, object]) -> dict[str, object]:
        """Without what says only which kind it is, and in the namespace that clients default to."""
        metadata = given.get("metadata")
        if cls.IS_NAMESPACED and isinstance(metadata, Mapping) and not metadata.get("namespace"):
            given["metadata"] = {**metadata, "namespace": DEFAULT_NAMESPACE}
        return {key: value for key, value in given.items() if key not in _TYPE_META and key not in cls.IGNORED}

    @property
    def key(self) -> ResourceKey:
        """What identifies it."""
        return ResourceKey(self.KIND, self.metadata.namespace, self.metadata.name)
