"""From any state to any other: the change does it, is the smallest, and leaves no gap that it need not leave."""

from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.wg.worlds import ENDPOINTS, KEYS, NETWORKS, PRIVATE, devices, states
from wg.changes import DeviceChange, PeerChange, difference, kicks
from wg.fake import FakeWireGuard
from wg.model import Device, DeviceState, Peer, PeerState
from wg.outcome import changed


def steps(change):
    """A change of one peer at a time, in the order of the whole."""
    yield replace(change, peers=())
    for peer in change.peers:
        yield DeviceChange(name=change.name, peers=(peer,))


def owners(state):
    return {network: key for key, peer in state.peers.items() for network in peer.peer.allowed_ips}


def is_as_wanted(state, wanted):
    same = (state.public_key, state.listen_port, state.fwmark) == (
        wanted.private_key.public,
        wanted.listen_port,
        wanted.fwmark,
    )
    found = {key: peer.peer for key, peer in state.peers.items()}
    # No endpoint is wanted: where it was heard last is as good as any.
    asked = {
        key: peer if peer.endpoint else replace(peer, endpoint=found[key].endpoint if key in found else None)
        for key, peer in wanted.peers.items()
    }
    return same and found == asked and not any(peer.has_preshared_key for peer in state.peers.values())


@given(devices(), states())
def test_the_change_makes_the_device_as_wanted_and_then_there_is_none(wanted, state):
    change = difference(wanted, state)
    after = changed(state, change) if change else state
    assert is_as_wanted(after, wanted)
    assert difference(wanted, after) is None


@given(devices(), states())
def test_new_peers_come_first_and_removals_last(wanted, state):
    change = difference(wanted, state)
    peers = change.peers if change else ()
    kinds = [2 if peer.removes else 1 if peer.replaces_allowed_ips else 0 for peer in peers]
    assert kinds == sorted(kinds)
    assert all(kind == 0 for kind, peer in zip(kinds, peers, strict=True) if peer.is_new)


@given(devices(), states())
def test_a_network_that_has_a_peer_before_and_after_has_one_all_the_while(wanted, state):
    change = difference(wanted, state)
    goal = {network for peer in wanted.peers.values() for network in peer.allowed_ips}
    lasting = owners(state).keys() & goal
    for step in steps(change) if change else ():
        state = changed(state, step)
        assert lasting <= owners(state).keys()


@given(devices(), states())
def test_a_peer_that_is_as_wanted_is_left_alone(wanted, state):
    change = difference(wanted, state)
    touched = {peer.public_key for peer in change.peers} if change else set()
    goal = owners_wanted(wanted)
    for key, peer in state.peers.items():
        asked = wanted.peers.get(key)
        if (
            asked == peer.peer
            and not peer.has_preshared_key
            and not any(goal.get(network) != key for network in peer.peer.allowed_ips)
        ):
            assert key not in touched


def owners_wanted(device):
    return {network: key for key, peer in device.peers.items() for network in peer.allowed_ips}


@given(devices(), states())
def test_no_part_of_the_change_can_be_left_out(wanted, state):
    change = difference(wanted, state)
    for key in {peer.public_key for peer in change.peers} if change else ():
        rest = tuple(other for other in change.peers if other.public_key != key)
        assert not is_as_wanted(changed(state, replace(change, peers=rest)), wanted)


def peer(number, *networks, **other):
    return Peer(
        public_key=KEYS[number], endpoint=ENDPOINTS[0], allowed_ips=frozenset(map(ip_network, networks)), **other
    )


def device(*peers, key=PRIVATE[0]):
    return Device(name="wg-test", private_key=key, listen_port=51820, peers={each.public_key: each for each in peers})


def state(wanted):
    return DeviceState(
        name=wanted.name,
        public_key=wanted.private_key.public,
        listen_port=wanted.listen_port,
        fwmark=wanted.fwmark,
        peers={key: PeerState(peer=each) for key, each in wanted.peers.items()},
    )


def test_a_peer_with_another_key_is_made_before_the_old_one_goes():
    before, after = device(peer(0, "10.0.0.0/26")), device(peer(1, "10.0.0.0/26"))
    change = difference(after, state(before))
    assert [(each.public_key, each.is_new, each.removes) for each in change.peers] == [
        (KEYS[1], True, False),
        (KEYS[0], False, True),
    ]


def test_a_network_that_moves_is_only_claimed():
    before = device(peer(0, "10.0.0.0/26", "10.0.0.64/26"), peer(1))
    after = device(peer(0, "10.0.0.0/26"), peer(1, "10.0.0.64/26"))
    claim = PeerChange(public_key=KEYS[1], allowed_ips=(ip_network("10.0.0.64/26"),))
    assert difference(after, state(before)).peers == (claim,)


def test_a_network_that_nobody_has_any_more_is_taken_from_its_peer():
    before, after = device(peer(0, "10.0.0.0/26", "10.0.0.64/26")), device(peer(0, "10.0.0.0/26"))
    loss = PeerChange(public_key=KEYS[0], replaces_allowed_ips=True, allowed_ips=(ip_network("10.0.0.0/26"),))
    assert difference(after, state(before)).peers == (loss,)


