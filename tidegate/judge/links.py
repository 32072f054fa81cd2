"""Interfaces of nodes on paper: those that the host endpoints speak of, where no kernel can be asked.

An endpoint that only expects addresses gets an interface with these addresses, under a name that no interface has.
"""

from collections.abc import Iterable, Mapping

from policy.evaluate import Links
from policy.resources.metadata import Resource
from policy.resources.workload import HostEndpoint
from policy.rules import EVERY_INTERFACE, IPAddress


def host_endpoints(resources: Iterable[Resource]) -> tuple[HostEndpoint, ...]:
    """All of them, by name."""
    found = (item for item in resources if isinstance(item, HostEndpoint))
    return tuple(sorted(found, key=lambda item: item.metadata.name))


def paper_links(resources: Iterable[Resource]) -> Links:
    """Addresses by node and interface."""
    links: dict[str, dict[str, frozenset[IPAddress]]] = {}
    for endpoint in host_endpoints(resources):
        spec = endpoint.spec
        if spec.interface_name != EVERY_INTERFACE:
            interfaces = links.setdefault(spec.node, {})
            name = spec.interface_name or f"({endpoint.metadata.name})"
            interfaces[name] = interfaces.get(name, frozenset()) | frozenset(spec.expected_ips)
    return links


def uplink(interfaces: Mapping[str, frozenset[IPAddress]], address: IPAddress | None) -> str:
    """The interface through which a node is reached at the address; the first one where none has it, "" of none."""
    having = (name for name, own in interfaces.items() if address in own)
    return next(having, next(iter(interfaces), ""))
