"""The table sync, on the kernel in memory."""

import errno
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nft.elements import Change, Operation
from nft.errors import CommitError, NftError
from nft.expr import Accept, Drop, Goto, Jump, KeyType
from nft.fake import CrashError, FakeElements, FakeKernel
from nft.matching import Packet
from nft.model import Chain, Hook, Rule, Set, VerdictMapping
from nft.monitor import LOST
from nft.simulate import End, Simulator
from nft.sync import MAX_ATTEMPTS, TableSync
from reconcile.clock import ManualClock
from tests.nft.tables import (
    D4,
    FORWARD,
    NETS,
    QUEUE_CHAIN,
    WEB,
    WEB_AND_SSH,
    address,
    endpoint_chain,
    net,
    policy_chain,
    table,
    tables,
)

PAIR = bytes([10, 0, 0, 1, 192, 0, 2, 1])


@pytest.fixture
def kernel():
    return FakeKernel("tg")


@pytest.fixture
def sync(kernel):
    return restarted(kernel)


def restarted(kernel, wanted=None):
    sync = TableSync(kernel, ManualClock())
    if wanted is not None:
        sync.want(wanted)
    return sync


def model(kernel):
    """The kernel's table in the terms of what was wanted: it does not know what is learned."""
    found = kernel.state.model("tg")
    sets = {name: replace(shape, is_learned=name.startswith("d4-")) for name, shape in found.sets.items()}
    elements = {name: keys for name, keys in found.elements.items() if not sets[name].is_learned}
    return replace(found, sets=sets, elements=elements)


def applied(sync):
    report = sync.apply()
    assert report.is_complete, report
    return report


# --- to what is wanted ---------------------------------------------------------------------------------------------


def test_an_empty_kernel_gets_the_whole_table(kernel, sync):
    sync.want(WEB)
    report = applied(sync)
    assert model(kernel) == WEB
    assert report.was_read
    assert report.chains == len(WEB.chains)
    assert report.learned_sets_to_restore == {"d4-1"}


def test_nothing_changed_is_no_transaction(kernel, sync):
    sync.want(WEB)
    applied(sync)
    assert applied(sync).commits == 0
    assert kernel.reads == 1


def test_one_changed_chain_is_one_small_transaction(kernel, sync):
    sync.want(WEB)
    applied(sync)
    seen = []
    kernel.refuse = seen.append
    sync.desired.set_chain(policy_chain("p-web", 8080))
    report = applied(sync)
    assert (report.commits, report.chains, report.elements) == (1, 1, 0)
    assert [chain.name for chain in seen[0].changed_chains] == ["p-web"]
    assert kernel.reads == 1


def test_a_change_and_its_undoing_are_nothing(sync):
    sync.want(WEB)
    applied(sync)
    sync.desired.set_chain(policy_chain("p-web", 8080))
    sync.desired.set_chain(WEB.chains["p-web"])
    sync.desired.change_elements("nets", added=frozenset({net("10.0.0.0/8")}))
    assert applied(sync).commits == 0


def test_elements_change_by_what_differs(kernel, sync):
    sync.want(table({}, {}, nets=("10.0.0.0/8", "192.0.2.0/24")))
    applied(sync)
    sync.desired.set_elements("nets", frozenset({net("192.0.2.0/24"), net("172.16.0.0/12")}))
    report = applied(sync)
    assert (report.commits, report.chains, report.elements) == (1, 0, 2)
    sync.desired.change_elements("nets", removed=frozenset({net("192.0.2.0/24")}))
    assert applied(sync).elements == 1
    assert model(kernel).elements["nets"] == {net("172.16.0.0/12")}


def test_verdicts_change_by_what_differs(kernel, sync):
    sync.want(WEB_AND_SSH)
    applied(sync)
    sync.desired.change_verdicts("from-endpoint", {("cali1",): Drop(), ("cali2",): None})
    assert applied(sync).elements == 3
    assert model(kernel).verdicts["from-endpoint"] == {("cali1",): Drop()}
    sync.desired.set_verdicts("from-endpoint", {})
    assert applied(sync).elements == 1


def test_sets_and_maps_come_and_go(kernel, sync):
    sync.want(WEB)
    sync.desired.set_set(Set(name="more", key=(KeyType.PORT,)))
    sync.desired.set_elements("more", frozenset({(80,)}))
    sync.desired.set_map(VerdictMapping(name="ports", key=(KeyType.PORT,)))
    sync.desired.set_verdicts("ports", {(80,): Accept()})
    applied(sync)
    assert model(kernel).elements["more"] == {(80,)}
    sync.desired.remove_set("more")
    sync.desired.remove_map("ports")
    applied(sync)
    assert model(kernel) == WEB


