"""Settings that are possible each by itself but not together."""

from collections.abc import Iterator

from tidegate.config.records import LogTransport
from tidegate.config.settings import Settings

MARK_BITS = 7
"""One for Pass, one for packets that were held once, one for what host endpoints allowed before conntrack or DNAT; at
the other end of the mask one for packets handed to a listener here, one for packets of the packet process's sockets.
With WireGuard one more there, for what its devices send; with `logTransport: nfqueue` one for packets that wait for
their records."""
MAX_KEEP_ALIVE_SECONDS = 65535
"""A 16-bit number on the wire of the kernel's netlink (linux/wireguard.h)."""

MIN_ROTATION_SECONDS = 60.0


def contradictions(settings: Settings) -> list[tuple[str, str]]:
    """Settings that are possible each by itself but not together: (name, what is wrong)."""
    found = [*_of_places(settings)]
    if settings.dns_ttl_floor_seconds > settings.dns_ttl_ceiling_seconds:
        found.append(("dnsTTLFloor", "cannot be above dnsTTLCeiling"))
    if settings.dns_policy_nfqueue_id == settings.dns_packets_nfqueue_id:
        found.append(("dnsPolicyNfqueueID", "cannot be the same as dnsPacketsNfqueueID"))
    if settings.dns_named_nfqueue_id in (settings.dns_policy_nfqueue_id, settings.dns_packets_nfqueue_id):
        found.append(("dnsNamedNfqueueID", "cannot be the same as dnsPolicyNfqueueID or dnsPacketsNfqueueID"))
    holds_logged = settings.log_transport is LogTransport.NFQUEUE
    others = (settings.dns_policy_nfqueue_id, settings.dns_packets_nfqueue_id, settings.dns_named_nfqueue_id)
    if holds_logged and settings.log_nfqueue_id in others:
        found.append(("logNfqueueID", "cannot be the same as that of another queue"))
    encrypts = settings.wireguard_enabled or settings.wireguard_enabled_v6
    needed = MARK_BITS + encrypts + holds_logged
    if settings.nftables_mark_mask.bit_count() < needed:
        found.append(("nftablesMarkMask", f"cannot do with fewer than {needed} bits"))
    return [*found, *_of_encryption(settings)] if encrypts else found


def _of_places(settings: Settings) -> Iterator[tuple[str, str]]:
    if (settings.resources is not None) + (settings.kubeconfig is not None) + settings.kubernetes > 1:
        one = "kubernetes" if settings.kubernetes else "kubeconfig"
        yield one, "cannot be given together with resources or kubeconfig: documents come from one place"


def _of_encryption(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.wireguard_interface_name == settings.wireguard_interface_name_v6:
        yield "wireguardInterfaceNameV6", "cannot be the same as wireguardInterfaceName"
    if settings.wireguard_listening_port == settings.wireguard_listening_port_v6:
        yield "wireguardListeningPortV6", "cannot be the same as wireguardListeningPort"
    tables = range(settings.wireguard_routing_table, settings.wireguard_routing_table + 2)
    if settings.dns_intercept_routing_table in tables:
        yield "wireguardRoutingTable", "cannot be dnsInterceptRoutingTable, nor the number before it"
    says_keys = settings.wireguard_node_file is not None or settings.wireguard_publish_keys
    if settings.wireguard_key_rotation_seconds and not says_keys:
        yield (
            "wireguardKeyRotation",
            "cannot be without wireguardNodeFile or wireguardPublishKeys: nobody would tell",
        )
    if settings.wireguard_publish_keys and settings.resources is not None:
        yield "wireguardPublishKeys", "cannot be where documents are files: wireguardNodeFile is for that"
    if 0 < settings.wireguard_key_rotation_seconds < MIN_ROTATION_SECONDS:
        yield "wireguardKeyRotation", f"cannot be below {MIN_ROTATION_SECONDS:.0f} s: documents take their time"
    if settings.wireguard_keep_alive_seconds > MAX_KEEP_ALIVE_SECONDS:
        yield "wireguardKeepAlive", f"cannot be above {MAX_KEEP_ALIVE_SECONDS} s"
