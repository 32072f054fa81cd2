"""Keys as the kernel packs them."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nft.expr import KeyType, Range
from nft.keys import Packed, intervals, packed


@pytest.mark.parametrize(
    ("key", "types", "first", "last"),
    [
        ((ip_address("10.0.0.1"),), [KeyType.IPV4], "0a000001", "0a000001"),
        ((ip_network("10.0.0.0/24"),), [KeyType.IPV4], "0a000000", "0a0000ff"),
        ((ip_network("fd00::/112"),), [KeyType.IPV6], "fd" + 30 * "0", "fd" + 26 * "0" + "ffff"),
        (("eth0",), [KeyType.IFNAME], "65746830" + 24 * "0", "65746830" + 24 * "0"),
        ((Range(80, 81),), [KeyType.PORT], "0050", "0051"),
        ((6, 443), [KeyType.PROTOCOL, KeyType.PORT], "0600000001bb0000", "0600000001bb0000"),
        ((ip_network("10.0.0.0/8"), 53), [KeyType.IPV4, KeyType.PORT], "0a00000000350000", "0affffff00350000"),
    ],
)
def test_fields_are_packed_in_network_order_and_padded_in_company(key, types, first, last):
    assert packed(key, types) == Packed(bytes.fromhex(first), bytes.fromhex(last))


@pytest.mark.parametrize(
    ("value", "kind"),
    [("an-interface-name", KeyType.IFNAME), (70_000, KeyType.PORT), (-1, KeyType.PORT), ("eth0", KeyType.IPV4)],
)
def test_a_value_that_does_not_fit_is_refused(value, kind):
    with pytest.raises(ValueError, match="cannot pack"):
        packed((value,), [kind])


def test_intervals_that_touch_are_told_apart():
    bounds = [(b"\x05", True), (b"\x03", False), (b"\x03", True), (b"\x01", False)]
    assert intervals(bounds, 1) == {Packed(b"\x01", b"\x02"), Packed(b"\x03", b"\x04")}


def test_an_interval_without_an_end_goes_up_to_the_largest_key():
    assert intervals([(b"\xf0", False), (b"\x00", True)], 1) == {Packed(b"\xf0", b"\xff")}


@given(st.sets(st.integers(0, 255), max_size=12), st.randoms(use_true_random=False))
def test_any_disjoint_intervals_are_read_back(cuts, random):
    edges = sorted(cuts)
    wanted = {(first, last - 1) for first, last in zip(edges[::2], edges[1::2], strict=False)}
    bounds = [(bytes([first]), False) for first, _ in wanted]
    bounds += [(bytes([last + 1]), True) for _, last in wanted if last < 255 and last + 1 not in {f for f, _ in wanted}]
    random.shuffle(bounds)
    assert {(found.first[0], found.last[0]) for found in intervals(bounds, 1)} == wanted
