"""The text of the UAPI socket: what is written, what is read, and that nothing read is trusted."""

import errno
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wg.worlds import ENDPOINTS, KEYS, OWN, states
from wg import uapi
from wg.changes import DeviceChange, PeerChange
from wg.errors import WireGuardError
from wg.model import Endpoint

HEX = KEYS[0].raw.hex()


def test_a_change_is_written_in_its_order():
    change = DeviceChange(
        name="wg0",
        private_key=OWN[0],
        listen_port=51820,
        fwmark=0x100000,
        peers=(
            PeerChange(
                public_key=KEYS[0],
                is_new=True,
                endpoint=ENDPOINTS[2],
                keepalive_seconds=25,
                allowed_ips=(ip_network("10.0.0.0/26"), ip_network("fd00::/64")),
            ),
            PeerChange(public_key=KEYS[1], clears_preshared_key=True, replaces_allowed_ips=True),
            PeerChange(public_key=KEYS[2], removes=True),
        ),
    )
    assert uapi.set_request(change).decode() == (
        f"set=1\nprivate_key={OWN[0].reveal().hex()}\nlisten_port=51820\nfwmark=1048576\n"
        f"public_key={HEX}\nendpoint=[2001:db8::1]:51821\npersistent_keepalive_interval=25\n"
        "allowed_ip=10.0.0.0/26\nallowed_ip=fd00::/64\n"
        f"public_key={KEYS[1].raw.hex()}\nupdate_only=true\npreshared_key={'0' * 64}\nreplace_allowed_ips=true\n"
        f"public_key={KEYS[2].raw.hex()}\nremove=true\n\n"
    )


def test_peers_are_never_replaced():
    assert b"replace_peers" not in uapi.set_request(DeviceChange(name="wg0", private_key=OWN[0]))


def answer(state):
    """What a program says of that device."""
    if state.public_key:
        private = next(key for key in OWN if key.public == state.public_key)
        yield f"private_key={private.reveal().hex()}"
    if state.listen_port:
        yield f"listen_port={state.listen_port}"
    if state.fwmark:
        yield f"fwmark={state.fwmark}"
    for key, each in state.peers.items():
        yield f"public_key={key.raw.hex()}"
        yield f"preshared_key={('11' if each.has_preshared_key else '00') * 32}"
        yield "protocol_version=1"
        if each.peer.endpoint:
            yield f"endpoint={each.peer.endpoint}"
        yield f"last_handshake_time_sec={int(each.last_handshake_at or 0)}"
        yield "last_handshake_time_nsec=0"
        yield f"persistent_keepalive_interval={each.peer.keepalive_seconds}"
        yield from (f"allowed_ip={network}" for network in each.peer.allowed_ips)
    yield "errno=0"


@given(states())
def test_what_a_program_says_is_what_is_read(state):
    assert uapi.get_answer("wg-test", "\n".join(answer(state)) + "\n\n") == state


def test_counters_and_times_are_read():
    text = (
        f"public_key={HEX}\nrx_bytes=12\ntx_bytes=34\nlast_handshake_time_sec=5\nlast_handshake_time_nsec=500000000\n"
    )
    peer = uapi.get_answer("wg0", text + "endpoint=[fe80::1%eth0]:7\nsomething_new=1\nerrno=0\n\n").peers[KEYS[0]]
    assert (peer.received_bytes, peer.sent_bytes, peer.last_handshake_at) == (12, 34, 5.5)
    assert peer.peer.endpoint == Endpoint(ENDPOINTS[2].address.__class__("fe80::1"), 7)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("errno=-13\n\n", errno.EACCES),
        ("", errno.EBADMSG),
        ("listen_port=51820\n", errno.EBADMSG),
        ("nonsense\n\n", errno.EBADMSG),
        ("public_key=zz\nerrno=0\n\n", errno.EBADMSG),
        (f"public_key={HEX}\nallowed_ip=10.0.0.1/8\nerrno=0\n\n", errno.EBADMSG),
        (f"public_key={HEX}\nendpoint=nowhere\nerrno=0\n\n", errno.EBADMSG),
        ("private_key=00\nerrno=0\n\n", errno.EBADMSG),
    ],
)
def test_an_answer_that_makes_no_sense_is_an_error(text, code):
    with pytest.raises(WireGuardError) as refused:
        uapi.get_answer("wg0", text)
    assert refused.value.errno == code


@given(st.text(max_size=200))
def test_any_text_is_a_device_or_an_error(text):
    try:
        uapi.get_answer("wg0", text)
    except WireGuardError as error:
        assert error.errno  # noqa: PT017 - either way is right
    try:
        assert uapi.set_answer(text) >= 0
    except ValueError:
        assert "=" in text or text.strip("\n")
