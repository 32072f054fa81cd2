"""Listings as values, from JSON as libnftables writes it."""

import pytest

from nft import listing
from nft.expr import KeyType
from nft.model import Hook, Set, VerdictMapping

HASH = "0123456789abcdef"
OTHER = "fedcba9876543210"


def of(kind, **described):
    return [{"metainfo": {}}, {kind: {"family": "inet", "table": "tg", "name": "it", **described}}]


@pytest.mark.parametrize(
    ("comments", "expected"),
    [
        ([f"#{HASH}:0"], HASH),
        ([f"allow web #{HASH}:0", f"#{HASH}:1", f"x #{HASH}:2"], HASH),
        ([], None),
        ([f"#{HASH}:1"], None),
        ([f"#{HASH}:1", f"#{HASH}:0"], None),
        ([f"#{HASH}:0", f"#{HASH}:0"], None),
        ([f"#{HASH}:0", ""], None),
        (["", f"#{HASH}:1"], None),
        ([f"#{HASH}:0", f"#{OTHER}:1"], None),
        ([f"#{HASH}:0 and more"], None),
    ],
)
def test_a_chain_is_whole_if_its_tags_agree_and_count(comments, expected):
    assert listing.digest(comments) == expected


def test_chains_of_other_tables_and_families_are_left_out():
    objects = [
        *of("chain"),
        {"chain": {"family": "ip", "table": "tg", "name": "a"}},
        {"chain": {"family": "inet", "table": "tgx", "name": "b"}},
    ]
    assert listing.hooks(objects, "tg") == {"it": None}


def test_a_base_chain_has_its_hook():
    objects = of("chain", type="filter", hook="forward", prio=-150, policy="drop")
    assert listing.hooks(objects, "tg") == {"it": Hook("filter", "forward", -150, "drop")}


def test_a_sets_shape_is_read():
    objects = of(
        "set", type=["ipv4_addr", "inet_service"], flags=["interval", "timeout"], size=16, **{"gc-interval": 600}
    )
    assert listing.sets(objects, "tg") == {
        "it": Set(
            name="it",
            key=(KeyType.IPV4, KeyType.PORT),
            is_interval=True,
            has_timeout=True,
            size=16,
            gc_interval_seconds=600,
        )
    }


@pytest.mark.parametrize(
    "described",
    [
        {"type": "ether_addr"},
        {"type": {"typeof": {}}},
        {"type": "ifname", "flags": "constant"},
        {"type": "ifname", "timeout": 60},
    ],
)
def test_a_set_of_a_shape_we_never_make_is_listed_without_one(described):
    assert listing.sets(of("set", **described), "tg") == {"it": None}


def test_a_verdict_map_is_read_and_another_map_is_listed_without_a_shape():
    assert listing.maps(of("map", type="ifname", map="verdict"), "tg") == {
        "it": VerdictMapping(name="it", key=(KeyType.IFNAME,))
    }
    assert listing.maps(of("map", type="ifname", map="mark"), "tg") == {"it": None}
