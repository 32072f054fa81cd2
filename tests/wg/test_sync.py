"""DeviceSync on the fake: few reads, few changes, and after any trouble the device is as wanted again."""

import errno
from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.clock import ManualClock
from tests.wg.worlds import ENDPOINTS, KEYS, OWN, devices, states
from wg.changes import DeviceChange, PeerChange, difference
from wg.errors import WireGuardError
from wg.fake import FakeWireGuard
from wg.model import SESSION_SECONDS, Device, Peer
from wg.sync import DeviceSync, read_or_none

NAME = "wg-test"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def fake():
    fake = FakeWireGuard()
    fake.add(NAME)
    return fake


def device(endpoint=ENDPOINTS[0], **other):
    peer = Peer(public_key=KEYS[0], endpoint=endpoint, allowed_ips=frozenset({ip_network("10.0.0.0/26")}), **other)
    return Device(name=NAME, private_key=OWN[0], listen_port=51820, peers={KEYS[0]: peer})


def endpoint(fake):
    return fake.devices[NAME].peers[KEYS[0]].peer.endpoint


def test_it_reads_once_and_sends_nothing_when_nothing_is_new(fake, clock):
    sync = DeviceSync(fake)
    assert sync.apply(device(), clock.wall()) is not None
    done = len(fake.changes)
    assert sync.apply(device(), clock.wall()) is None
    assert (fake.reads, len(fake.changes)) == (1, done)


def test_a_restarted_agent_changes_nothing(fake, clock):
    DeviceSync(fake).apply(device(), clock.wall())
    done = len(fake.changes)
    assert DeviceSync(fake).apply(device(), clock.wall()) is None
    assert len(fake.changes) == done


def test_what_a_stranger_did_is_put_right_at_the_next_look(fake, clock):
    sync = DeviceSync(fake)
    sync.apply(device(), clock.wall())
    fake.change(DeviceChange(name=NAME, fwmark=7, peers=(PeerChange(public_key=KEYS[0], removes=True),)))
    assert sync.apply(device(), clock.wall()) is None
    assert sync.apply(device(), clock.wall(), looks=True) is not None
    assert difference(device(), fake.devices[NAME]) is None


def test_after_a_refusal_it_reads_again(fake, clock):
    sync = DeviceSync(fake)
    fake.refuse = errno.EPERM
    with pytest.raises(WireGuardError):
        sync.apply(device(), clock.wall())
    fake.refuse = None
    sync.apply(device(), clock.wall())
    assert fake.reads == 2
    assert difference(device(), fake.devices[NAME]) is None


def test_a_device_made_anew_gets_everything_again(fake, clock):
    sync = DeviceSync(fake)
    sync.apply(device(), clock.wall())
    fake.add(NAME)
    sync.forget()
    sync.apply(device(), clock.wall())
    assert difference(device(), fake.devices[NAME]) is None


def test_a_device_of_another_name_is_read(fake, clock):
    sync = DeviceSync(fake)
    sync.apply(device(), clock.wall())
    fake.add("wg-other")
    sync.apply(replace(device(), name="wg-other"), clock.wall())
    assert difference(replace(device(), name="wg-other"), fake.devices["wg-other"]) is None


def test_a_peer_that_roamed_stays_as_long_as_its_session_and_is_sought_at_home_then(fake, clock):
    sync = DeviceSync(fake)
    sync.apply(device(), clock.wall())
    fake.hear(NAME, KEYS[0], ENDPOINTS[1], clock.wall())
    clock.advance(SESSION_SECONDS - 1)
    assert sync.apply(device(), clock.wall(), looks=True) is None
    assert sync.apply(device(), clock.wall()) is None
    assert endpoint(fake) == ENDPOINTS[1]
    clock.advance(2)
    sync.apply(device(), clock.wall(), looks=True)
    assert endpoint(fake) == ENDPOINTS[0]


def test_a_restart_leaves_a_peer_where_it_roamed(fake, clock):
    DeviceSync(fake).apply(device(), clock.wall())
    fake.hear(NAME, KEYS[0], ENDPOINTS[1], clock.wall())
    assert DeviceSync(fake).apply(device(), clock.wall()) is None


@pytest.mark.parametrize("looks", [False, True])
def test_a_node_with_a_new_address_is_sought_there_at_once(fake, clock, looks):
    sync = DeviceSync(fake)
    sync.apply(device(), clock.wall())
    fake.hear(NAME, KEYS[0], ENDPOINTS[1], clock.wall())
    sync.apply(device(ENDPOINTS[2]), clock.wall(), looks=looks)
    assert endpoint(fake) == ENDPOINTS[2]


def test_one_change_among_many_is_one_small_message(fake, clock):
    sync = DeviceSync(fake)
    sync.apply(device(), clock.wall())
    before = len(fake.changes)
    sync.apply(device(keepalive_seconds=25), clock.wall())
    assert fake.changes[before:] == [
        DeviceChange(name=NAME, peers=(PeerChange(public_key=KEYS[0], keepalive_seconds=25),))
    ]


@given(st.lists(st.tuples(devices(), st.sampled_from(["", "refuse", "stranger", "anew"]), states()), max_size=6))
def test_whatever_happens_the_next_look_makes_it_as_wanted(series):
    fake, clock = FakeWireGuard(), ManualClock()
    fake.add(NAME)
    sync = DeviceSync(fake)
    for wanted, trouble, state in series:
        fake.refuse = errno.EIO if trouble == "refuse" else None
        if trouble == "stranger":
            fake.devices[NAME] = state
        if trouble == "anew":
            fake.add(NAME)
        try:
            sync.apply(wanted, clock.wall())
        except WireGuardError:
            assert trouble == "refuse"
        fake.refuse = None
        sync.apply(wanted, clock.wall(), looks=True)
        assert difference(wanted, fake.devices[NAME]) is None


def test_a_device_that_is_not_there_is_none_to_look_at(fake):
    assert read_or_none(fake, NAME) is not None
    assert read_or_none(fake, "wg-nobody") is None


def test_telling_the_device_anew_where_its_peers_are_moves_none_of_them(fake, clock):
    sync = DeviceSync(fake)
    sync.apply(device(), clock.wall())
    fake.hear(NAME, KEYS[0], ENDPOINTS[1], clock.wall())
    before = fake.devices[NAME]
    sync.reach_anew(NAME)
    assert fake.devices[NAME] == before
    assert fake.changes[-1].peers == (PeerChange(public_key=KEYS[0], endpoint=ENDPOINTS[1]),)
