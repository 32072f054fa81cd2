"""Which nodes are peers, what is behind each, and what stays in clear and why. Pure; one version of IP at a time.

    mesh(own, others, wants)  --->  Mesh: peers for the device, routes for the table, nodes that were left out

Every node comes to the same answer from the same documents, so no two disagree about a pair. A key that two nodes
claim belongs to neither: whoever copied it could read the other's traffic. Both are left out until only one has it;
if one of them is this node, it encrypts to nobody. A node whose document says no key yet knows its peers already, and
believes them, but sends in clear: from the moment they know its key both ways are encrypted, and nothing is lost.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network

from wg.keys import PublicKey
from wg.model import Endpoint, IPAddress, IPNetwork, Peer
from wg.routing import Route, RouteKind


class Reason(StrEnum):
    """Why a node is no peer."""

    NO_KEY = "NoKey"
    """It does not take part, or did not say its key yet."""
    BAD_KEY = "BadKey"
    """What it says is no key."""
    DUPLICATE_KEY = "DuplicateKey"
    """Another node says the same key."""
    OWN_KEY_TAKEN = "OwnKeyTaken"
    """Another node says this node's key: nobody can tell them apart, so this node encrypts to nobody."""
    NOT_PUBLISHED = "NotPublished"
    """This node's own document says no key, so no other node encrypts to it, nor believes what it encrypts."""
    NO_ADDRESS = "NoAddress"
    """Nobody says where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node as the documents show it."""

    name: str
    address: IPAddress | None = None
    """Where its UDP is sent to."""
    networks: frozenset[IPNetwork] = frozenset()
    """Its workloads'."""
    tunnel_address: IPAddress | None = None
    """Of its device."""
    public_key: PublicKey | None = None
    has_bad_key: bool = False
    """It says something that is no key."""

    def behind(self, version: int) -> frozenset[IPNetwork]:
        """What is reached through it, of one version of IP."""
        networks = self.networks
        if any(network.version != version for network in networks):
            networks = frozenset(network for network in networks if network.version == version)
        if self.tunnel_address is None or self.tunnel_address.version != version:
            return networks
        return networks | {ip_network(self.tunnel_address)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wants:
    """What is asked of the mesh."""

    version: int
    own_key: PublicKey
    """The one that this node's device has, whatever its document says."""
    port: int
    """Of every node's device: they are configured alike."""
    keepalive_seconds: int = 0
    is_strict: bool = False
    """What cannot be encrypted does not go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A node that is no peer."""

    node: str
    reason: Reason
    networks: tuple[IPNetwork, ...]
    """What goes to it in clear, or not at all where that is asked for."""
    others: tuple[str, ...] = ()
    """The nodes that claim the same key."""


@dataclass(frozen=True, slots=True)
class Contested:
    """A network that several nodes claim; it is the first one's, and every node says so."""

    network: IPNetwork
    owner: str
    losers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """The answer."""

    peers: Mapping[PublicKey, Peer]
    names: Mapping[PublicKey, str]
    """Which node each peer is."""
    routes: frozenset[Route]
    left_out: tuple[LeftOut, ...]
    contested: tuple[Contested, ...]


def mesh(own: Node, others: Iterable[Node], wants: Wants) -> Mesh:
    """Derives peers and routes. The order of the nodes is of no account; names are unique."""
    nodes = sorted((node for node in others if node.name != own.name), key=lambda node: node.name)
    behind, contested = _divided(own, nodes, wants.version)
    said = Counter(node.public_key for node in nodes if node.public_key is not None)
    is_alone = wants.own_key in said or own.public_key in said
    is_published = own.public_key is not None and not own.has_bad_key
    left_out, peers, names = [], {}, {}
    for node in nodes:
        networks = behind[node.name]
        reason = _reason(node, said, is_alone=is_alone)
        if reason is None and node.public_key is not None and node.address is not None:
            names[node.public_key] = node.name
            peers[node.public_key] = Peer(
                public_key=node.public_key,
                endpoint=Endpoint(node.address, wants.port),
                allowed_ips=networks,
                keepalive_seconds=wants.keepalive_seconds,
            )
            reason = None if is_published else Reason.NOT_PUBLISHED
        if reason is not None:
            left_out.append(_left(node, reason, networks, nodes))
    clear = frozenset(network for left in left_out for network in left.networks)
    tunnelled = frozenset[IPNetwork]().union(*(peer.allowed_ips for peer in peers.values())) - clear
    routes = frozenset(_routes(own.behind(wants.version), tunnelled, clear, is_strict=wants.is_strict))
    return Mesh(
        peers=peers,
        names=names,
        routes=routes,
        left_out=tuple(left_out),
        contested=tuple(contested),
    )


def _divided(own: Node, nodes: Sequence[Node], version: int) -> tuple[dict[str, frozenset[IPNetwork]], list[Contested]]:
    """What each node has, and what several claim: this node's own must not leave it; then the first by name has it.

    By operations on whole sets, which keep the hashes that they have: a network's takes Python a microsecond.
    """
    behind = {node.name: node.behind(version) for node in (own, *nodes)}
    taken, several = set(behind[own.name]), set[IPNetwork]()
    won = {}
    for node in nodes:
        claimed = behind[node.name]
        several |= claimed & taken
        won[node.name] = claimed - taken
        taken |= claimed
    contested = []
    for network in _sorted(several):
        owner, *losers = (name for name, claimed in behind.items() if network in claimed)
        contested.append(Contested(network, owner, tuple(losers)))
    return won, contested


def _sorted(networks: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    return tuple(sorted(networks, key=lambda item: (item.version, item.network_address, item.prefixlen)))


def _reason(node: Node, said: Mapping[PublicKey, int], *, is_alone: bool) -> Reason | None:
    if node.has_bad_key:
        return Reason.BAD_KEY
    if node.public_key is None:
        return Reason.NO_KEY
    if said[node.public_key] > 1:
        return Reason.DUPLICATE_KEY
    if is_alone:
        return Reason.OWN_KEY_TAKEN
    return Reason.NO_ADDRESS if node.address is None else None


def _left(node: Node, reason: Reason, networks: frozenset[IPNetwork], nodes: Iterable[Node]) -> LeftOut:
    same = node.public_key is not None and reason is Reason.DUPLICATE_KEY
    others = tuple(other.name for other in nodes if same and other is not node and other.public_key == node.public_key)
    return LeftOut(node=node.name, reason=reason, networks=_sorted(networks), others=others)


def _routes(
    own: frozenset[IPNetwork], tunnelled: frozenset[IPNetwork], clear: frozenset[IPNetwork], *, is_strict: bool
) -> Iterator[Route]:
    yield from (Route(network, RouteKind.THROW) for network in own)
    yield from (Route(network, RouteKind.TUNNEL) for network in tunnelled)
    if is_strict:
        # Beside the tunnel's as well: the kernel takes a device's routes away with it, and then this one is left.
        yield from (Route(network, RouteKind.UNREACHABLE) for network in tunnelled | clear)
    else:
        yield from (Route(network, RouteKind.THROW) for network in clear)
