"""Host endpoints from what describes them: documents, or nodes and the configuration that makes endpoints of them.

Answers each change with what the names that it touches stand for now; None is nothing. A change of a node costs its own
endpoints, one of the configuration those of all nodes.
"""

from policy.auto_hosts import CONFIGURATION, automatic, settings_of
from policy.hosts import Addresses
from policy.resources.controllers import KubeControllersConfiguration
from policy.resources.kube_node import Node
from policy.resources.workload import HostEndpoint
from policy.rules import HostEndpointID

HostEndpointMeaning = tuple[HostEndpointID, HostEndpoint | None]


class HostEndpointSource:
    """A written host endpoint stands before one that is made under its name."""

    def __init__(self, node_name: str) -> None:
        self._node_name = node_name
        self._written: dict[str, HostEndpoint] = {}
        self._made: dict[str, dict[str, HostEndpoint]] = {}
        """By node, by name; nodes that have none are absent."""
        self._nodes: dict[str, Node] = {}
        self._wanted = settings_of(None)
        self._interfaces: Addresses = {}

    def on_endpoint(self, name: str, endpoint: HostEndpoint | None) -> list[HostEndpointMeaning]:
        """A written one came, changed or went (None)."""
        if endpoint is None:
            self._written.pop(name, None)
        else:
            self._written[name] = endpoint
        return [self._meaning(name)]

    def on_node(self, name: str, node: Node | None) -> list[HostEndpointMeaning]:
        """A node came, changed or went (None)."""
        if node is None:
            self._nodes.pop(name, None)
        else:
            self._nodes[name] = node
        return self._make(name)

    def on_configuration(
        self, name: str, configuration: KubeControllersConfiguration | None
    ) -> list[HostEndpointMeaning]:
        """A configuration came, changed or went (None)."""
        if name != CONFIGURATION:
            return []
        self._wanted = settings_of(configuration)
        return [meaning for node in sorted(self._nodes) for meaning in self._make(node)]

    def on_interfaces(self, interfaces: Addresses) -> list[HostEndpointMeaning]:
        """The addresses of this node's interfaces are these."""
        self._interfaces = interfaces
        return self._make(self._node_name)

    def _make(self, name: str) -> list[HostEndpointMeaning]:
        before = self._made.pop(name, {})
        node = self._nodes.get(name)
        interfaces = self._interfaces if name == self._node_name else {}
        made = {} if node is None else {item.metadata.name: item for item in automatic(self._wanted, node, interfaces)}
        if made:
            self._made[name] = made
        return [self._meaning(one) for one in sorted(before.keys() | made.keys()) if before.get(one) != made.get(one)]

    def _meaning(self, name: str) -> HostEndpointMeaning:
        found = self._written.get(name)
        if found is None:
            found = next((made[name] for _, made in sorted(self._made.items()) if name in made), None)
        return HostEndpointID(name), found
