"""Host endpoints that nobody writes: made of nodes by a configuration (Calico: automatic host endpoints).

    KubeControllersConfiguration `default` + Node ---> `NODE-auto-hep`, `NODE-TEMPLATE-auto-hep`,
                                                       `NODE-TEMPLATE-INTERFACE-auto-hep`

One that somebody wrote stands before one that is made under the same name. Templates with a pattern look at the node's
interfaces, so a node makes them for itself; what other nodes know of it are the addresses in its Node.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from policy.hosts import Addresses
from policy.identity import unique_id
from policy.resources.controllers import (
    AutomaticHostEndpoints,
    Enabled,
    HostEndpointTemplate,
    KubeControllersConfiguration,
)
from policy.resources.kube_node import Node
from policy.resources.metadata import ObjectMeta, Resource
from policy.resources.workload import HostEndpoint, HostEndpointSpec
from policy.rules import EVERY_INTERFACE, IPAddress
from policy.selectors import parse

CONFIGURATION = "default"
"""The name of the one configuration that counts."""
CREATED_BY = "projectcalico.org/created-by"
_CREATOR = "calico-kube-controllers"
_SUFFIX = "auto-hep"
_PROFILES = ("projectcalico-default-allow",)
_MAX_NAME = 253


def host_endpoints(resources: Iterable[Resource], links: Mapping[str, Addresses]) -> tuple[HostEndpoint, ...]:
    """All host endpoints, written or made, by name. `links`: the interfaces of nodes, as far as they are known."""
    everything = tuple(resources)
    configured = [item for item in everything if isinstance(item, KubeControllersConfiguration)]
    wanted = settings_of(next((item for item in configured if item.metadata.name == CONFIGURATION), None))
    found = {
        made.metadata.name: made
        for node in everything
        if isinstance(node, Node)
        for made in automatic(wanted, node, links.get(node.metadata.name, {}))
    }
    found.update((item.metadata.name, item) for item in everything if isinstance(item, HostEndpoint))
    return tuple(found[name] for name in sorted(found))


def settings_of(configuration: KubeControllersConfiguration | None) -> AutomaticHostEndpoints:
    """What a configuration says; without one, nothing is made."""
    if configuration is None:
        return AutomaticHostEndpoints()
    return configuration.spec.controllers.node.host_endpoint


def automatic(wanted: AutomaticHostEndpoints, node: Node, interfaces: Addresses) -> Iterator[HostEndpoint]:
    """The host endpoints that a node gets by itself, each name once."""
    if wanted.auto_create is Enabled.DISABLED:
        return
    if wanted.create_default_host_endpoint is Enabled.ENABLED:
        yield _made(node, "", EVERY_INTERFACE, _expected(node), None)
    for template in wanted.templates:
        if parse(template.node_selector).matches(node.metadata.labels):
            yield from _of_template(template, node, interfaces)


def _of_template(template: HostEndpointTemplate, node: Node, interfaces: Addresses) -> Iterator[HostEndpoint]:
    if template.interface_pattern:
        for name in sorted(interfaces):
            if re.search(template.interface_pattern, name):
                own = _within(template, sorted(interfaces[name], key=str))
                yield _made(node, f"{template.generate_name}-{name}", name, own, template)
        return
    # Without an address it could never be found.
    if expected := _within(template, _expected(node)):
        yield _made(node, template.generate_name, "", expected, template)


def _expected(node: Node) -> tuple[IPAddress, ...]:
    return tuple(dict.fromkeys((*node.calico_addresses, *node.internal_addresses)))


def _within(template: HostEndpointTemplate, addresses: Iterable[IPAddress]) -> tuple[IPAddress, ...]:
    nets = template.interface_cidrs
    return tuple(address for address in addresses if not nets or any(address in net for net in nets))


def _made(
    node: Node, middle: str, interface: str, expected: tuple[IPAddress, ...], template: HostEndpointTemplate | None
) -> HostEndpoint:
    name = "-".join(part for part in (node.metadata.name, middle.strip("-"), _SUFFIX) if part)
    labels = {**node.metadata.labels, **(template.labels if template else {}), CREATED_BY: _CREATOR}
    annotations = template.annotations if template else {}
    # Unchecked: what it is made of has been checked, and an interface's name need not fit into a resource's.
    return HostEndpoint.model_construct(
        metadata=ObjectMeta.model_construct(name=_bounded(name), labels=labels, annotations=annotations),
        spec=HostEndpointSpec.model_construct(
            node=node.metadata.name, interface_name=interface, expected_ips=expected, profiles=_PROFILES
        ),
    )


def _bounded(name: str) -> str:
    """A name that is too long ends in its hash."""
    if len(name) <= _MAX_NAME:
        return name
    digest = unique_id("hep", name).partition(":")[2].lower().replace("_", "x").strip("-")
    return f"{name[: _MAX_NAME - len(digest) - len(_SUFFIX) - 2]}-{digest}-{_SUFFIX}"
