"""Kubernetes' own kinds, as far as policy reads them; everything else in them is accepted and dropped."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import ConfigDict

from policy.resources import names
from policy.resources.addresses import Address
from policy.resources.fields import Flag, Integer, Items, Text
from policy.resources.metadata import Resource
from policy.resources.model import Model

_NAME_LABEL = "kubernetes.io/metadata.name"


class OpenModel(Model):
    """A part of a Kubernetes object, of which policy reads only some fields."""

    model_config = ConfigDict(extra="ignore")


class Namespace(Resource):
    """A namespace: its labels are inherited by everything in it."""

    model_config = ConfigDict(extra="ignore")
    KIND: ClassVar = "Namespace"
    IS_NAMESPACED: ClassVar = False

    @classmethod
    def prepared(cls, given: dict[str, object]) -> dict[str, object]:
        """With the label that the API server gives every namespace."""
        metadata = given.get("metadata")
        if isinstance(metadata, Mapping):
            name, labels = metadata.get("name"), metadata.get("labels") or {}
            if isinstance(labels, Mapping) and isinstance(name, str) and not names.wrong_label(name):
                given["metadata"] = {**metadata, "labels": {_NAME_LABEL: name, **labels}}
        return super().prepared(given)


class ServiceAccount(Resource):
    """A service account: its labels are inherited by the pods that run under it."""

    model_config = ConfigDict(extra="ignore")
    KIND: ClassVar = "ServiceAccount"
    IS_NAMESPACED: ClassVar = True


class ContainerPort(OpenModel):
    """A port that a container names."""

    name: Text = ""
    container_port: Integer
    host_port: Integer = 0
    host_ip: Text = ""
    protocol: Text = "TCP"


class Container(OpenModel):
    """A container, for its ports."""

    ports: Items[ContainerPort] = ()


class PodSpec(OpenModel):
    """Where and under which identity a pod runs."""

    node_name: Text = ""
    service_account_name: Text = ""
    host_network: Flag = False
    containers: Items[Container] = ()
    init_containers: Items[Container] = ()


class PodIP(OpenModel):
    """One of a pod's addresses."""

    ip: Address


class PodStatus(OpenModel):
    """What the cluster knows about a running pod."""

    phase: Text = ""
    pod_ip: Address | None = None
    pod_ips: Items[PodIP] = ()


class Pod(Resource):
    """A pod; `conversion.endpoint_of_pod` makes it a WorkloadEndpoint."""

    model_config = ConfigDict(extra="ignore")
    KIND: ClassVar = "Pod"
    IS_NAMESPACED: ClassVar = True
    IGNORED: ClassVar = frozenset[str]()

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()
