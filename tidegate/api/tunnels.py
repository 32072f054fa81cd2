"""A WireGuard device as the API shows it: its peers, and what goes in clear and why. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from reconcile.instant import WallInstant
from tidegate.config.wireguard import TunnelSettings
from wg.keys import PublicKey
from wg.mesh import Mesh
from wg.model import DeviceState, PeerState


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelFacts:
    """What is known of one device."""

    settings: TunnelSettings
    mesh: Mesh | None
    """None before the documents were read."""
    state: DeviceState | None
    """None where the device cannot be read."""
    public_key: PublicKey | None
    is_published: bool
    """The node's document says that key."""
    key_made_at: WallInstant | None
    transport: str | None
    """`kernel` or `wireguard-go`; None before there was a device."""
    mtu: int
    made: int
    """How often the device had to be made."""
    error: str


def tunnel_document(facts: TunnelFacts, wall: WallInstant) -> Mapping[str, object]:
    """The device's JSON. Times are ages in seconds: clocks of nodes differ."""
    found, settings = facts.mesh, facts.settings
    return {
        "interface": settings.interface,
        "version": settings.version,
        "transport": facts.transport,
        "public_key": None if facts.public_key is None else str(facts.public_key),
        "published": facts.is_published,
        "key_age_seconds": None if facts.key_made_at is None else _age(facts.key_made_at, wall),
        "listen_port": settings.listen_port,
        "mtu": facts.mtu,
        "strict": settings.is_strict,
        "made": facts.made,
        "error": facts.error,
        "peers": _peers(facts, wall),
        "unencrypted": []
        if found is None
        else [
            {
                "node": left.node,
                "reason": left.reason.value,
                "networks": [str(network) for network in left.networks],
                "others": list(left.others),
                "blocked": settings.is_strict,
            }
            for left in found.left_out
        ],
        "contested": []
        if found is None
        else [
            {"network": str(item.network), "owner": item.owner, "losers": list(item.losers)} for item in found.contested
        ],
    }


def _peers(facts: TunnelFacts, wall: WallInstant) -> list[Mapping[str, object]]:
    if facts.mesh is None:
        return []
    states = {} if facts.state is None else facts.state.peers
    return [
        _peer(facts.mesh.names[key], key, states.get(key), wall)
        for key in sorted(facts.mesh.peers, key=lambda key: facts.mesh.names[key] if facts.mesh else "")
    ]


def _peer(node: str, key: PublicKey, state: PeerState | None, wall: WallInstant) -> Mapping[str, object]:
    handshake = None if state is None else state.last_handshake_at
    endpoint = None if state is None else state.peer.endpoint
    return {
        "node": node,
        "public_key": str(key),
        "endpoint": None if endpoint is None else str(endpoint),
        "allowed_ips": [] if state is None else sorted(map(str, state.peer.allowed_ips)),
        "handshake_age_seconds": None if handshake is None else _age(handshake, wall),
        "has_session": state is not None and state.has_session(wall),
        "received_bytes": 0 if state is None else state.received_bytes,
        "sent_bytes": 0 if state is None else state.sent_bytes,
    }


def _age(instant: WallInstant, wall: WallInstant) -> float:
    """Never negative: a clock that was set back makes nothing younger than new."""
    return round(max(0.0, wall - instant), 1)
