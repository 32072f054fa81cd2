"""Interfaces of nodes on paper: those that the host endpoints speak of, where no kernel can be asked.

An endpoint that only expects addresses gets an interface with these addresses, under a name that no interface has.
"""

from collections.abc import Iterable, Mapping

from policy.evaluate import Links
from policy.resources.workload import HostEndpoint
from policy.rules import EVERY_INTERFACE, IPAddress


def paper_links(endpoints: Iterable[HostEndpoint]) -> Links:
    """Addresses by node and interface, those of the endpoints that come first before others."""
    links: dict[str, dict[str, frozenset[IPAddress]]] = {}
    for endpoint in endpoints:
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
