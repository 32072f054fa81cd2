"""Tables in nft's words: each statement, names, comments, tags, and what has no words."""

import re
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nft import listing, text
from nft.expr import (
    Accept,
    Compare,
    ConnectionMarkBits,
    ConnectionsOver,
    Counter,
    DestinationTranslated,
    Drop,
    Field,
    FirstOfConnection,
    Goto,
    Jump,
    KeyType,
    LogToGroup,
    LogToKernel,
    Lookup,
    MarkBits,
    MidStream,
    NoTrack,
    Op,
    Queue,
    Range,
    RateLimit,
    RateLimitPer,
    Reject,
    Remember,
    Return,
    ReversePathMissing,
    SentByHost,
    SetConnectionMark,
    SetMark,
    SocketTransparent,
    TransparentProxy,
    VerdictMap,
)
from nft.model import Chain, Hook, Rule, Set, VerdictMapping
from tests.nft.tables import tables

PAIR = (Field.IP_SADDR, Field.IP_DADDR)

STATEMENTS = {
    Compare(Field.IIFNAME, Op.EQ, "cali1"): 'meta iifname == "cali1"',
    Compare(Field.OIFNAME, Op.NE, "cali*"): 'meta oifname != "cali*"',
    Compare(Field.NFPROTO, Op.EQ, "ipv6"): "meta nfproto == ipv6",
    Compare(Field.L4PROTO, Op.EQ, 6): "meta l4proto == 6",
    Compare(Field.MARK, Op.NE, 5): "meta mark != 5",
    Compare(Field.IP_SADDR, Op.EQ, ip_address("10.0.0.1")): "ip saddr == 10.0.0.1",
    Compare(Field.IP_DADDR, Op.NE, ip_network("10.0.0.0/8")): "ip daddr != 10.0.0.0/8",
    Compare(Field.IP6_SADDR, Op.EQ, ip_network("fd00::/8")): "ip6 saddr == fd00::/8",
    Compare(Field.IP6_DADDR, Op.EQ, ip_address("::")): "ip6 daddr == ::",
    Compare(Field.SPORT, Op.NE, Range(1, 1023)): "th sport != 1-1023",
    Compare(Field.DPORT, Op.EQ, 53): "th dport == 53",
    Compare(Field.ICMP_TYPE, Op.EQ, 8): "icmp type == 8",
    Compare(Field.ICMP_CODE, Op.EQ, 0): "icmp code == 0",
    Compare(Field.ICMPV6_TYPE, Op.EQ, 128): "icmpv6 type == 128",
    Compare(Field.ICMPV6_CODE, Op.NE, 0): "icmpv6 code != 0",
    Compare(Field.CT_STATE, Op.EQ, "established,related"): "ct state established,related",
    Compare(Field.CT_STATE, Op.NE, "established,related"): "ct state & (established | related) == 0",
    Compare(Field.CT_STATE, Op.NE, "new"): "ct state & (new) == 0",
    Compare(Field.CT_DIRECTION, Op.EQ, "original"): "ct direction == original",
    Compare(Field.CT_MARK, Op.EQ, 7): "ct mark == 7",
    MarkBits(0xF0000, Op.NE, 0x10000): "meta mark & 0x000f0000 != 0x00010000",
    ConnectionMarkBits(0xF0000, Op.NE, 0x10000): "ct mark & 0x000f0000 != 0x00010000",
    Lookup(PAIR, "d4-1"): "ip saddr . ip daddr @d4-1",
    Lookup((Field.IIFNAME,), "workloads", negated=True): "meta iifname != @workloads",
    ReversePathMissing(): "fib saddr . mark . iif oif missing",
    SocketTransparent(): "socket transparent 1",
    TransparentProxy(4, 6, 5300): "meta l4proto 6 tproxy ip to 127.0.0.1:5300",
    TransparentProxy(6, 17, 5300): "meta l4proto 17 tproxy ip6 to [::1]:5300",
    SentByHost(): "meta iif 0",
    MidStream(): "tcp flags & syn == 0",
    DestinationTranslated(): "ct status dnat",
    DestinationTranslated(negated=True): "ct status & dnat == 0",
    Counter(): "counter",
    SetMark(0x30000, 0x10000): "meta mark set meta mark & 0xfffcffff | 0x00010000",
    SetConnectionMark(0x30000, 0x10000): "ct mark set ct mark & 0xfffcffff | 0x00010000",
    LogToKernel("tier/np:a/b: "): 'log prefix "tier/np:a/b: " level info',
    LogToGroup(3): "log group 3",
    LogToGroup(3, "dns", 512): 'log prefix "dns" group 3 snaplen 512',
    RateLimit(5, "second", 0): "limit rate 5/second",
    RateLimit(5, "second", 3, is_over=True): "limit rate over 5/second burst 3 packets",
    FirstOfConnection(): "ct status & confirmed == 0",
    ConnectionsOver(7): "ct count over 7",
    RateLimit(5, "minute", 10): "limit rate 5/minute burst 10 packets",
    RateLimitPer("rates", (Field.IIFNAME,), 9, "second", 3): (
        "update @rates { meta iifname timeout 60s limit rate 9/second burst 3 packets }"
    ),
    Remember("rates", (Field.IIFNAME,), 1500): "update @rates { meta iifname timeout 1500ms }",
    NoTrack(): "notrack",
    Accept(): "accept",
    Drop(): "drop",
    Return(): "return",
    Jump("p-1"): "jump p-1",
    Goto("deny"): "goto deny",
    Reject(): "reject",
    VerdictMap((Field.IIFNAME,), "from-endpoint"): "meta iifname vmap @from-endpoint",
    VerdictMap((Field.L4PROTO, Field.DPORT), "services"): "meta l4proto . th dport vmap @services",
}
"""One of every kind, and of every field; the kernel tests load them all."""