def test_elements_of_a_learned_set_are_nobodys_to_set(sync):
    sync.want(WEB)
    with pytest.raises(KeyError):
        sync.desired.set_elements("d4-1", frozenset())
    with pytest.raises(KeyError):
        sync.desired.change_elements("gone")
    with pytest.raises(KeyError):
        sync.desired.set_verdicts("gone", {})


def test_another_whole_table_replaces_the_first(kernel, sync):
    for wanted in (WEB, WEB_AND_SSH, table({}, {}), WEB):
        sync.want(wanted)
        applied(sync)
        assert model(kernel) == wanted


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(st.lists(st.tuples(tables(), st.booleans()), min_size=1, max_size=4))
def test_any_sequence_of_tables_and_restarts_ends_in_the_last_one(sequence):
    kernel = FakeKernel("tg")
    sync = restarted(kernel)
    for wanted, restarts in sequence:
        if restarts:
            sync = restarted(kernel)
        sync.want(wanted)
        applied(sync)
        assert model(kernel) == wanted
        assert applied(sync).commits == 0
    assert applied(restarted(kernel, sequence[-1][0])).commits == 0


# --- restarts ------------------------------------------------------------------------------------------------------


def test_a_restart_changes_nothing_that_is_right(kernel, sync):
    sync.want(WEB)
    applied(sync)
    report = applied(restarted(kernel, WEB))
    assert report.commits == 0
    assert report.learned_sets_to_restore == frozenset()


def test_a_restart_with_another_policy_writes_what_differs(kernel, sync):
    sync.want(WEB)
    applied(sync)
    report = applied(restarted(kernel, WEB_AND_SSH))
    assert model(kernel) == WEB_AND_SSH
    assert report.chains == 3  # p-web, p-ssh and from-cali2


def test_learned_elements_outlive_a_restart_and_a_change_of_everything_else(kernel, sync):
    clock = ManualClock()
    sync.want(WEB)
    applied(sync)
    writer = FakeElements(kernel, clock)
    writer.write([Change(Operation.ADD, "d4-1", PAIR, 60_000)])
    applied(restarted(kernel, WEB_AND_SSH))
    assert [element.key for element in writer.read("d4-1")] == [PAIR]


def test_a_set_of_an_older_shape_is_made_anew_with_the_chains_that_look_into_it(kernel, sync):
    older = replace(NETS, is_interval=False)
    before = table({"p-web": (80,)}, {"cali1": ("p-web",)})
    before = replace(
        before,
        sets={**before.sets, "nets": older},
        elements={**before.elements, "nets": frozenset({address("10.0.0.1")})},
    )
    sync.want(before)
    applied(sync)
    after = table({"p-web": (80,)}, {"cali1": ("p-web",)})
    report = applied(restarted(kernel, after))
    assert model(kernel) == after
    assert report.chains == 1


def test_a_learned_set_of_an_older_shape_is_made_anew_and_told_to_its_owner(kernel, sync):
    sync.want(WEB)
    applied(sync)
    larger = replace(D4, size=2 * D4.size)
    report = applied(restarted(kernel, replace(WEB, sets={**WEB.sets, "d4-1": larger})))
    assert report.learned_sets_to_restore == {"d4-1"}


def test_what_a_set_does_not_ask_for_is_not_compared(kernel, sync):
    sync.want(WEB)
    applied(sync)
    plain = replace(D4, size=None, gc_interval_seconds=None)
    assert applied(restarted(kernel, replace(WEB, sets={**WEB.sets, "d4-1": plain}))).commits == 0


def test_a_base_chain_of_an_older_version_is_rehung(kernel, sync):
    older = replace(FORWARD, hook=Hook("filter", "forward", -10))
    sync.want(replace(WEB, chains={**WEB.chains, "filter-forward": older}))
    applied(sync)
    applied(restarted(kernel, WEB))
    assert model(kernel) == WEB


# --- others --------------------------------------------------------------------------------------------------------


def flush_chain(state):
    state.put_rules(replace(state.chains["p-web"], rules=()))


def cut_last_rule(state):
    chain = state.chains["p-web"]
    comments = state.comments["p-web"][:-1]
    state.put_rules(replace(chain, rules=chain.rules[:-1]), comments)


def add_rule(state):
    chain = state.chains["p-web"]
    comments = ["", *state.comments["p-web"]]
    state.put_rules(replace(chain, rules=(Rule((Accept(),)), *chain.rules)), comments)


