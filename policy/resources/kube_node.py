"""Nodes, as far as policy reads them: labels, by which policies select them, and addresses.

Calico's own Node says the same in other words; it is read as this one.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import ClassVar

from pydantic import ConfigDict, Field

from policy.resources.addresses import loose_network
from policy.resources.fields import Items, Text
from policy.resources.kube import OpenModel
from policy.resources.metadata import ObjectMeta, Resource
from policy.rules import IPAddress, IPNetwork

_OWN_ADDRESSES = frozenset(("InternalIP", "ExternalIP"))
"""Kubernetes: NodeAddressType; the others are names."""
_CALICO_ADDRESSES = ("projectcalico.org/IPv4Address", "projectcalico.org/IPv6Address")
_CALICO_TUNNELS = (
    "projectcalico.org/IPv4IPIPTunnelAddr",
    "projectcalico.org/IPv4VXLANTunnelAddr",
    "projectcalico.org/IPv6VXLANTunnelAddr",
    "projectcalico.org/IPv4WireguardInterfaceAddr",
    "projectcalico.org/IPv6WireguardInterfaceAddr",
)
"""Annotations in which Calico keeps what a node's own traffic may come from."""
WIREGUARD_KEYS = {4: "projectcalico.org/WireguardPublicKey", 6: "projectcalico.org/WireguardPublicKeyV6"}
"""Annotations in which Calico's nodes tell each other their public keys, by version of IP."""
_WIREGUARD_ADDRESSES = {4: _CALICO_TUNNELS[3], 6: _CALICO_TUNNELS[4]}


class NodeAddress(OpenModel):
    """One way to call a node."""

    type: Text = ""
    address: Text = ""


class NodeStatus(OpenModel):
    """What the cluster knows about the machine."""

    addresses: Items[NodeAddress] = ()


class NodeSpec(OpenModel):
    """Which addresses its pods get."""

    pod_cidr: Text = Field(default="", alias="podCIDR")
    pod_cidrs: Items[Text] = Field(default=(), alias="podCIDRs")
    """One of each version of IP; with the one above in front."""


class Node(Resource):
    """A machine of the cluster."""

    model_config = ConfigDict(extra="ignore")
    KIND: ClassVar = "Node"
    IS_NAMESPACED: ClassVar = False
    IGNORED: ClassVar = frozenset[str]()

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def pod_networks(self) -> tuple[IPNetwork, ...]:
        """The networks of its pods, each once; what cannot be read is none."""
        return tuple(dict.fromkeys(_networks((self.spec.pod_cidr, *self.spec.pod_cidrs))))

    def wireguard_key(self, version: int) -> str:
        """The public key that its document says, for one version of IP; empty where it says none."""
        return self.metadata.annotations.get(WIREGUARD_KEYS[version], "").strip()

    def wireguard_address(self, version: int) -> IPAddress | None:
        """The address of its WireGuard device."""
        found = _readable([self.metadata.annotations.get(_WIREGUARD_ADDRESSES[version], "")])
        return next((address for address in found if address.version == version), None)

    @property
    def internal_addresses(self) -> tuple[IPAddress, ...]:
        """The addresses of type InternalIP, in order."""
        return _readable(entry.address for entry in self.status.addresses if entry.type == "InternalIP")

    @property
    def calico_addresses(self) -> tuple[IPAddress, ...]:
        """What Calico's annotations say: the node's own addresses, then those of its tunnels."""
        annotations = self.metadata.annotations
        return _readable(annotations.get(key, "") for key in (*_CALICO_ADDRESSES, *_CALICO_TUNNELS))

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """Every address that the node's own traffic is known to come from or go to, each once."""
        told = _readable(entry.address for entry in self.status.addresses if entry.type in _OWN_ADDRESSES)
        return tuple(dict.fromkeys((*told, *self.calico_addresses)))


def _readable(texts: Iterable[str]) -> tuple[IPAddress, ...]:
    """Those that are addresses, with or without a length; what cannot be read names nobody."""
    return tuple(dict.fromkeys(_addresses(texts)))


def _networks(texts: Iterable[str]) -> Iterator[IPNetwork]:
    for text in texts:
        try:
            yield loose_network(text)
        except ValueError:
            continue


def _addresses(texts: Iterable[str]) -> Iterator[IPAddress]:
    for text in texts:
        try:
            loose_network(text)
            yield ip_address(text.partition("/")[0])
        except ValueError:
            continue


# --- Calico's own ---


class CalicoNodeAddress(OpenModel):
    """One address of a node."""

    address: Text = ""


class CalicoNodeBGP(OpenModel):
    """Where a node's routes are told from; here for the addresses."""

    ipv4_address: Text = ""
    ipv6_address: Text = ""


class CalicoNodeWireguard(OpenModel):
    """The addresses of its WireGuard devices."""

    interface_ipv4_address: Text = Field(default="", alias="interfaceIPv4Address")
    interface_ipv6_address: Text = Field(default="", alias="interfaceIPv6Address")


class CalicoNodeSpec(OpenModel):
    """The addresses."""

    addresses: Items[CalicoNodeAddress] = ()
    bgp: CalicoNodeBGP = CalicoNodeBGP()
    wireguard: CalicoNodeWireguard = CalicoNodeWireguard()


class CalicoNodeStatus(OpenModel):
    """The keys of its WireGuard devices, and what Kubernetes says of its pods' addresses."""

    wireguard_public_key: Text = ""
    wireguard_public_key_v6: Text = Field(default="", alias="wireguardPublicKeyV6")
    pod_cidrs: Items[Text] = Field(default=(), alias="podCIDRs")


class CalicoNode(Resource):
    """projectcalico.org/v3 Node."""

    model_config = ConfigDict(extra="ignore")
    KIND: ClassVar = "Node"
    IS_NAMESPACED: ClassVar = False
    IGNORED: ClassVar = frozenset[str]()

    spec: CalicoNodeSpec = CalicoNodeSpec()
    status: CalicoNodeStatus = CalicoNodeStatus()


def converted(node: CalicoNode) -> Node:
    """The node in Kubernetes' words: labels stay, addresses become internal ones."""
    spec = node.spec
    told = [spec.bgp.ipv4_address, spec.bgp.ipv6_address, *(entry.address for entry in spec.addresses)]
    entries = tuple(NodeAddress(type="InternalIP", address=str(address)) for address in _readable(told))
    return Node(
        metadata=_metadata(node.metadata.labels, node),
        spec=NodeSpec(podCIDRs=node.status.pod_cidrs),
        status=NodeStatus(addresses=entries),
    )


def _metadata(labels: Mapping[str, str], node: CalicoNode) -> ObjectMeta:
    said = {
        WIREGUARD_KEYS[4]: node.status.wireguard_public_key,
        WIREGUARD_KEYS[6]: node.status.wireguard_public_key_v6,
        _WIREGUARD_ADDRESSES[4]: node.spec.wireguard.interface_ipv4_address,
        _WIREGUARD_ADDRESSES[6]: node.spec.wireguard.interface_ipv6_address,
    }
    annotations = {**node.metadata.annotations, **{name: value for name, value in said.items() if value}}
    return ObjectMeta(name=node.metadata.name, labels=dict(labels), annotations=annotations)
