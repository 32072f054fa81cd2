"""Every class of address that no name may open, and what `allow_private` admits."""

import time
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dnsagent.guard import EMBEDDING, FORBIDDEN, PRIVATE, AddressGuard, Guard
from tests.dnsagent.stage import packed

GUARD = AddressGuard(map(ip_network, ["198.51.100.0/24", "2001:db8:c::/48", "10.96.0.0/12"]))

FORBIDDEN_ADDRESSES = [
    "0.0.0.0", "0.255.255.255", "127.0.0.1", "127.255.255.255", "169.254.0.0", "169.254.169.254", "192.0.0.8",
    "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "febf::1", "fec0::1",
    "feff::1", "ff02::1", "100::1",
]  # fmt: skip
PRIVATE_ADDRESSES = [
    "10.0.0.0", "10.95.255.255", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.1", "192.168.255.255",
    "100.64.0.0", "100.127.255.255", "fc00::1", "fdff:ffff::1",
]  # fmt: skip
CLEAR_ADDRESSES = [
    "1.0.0.0", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
    "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
    "198.51.101.1", "223.255.255.255", "2001:db8::1", "2001:db8:b:ffff::", "2606:4700::1111", "fbff::1", "fe00::1",
    "2003::1", "2001:1::1", "100:0:0:1::1",
]  # fmt: skip
NETWORK_ADDRESSES = ["198.51.100.7", "2001:db8:c::1", "10.96.0.10", "10.111.255.255"]
BAD_INSIDE = [*FORBIDDEN_ADDRESSES[:11], *PRIVATE_ADDRESSES[:9], "198.51.100.7", "10.96.0.10"]
GOOD_INSIDE = ["1.1.1.1", "93.184.216.34", "198.51.101.1"]


def six_to_four(inner: str) -> bytes:
    return b"\x20\x02" + packed(inner) + bytes(10)


def teredo(inner: str) -> bytes:
    return b"\x20\x01\0\0" + packed("192.0.2.45") + bytes(4) + bytes(byte ^ 255 for byte in packed(inner))


def nat64(prefix: str, bits: int):
    def embed(inner: str) -> bytes:
        # RFC 6052 2.2: the bytes after the prefix, the ninth left out.
        four, out = packed(inner), bytearray(packed(prefix))
        places = [at for at in range(bits // 8, 16) if at != 8][:4] if bits < 96 else range(12, 16)
        for at, byte in zip(places, four, strict=True):
            out[at] = byte
        return bytes(out)

    return embed


WAYS = {
    "mapped": nat64("::ffff:0:0", 96),
    "compatible": nat64("::", 96),
    "translated": nat64("::ffff:0:0:0", 96),
    "nat64": nat64("64:ff9b::", 96),
    "local-nat64-96": nat64("64:ff9b:1::", 96),
    "local-nat64-48": nat64("64:ff9b:1::", 48),
    "local-nat64-56": nat64("64:ff9b:1:ab00::", 56),
    "local-nat64-64": nat64("64:ff9b:1:abcd::", 64),
    "6to4": six_to_four,
    "teredo": teredo,
}


@pytest.mark.parametrize("address", FORBIDDEN_ADDRESSES)
def test_forbidden_whatever_the_policy_says(address):
    assert GUARD.judge(packed(address)) is Guard.FORBIDDEN
    assert GUARD.judge(packed(address), allow_private=True) is Guard.FORBIDDEN


@pytest.mark.parametrize("address", PRIVATE_ADDRESSES)
def test_private_unless_the_policy_admits_it(address):
    if ip_address(address) in ip_network("10.96.0.0/12"):
        pytest.fail("choose another address")
    assert GUARD.judge(packed(address)) is Guard.PRIVATE
    assert GUARD.judge(packed(address), allow_private=True) is None


@pytest.mark.parametrize("address", NETWORK_ADDRESSES)
def test_configured_networks_are_never_learned(address):
    assert GUARD.judge(packed(address)) is Guard.NETWORK
    assert GUARD.judge(packed(address), allow_private=True) is Guard.NETWORK


@pytest.mark.parametrize("address", CLEAR_ADDRESSES)
def test_other_addresses_are_clear(address):
    assert GUARD.judge(packed(address)) is None


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("inner", BAD_INSIDE)
def test_guarded_addresses_are_found_inside_others_and_never_admitted(way, inner):
    # In ::/96 the lowest two are addresses of their own.
    address = WAYS[way](inner)
    expected = Guard.FORBIDDEN if int.from_bytes(address) < 2 else Guard.EMBEDDED
    assert GUARD.judge(address) is expected
    assert GUARD.judge(address, allow_private=True) is expected


@pytest.mark.parametrize(
    "way", [way for way in WAYS if way not in ("local-nat64-48", "local-nat64-56", "local-nat64-64")]
)
@pytest.mark.parametrize("inner", GOOD_INSIDE)
def test_clear_addresses_inside_others_are_clear(way, inner):
    assert GUARD.judge(WAYS[way](inner)) is None


def slowly(address: bytes, allow_private: bool):
    """The same by the standard library, network by network."""
    whole = ip_address(address)
    if any(whole in net for net in map(ip_network, ["198.51.100.0/24", "2001:db8:c::/48", "10.96.0.0/12"])):
        return Guard.NETWORK
    if any(whole in net for net in FORBIDDEN):
        return Guard.FORBIDDEN
    if any(whole in net for net in PRIVATE):
        return None if allow_private else Guard.PRIVATE
    if isinstance(whole, IPv6Address) and any(whole in net for net in EMBEDDING):
        inner = whole.sixtofour or (whole.teredo and whole.teredo[1]) or IPv4Address(int(whole) & 0xFFFFFFFF)
        return Guard.EMBEDDED if slowly(inner.packed, allow_private=False) else None
    return None


fours = st.one_of(st.binary(min_size=4, max_size=4), st.sampled_from(BAD_INSIDE).map(packed))
sixes = st.one_of(
    st.binary(min_size=16, max_size=16),
    st.tuples(st.sampled_from([WAYS[w] for w in ("mapped", "compatible", "translated", "nat64", "6to4", "teredo")]), fours)
    .map(lambda pair: pair[0](str(ip_address(pair[1])))),
)  # fmt: skip


@given(st.one_of(fours, sixes), st.booleans())
@example(packed("64:ff9b::a00:1"), False)
def test_equals_the_slow_way(address, allow_private):
    assert GUARD.judge(address, allow_private=allow_private) is slowly(address, allow_private)


def test_the_worst_address_costs_microseconds():
    addresses = [WAYS[way]("10.0.0.1") for way in WAYS] * 10
    best = 1.0
    for _ in range(10):
        start = time.perf_counter()
        for address in addresses:
            GUARD.judge(address)
        best = min(best, time.perf_counter() - start)
    assert best / len(addresses) < 10e-6
