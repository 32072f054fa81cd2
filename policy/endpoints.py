"""Which workload endpoints a set of resources describes: those written as such, and those made from pods.

A dump of a cluster may hold both for one pod. The WorkloadEndpoint is the fuller description, so it stands for the pod
that it names, and for a pod of its own name.
"""

from collections.abc import Iterable

from policy.resources.conversion import endpoint_of_pod
from policy.resources.kube import Pod
from policy.resources.metadata import Resource
from policy.resources.workload import WorkloadEndpoint
from policy.rules import EndpointID


def identity(namespace: str, name: str) -> EndpointID:
    """How an endpoint or pod of this name is called."""
    return EndpointID(f"{namespace}/{name}")


def endpoint_id(endpoint: WorkloadEndpoint) -> EndpointID:
    """How this endpoint is called."""
    return identity(endpoint.metadata.namespace, endpoint.metadata.name)


def stands_for(endpoint: WorkloadEndpoint) -> frozenset[EndpointID]:
    """The pods that a written endpoint replaces, whether there are such pods or not."""
    named = identity(endpoint.metadata.namespace, endpoint.spec.pod or endpoint.metadata.name)
    return frozenset((endpoint_id(endpoint), named))


def workload_endpoints(resources: Iterable[Resource]) -> tuple[WorkloadEndpoint, ...]:
    """All endpoints, by id."""
    everything = tuple(resources)
    written = [item for item in everything if isinstance(item, WorkloadEndpoint)]
    replaced = frozenset[EndpointID]().union(*map(stands_for, written))
    made = [endpoint_of_pod(item) for item in everything if isinstance(item, Pod)]
    pods = [endpoint for endpoint in made if endpoint is not None and endpoint_id(endpoint) not in replaced]
    return tuple(sorted((*written, *pods), key=endpoint_id))