def test_networks_that_move_between_peers_that_lose_others_have_a_peer_all_the_while():
    before = device(peer(0, "10.0.0.0/26", "10.0.0.0/16"), peer(1, "10.0.0.64/26", "10.0.1.7/32"))
    after = device(peer(0, "10.0.1.7/32"), peer(1, "10.0.0.0/26"))
    found, lasting = state(before), {ip_network("10.0.0.0/26"), ip_network("10.0.1.7/32")}
    for step in steps(difference(after, found)):
        found = changed(found, step)
        assert lasting <= owners(found).keys()
    assert is_as_wanted(found, after)


def test_a_roaming_peer_stays_where_it_was_heard():
    wanted = device(peer(0, "10.0.0.0/26"))
    roamed = state(device(replace(peer(0, "10.0.0.0/26"), endpoint=ENDPOINTS[1])))
    assert difference(wanted, roamed, roaming={KEYS[0]}) is None
    assert difference(wanted, roamed).peers == (PeerChange(public_key=KEYS[0], endpoint=ENDPOINTS[0]),)
    lost = state(device(replace(peer(0, "10.0.0.0/26"), endpoint=None)))
    assert difference(wanted, lost, roaming={KEYS[0]}).peers[0].endpoint == ENDPOINTS[0]


def turned_on(before, changes):
    """The peers whose keepalives a series of changes turns on, which is what makes them send."""
    found, seconds = set(), {key: each.keepalive_seconds for key, each in before.peers.items()}
    for change in changes:
        for each in change.peers:
            if each.keepalive_seconds is not None:
                if each.keepalive_seconds and not seconds.get(each.public_key):
                    found.add(each.public_key)
                seconds[each.public_key] = each.keepalive_seconds
    return found, seconds


@pytest.mark.parametrize("keepalive", [0, 25])
def test_new_peers_are_kicked_and_end_with_their_keepalive(keepalive):
    wanted = device(peer(0, keepalive_seconds=keepalive), peer(1))
    before = device(peer(1))
    change = difference(wanted, state(before))
    found, seconds = turned_on(before, [change, *kicks(change, wanted)])
    assert found == {KEYS[0]}
    assert seconds == {KEYS[0]: keepalive, KEYS[1]: 0}


def test_with_a_new_key_of_ones_own_all_peers_are_kicked():
    before = device(peer(0), peer(1, keepalive_seconds=25))
    wanted = device(peer(0), peer(1, keepalive_seconds=25), key=PRIVATE[1])
    change = difference(wanted, state(before))
    found, seconds = turned_on(before, [change, *kicks(change, wanted)])
    assert found == {KEYS[0], KEYS[1]}
    assert seconds == {KEYS[0]: 0, KEYS[1]: 25}


def test_who_is_nowhere_is_not_kicked():
    wanted = device(Peer(public_key=KEYS[0]))
    change = difference(wanted, state(device()))
    assert kicks(change, wanted) == ()


def test_a_device_with_contradictions_cannot_be_wanted():
    with pytest.raises(ValueError, match="to two peers"):
        device(peer(0, "10.0.0.0/26"), peer(1, "10.0.0.0/26"))
    with pytest.raises(ValueError, match="the device itself"):
        device(Peer(public_key=PRIVATE[0].public))


class Life(RuleBasedStateMachine):
    """A device through a life of wishes, strangers' edits and restarts, against what each wish says."""

    @initialize()
    def start(self):
        self.fake = FakeWireGuard()
        self.fake.add("wg-test")
        self.wanted = None

    @rule(wanted=devices())
    def want(self, wanted):
        self.wanted = wanted
        self._reconcile()

    @rule()
    def the_device_is_made_anew(self):
        self.fake.add("wg-test")
        self._reconcile()

    @rule(edit=states())
    def a_stranger_edits(self, edit):
        self.fake.devices["wg-test"] = edit
        self._reconcile()

    @rule(number=st.integers(0, len(KEYS) - 1), network=st.sampled_from(NETWORKS))
    def a_stranger_moves_a_network(self, number, network):
        claim = PeerChange(public_key=KEYS[number], is_new=True, allowed_ips=(network,))
        self.fake.change(DeviceChange(name="wg-test", peers=(claim,)))
        self._reconcile()

    def _reconcile(self):
        if self.wanted is None:
            return
        change = difference(self.wanted, self.fake.read("wg-test"))
        for each in (change, *kicks(change, self.wanted)) if change else ():
            self.fake.change(each)

    @invariant()
    def it_is_as_wanted(self):
        if getattr(self, "wanted", None) is not None:
            assert is_as_wanted(self.fake.devices["wg-test"], self.wanted)

    @invariant()
    def nobody_shares_a_network(self):
        if hasattr(self, "fake"):
            held = [
                network for each in self.fake.devices["wg-test"].peers.values() for network in each.peer.allowed_ips
            ]
            assert len(held) == len(set(held))


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)
