"""The workloads of a node as captures select them. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from policy import selectors
from policy.evaluate.world import World
from policy.resources.kube import Namespace, Pod, ServiceAccount
from policy.resources.metadata import Resource
from policy.resources.profile import Profile
from policy.resources.workload import WorkloadEndpoint
from policy.rules import EndpointID, NodeState


@dataclass(frozen=True, slots=True)
class Target:
    """A workload of this node, with what selectors look at."""

    endpoint: EndpointID
    namespace: str
    interface: str
    """"" where no route leads to it yet."""
    labels: Mapping[str, str]
    """In force: its own and those of its namespace and account."""


def targets(resources: Iterable[Resource], state: NodeState, namespace: str) -> list[Target]:
    """The workloads of the namespace that are enforced on this node.

    Looks at all resources, so it is for those who ask seldom.
    """
    about = (item for item in resources if _says_labels(item, namespace))
    local = {
        identity: item.endpoint for identity, item in state.endpoints.items() if item.endpoint.namespace == namespace
    }
    return [
        Target(holder.endpoint, namespace, local[holder.endpoint].interface_name, holder.labels)
        for holder in World(about).endpoints
        if holder.endpoint is not None and holder.endpoint in local
    ]


def select(candidates: Iterable[Target], namespace: str, selector: str) -> list[Target]:
    """The workloads of the namespace that the selector matches, by name.

    Raises:
        selectors.SelectorError: it cannot be read.
    """
    parsed = selectors.parse(selector or "all()")
    chosen = (item for item in candidates if item.namespace == namespace and parsed.matches(item.labels))
    return sorted(chosen, key=lambda item: item.endpoint)


def _says_labels(resource: Resource, namespace: str) -> bool:
    if isinstance(resource, WorkloadEndpoint | Pod | ServiceAccount):
        return resource.metadata.namespace == namespace
    return isinstance(resource, Profile) or (isinstance(resource, Namespace) and resource.metadata.name == namespace)
