"""From what a device is to what it shall be, in the fewest steps and without a gap. Pure.

Three things break traffic on a live device, and this never does them: replacing all peers (their sessions are lost,
and the other side keeps on using them for up to 15 s), removing a peer before its successor has its AllowedIPs, and
replacing a peer's AllowedIPs where adding does. So the order is: peers that are new or gain, then peers that lose
what nobody else gained, then peers that go; one message where the transport can.

    change = difference(device, state)        None: nothing to do
    transport.change(change)
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from wg.keys import PrivateKey, PublicKey
from wg.model import Device, DeviceState, Endpoint, IPNetwork, Peer, PeerState


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerChange:
    """What becomes of one peer; None leaves as it is."""

    public_key: PublicKey
    is_new: bool = False
    """It is made if it is not there. Otherwise it must be there still: what went in the meantime stays away."""
    removes: bool = False
    """The peer goes; all else is of no account."""
    endpoint: Endpoint | None = None
    keepalive_seconds: int | None = None
    clears_preshared_key: bool = False
    replaces_allowed_ips: bool = False
    """Those of before go; for the blink of an eye the peer has none."""
    allowed_ips: tuple[IPNetwork, ...] = ()
    """To be added, taken from whoever has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceChange:
    """What becomes of a device; None leaves as it is. Peers change in this order."""

    name: str
    private_key: PrivateKey | None = None
    listen_port: int | None = None
    fwmark: int | None = None
    peers: tuple[PeerChange, ...] = ()


def difference(wanted: Device, state: DeviceState, *, roaming: Collection[PublicKey] = ()) -> DeviceChange | None:
    """The change that makes the device as it is wanted; None if it is.

    `roaming` are peers whose endpoint stays where it is although another is wanted: they were heard from there.
    """
    change = DeviceChange(
        name=wanted.name,
        private_key=wanted.private_key if wanted.private_key.public != state.public_key else None,
        listen_port=wanted.listen_port if wanted.listen_port != state.listen_port else None,
        fwmark=wanted.fwmark if wanted.fwmark != state.fwmark else None,
        peers=tuple(_peers(wanted, state, roaming)),
    )
    return change if change != DeviceChange(name=wanted.name) else None


def kicks(change: DeviceChange, wanted: Device) -> tuple[DeviceChange, ...]:
    """Changes to be made after `change`, in order, so that each peer that cannot speak to us yet hears from us at once.

    A device that is new to its peer, or has a new key, is silent until it has something to send; the peer meanwhile
    sends into a session that is dead, for up to 15 s. Turning keepalives on sends one packet, which shakes hands
    (kernel: drivers/net/wireguard/netlink.c, set_peer). A new peer with keepalives of its own is kicked by them.
    """
    rekeyed = change.private_key is not None
    is_new = {peer.public_key for peer in change.peers if peer.is_new}
    kicked = [
        peer
        for key, peer in wanted.peers.items()
        if peer.endpoint is not None
        and ((key in is_new and not peer.keepalive_seconds) or (rekeyed and key not in is_new))
    ]
    if not kicked:
        return ()
    toggled = ((peer.public_key, 0 if peer.keepalive_seconds else 1) for peer in kicked)
    settled = ((peer.public_key, peer.keepalive_seconds) for peer in kicked)
    return (_keepalives(wanted.name, toggled), _keepalives(wanted.name, settled))


def _keepalives(name: str, seconds: Iterable[tuple[PublicKey, int]]) -> DeviceChange:
    peers = tuple(PeerChange(public_key=key, keepalive_seconds=value) for key, value in seconds)
    return DeviceChange(name=name, peers=peers)


def _peers(wanted: Device, state: DeviceState, roaming: Collection[PublicKey]) -> Iterator[PeerChange]:
    gained = {
        key: peer.allowed_ips - (state.peers[key].peer.allowed_ips if key in state.peers else frozenset())
        for key, peer in wanted.peers.items()
    }
    claimed, held = frozenset().union(*gained.values()), _held(state)
    changes = [
        _peer(peer, state.peers.get(key), claimed, keeps_endpoint=key in roaming) for key, peer in wanted.peers.items()
    ]
    changed = sorted(filter(None, changes), key=lambda change: change.public_key)
    # Who gains and loses takes first what others have: one of them may be replaced before, and leave it to nobody.
    for change in changed:
        taken = _sorted(gained[change.public_key] & held)
        if change.replaces_allowed_ips and taken:
            yield PeerChange(public_key=change.public_key, allowed_ips=taken)
    yield from (change for change in changed if not change.replaces_allowed_ips)
    yield from (change for change in changed if change.replaces_allowed_ips)
    for key in sorted(state.peers.keys() - wanted.peers.keys()):
        yield PeerChange(public_key=key, removes=True)


def _held(state: DeviceState) -> frozenset[IPNetwork]:
    return frozenset().union(*(peer.peer.allowed_ips for peer in state.peers.values()))


def _peer(
    wanted: Peer, state: PeerState | None, claimed: Collection[IPNetwork], *, keeps_endpoint: bool
) -> PeerChange | None:
    if state is None:
        return PeerChange(
            public_key=wanted.public_key,
            is_new=True,
            endpoint=wanted.endpoint,
            keepalive_seconds=wanted.keepalive_seconds,
            allowed_ips=_sorted(wanted.allowed_ips),
        )
    known = state.peer
    # What somebody else claims goes to them by itself, without a moment in which nobody has it.
    loses = any(network not in claimed for network in known.allowed_ips - wanted.allowed_ips)
    moves = wanted.endpoint is not None and wanted.endpoint != known.endpoint
    change = PeerChange(
        public_key=wanted.public_key,
        endpoint=wanted.endpoint if moves and not (keeps_endpoint and known.endpoint) else None,
        keepalive_seconds=wanted.keepalive_seconds if wanted.keepalive_seconds != known.keepalive_seconds else None,
        clears_preshared_key=state.has_preshared_key,
        replaces_allowed_ips=loses,
        allowed_ips=_sorted(wanted.allowed_ips if loses else wanted.allowed_ips - known.allowed_ips),
    )
    return change if change != PeerChange(public_key=wanted.public_key) else None


def _sorted(networks: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    return tuple(sorted(networks, key=lambda network: (network.version, network.network_address, network.prefixlen)))
