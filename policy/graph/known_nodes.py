"""The addresses of the cluster's nodes, counted: two nodes may claim one for a while."""

from collections import Counter

from policy.graph.sequencer import Sequencer
from policy.resources.kube_node import Node
from policy.rules import IPAddress


class KnownNodes:
    """Tells the sequencer all addresses when one of them changed; a node's heartbeat costs nothing."""

    def __init__(self, sequencer: Sequencer) -> None:
        self._sequencer = sequencer
        self._addresses_of: dict[str, frozenset[IPAddress]] = {}
        self._counts: Counter[IPAddress] = Counter()

    def on_node(self, name: str, node: Node | None) -> None:
        """A node came, changed or went (None)."""
        before = self._addresses_of.pop(name, frozenset())
        after = frozenset[IPAddress]() if node is None else frozenset(node.addresses)
        if after:
            self._addresses_of[name] = after
        if before != after:
            self._counts.update(after)
            self._counts.subtract(before)
            self._counts = +self._counts
            self._sequencer.node_addresses = frozenset(self._counts)
