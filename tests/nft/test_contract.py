"""What both kernels do alike: the one in memory and the real one."""

import contextlib
import errno
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nft import features, text
from nft.errors import CommitError, NftError
from nft.expr import Accept, Drop, Goto, Jump, KeyType
from nft.fake import FakeKernel
from nft.kernel import Kernel
from nft.keys import packed
from nft.listing import ListedChain
from nft.model import Chain, Hook, Rule, Set, VerdictMapping
from nft.sync import TableSync
from nft.transaction import Difference, from_nothing
from reconcile.clock import ManualClock
from tests.nft.kernel.conftest import new_namespace
from tests.nft.tables import FROM, NAMES, NETS, QUEUE_CHAIN, WEB, address, net, policy_chain, port_rule, tables

ONE = Chain("one", (port_rule(1), port_rule(2)))
OTHER_ONE = Chain("one", (port_rule(3),))


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.kernel)])
def kernel(request):
    if request.param == "memory":
        yield FakeKernel("tg")
        return
    with new_namespace(), contextlib.closing(Kernel("tg", features.probe())) as kernel:
        yield kernel


@pytest.fixture
def loaded(kernel):
    kernel.commit(from_nothing(WEB))
    return kernel


def test_there_is_no_table_until_the_first_commit(kernel):
    assert kernel.read() is None
    kernel.commit(Difference())
    assert kernel.read().chains == {}


def test_a_whole_table_is_read_back(loaded):
    read = loaded.read(without_elements={"d4-1"})
    assert read.chains == {
        name: ListedChain(chain.hook, None, 0)
        if text.has_queue(chain)
        else ListedChain(chain.hook, text.chain_hash(chain), len(chain.rules))
        for name, chain in WEB.chains.items()
    }
    assert read.sets == {name: replace(shape, is_learned=False) for name, shape in WEB.sets.items()}
    assert read.maps == WEB.maps
    assert read.elements == {
        name: {packed(key, WEB.sets[name].key) for key in keys} for name, keys in WEB.elements.items()
    }
    assert read.verdicts == {
        "from-endpoint": {packed(("cali1",), (KeyType.IFNAME,)): Goto("from-cali1")},
    }


PAIR = (ip_address("10.0.0.1"), ip_address("192.0.2.1"))
LEARNED = {name: replace(WEB.sets["d4-1"], name=name) for name in ("d4-1", "d4-2", "d4-3")}


def syncing(kernel, *learned):
    """A sync that wants WEB with these learned sets."""
    sync = TableSync(kernel, ManualClock())
    others = {name: shape for name, shape in WEB.sets.items() if not shape.is_learned}
    sync.want(replace(WEB, sets={**others, **{name: LEARNED[name] for name in learned}}))
    return sync


def test_new_sets_are_added_alone_and_once(loaded):
    sync = syncing(loaded, "d4-1", "d4-2", "d4-3")
    sync.desired.set_chain(policy_chain("p-web", 8080))
    assert sync.add_sets(["d4-1", "d4-2", "d4-9"]) == {"d4-2"}
    read = loaded.read()
    assert {"d4-1", "d4-2"} <= read.sets.keys()
    assert "d4-3" not in read.sets
    assert read.chains["p-web"].digest == text.chain_hash(WEB.chains["p-web"])
    assert sync.add_sets(["d4-1", "d4-2"]) == frozenset()
    report = sync.apply()
    assert (report.is_complete, report.learned_sets_to_restore, report.chains) == (True, {"d4-3"}, 1)


def test_where_there_is_no_table_no_set_is_added(kernel):
    sync = syncing(kernel, "d4-1")
    assert sync.add_sets(["d4-1"]) == frozenset()
    assert kernel.read() is None
    assert sync.apply().learned_sets_to_restore == {"d4-1"}


def test_sets_of_a_former_life_are_kept_with_their_elements_until_they_are_given_up(kernel):
    syncing(kernel, "d4-1", "d4-2").apply()
    kernel.commit(Difference(added_elements={LEARNED["d4-2"]: [PAIR]}))
    sync = syncing(kernel, "d4-1")
    assert sync.keep_sets(["d4-1", "d4-2", "d4-3"]) == {"d4-2"}
    report = sync.apply()
    assert (report.is_complete, report.elements, report.learned_sets_to_restore) == (True, 0, frozenset())
    assert kernel.read().elements["d4-2"] == {packed(PAIR, LEARNED["d4-2"].key)}
    sync.desired.remove_set("d4-2")
    assert sync.apply().is_complete
    assert "d4-2" not in kernel.read().sets


