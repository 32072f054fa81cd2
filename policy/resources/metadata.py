"""What every resource has: a kind, a name, perhaps a namespace, labels and annotations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from policy.resources.model import Model


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

    name: str
    namespace: str = ""
    labels: Mapping[str, str] = Field(default_factory=dict)
    annotations: Mapping[str, str] = Field(default_factory=dict)
    uid: str = ""


class Resource(Model):
    """A document that was found valid."""

    KIND: ClassVar[str]
    """The kind in keys."""
    IS_NAMESPACED: ClassVar[bool]

    metadata: ObjectMeta

    @property
    def key(self) -> ResourceKey:
        """What identifies it."""
        return ResourceKey(self.KIND, self.metadata.namespace, self.metadata.name)
