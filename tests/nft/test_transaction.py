"""One ordered transaction: what stands before what, in equal words for equal differences."""

import os
import subprocess
import sys
from dataclasses import fields, replace
from ipaddress import IPv4Address
from itertools import pairwise

import pytest
from hypothesis import given

from nft import transaction
from nft.expr import Accept, Compare, Drop, Field, Goto, Jump, KeyType, Lookup, Op
from nft.model import Chain, Hook, Rule, Set, Table, VerdictMapping
from nft.transaction import Difference, from_nothing, script
from reconcile.clock import SystemClock
from tests.nft.tables import FROM, NAMES, NETS, QUEUE_CHAIN, WEB, address, net, tables

ACCEPT = Rule((Accept(),), "why")

EVERYTHING = Difference(
    new_sets=[Set(name="new-set", key=(KeyType.PORT,))],
    new_maps=[VerdictMapping(name="new-map", key=(KeyType.PORT,))],
    new_chains=[Chain("new", (Rule((Jump("changed"),)),)), QUEUE_CHAIN],
    changed_chains=[Chain("changed", (ACCEPT,)), Chain("anchor", (ACCEPT,), Hook("filter", "forward", 0, "drop"))],
    replaced_sets=[Set(name="wider", key=(KeyType.IPV4,), is_interval=True)],
    replaced_maps=[VerdictMapping(name="other", key=(KeyType.MARK,))],
    rehung_chains=[Chain("rehung", (ACCEPT,), Hook("filter", "input", 5))],
    emptied_sets=["foreign-set"],
    emptied_maps=["foreign-map"],
    deleted_elements={NETS: [net("10.0.0.0/8")]},
    added_elements={NETS: [net("10.2.0.0/16"), net("10.1.0.0/16")]},
    deleted_verdicts={FROM: [("cali1",)]},
    added_verdicts={FROM: {("cali2",): Goto("new"), ("cali1",): Drop()}},
    dead_chains=["dead"],
    dead_maps=["dead-map"],
    dead_sets=["dead-set"],
)

GOLDEN = """\
add table inet tg
flush chain inet tg changed
flush chain inet tg anchor
flush chain inet tg rehung
flush chain inet tg dead
flush map inet tg foreign-map
delete element inet tg from-endpoint { "cali1" }
delete map inet tg other
delete chain inet tg rehung
delete set inet tg wider
add set inet tg wider { type ipv4_addr; flags interval; }
add set inet tg new-set { type inet_service; }
add map inet tg other { type mark : verdict; }
add map inet tg new-map { type inet_service : verdict; }
add chain inet tg rehung { type filter hook input priority 5; policy accept; }
add chain inet tg new
add chain inet tg queue-denied
add chain inet tg anchor { type filter hook forward priority 0; policy drop; }
flush set inet tg foreign-set
delete element inet tg nets { 10.0.0.0/8 }
add rule inet tg rehung accept comment "why #9cabeb960679e8e4:0"
add rule inet tg new jump changed comment "#a6d1a9330c9e746f:0"
add rule inet tg changed accept comment "why #34ba558cbf025574:0"
add rule inet tg anchor accept comment "why #17dfdc27c88110ac:0"
add element inet tg nets { 10.1.0.0/16, 10.2.0.0/16 }
add element inet tg from-endpoint { "cali1" : drop, "cali2" : goto new }
delete map inet tg dead-map
delete chain inet tg dead
delete set inet tg dead-set
"""


def test_everything_at_once_stands_in_its_order():
    assert script("tg", EVERYTHING) == GOLDEN


def test_no_part_of_a_difference_is_forgotten():
    assert all(getattr(EVERYTHING, each.name) for each in fields(EVERYTHING))
    assert not Difference()
    for each in fields(Difference):
        assert replace(Difference(), **{each.name: getattr(EVERYTHING, each.name)}), each.name


def test_queue_chains_are_made_empty_and_named_for_netlink():
    assert EVERYTHING.queue_chains == [QUEUE_CHAIN]
    assert "add rule inet tg queue-denied" not in GOLDEN