def test_a_queue_rule_is_written_into_a_chain_that_is_there(loaded):
    loaded.write_queue(QUEUE_CHAIN)
    loaded.write_queue(QUEUE_CHAIN)
    assert loaded.read().chains["queue-denied"] == ListedChain(None, text.chain_hash(QUEUE_CHAIN), 1)
    with pytest.raises(NftError) as absent:
        loaded.write_queue(replace(QUEUE_CHAIN, name="gone"))
    assert absent.value.is_absent


def test_a_changed_chain_has_its_new_rules_only(kernel):
    kernel.commit(Difference(new_chains=[ONE]))
    kernel.commit(Difference(changed_chains=[OTHER_ONE]))
    assert kernel.read().chains["one"] == ListedChain(None, text.chain_hash(OTHER_ONE), 1)


def test_a_base_chain_can_change_its_policy_in_place(kernel):
    base = Chain("base", (port_rule(1),), Hook("filter", "forward", 0, "accept"))
    closed = replace(base, hook=Hook("filter", "forward", 0, "drop"))
    kernel.commit(Difference(new_chains=[base]))
    kernel.commit(Difference(changed_chains=[closed]))
    assert kernel.read().chains["base"] == ListedChain(closed.hook, text.chain_hash(closed), 1)


def test_a_base_chain_is_rehung_in_one_transaction(kernel):
    base = Chain("base", (port_rule(1),), Hook("filter", "forward", 0))
    moved = replace(base, hook=Hook("filter", "input", 5))
    kernel.commit(Difference(new_chains=[base]))
    kernel.commit(Difference(rehung_chains=[moved]))
    assert kernel.read().chains["base"] == ListedChain(moved.hook, text.chain_hash(moved), 1)


def test_a_set_is_replaced_with_the_chains_that_look_into_it(loaded):
    wider = Set(name="nets", key=(KeyType.IPV4,))
    loaded.commit(
        Difference(
            replaced_sets=[wider],
            changed_chains=[WEB.chains["p-web"]],
            added_elements={wider: {address("10.0.0.1")}},
        )
    )
    read = loaded.read(without_elements={"d4-1"})
    assert read.sets["nets"] == wider
    assert read.elements["nets"] == {packed(address("10.0.0.1"), wider.key)}


def test_a_map_is_replaced_with_the_chains_that_look_into_it(loaded):
    wider = VerdictMapping(name="from-endpoint", key=(KeyType.IFNAME, KeyType.PROTOCOL))
    loaded.commit(
        Difference(
            replaced_maps=[wider],
            changed_chains=[replace(WEB.chains["filter-forward"], rules=(port_rule(1),))],
            added_verdicts={wider: {("cali1", 6): Drop()}},
        )
    )
    read = loaded.read(without_elements={"d4-1"})
    assert read.verdicts == {"from-endpoint": {packed(("cali1", 6), wider.key): Drop()}}


def test_elements_move_within_one_transaction(loaded):
    """An interval that contains one that goes would overlap it if deletions did not come first."""
    loaded.commit(Difference(deleted_elements={NETS: {net("10.0.0.0/8")}}, added_elements={NETS: {net("10.1.0.0/16")}}))
    assert loaded.read(without_elements={"d4-1"}).elements["nets"] == {packed(net("10.1.0.0/16"), NETS.key)}


def test_a_set_is_emptied_before_elements_are_added(loaded):
    loaded.commit(Difference(emptied_sets=["nets"], added_elements={NETS: {net("10.1.0.0/16")}}))
    assert loaded.read(without_elements={"d4-1"}).elements["nets"] == {packed(net("10.1.0.0/16"), NETS.key)}


def test_a_verdict_is_replaced_by_deleting_it_first(loaded):
    loaded.commit(Difference(deleted_verdicts={FROM: {("cali1",)}}, added_verdicts={FROM: {("cali1",): Drop()}}))
    assert list(loaded.read(without_elements={"d4-1"}).verdicts["from-endpoint"].values()) == [Drop()]


def test_a_map_is_emptied_before_verdicts_are_added(loaded):
    loaded.commit(Difference(emptied_maps=["from-endpoint"], added_verdicts={FROM: {("cali2",): Drop()}}))
    assert list(loaded.read(without_elements={"d4-1"}).verdicts["from-endpoint"].values()) == [Drop()]


def test_dead_chains_that_lead_to_each_other_go_together(kernel):
    first, second = Chain("one", (Rule((Jump("two"),)),)), Chain("two", (Rule((Accept(),)),))
    kernel.commit(Difference(new_chains=[first, second]))
    kernel.commit(Difference(dead_chains=["two", "one"]))
    assert kernel.read().chains == {}


