"""How host endpoints are made by themselves (Calico: KubeControllersConfiguration, controllers.node.hostEndpoint).

Everything else in that kind configures controllers that are not here; it is accepted and dropped.
"""

import re
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from policy.resources.addresses import Prefix
from policy.resources.fields import Items, Labels, SelectorText, Text, at_most, choice, shown
from policy.resources.kube import OpenModel
from policy.resources.metadata import Resource
from policy.resources.model import Model


class Enabled(StrEnum):
    """On or off."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"cannot be {shown(value)}: it is no regular expression ({error})") from error
    return value


class HostEndpointTemplate(Model):
    """Makes one host endpoint of a node, or one for each interface whose name matches the pattern."""

    generate_name: Annotated[Text, at_most(253)] = ""
    node_selector: SelectorText = ""
    """About the node's labels; "" is every node."""
    interface_cidrs: Items[Prefix] = ()
    """Which addresses the endpoint expects; empty is all that the node is known by."""
    interface_pattern: Annotated[Text, AfterValidator(_pattern)] = ""
    labels: Labels = Field(default_factory=dict)
    annotations: dict[Text, Text] = Field(default_factory=dict)


class AutomaticHostEndpoints(Model):
    """Whether and how each node gets host endpoints without anybody writing them."""

    auto_create: Annotated[Enabled, choice(*Enabled)] = Enabled.DISABLED
    create_default_host_endpoint: Annotated[Enabled, choice(*Enabled)] = Enabled.ENABLED
    """One for every interface, which allows everything that policy does not decide about."""
    templates: Items[HostEndpointTemplate] = ()


class NodeController(OpenModel):
    """The controller of nodes."""

    host_endpoint: AutomaticHostEndpoints = AutomaticHostEndpoints()


class Controllers(OpenModel):
    """The controllers."""

    node: NodeController = NodeController()


class KubeControllersSpec(OpenModel):
    """What is configured."""

    controllers: Controllers = Controllers()


class KubeControllersConfiguration(Resource):
    """Configures what makes resources out of a cluster's own objects. Only the one named `default` counts."""

    KIND: ClassVar = "KubeControllersConfiguration"
    IS_NAMESPACED: ClassVar = False

    spec: KubeControllersSpec = KubeControllersSpec()