def edit_rule_and_keep_its_comment(state):
    chain = state.chains["p-web"]
    comments = state.comments["p-web"]
    state.put_rules(replace(chain, rules=(Rule((Accept(),)), *chain.rules[1:])), comments)


def empty_queue_chain(state):
    state.put_rules(replace(state.chains["queue-denied"], rules=()))


def open_policy(state):
    chain = state.chains["filter-forward"]
    state.chains["filter-forward"] = replace(chain, hook=replace(chain.hook, policy="drop"))


def add_chain(state):
    state.put_rules(Chain("intruder", (Rule((Jump("p-web"),)),), Hook("filter", "forward", -1)), [""])


def delete_elements(state):
    state.elements["nets"].clear()


def add_element(state):
    place = next(iter(state.elements["nets"]))
    state.elements["nets"][place._replace(first=b"\x01\x02\x03\x04", last=b"\x01\x02\x03\x05")] = net("1.2.3.4/31")


def swap_verdict(state):
    ((place, (key, _)),) = state.verdicts["from-endpoint"].items()
    state.verdicts["from-endpoint"][place] = (key, Accept())


def add_verdict(state):
    ((place, _),) = state.verdicts["from-endpoint"].items()
    state.verdicts["from-endpoint"][place._replace(first=b"x" * 16, last=b"x" * 16)] = (("x" * 15,), Accept())


def add_set(state):
    state.sets["junk"] = Set(name="junk", key=(KeyType.PORT,))
    state.elements["junk"] = {}


