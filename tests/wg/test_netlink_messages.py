"""The kernel's words: pyroute2 understands what we write, and we understand what it writes."""

import errno
import struct
from ipaddress import ip_network
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.generic.wireguard import wgmsg

from netlink import message
from tests.wg.worlds import ENDPOINTS, KEYS, OWN, devices, states
from wg import netlink_messages as words
from wg.changes import DeviceChange, PeerChange, difference
from wg.errors import WireGuardError
from wg.keys import PublicKey
from wg.model import DeviceState, Endpoint

GENERIC = 4


def understood(payload):
    """A payload of ours as pyroute2 reads it."""
    decoded = wgmsg(message.message(30, 0, 1, payload))
    decoded.decode()
    return decoded


def peers_understood(payload):
    for peer in understood(payload).get_attr("WGDEVICE_A_PEERS") or ():
        networks = [network["addr"] for network in peer.get_attr("WGPEER_A_ALLOWEDIPS") or ()]
        yield PublicKey.from_text(peer.get_attr("WGPEER_A_PUBLIC_KEY").decode()), peer, networks


@given(devices(), states())
def test_pyroute2_reads_what_is_written(wanted, state):
    change = difference(wanted, state)
    if change is None:
        return
    (payload,) = words.set_requests(change)
    device = understood(payload)
    assert device.get_attr("WGDEVICE_A_IFNAME") == change.name
    assert device.get_attr("WGDEVICE_A_LISTEN_PORT") == change.listen_port
    assert device.get_attr("WGDEVICE_A_FWMARK") == change.fwmark
    assert device.get_attr("WGDEVICE_A_FLAGS") is None
    key = device.get_attr("WGDEVICE_A_PRIVATE_KEY")
    assert (key and key.decode()) == (change.private_key and change.private_key.reveal_text())
    for each, (public_key, peer, networks) in zip(change.peers, peers_understood(payload), strict=True):
        assert public_key == each.public_key
        assert sorted(networks) == sorted(map(str, each.allowed_ips))
        assert peer.get_attr("WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL") == each.keepalive_seconds
        flags = (each.removes * 1) | (each.replaces_allowed_ips * 2) | ((not each.removes and not each.is_new) * 4)
        assert peer.get_attr("WGPEER_A_FLAGS") == flags
        endpoint = peer.get_attr("WGPEER_A_ENDPOINT")
        found = endpoint and Endpoint(type(each.endpoint.address)(endpoint["addr"]), endpoint["port"])
        assert found == each.endpoint


def written(state, order=iter):
    """A listing of that device as pyroute2 writes it."""
    listing = wgmsg()
    attrs = [["WGDEVICE_A_IFNAME", state.name], ["WGDEVICE_A_LISTEN_PORT", state.listen_port]]
    attrs.append(["WGDEVICE_A_FWMARK", state.fwmark])
    if state.public_key:
        attrs.append(["WGDEVICE_A_PUBLIC_KEY", str(state.public_key)])
    peers = []
    for key, each in state.peers.items():
        peer = [
            ["WGPEER_A_PUBLIC_KEY", str(key)],
            ["WGPEER_A_PRESHARED_KEY", ("E" if each.has_preshared_key else "A") * 43 + "="],
        ]
        if each.peer.endpoint:
            at = each.peer.endpoint
            peer.append(["WGPEER_A_ENDPOINT", {"addr": str(at.address), "port": at.port, "flowinfo": 0, "scope_id": 0}])
        peer.append(["WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL", each.peer.keepalive_seconds])
        networks = [
            {"attrs": [
                ["WGALLOWEDIP_A_FAMILY", 2 if net.version == 4 else 10],
                ["WGALLOWEDIP_A_IPADDR", net.network_address.packed],
                ["WGALLOWEDIP_A_CIDR_MASK", net.prefixlen],
            ]}
            for net in each.peer.allowed_ips
        ]  # fmt: skip
        peer.append(["WGPEER_A_ALLOWEDIPS", networks])
        peers.append({"attrs": peer})
    attrs.append(["WGDEVICE_A_PEERS", peers])
    listing["attrs"] = attrs
    listing.encode()
    return memoryview(bytes(listing.data))[16:]


@given(states())
def test_what_pyroute2_writes_is_read(state):
    assert words.read_device("wg-test", [written(state)]) == state


def test_a_listing_in_parts_is_merged():
    whole = words.set_requests  # the same words both ways: a peer that is continued
    networks = tuple(ip_network(f"10.{n >> 8}.{n & 255}.0/24") for n in range(1200))
    change = DeviceChange(name="wg0", peers=(PeerChange(public_key=KEYS[0], is_new=True, allowed_ips=networks),))
    payloads = [memoryview(payload) for payload in whole(change)]
    assert len(payloads) >= 1
    state = words.read_device("wg0", payloads)
    assert state.peers[KEYS[0]].peer.allowed_ips == frozenset(networks)


@pytest.mark.parametrize(("peers", "networks"), [(1, 5000), (500, 8), (3000, 1), (40, 700)])
def test_a_large_change_becomes_messages_that_fit_and_keep_its_order(peers, networks):
    keys = [PublicKey(struct.pack("<I", number + 1) * 8) for number in range(peers)]
    change = DeviceChange(
        name="wg0",
        private_key=OWN[0],
        peers=(
            *(
                PeerChange(
                    public_key=key,
                    is_new=True,
                    endpoint=ENDPOINTS[2],
                    keepalive_seconds=25,
                    allowed_ips=tuple(
                        ip_network((((index * networks + n) << 8) + (1 << 28), 24)) for n in range(networks)
                    ),
                )
                for index, key in enumerate(keys)
            ),
            PeerChange(public_key=KEYS[0], removes=True),
        ),
    )
    payloads = list(words.set_requests(change))
    assert all(len(payload) < 1 << 16 for payload in payloads)
    assert [b"\x24\x00\x03\x00" in payload[:60] for payload in payloads] == [True] + [False] * (len(payloads) - 1)
    read = list(chain.from_iterable(peers_understood(payload) for payload in payloads))
    order = list(dict.fromkeys(key for key, _, _ in read))
    assert order == [*keys, KEYS[0]]
    found = {}
    for key, peer, addresses in read:
        first = key not in found
        assert (peer.get_attr("WGPEER_A_FLAGS") == 4) is not first
        found.setdefault(key, []).extend(addresses)
    assert all(found[each.public_key] == list(map(str, each.allowed_ips)) for each in change.peers)


def test_nothing_sent_is_no_device():
    with pytest.raises(WireGuardError) as refused:
        words.read_device("wg0", [])
    assert refused.value.errno == errno.ENODEV


@given(st.binary(max_size=120))
def test_any_bytes_are_a_device_or_an_error(data):
    try:
        assert isinstance(words.read_device("wg0", [memoryview(bytes(4) + data)]), DeviceState)
    except WireGuardError as error:
        assert error.errno == errno.EBADMSG  # noqa: PT017 - either way is right


@given(states(), st.data())
def test_a_damaged_listing_is_a_device_or_an_error(state, data):
    damaged = bytearray(written(state))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(4, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert isinstance(words.read_device("wg0", [memoryview(bytes(damaged))]), DeviceState)
    except WireGuardError as error:
        assert error.errno == errno.EBADMSG  # noqa: PT017 - either way is right