def test_a_chain_of_a_dead_entry_dies_with_it(loaded):
    loaded.commit(Difference(deleted_verdicts={FROM: {("cali1",)}}, dead_chains=["from-cali1", "p-web"]))
    assert "p-web" not in loaded.read(without_elements={"d4-1"}).chains


def test_dead_sets_and_maps_go_with_the_chains_that_looked_into_them(loaded):
    loaded.commit(
        Difference(
            dead_chains=[name for name in WEB.chains if name != "deny"] + ["deny"],
            dead_maps=["from-endpoint"],
            dead_sets=["nets", "workloads", "d4-1"],
        )
    )
    read = loaded.read()
    assert (read.chains, read.sets, read.maps) == ({}, {}, {})


REFUSALS = {
    "a rule that jumps nowhere": (
        Difference(new_chains=[Chain("a", (Rule((Jump("gone"),)),))]),
        errno.ENOENT,
        {"a"},
        set(),
    ),
    "a rule that looks into no set": (
        Difference(
            changed_chains=[replace(policy_chain("p-web"), rules=(replace(ONE.rules[0]), *policy_chain("x").rules))],
            dead_sets=["nets"],
        ),
        errno.EBUSY,
        set(),
        {"nets"},
    ),
    "a change of a chain that is not there": (Difference(changed_chains=[ONE]), errno.ENOENT, {"one"}, set()),
    "the death of a chain that is not there": (Difference(dead_chains=["one"]), errno.ENOENT, {"one"}, set()),
    "the death of a chain in use": (Difference(dead_chains=["p-web"]), errno.EBUSY, {"p-web"}, set()),
    "the death of a set in use": (Difference(dead_sets=["nets"]), errno.EBUSY, set(), {"nets"}),
    "the death of a map in use": (Difference(dead_maps=["from-endpoint"]), errno.EBUSY, set(), {"from-endpoint"}),
    "an entry that leads nowhere": (
        Difference(added_verdicts={FROM: {("cali9",): Goto("gone")}}),
        errno.ENOENT,
        set(),
        {"from-endpoint"},
    ),
    "an element that is not there": (
        Difference(deleted_elements={NAMES: {("cali9",)}}),
        errno.ENOENT,
        set(),
        {"workloads"},
    ),
    "an entry that is not there": (
        Difference(deleted_verdicts={FROM: {("cali9",)}}),
        errno.ENOENT,
        set(),
        {"from-endpoint"},
    ),
    "networks that overlap": (Difference(added_elements={NETS: {net("10.1.0.0/16")}}), errno.EEXIST, set(), {"nets"}),
    "a set of another shape": (
        Difference(new_sets=[Set(name="nets", key=(KeyType.PORT,))]),
        errno.EEXIST,
        set(),
        {"nets"},
    ),
    "more elements than a set takes": (
        Difference(
            new_sets=[Set(name="few", key=(KeyType.PORT,), size=1)],
            added_elements={Set(name="few", key=(KeyType.PORT,), size=1): {(1,), (2,)}},
        ),
        errno.ENFILE,
        set(),
        {"few"},
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused_is_blamed_and_nothing_is_done(loaded, name):
    difference, code, chains, sets = REFUSALS[name]
    before = loaded.read()
    with pytest.raises(CommitError) as refused:
        loaded.commit(replace(difference, new_maps=[VerdictMapping(name="m", key=(KeyType.IFNAME,))]))
    assert refused.value.errno in (code, 0)  # 0: libnftables saw it before the kernel
    assert (refused.value.chains, refused.value.sets) == (chains, sets)
    assert loaded.read() == before


@pytest.mark.kernel
def test_both_kernels_read_alike_after_any_sequence_of_tables():
    found = features.probe()

    @settings(max_examples=25, deadline=None)
    @given(st.lists(tables(), min_size=1, max_size=5))
    def play(sequence):
        memory = FakeKernel("tg")
        with new_namespace(), contextlib.closing(Kernel("tg", found)) as real:
            syncs = [TableSync(kernel, ManualClock()) for kernel in (memory, real)]
            for wanted in sequence:
                for sync in syncs:
                    sync.want(wanted)
                reports = [sync.apply() for sync in syncs]
                assert reports[0] == reports[1]
                assert reports[0].is_complete
                assert memory.read(without_elements={"d4-1"}) == real.read(without_elements={"d4-1"})

    play()