EDITS = {
    "everything": (None, {}),
    "all rules of a chain": (flush_chain, {"rule_chains": {"p-web"}}),
    "the last rule of a chain": (cut_last_rule, {"rule_chains": {"p-web"}}),
    "a rule added in front": (add_rule, {"rule_chains": {"p-web"}}),
    "a rule edited": (edit_rule_and_keep_its_comment, {"rule_chains": {"p-web"}}),
    "the queue rule": (empty_queue_chain, {"rule_chains": {"queue-denied"}}),
    "a base chain's policy": (open_policy, {}),
    "a base chain added": (add_chain, {}),
    "elements deleted": (delete_elements, {"element_sets": {"nets"}}),
    "an element added": (add_element, {"element_sets": {"nets"}}),
    "a verdict changed": (swap_verdict, {"element_sets": {"from-endpoint"}}),
    "a verdict added": (add_verdict, {"element_sets": {"from-endpoint"}}),
    "a set added": (add_set, {}),
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_others_did_is_noticed_and_put_right(kernel, sync, edit):
    sync.want(WEB)
    applied(sync)
    assert not sync.on_commits(kernel.announced())
    change, touched = EDITS[edit]
    kernel.by_another(change, **touched)
    assert sync.on_commits(kernel.announced())
    applied(sync)
    assert model(kernel) == WEB
    assert not sync.on_commits(kernel.announced())


@pytest.mark.parametrize("edit", [edit for edit in EDITS if edit != "a rule edited"])
def test_what_others_did_while_we_were_away_is_put_right(kernel, sync, edit):
    """But for a rule edited so that it keeps its comment: nobody saw that."""
    sync.want(WEB)
    applied(sync)
    kernel.by_another(EDITS[edit][0])
    applied(restarted(kernel, WEB))
    assert model(kernel) == WEB


def test_an_edited_rule_stays_under_suspicion_until_it_is_written(kernel, sync):
    sync.want(WEB)
    applied(sync)
    kernel.by_another(edit_rule_and_keep_its_comment, rule_chains={"p-web"})
    sync.on_commits(kernel.announced())
    kernel.refuse = lambda _: CommitError(errno.ENOMEM, "tg", "no memory")
    assert not sync.apply().is_complete
    kernel.refuse = lambda _: None
    applied(sync)
    assert model(kernel) == WEB


def test_a_rebuild_writes_every_chain_whatever_its_tags_say(kernel, sync):
    sync.want(WEB)
    applied(sync)
    kernel.by_another(edit_rule_and_keep_its_comment)
    sync.rebuild()
    report = applied(sync)
    assert model(kernel) == WEB
    assert report.chains == len(WEB.chains) - 1  # the queue chain has its own transaction
    assert applied(sync).commits == 0


def test_lost_announcements_are_a_reason_to_look(kernel, sync):
    sync.want(WEB)
    applied(sync)
    kernel.by_another(flush_chain)
    kernel.announced()
    assert sync.on_commits([LOST])
    applied(sync)
    assert model(kernel) == WEB


def test_elements_that_others_add_to_learned_sets_are_left_alone(kernel, sync):
    sync.want(WEB)
    applied(sync)
    kernel.announced()
    kernel.by_another(lambda state: None, element_sets={"d4-1"})
    added = [replace(commit, shrunk_sets=frozenset()) for commit in kernel.announced()]
    assert not sync.on_commits(added)


def test_elements_that_others_take_from_learned_sets_are_told_to_their_owner(kernel, sync):
    sync.want(WEB)
    applied(sync)
    kernel.by_another(lambda state: None, element_sets={"d4-1"})
    reads = kernel.reads
    assert sync.on_commits(kernel.announced())
    report = applied(sync)
    assert report.learned_sets_to_restore == {"d4-1"}
    assert kernel.reads == reads
    assert applied(sync).learned_sets_to_restore == frozenset()


def test_a_flushed_ruleset_has_its_learned_sets_told_to_their_owner(kernel, sync):
    sync.want(WEB)
    applied(sync)
    kernel.by_another(None)
    sync.on_commits(kernel.announced())
    assert applied(sync).learned_sets_to_restore == {"d4-1"}


def test_a_change_that_nobody_announced_yet_is_found_when_the_kernel_refuses(kernel, sync):
    sync.want(WEB)
    applied(sync)
    kernel.state = None
    sync.desired.set_chain(policy_chain("p-web", 8080))
    report = applied(sync)
    assert report.was_read
    assert model(kernel).chains["p-web"] == policy_chain("p-web", 8080)


# --- refusals ------------------------------------------------------------------------------------------------------


def refusing(name):
    """Refuses any transaction that writes this chain."""

    def refuse(difference):
        written = {chain.name for chain in (*difference.new_chains, *difference.changed_chains)}
        return CommitError(errno.EINVAL, "tg", "bad", chains={name}) if name in written else None

    return refuse


def test_a_chain_that_is_refused_does_not_keep_the_rest_out(kernel, sync):
    sync.want(WEB)
    applied(sync)
    kernel.refuse = refusing("p-ssh")
    sync.want(WEB_AND_SSH)
    report = sync.apply()
    assert not report.is_complete
    assert report.left_out == ("chain from-cali2", "chain p-ssh")
    assert report.error.errno == errno.EINVAL
    there = model(kernel)
    assert there.chains["p-web"] == WEB_AND_SSH.chains["p-web"]
    assert ("cali2",) not in there.verdicts["from-endpoint"]
    assert there.elements["workloads"] == {("cali1",), ("cali2",)}


def test_what_was_left_out_comes_when_the_kernel_takes_it(kernel, sync):
    kernel.refuse = refusing("p-ssh")
    sync.want(WEB_AND_SSH)
    assert not sync.apply().is_complete
    kernel.refuse = lambda _: None
    applied(sync)
    assert model(kernel) == WEB_AND_SSH


def test_a_chain_that_is_there_stays_as_it_was_when_its_change_is_refused(kernel, sync):
    sync.want(WEB)
    applied(sync)
    kernel.refuse = refusing("p-web")
    sync.want(WEB_AND_SSH)
    assert sync.apply().left_out == ("chain p-web",)
    there = model(kernel)
    assert there.chains["p-web"] == WEB.chains["p-web"]
    assert there.chains["from-cali2"] == WEB_AND_SSH.chains["from-cali2"]


def test_nothing_is_removed_while_something_is_left_out(kernel, sync):
    sync.want(WEB_AND_SSH)
    applied(sync)
    kernel.refuse = refusing("p-web")
    sync.want(WEB)
    sync.apply()
    assert "p-ssh" in model(kernel).chains
    kernel.refuse = lambda _: None
    applied(sync)
    assert model(kernel) == WEB


def test_an_entry_keeps_its_old_verdict_when_its_new_chain_is_refused(kernel, sync):
    sync.want(WEB)
    applied(sync)
    kernel.refuse = refusing("from-cali1-b")
    sync.desired.set_chain(endpoint_chain("from-cali1-b", "p-web"))
    sync.desired.change_verdicts("from-endpoint", {("cali1",): Goto("from-cali1-b"), ("cali7",): Drop()})
    assert not sync.apply().is_complete
    assert model(kernel).verdicts["from-endpoint"] == {("cali1",): Goto("from-cali1"), ("cali7",): Drop()}


def test_elements_that_overlap_keep_their_set_as_it_was(kernel, sync):
    sync.want(WEB)
    applied(sync)
    sync.want(table({"p-web": (8080,)}, {"cali1": ("p-web",)}, nets=("10.0.0.0/8", "10.1.0.0/16")))
    report = sync.apply()
    assert report.left_out == ("set nets",)
    assert model(kernel).elements["nets"] == {net("10.0.0.0/8")}
    assert model(kernel).chains["p-web"] == policy_chain("p-web", 8080)


def test_a_set_that_cannot_be_replaced_keeps_its_chains(kernel, sync):
    sync.want(WEB)
    applied(sync)
    kernel.refuse = refusing("p-web")
    other = replace(NETS, is_interval=False)
    sync.want(
        replace(
            WEB_AND_SSH,
            sets={**WEB_AND_SSH.sets, "nets": other},
            elements={**WEB_AND_SSH.elements, "nets": frozenset({address("10.0.0.1")})},
        )
    )
    report = sync.apply()
    assert set(report.left_out) >= {"chain p-web", "set nets", "chain p-ssh"}
    assert model(kernel).sets["nets"] == NETS
    assert model(kernel).chains["p-web"] == WEB.chains["p-web"]


def test_a_kernel_that_blames_nothing_gets_nothing(kernel, sync):
    sync.want(WEB)
    applied(sync)
    kernel.refuse = lambda _: CommitError(errno.ENOMEM, "tg", "no memory")
    sync.want(WEB_AND_SSH)
    report = sync.apply()
    assert report.error.errno == errno.ENOMEM
    assert report.left_out == ()
    assert model(kernel) == WEB
    kernel.refuse = lambda _: None
    applied(sync)
    assert model(kernel) == WEB_AND_SSH


def test_attempts_are_bounded(kernel, sync):
    attempts = []

    def refuse(difference):
        attempts.append(difference)
        return CommitError(errno.EINVAL, "tg", "bad", chains={difference.new_chains[0].name})

    kernel.refuse = refuse
    sync.want(table({f"p-{number}": (80,) for number in range(50)}, {}))
    assert not sync.apply().is_complete
    assert len(attempts) <= MAX_ATTEMPTS + 1


def test_a_kernel_that_cannot_be_read_is_an_error_in_the_report(kernel, sync, monkeypatch):
    def read(*, without_elements):
        raise NftError(errno.EPERM, "read", "table tg")

    monkeypatch.setattr(kernel, "read", read)
    sync.want(WEB)
    assert sync.apply().error.errno == errno.EPERM
    assert kernel.state is None


# --- crashes -------------------------------------------------------------------------------------------------------

PROBES = [
    Packet(
        source=address("10.0.0.1")[0],
        destination=address(destination)[0],
        protocol=protocol,
        source_port=40000,
        destination_port=port,
        iif=interface,
        oif="eth0",
    )
    for interface in ("cali1", "cali2")
    for destination in ("10.9.9.9", "203.0.113.1")
    for protocol in (6, 17)
    for port in (22, 80, 443)
]


def allowed(wanted):
    """The numbers of the probes that a table lets through."""
    simulator = Simulator(wanted)
    return {number for number, packet in enumerate(PROBES) if simulator.run(packet, ("forward",)).end is End.ACCEPT}


OTHER = table({"p-web": (443,), "p-new": (22, 80)}, {"cali1": ("p-new",), "cali2": ("p-web",)}, nets=("192.0.2.0/24",))


@pytest.mark.parametrize("before", [None, WEB, WEB_AND_SSH, OTHER], ids=["nothing", "web", "web-and-ssh", "other"])
@pytest.mark.parametrize("after", [WEB, WEB_AND_SSH, OTHER], ids=["web", "web-and-ssh", "other"])
def test_a_crash_at_any_commit_leaves_no_hole_and_a_restart_converges(before, after):
    step = 0
    crashed = True
    while crashed:
        step += 1
        kernel = FakeKernel("tg")
        if before is not None:
            applied(restarted(kernel, before))
        kernel.crash_after = step
        try:
            restarted(kernel, after).apply()
            crashed = False
        except CrashError:
            pass
        if before is not None:
            assert allowed(kernel.state.model("tg")) <= allowed(before) | allowed(after)
        assert_queues_are_written(kernel)
        kernel.crash_after = None
        applied(restarted(kernel, after))
        assert model(kernel) == after


def assert_queues_are_written(kernel):
    """Whatever leads to a queue chain finds its rule there."""
    for name, chain in kernel.state.chains.items():
        if name == QUEUE_CHAIN.name and not chain.rules:
            assert not kernel.state.leads_to(name)


def test_a_crash_in_the_middle_of_a_repair_is_repaired_by_the_next_start(kernel, sync):
    sync.want(WEB)
    applied(sync)
    for step in (1, 2, 3):
        kernel.by_another(None)
        kernel.crash_after = step
        try:
            restarted(kernel, WEB).apply()
        except CrashError:
            assert_queues_are_written(kernel)
        kernel.crash_after = None
        applied(restarted(kernel, WEB))
        assert model(kernel) == WEB