def test_a_name_that_nft_does_not_take_is_refused_before_the_kernel_sees_it():
    for difference in (
        Difference(new_chains=[Chain("fwd")]),
        Difference(new_sets=[Set(name="interval", key=(KeyType.MARK,))]),
        Difference(new_maps=[VerdictMapping(name="all", key=(KeyType.MARK,))]),
    ):
        with pytest.raises(ValueError, match="word of the nft language"):
            script("tg", difference)


@pytest.mark.parametrize("count", [0, 1, 1999, 2000, 2001, 4001])
def test_long_lists_of_elements_are_split(count):
    shape = Set(name="s", key=(KeyType.IPV4,))
    keys = [(IPv4Address(number),) for number in range(count)]
    lines = script("tg", Difference(added_elements={shape: keys})).splitlines()[1:]
    elements = [line.removeprefix("add element inet tg s { ").removesuffix(" }").split(", ") for line in lines]
    assert all(len(each) <= transaction.ELEMENTS_PER_COMMAND for each in elements)
    assert sorted(each for line in elements for each in line) == sorted(str(key[0]) for key in keys)


def test_equal_tables_give_equal_text_in_every_process():
    """Sets have no order, and strings another hash in each process: without sorting the text would differ."""
    code = """
from nft.transaction import from_nothing, script
from tests.nft.tables import table
print(script("tg", from_nothing(table({"p-a": (1,)}, {f"cali{n}": ("p-a",) for n in range(20)}))))
"""
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(texts) == 1


# --- nothing names what a later command makes ---------------------------------------------------------------------


@given(tables())
def test_a_rebuild_names_only_what_is_there(table):
    there = set()
    for line in script("tg", from_nothing(table)).splitlines()[1:]:
        verb, kind, _, _, name, *rest = line.split(" ", 5)
        assert verb == "add"
        if kind in ("set", "map", "chain"):
            there.add(name)
        else:
            assert name in there
            assert named(" ".join(rest)) <= there


def named(words):
    """The objects that a rule or an element leads to."""
    following = words.replace("@", "jump ").replace(",", "").split()
    return {after for before, after in pairwise(following) if before in ("jump", "goto")}


def test_a_rebuild_leaves_learned_sets_empty():
    assert "element inet tg d4-1" not in script("tg", from_nothing(WEB))


def test_elements_go_before_others_come_and_before_rules_that_look_into_them():
    moved = Difference(
        changed_chains=[Chain("c", (Rule((Lookup((Field.IIFNAME,), "workloads"), Accept())),))],
        deleted_elements={NAMES: [("cali1",)]},
        added_elements={NAMES: [("cali2",)]},
    )
    verbs = [" ".join(line.split()[:2]) for line in script("tg", moved).splitlines()]
    assert verbs == ["add table", "flush chain", "delete element", "add rule", "add element"]


# --- size ---------------------------------------------------------------------------------------------------------


def many(chains, rules=9):
    """A table of that many chains."""
    return Table(
        name="tg",
        chains={
            f"p-{number}": Chain(
                f"p-{number}",
                tuple(
                    Rule((Compare(Field.DPORT, Op.EQ, rule), Accept()), f"policy {number} rule {rule}")
                    for rule in range(rules)
                ),
            )
            for number in range(chains)
        },
        sets={"s": Set(name="s", key=(KeyType.IPV4,))},
        elements={"s": frozenset(address(f"10.{n >> 8}.{n & 255}.1") for n in range(chains))},
    )


def test_a_large_node_is_text_in_no_time():
    """2,500 chains and 22,500 rules; a tenth of a second on a quiet machine."""
    table = many(2500)
    started = SystemClock().now()
    written = script("tg", from_nothing(table))
    assert SystemClock().now() - started < 1.0
    assert written.count("\n") > 25_000


def test_the_text_grows_with_the_table_and_not_faster():
    sizes = [len(script("tg", from_nothing(many(chains)))) for chains in (100, 1000)]
    assert sizes[1] < 11 * sizes[0]
