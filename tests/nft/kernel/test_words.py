"""What `nft.text` writes, nft and the kernel take: one rule for every kind of statement, and every name."""

import re
from pathlib import Path

import nftables
import pytest

from nft import text, transaction
from nft.expr import Accept, Goto, Jump, KeyType, Return
from nft.model import Chain, Hook, Rule, Set, Table, VerdictMapping
from nft.transport import KernelTransport
from tests.nft.test_text import STATEMENTS

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("netns")]

SETS = {
    each.name: each
    for each in (
        Set(name="d4-1", key=(KeyType.IPV4, KeyType.IPV4), has_timeout=True, size=65536, gc_interval_seconds=600),
        Set(name="workloads", key=(KeyType.IFNAME,)),
        Set(name="rates", key=(KeyType.IFNAME,), has_timeout=True, is_dynamic=True, size=1000),
    )
}
MAPS = {
    each.name: each
    for each in (
        VerdictMapping(name="from-endpoint", key=(KeyType.IFNAME,)),
        VerdictMapping(name="services", key=(KeyType.PROTOCOL, KeyType.PORT)),
    )
}
PLACES = {name: Chain(name, (Rule((Return(),)),)) for name in ("p-1", "deny")}


@pytest.mark.parametrize("statement", STATEMENTS, ids=str)
def test_the_kernel_takes_every_statement(statement):
    base = Chain("raw", (Rule((statement,), "why it is there"),), Hook("filter", "prerouting", -300))
    table = Table(name="tg", chains={**PLACES, "raw": base}, sets=SETS, maps=MAPS)
    transport = KernelTransport()
    written = transaction.script("tg", transaction.from_nothing(table))
    transport.check(written)
    transport.run(written)
    [rule] = [each["rule"] for each in transport.listing("list chain inet tg raw") if "rule" in each]
    assert rule["comment"] == f"why it is there #{text.chain_hash(base)}:0"


def test_the_kernel_takes_every_comment():
    comments = ['"quoted"', "a\\", "\\n", "new\nline", "a*", "$x", "}", ";", "#", "é" * 100, "x" * 200, "\t", "\0", ""]
    chain = Chain("c", tuple(Rule((Accept(),), comment) for comment in comments))
    transport = KernelTransport()
    transport.run(transaction.script("tg", transaction.from_nothing(Table(name="tg", chains={"c": chain}))))
    read = [each["rule"]["comment"] for each in transport.listing("list chain inet tg c") if "rule" in each]
    assert [each.rpartition("#")[2] for each in read] == [text.tag(chain, number) for number in range(len(comments))]


def test_names_are_taken_by_nft_if_and_only_if_we_take_them():
    """Tries our list of keywords and every word that stands in the library, which is most of its language."""
    found = {word.decode() for word in re.findall(rb"[a-z][a-z0-9_.-]{1,24}(?=\0)", library_bytes())}
    nft = nftables.Nftables()
    nft.cmd("add table inet tg")
    nft.cmd("add chain inet tg zzz-from")
    refused = {word for word in found | text._KEYWORDS if not is_taken(nft, word)}
    assert len(found) > 1000
    assert {word for word in refused if is_valid(word)} == set()
    assert text._KEYWORDS - refused <= {"destroy", "inner", "last"}  # words of newer versions


def library_bytes():
    """The file behind the library that the Python module has loaded."""
    line = next(line for line in Path("/proc/self/maps").read_text().splitlines() if "libnftables.so" in line)
    return Path(line.split()[-1]).read_bytes()


def is_taken(nft, word):
    status, _, _ = nft.cmd(
        f"add chain inet tg {word}\nadd set inet tg {word} {{ type mark; }}\n"
        f"add rule inet tg zzz-from meta mark @{word} jump {word}\n"
        f"flush chain inet tg zzz-from\ndelete chain inet tg {word}\ndelete set inet tg {word}"
    )
    return status == 0


def is_valid(word):
    try:
        return text.check_name(word) == word
    except ValueError:
        return False


@pytest.mark.parametrize("verdict", [Jump, Goto])
@pytest.mark.parametrize(("depth", "is_taken"), [(15, True), (16, False)])
def test_the_kernel_refuses_chains_deeper_than_fifteen(verdict, depth, is_taken):
    """As `nft.simulate` does."""
    chains = [Chain("base", (Rule((verdict("c-1"),)),), Hook("filter", "forward", 0))]
    chains += [
        Chain(f"c-{n}", (Rule((verdict(f"c-{n + 1}") if n < depth else Accept(),)),)) for n in range(1, depth + 1)
    ]
    table = Table(name="tg", chains={chain.name: chain for chain in chains})
    status, _, _ = nftables.Nftables().cmd(transaction.script("tg", transaction.from_nothing(table)))
    assert (status == 0) is is_taken


def test_the_kernel_refuses_circles_that_packets_can_reach_and_no_others():
    circle = [Chain("a", (Rule((Jump("b"),)),)), Chain("b", (Rule((Jump("a"),)),))]
    base = Chain("base", (Rule((Goto("a"),)),), Hook("filter", "forward", 0))
    for chains, is_taken in ((circle, True), ([*circle, base], False)):
        table = Table(name="tg", chains={chain.name: chain for chain in chains})
        status, _, _ = nftables.Nftables().cmd(transaction.script("tg", transaction.from_nothing(table)))
        assert (status == 0) is is_taken
