"""What the documents say about nodes, in the words of the WireGuard workshop. Pure."""

from collections.abc import Iterable, Iterator
from typing import final

from policy.resources.kube_node import Node
from policy.resources.metadata import Resource
from policy.rules import IPAddress
from tidegate.config.wireguard import TunnelSettings
from tidegate.sync.conditions import Condition, ConditionType
from wg import mesh
from wg.errors import KeyDecodeError
from wg.keys import PublicKey

_TOLD = {
    mesh.Reason.BAD_KEY: "what its document says is no public key",
    mesh.Reason.NO_ADDRESS: "its document says no address of this version of IP",
    mesh.Reason.OWN_KEY_TAKEN: "it says this node's key, so this node encrypts to nobody",
}
"""Reasons that are faults. A node without a key is none: it may not take part."""


@final
class NodeReader:
    """Reads the nodes of the documents; keeps what it read for as long as a document stays the same object."""

    def __init__(self, version: int) -> None:
        self._version = version
        self._known: dict[str, tuple[Node, mesh.Node]] = {}
        """By name; none that is no longer among the documents."""

    def read(self, resources: Iterable[Resource]) -> tuple[mesh.Node, ...]:
        """All of them, in the documents' order."""
        known, self._known = self._known, {}
        found = []
        for document in resources:
            if isinstance(document, Node):
                name = document.metadata.name
                before = known.get(name)
                is_known = before is not None and before[0] is document
                node = before[1] if before is not None and is_known else _node(document, self._version)
                self._known[name] = (document, node)
                found.append(node)
        return tuple(found)


def _node(node: Node, version: int) -> mesh.Node:
    said, key, is_bad = node.wireguard_key(version), None, False
    if said:
        try:
            key = PublicKey.from_text(said)
        except KeyDecodeError:
            is_bad = True
    return mesh.Node(
        name=node.metadata.name,
        address=_of_version((*node.internal_addresses, *node.calico_addresses), version),
        networks=frozenset(network for network in node.pod_networks if network.version == version),
        tunnel_address=node.wireguard_address(version),
        public_key=key,
        has_bad_key=is_bad,
    )


def _of_version(addresses: Iterable[IPAddress], version: int) -> IPAddress | None:
    return next((address for address in addresses if address.version == version), None)


def own_node(nodes: Iterable[mesh.Node], name: str) -> mesh.Node:
    """This node; one that no document names has nothing behind it."""
    return next((node for node in nodes if node.name == name), mesh.Node(name=name))


def faults(found: mesh.Mesh, tunnel: TunnelSettings) -> Iterator[Condition]:
    """What keeps nodes from being peers, and networks that several claim."""
    for left in found.left_out:
        told = _TOLD.get(left.reason)
        if left.reason is mesh.Reason.DUPLICATE_KEY:
            told = f"it says the same key as {', '.join(left.others)}: none of them is encrypted to"
        if told is not None:
            yield _fault(left.reason.value, f"cannot encrypt to {left.node}: {told}", f"{tunnel.interface} {left.node}")
    for item in found.contested:
        message = f"{item.network} is claimed by {item.owner} and by {', '.join(item.losers)}: {item.owner} gets it"
        yield _fault("NetworkContested", message, f"{tunnel.interface} {item.network}")


def _fault(reason: str, message: str, subject: str) -> Condition:
    return Condition(type=ConditionType.NOT_ENCRYPTED, is_true=True, reason=reason, message=message, subject=subject)


def own_key_faults(own: mesh.Node, key: PublicKey, tunnel: TunnelSettings) -> Iterator[Condition]:
    """Whether the others know the key that this node's device has."""
    if own.public_key == key:
        return
    said = "another key" if own.public_key is not None or own.has_bad_key else "no key"
    message = f"the document of node {own.name} says {said}: no node encrypts to this one until it says {key}"
    yield _fault("KeyNotPublished", message, f"{tunnel.interface} {own.name}")


def unpublished(why: str) -> Condition:
    """This node's keys cannot be said to the others."""
    return _fault("CannotPublish", why, "wireguardNodeFile")


def silence(node: str, tunnel: TunnelSettings) -> Condition:
    """A node that is sent packets and does not shake hands."""
    message = f"{node} does not answer: packets for it wait for a handshake that does not come"
    return _fault("HandshakeOverdue", message, f"{tunnel.interface} {node} handshake")
