"""The settings about WireGuard between nodes. `wireguard` tells what they make of one device."""

# ruff: noqa: RUF009, FBT003 - `knob` gives a dataclass field with that default; it is not a shared value

from dataclasses import dataclass
from pathlib import Path

from tidegate.config import kinds
from tidegate.config.knob import knob

DEVICE_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}"
"""linux/if.h: IFNAMSIZ; and it becomes the name of a socket's file."""

_WIREGUARD = "Encryption between nodes"


@dataclass(frozen=True, kw_only=True)
class EncryptionSettings:
    """The part of the configuration about encryption."""

    wireguard_enabled: bool = knob(
        "wireguardEnabled", _WIREGUARD, kinds.boolean(), False,
        "Carry IPv4 between workloads of different nodes through WireGuard: the kernel's, or wireguard-go where it has "
        "none. Of this node; set it for some by FelixConfiguration documents, and the others are reached in clear.",
    )  # fmt: skip
    wireguard_enabled_v6: bool = knob(
        "wireguardEnabledV6", _WIREGUARD, kinds.boolean(), False, "Likewise IPv6, through a device of its own."
    )
    wireguard_strict: bool = knob(
        "wireguardStrict", _WIREGUARD, kinds.boolean(), False,
        "What cannot be encrypted does not go: nodes without a key are not reached, and a device that is gone leaves "
        "no way in clear. Otherwise both are routed as without encryption.",
    )  # fmt: skip
    wireguard_listening_port: int = knob(
        "wireguardListeningPort", _WIREGUARD, kinds.integer(1, 65535), 51820,
        "Where this node's device listens, over UDP, and where other nodes' are sought: the same on all.",
    )  # fmt: skip
    wireguard_listening_port_v6: int = knob(
        "wireguardListeningPortV6", _WIREGUARD, kinds.integer(1, 65535), 51821, "Likewise of the IPv6 device."
    )
    wireguard_interface_name: str = knob(
        "wireguardInterfaceName", _WIREGUARD, kinds.text(DEVICE_PATTERN, "an interface name"), "wireguard.cali",
        "The device. Sockets of wireguard-go are not apart by network namespace: there each needs another name.",
    )  # fmt: skip
    wireguard_interface_name_v6: str = knob(
        "wireguardInterfaceNameV6", _WIREGUARD, kinds.text(DEVICE_PATTERN, "an interface name"), "wg-v6.cali",
        "Likewise for IPv6.",
    )  # fmt: skip
    wireguard_mtu: int = knob(
        "wireguardMTU", _WIREGUARD, kinds.integer(0, 65535), 0,
        "Of the device; 0 is that of the interface with the node's address, less 60 bytes (80 between IPv6 addresses).",
    )  # fmt: skip
    wireguard_mtu_v6: int = knob(
        "wireguardMTUV6", _WIREGUARD, kinds.integer(0, 65535), 0, "Likewise of the IPv6 device."
    )
    wireguard_node_file: Path | None = knob(
        "wireguardNodeFile", _WIREGUARD, kinds.path(), None,
        "The file among the documents that has this node's Node, given to the agent: it writes its public keys "
        "there, as annotations, and takes them out where encryption is off. Without it somebody else has to. Comments "
        "in the file get lost.",
    )  # fmt: skip
    wireguard_publish_keys: bool = knob(
        "wireguardPublishKeys", _WIREGUARD, kinds.boolean(), False,
        "Following a cluster, the agent writes its public keys as annotations of its Node, and takes them out where "
        "encryption is off. Its account needs to be allowed that (deploy/kubernetes/wireguard.yaml).",
    )  # fmt: skip
    wireguard_key_rotation_seconds: float = knob(
        "wireguardKeyRotation", _WIREGUARD, kinds.duration(), 0.0,
        "After so long a key is replaced by a new one; 0 is never. Needs somebody who says it to the others: "
        "wireguardNodeFile or wireguardPublishKeys.",
    )  # fmt: skip
    wireguard_keep_alive_seconds: float = knob(
        "wireguardKeepAlive", _WIREGUARD, kinds.duration(), 0.0,
        "Between empty packets to each node, for a NAT in between; 0 is none.",
    )  # fmt: skip
    wireguard_routing_rule_priority: int = knob(
        "wireguardRoutingRulePriority", _WIREGUARD, kinds.integer(1, 32765), 99,
        "Of the rule that leads into the tunnel's table: in front of the main table's (32766).",
    )  # fmt: skip
    wireguard_routing_table: int = knob(
        "wireguardRoutingTable", _WIREGUARD, kinds.integer(256, 0x7FFFFFFF), 51820,
        "The routing table of the IPv4 tunnel; nobody else's. That of IPv6 has the next number.",
    )  # fmt: skip
