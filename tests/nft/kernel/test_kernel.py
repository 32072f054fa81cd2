"""Reading a table back from the real kernel."""

import subprocess
from ipaddress import ip_address, ip_network

import pytest

from nft import features, text
from nft.errors import NftError
from nft.expr import Accept, Compare, Drop, Field, Goto, Jump, KeyType, Op, Queue, Return
from nft.kernel import Kernel
from nft.keys import packed
from nft.listing import ListedChain
from nft.model import Chain, Hook, Rule, Set, VerdictMapping
from nft.transport import KernelTransport

pytestmark = pytest.mark.kernel

HELD = Chain("held", (Rule((Queue(101, bypass=True),)),))


def run(script):
    KernelTransport().run(script)


@pytest.fixture
def kernel(netns):
    kernel = Kernel("tg", features.probe())
    yield kernel
    kernel.close()


def test_a_table_that_is_not_there_is_none(kernel):
    run("add table ip tg\nadd table inet tgx")
    assert kernel.read() is None


def test_an_empty_table_is_something(kernel):
    run("add table inet tg")
    assert kernel.read().chains == {}


def test_chains_are_read_with_their_hooks_and_counts(kernel):
    run(
        "add table inet tg\n"
        "add chain inet tg base { type filter hook forward priority -5; policy drop; }\n"
        'add chain inet tg one\nadd rule inet tg one accept\nadd rule inet tg one drop comment "x"'
    )
    assert kernel.read().chains == {
        "base": ListedChain(Hook("filter", "forward", -5, "drop"), None, 0),
        "one": ListedChain(None, None, 2),
    }


def test_a_queue_rule_is_known_again_by_its_tag(kernel):
    run("add table inet tg\nadd chain inet tg held")
    kernel.write_queue(HELD)
    assert kernel.read().chains["held"] == ListedChain(None, text.chain_hash(HELD), 1)


@pytest.mark.parametrize(
    "rules",
    [
        (Rule((Accept(),)),),
        (),
        (Rule((Compare(Field.DPORT, Op.EQ, 53), Queue(1))),),
        (Rule((Queue(1),)), Rule((Drop(),))),
    ],
)
def test_a_queue_rule_that_does_not_stand_alone_is_not_written(kernel, rules):
    """Netlink writes no conditions: what is left out would queue everything."""
    with pytest.raises(ValueError, match="it must stand alone"):
        kernel.write_queue(Chain("one", rules))


@pytest.mark.parametrize(
    ("shape", "keys"),
    [
        (Set(name="s", key=(KeyType.IPV4,)), {(ip_address("10.0.0.1"),), (ip_address("10.0.0.2"),)}),
        (Set(name="s", key=(KeyType.IFNAME,)), {("eth0",), ("cali0123456789a",)}),
        (Set(name="s", key=(KeyType.IFNAME, KeyType.IPV6)), {("eth0", ip_address("fd00::1"))}),
        (Set(name="s", key=(KeyType.IPV4, KeyType.PORT)), {(ip_address("10.0.0.1"), 53)}),
        (Set(name="s", key=(KeyType.IPV4, KeyType.PROTOCOL, KeyType.PORT)), {(ip_address("10.0.0.1"), 6, 53)}),
        (Set(name="s", key=(KeyType.MARK,)), {(0x10000,)}),
        (
            Set(name="s", key=(KeyType.IPV4,), is_interval=True),
            {
                (ip_network("0.0.0.0/8"),),
                (ip_network("10.0.0.0/24"),),
                (ip_network("10.0.1.0/24"),),
                (ip_network("255.0.0.0/8"),),
                (ip_network("1.2.3.4/32"),),
            },
        ),
        (Set(name="s", key=(KeyType.IPV6,), is_interval=True), {(ip_network("fd00::/8"),), (ip_network("::1/128"),)}),
        (
            Set(name="s", key=(KeyType.IPV4, KeyType.PORT), is_interval=True),
            {(ip_network("10.0.0.0/24"), 53), (ip_network("10.0.1.0/24"), 54)},
        ),
        (Set(name="s", key=(KeyType.IPV4,), is_interval=True), set()),
    ],
)
def test_what_was_added_to_a_set_is_read_back(kernel, shape, keys):
    body = "\n".join(text.set_body(shape))
    run(f"add table inet tg\nadd set inet tg s {{\n{body}\n}}")
    if keys:
        elements = ", ".join(text.key(key, shape.key) for key in keys)
        run(f"add element inet tg s {{ {elements} }}")
    read = kernel.read()
    assert read.sets == {"s": shape}
    assert read.elements == {"s": {packed(key, shape.key) for key in keys}}


def test_sets_whose_elements_nobody_asked_for_are_read_by_shape(kernel):
    run(
        "add table inet tg\nadd set inet tg d4 { type ipv4_addr . ipv4_addr; flags timeout; size 65536; gc-interval 600s; }"
    )
    read = kernel.read(without_elements={"d4"})
    assert read.sets["d4"] == Set(
        name="d4", key=(KeyType.IPV4, KeyType.IPV4), has_timeout=True, size=65536, gc_interval_seconds=600
    )
    assert read.elements == {}


def test_verdicts_are_read_back(kernel):
    verdicts = {"a": Accept(), "b": Drop(), "c": Return(), "d": Jump("one"), "e": Goto("one")}
    elements = ", ".join(f'"{name}" : {text.verdict(verdict)}' for name, verdict in verdicts.items())
    run(
        "add table inet tg\nadd chain inet tg one\nadd map inet tg m { type ifname : verdict; }\n"
        f"add element inet tg m {{ {elements} }}"
    )
    read = kernel.read()
    assert read.maps == {"m": VerdictMapping(name="m", key=(KeyType.IFNAME,))}
    assert read.verdicts["m"] == {packed((name,), (KeyType.IFNAME,)): verdict for name, verdict in verdicts.items()}


def test_a_verdict_we_have_no_words_for_is_read_as_unknown(kernel):
    run("add table inet tg\nadd map inet tg m { type ifname : verdict; }")
    subprocess.run(["nft", "add element inet tg m { a : continue }"], check=True)
    assert list(kernel.read().verdicts["m"].values()) == [None]


def test_another_programs_objects_of_unknown_shape_do_not_hurt(kernel):
    run(
        "add table inet tg\nadd set inet tg macs { type ether_addr; }\nadd element inet tg macs { 00:11:22:33:44:55 }\n"
        "add map inet tg marks { type ifname : mark; }\nadd counter inet tg c\n"
    )
    read = kernel.read()
    assert read.sets == {"macs": None}
    assert read.maps == {"marks": None}


def test_a_refused_commit_names_its_line_and_errno(kernel):
    with pytest.raises(NftError, match="add rule inet tg gone accept") as refused:
        run("add table inet tg\nadd chain inet tg one\nadd rule inet tg gone accept\n")
    assert refused.value.is_absent
    assert kernel.read() is None


def test_a_syntax_error_names_its_line_and_has_no_errno(netns):
    with pytest.raises(NftError, match="add rule inet tg one bogus") as refused:
        run("add table inet tg\nadd rule inet tg one bogus\n")
    assert refused.value.errno == 0
