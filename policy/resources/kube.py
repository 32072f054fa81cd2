"""Kubernetes' own kinds, as far as policy reads them; everything else in them is accepted and dropped."""

from typing import ClassVar

from pydantic import ConfigDict, Field

from policy.resources.metadata import Resource
from policy.resources.model import Model
from policy.rules import IPAddress


class OpenModel(Model):
    """A part of a Kubernetes object, of which policy reads only some fields."""

    model_config = ConfigDict(extra="ignore")


class Namespace(Resource):
    """A namespace: its labels are inherited by everything in it."""

    model_config = ConfigDict(extra="ignore")
    KIND: ClassVar = "Namespace"
    IS_NAMESPACED: ClassVar = False


class ServiceAccount(Resource):
    """A service account: its labels are inherited by the pods that run under it."""

    model_config = ConfigDict(extra="ignore")
    KIND: ClassVar = "ServiceAccount"
    IS_NAMESPACED: ClassVar = True


class ContainerPort(OpenModel):
    """A port that a container names."""

    name: str = ""
    container_port: int
    host_port: int = 0
    host_ip: str = ""
    protocol: str = "TCP"


class Container(OpenModel):
    """A container, for its ports."""

    ports: tuple[ContainerPort, ...] = ()


class PodSpec(OpenModel):
    """Where and under which identity a pod runs."""

    node_name: str = ""
    service_account_name: str = ""
    host_network: bool = False
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()


class PodIP(OpenModel):
    """One of a pod's addresses."""

    ip: IPAddress


class PodStatus(OpenModel):
    """What the cluster knows about a running pod."""

    phase: str = ""
    pod_ip: IPAddress | None = None
    pod_ips: tuple[PodIP, ...] = Field(default=())


class Pod(Resource):
    """A pod; `conversion.endpoint_of_pod` makes it a WorkloadEndpoint."""

    model_config = ConfigDict(extra="ignore")
    KIND: ClassVar = "Pod"
    IS_NAMESPACED: ClassVar = True

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()