@pytest.mark.parametrize("statement", STATEMENTS, ids=str)
def test_every_statement_has_its_words(statement):
    assert text.statement(statement) == STATEMENTS[statement]


def test_no_field_and_no_kind_of_statement_is_forgotten():
    fields = {statement.field for statement in STATEMENTS if isinstance(statement, Compare)}
    assert fields == set(Field)
    kinds = {type(statement).__name__ for statement in STATEMENTS} | {"Queue"}
    union = re.findall(r"nft\.expr\.(\w+)", str(text.expr.Statement))
    assert kinds == set(union)


# --- what cannot be said ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["fwd", "interval", "all", "time", "get", "", "1a", "Upper", "a b", "a;b", "é", "x" * 200]
)
def test_names_that_nft_would_not_take_are_refused_with_a_reason(name):
    with pytest.raises(ValueError, match=f"cannot use '{name}' as a name"):
        text.check_name(name)


@pytest.mark.parametrize("name", ["filter-forward", "d4-0123456789abcdef", "input", "output", "nat", "a.b_c"])
def test_names_that_nft_takes_are_taken(name):
    assert text.check_name(name) == name


@pytest.mark.parametrize("name", ['a","eth0', 'x"', "a\nb", "nul\0"])
def test_an_interface_name_cannot_leave_its_quotes(name):
    with pytest.raises(ValueError, match="cannot write"):
        text.statement(Compare(Field.IIFNAME, Op.EQ, name))
    with pytest.raises(ValueError, match="cannot write"):
        text.key((name,), (KeyType.IFNAME,))


@pytest.mark.parametrize("prefix", ["$x", 'a"', "a\n"])
@pytest.mark.parametrize("make", [LogToKernel, lambda prefix: LogToGroup(1, prefix)], ids=["kernel", "group"])
def test_a_log_prefix_cannot_be_taken_for_anything_else(make, prefix):
    with pytest.raises(ValueError, match="cannot write"):
        text.statement(make(prefix))


def test_a_queue_has_no_words():
    with pytest.raises(ValueError, match="written by netlink"):
        text.statement(Queue(100))


@pytest.mark.parametrize(
    "chain",
    [
        Chain("q", (Rule((Queue(1),)), Rule((Drop(),)))),
        Chain("q", (Rule((Compare(Field.L4PROTO, Op.EQ, 6), Queue(1))),)),
        Chain("q", (Rule((Queue(1),)),), Hook("filter", "forward", 0)),
    ],
    ids=["a rule beside it", "a condition", "a base chain"],
)
def test_a_queue_that_does_not_stand_alone_is_refused_and_not_left_out(chain):
    with pytest.raises(ValueError, match="must stand alone"):
        text.rule_lines(chain)


