"""Random devices: few keys and few networks, so that peers take them from each other."""

from ipaddress import ip_address, ip_network

from hypothesis import strategies as st

from wg.keys import PrivateKey
from wg.model import Device, DeviceState, Endpoint, Peer, PeerState

PRIVATE = tuple(PrivateKey(bytes([number]) * 32) for number in range(1, 8))
OWN = PRIVATE[:2]
KEYS = tuple(key.public for key in PRIVATE[2:])
NETWORKS = tuple(
    map(ip_network, ("10.0.0.0/26", "10.0.0.64/26", "10.0.1.7/32", "10.0.0.0/16", "fd00::/64", "fd00::1/128"))
)
ENDPOINTS = tuple(
    Endpoint(ip_address(address), port)
    for address, port in (("192.0.2.1", 51820), ("192.0.2.2", 51820), ("2001:db8::1", 51821), ("192.0.2.1", 1))
)


@st.composite
def peers(draw, with_endpoints=True):
    """Peers whose networks are disjoint."""
    keys = draw(st.lists(st.sampled_from(KEYS), unique=True))
    owners = {network: draw(st.sampled_from([*keys, None])) for network in NETWORKS} if keys else {}
    return {
        key: Peer(
            public_key=key,
            endpoint=draw(st.sampled_from((*ENDPOINTS, None) if with_endpoints else ENDPOINTS)),
            allowed_ips=frozenset(network for network, owner in owners.items() if owner == key),
            keepalive_seconds=draw(st.sampled_from((0, 25))),
        )
        for key in keys
    }


@st.composite
def devices(draw):
    return Device(
        name="wg-test",
        private_key=draw(st.sampled_from(OWN)),
        listen_port=draw(st.sampled_from((51820, 51821))),
        fwmark=draw(st.sampled_from((0, 0x100000))),
        peers=draw(peers()),
    )


@st.composite
def states(draw):
    has_key = draw(st.booleans())
    return DeviceState(
        name="wg-test",
        public_key=draw(st.sampled_from(OWN)).public if has_key else None,
        listen_port=draw(st.sampled_from((0, 51820))),
        fwmark=draw(st.sampled_from((0, 0x100000))),
        peers={key: PeerState(peer=peer, has_preshared_key=draw(st.booleans())) for key, peer in draw(peers()).items()},
    )
