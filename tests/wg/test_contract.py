"""One promise for all transports: the fake, wireguard-go, and the kernel where it has WireGuard."""

import errno
import itertools
from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.wg import lab
from tests.wg.worlds import ENDPOINTS, KEYS, OWN, devices
from tidegate.demo.namespace import Namespace
from wg.changes import DeviceChange, PeerChange, difference, kicks
from wg.errors import WireGuardError
from wg.fake import FakeWireGuard
from wg.kernel import KernelWireGuard
from wg.keys import PublicKey
from wg.model import Device, Peer
from wg.userspace import Userspace

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(
    scope="module",
    params=[
        "fake",
        pytest.param("userspace", marks=pytest.mark.kernel),
        pytest.param("kernel", marks=pytest.mark.kernel),
    ],
)
def place(request):
    """A transport, and the name of a fresh device of its."""
    name = lab.device_name()
    if request.param == "fake":
        fake = FakeWireGuard()
        fake.add(name)
        yield fake, name
        return
    lacks = lab.userspace_lacks() if request.param == "userspace" else lab.kernel_lacks()
    if lacks:
        pytest.skip(lacks)
    namespace = Namespace.create("wg")
    try:
        if request.param == "userspace":
            with lab.wireguard_go(namespace, name):
                yield Userspace(), name
        else:
            namespace.ip("link", "add", name, "type", "wireguard")
            with namespace.entered():
                transport = KernelWireGuard()
            with transport:
                yield transport, name
    finally:
        namespace.delete()


def reconcile(transport, wanted):
    change = difference(wanted, transport.read(wanted.name))
    for each in (change, *kicks(change, wanted)) if change else ():
        transport.change(each)


def test_no_device_is_an_error_of_its_own(place):
    transport, _ = place
    for call in (
        lambda: transport.read("wg-nobody"),
        lambda: transport.change(DeviceChange(name="wg-nobody", fwmark=1)),
    ):
        with pytest.raises(WireGuardError) as refused:
            call()
        assert refused.value.errno == errno.ENODEV


def test_a_device_becomes_whatever_is_wanted_and_then_there_is_nothing_to_do(place):
    transport, name = place

    @given(st.lists(devices(), min_size=1, max_size=3))
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    def play(series):
        for wanted in series:
            # Which ports are free is the machine's business; that the port is set is the next test's.
            mine = replace(wanted, name=name, listen_port=51820)
            reconcile(transport, mine)
            state = transport.read(name)
            assert difference(mine, state) is None
            assert state.public_key == mine.private_key.public
            assert {key: each.peer.allowed_ips for key, each in state.peers.items()} == {
                key: each.allowed_ips for key, each in mine.peers.items()
            }

    play()


def test_port_and_mark_are_set_alone(place):
    transport, name = place
    for port, mark in ((51999, 0x10), (51820, 0)):
        transport.change(DeviceChange(name=name, listen_port=port, fwmark=mark))
        state = transport.read(name)
        assert (state.listen_port, state.fwmark) == (port, mark)


def test_who_claims_a_network_last_has_it(place):
    transport, name = place
    shared, own = ip_network("10.9.0.0/24"), ip_network("10.9.1.0/24")
    start = Device(
        name=name,
        private_key=OWN[0],
        listen_port=51820,
        peers={
            KEYS[0]: Peer(public_key=KEYS[0], allowed_ips=frozenset({shared, own})),
            KEYS[1]: Peer(public_key=KEYS[1]),
        },
    )
    reconcile(transport, start)
    transport.change(DeviceChange(name=name, peers=(PeerChange(public_key=KEYS[1], allowed_ips=(shared,)),)))
    found = {key: each.peer.allowed_ips for key, each in transport.read(name).peers.items()}
    assert found == {KEYS[0]: {own}, KEYS[1]: {shared}}


def test_a_peer_that_is_gone_is_not_made_by_a_change(place):
    transport, name = place
    stranger = PublicKey(b"\x55" * 32)
    gone = PeerChange(public_key=stranger, keepalive_seconds=9, endpoint=ENDPOINTS[0])
    transport.change(DeviceChange(name=name, peers=(gone, PeerChange(public_key=stranger, removes=True))))
    assert stranger not in transport.read(name).peers


def test_a_new_key_leaves_the_peers(place):
    transport, name = place
    wanted = Device(
        name=name, private_key=OWN[0], listen_port=51820, peers={key: Peer(public_key=key) for key in KEYS[:3]}
    )
    reconcile(transport, wanted)
    transport.change(DeviceChange(name=name, private_key=OWN[1]))
    state = transport.read(name)
    assert state.public_key == OWN[1].public
    assert state.peers.keys() == wanted.peers.keys()


def test_thousands_of_networks_come_back_whole(place):
    transport, name = place
    networks = frozenset(ip_network((n << 8, 24)) for n in range(1 << 16, (1 << 16) + 3000))
    peer = Peer(public_key=KEYS[0], allowed_ips=networks)
    reconcile(transport, Device(name=name, private_key=OWN[0], listen_port=51820, peers={KEYS[0]: peer}))
    assert transport.read(name).peers[KEYS[0]].peer.allowed_ips == networks


def test_five_hundred_peers_are_one_change_and_one_more_is_small(place):
    transport, name = place
    keys = [PublicKey(bytes([1, number & 255, number >> 8, *([7] * 29)])) for number in range(501)]
    peers = {
        key: Peer(
            public_key=key,
            endpoint=ENDPOINTS[0],
            allowed_ips=frozenset(ip_network(((10 << 24) + (index << 10) + (part << 6), 26)) for part in range(8)),
        )
        for index, key in enumerate(keys)
    }
    first = dict(itertools.islice(peers.items(), 500))
    wanted = Device(name=name, private_key=OWN[0], listen_port=51820, peers=first)
    reconcile(transport, wanted)
    assert difference(wanted, transport.read(name)) is None
    more = replace(wanted, peers=peers)
    change = difference(more, transport.read(name))
    assert [each.public_key for each in change.peers] == [keys[500]]
    transport.change(change)
    assert difference(more, transport.read(name)) is None