def test_a_queue_chain_has_no_lines_but_a_hash():
    counted = Chain("q", (Rule((Counter(), Queue(1, bypass=True))),))
    assert text.has_queue(counted)
    assert text.chain_body(counted) == []
    assert text.chain_hash(counted) != text.chain_hash(Chain("q", (Rule((Counter(), Queue(2, bypass=True))),)))


# --- comments and tags --------------------------------------------------------------------------------------------


@given(st.text(max_size=200), st.integers(0, 200))
def test_a_comment_fits_and_ends_in_its_tag(comment, number):
    rules = tuple(Rule((Accept(),), comment) for _ in range(number + 1))
    chain = Chain("c", rules)
    line = text.rule(rules[number], text.tag(chain, number))
    written = line.removeprefix('accept comment "').removesuffix('"')
    assert len(written.encode()) <= text.MAX_COMMENT_BYTES
    assert not any(character in written for character in '"\n\r\0')
    assert written.endswith(f"#{text.chain_hash(chain)}:{number}")
    readable = written.rpartition("#")[0].rstrip()
    assert [each for each in readable if each.isalnum()] == [each for each in comment if each.isalnum()][
        : sum(map(str.isalnum, readable))
    ]


@given(st.text(max_size=200))
def test_a_comment_without_a_tag_fits_too(comment):
    words = text.rule(Rule((Drop(),), comment))
    assert len(words.encode()) <= len('drop comment ""') + text.MAX_COMMENT_BYTES
    assert "\n" not in words


@given(tables())
def test_a_listing_knows_the_chains_again_by_what_was_written(table):
    for chain in table.chains.values():
        comments = [line.rpartition('comment "')[2].removesuffix('"') for line in text.rule_lines(chain)]
        if comments:
            assert listing.digest(comments) == text.chain_hash(chain)
            assert len(comments) < 2 or listing.digest(comments[1:]) is None


@given(tables(), tables())
def test_equal_hashes_are_equal_chains(first, second):
    by_hash = {}
    for chain in (*first.chains.values(), *second.chains.values()):
        said = (chain.rules, chain.hook)
        assert by_hash.setdefault(text.chain_hash(chain), said) == said


def test_whatever_a_chain_says_is_in_its_hash():
    chain = Chain("c", (Rule((Accept(),), "why"),), Hook("filter", "forward", 0))
    others = [
        replace(chain, rules=(Rule((Drop(),), "why"),)),
        replace(chain, rules=(Rule((Accept(),), "because"),)),
        replace(chain, rules=chain.rules * 2),
        replace(chain, hook=None),
        replace(chain, hook=Hook("filter", "forward", 1)),
        replace(chain, hook=Hook("filter", "forward", 0, "drop")),
    ]
    assert len({text.chain_hash(each) for each in [chain, *others]}) == len(others) + 1
    assert text.chain_hash(replace(chain, name="d")) == text.chain_hash(chain)


# --- sets and maps ------------------------------------------------------------------------------------------------


def test_sets_say_their_type_flags_size_and_collection():
    learned = Set(
        name="d4",
        key=(KeyType.IPV4, KeyType.IPV4),
        has_timeout=True,
        size=65536,
        gc_interval_seconds=600,
        is_learned=True,
    )
    assert text.set_body(learned) == [
        "type ipv4_addr . ipv4_addr;",
        "flags timeout;",
        "size 65536;",
        "gc-interval 600s;",
    ]
    rates = Set(name="rates", key=(KeyType.IFNAME,), has_timeout=True, is_dynamic=True, is_interval=True)
    assert text.set_body(rates) == ["type ifname;", "flags interval,timeout,dynamic;"]
    assert text.set_body(Set(name="plain", key=(KeyType.MARK,))) == ["type mark;"]
    assert text.map_body(VerdictMapping(name="m", key=(KeyType.IFNAME, KeyType.PORT))) == [
        "type ifname . inet_service : verdict;"
    ]


def test_elements_are_written_by_the_type_of_each_field():
    types = (KeyType.IFNAME, KeyType.IPV4, KeyType.PORT)
    assert text.key(("cali1", ip_address("10.0.0.1"), 53), types) == '"cali1" . 10.0.0.1 . 53'
    assert text.key((ip_network("fd00::/8"),), (KeyType.IPV6,)) == "fd00::/8"
    with pytest.raises(ValueError, match="zip"):
        text.key(("cali1",), types)
