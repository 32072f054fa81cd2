"""The validation pipeline: what an answer must be to teach, what it opens and for how long."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsagent.learn import LAX_SECONDS, MAX_ADDRESSES_PER_ANSWER, MAX_REFUSALS_PER_ANSWER, Learner
from dnsagent.left_out import RECENT_SECONDS
from dnsagent.places import FULL_SECONDS
from dnsagent.plan import make_plan
from dnsagent.queries import LIFE_SECONDS
from tests.dnsagent.stage import (
    AAAA,
    ANSWER,
    CLIENT,
    CLIENT6,
    CNAME,
    HTTPS,
    OTHER,
    POINTER,
    SERVER,
    A,
    Stage,
    answer,
    endpoint,
    key,
    packed,
    packet,
    pairs,
    query,
    record,
    rule,
    service,
    snapshot,
)
from tests.dnsagent.test_codec import HEAVY, REFUSED, best_seconds

ADDRESS = "198.51.100.10"
RULE = rule("r", "a.test", "*.g.test")


def good(ttl: int = 60, address: str = ADDRESS) -> bytes:
    return record(POINTER, A, ttl, address)


@pytest.fixture
def stage():
    return Stage(RULE)


def test_an_answer_opens_its_addresses_for_who_asked(stage):
    assert pairs(stage.tell("a.test", good(), good(address="198.51.100.11"))) == {
        ("d4-r", CLIENT, ADDRESS),
        ("d4-r", CLIENT, "198.51.100.11"),
    }
    assert stage.is_open(ADDRESS)
    assert not stage.is_open(ADDRESS, OTHER)
    assert not stage.is_open("198.51.100.12")


def test_families_go_to_their_own_sets_and_addresses(stage):
    elements = stage.tell("a.test", record(POINTER, AAAA, 60, "2001:db8::1"), qtype=AAAA)
    assert pairs(elements) == {("d6-r", CLIENT6, "2001:db8::1")}
    assert stage.is_open("2001:db8::1", CLIENT6)


def test_an_endpoint_that_asks_by_one_family_may_connect_by_the_other(stage):
    stage.tell("a.test", good(), client=CLIENT6)
    assert stage.is_open(ADDRESS, CLIENT)


def test_letters_in_any_case_are_the_same_name(stage):
    stage.ask("A.tEsT")
    assert stage.judge(answer("a.TEST", record("a.TeSt", A, 60, ADDRESS)))


# --- Refusals, in the order of the pipeline; each under its own name ---


def refused(stage, payload, counter, **options):
    """The answer teaches nothing, and counts there and nowhere else."""
    before = dict(stage.learner.counters)
    assert stage.judge(payload, **options) == []
    grown = {name: n - before.get(name, 0) for name, n in stage.learner.counters.items() if n != before.get(name, 0)}
    assert grown == {"answers": 1, counter: 1}
    assert not stage.is_open(ADDRESS)


def test_untrusted_server(stage):
    stage.ask("a.test")
    refused(stage, answer("a.test", good()), "untrusted-server", server="10.0.53.66")
    refused(stage, answer("a.test", good()), "untrusted-server", server_port=5353)
    assert stage.learner.refusals.find("ep1", packed(ADDRESS), stage.now) == ("untrusted-server", key("a.test"))
    # The question is still open for the server that was asked.
    assert stage.judge(answer("a.test", good()))


def test_untrusted_and_malformed_counts_once(stage):
    refused(stage, b"\0" * 5, "untrusted-server", server="10.0.53.66")
    refused(stage, b"\0" * 5, "untrusted-server", server="10.0.53.66", client=OTHER)


def test_unknown_endpoint(stage):
    stage.ask("a.test", client=OTHER)
    refused(stage, answer("a.test", good()), "unknown-endpoint", client=OTHER)


def test_without_servers_nothing_is_learned():
    lonely = Learner(replace(make_plan(snapshot(RULE)), servers=frozenset()))
    assert lonely.judge(packet(answer("a.test", good())), 1.0) == []


@pytest.mark.parametrize("payload", [b"", b"\0" * 11, answer("a.test", good())[:-1]])
def test_malformed(stage, payload):
    stage.ask("a.test")
    refused(stage, payload, "malformed")


@pytest.mark.parametrize(
    ("flags", "counter"),
    [
        (0x0100, "not-an-answer"),
        (ANSWER | 0x2800, "not-an-answer"),
        (ANSWER | 0x0200, "truncated"),
        (ANSWER | 3, "negative"),
        (ANSWER | 2, "negative"),
    ],
)
def test_header(stage, flags, counter):
    stage.ask("a.test")
    refused(stage, answer("a.test", good(), flags=flags), counter)


def test_question_of_another_class(stage):
    stage.ask("a.test", class_=3)
    refused(stage, answer("a.test", good(), class_=3), "wrong-class")


def test_unsolicited(stage):
    refused(stage, answer("a.test", good()), "unsolicited")
    stage.ask("a.test")
    refused(stage, answer("a.test", good(), identifier=8), "unsolicited")
    refused(stage, answer("a.test", good()), "unsolicited", port=40_001)
    stage.ask("a.test", client=OTHER)
    refused(stage, answer("a.test", good(), identifier=9), "unsolicited")
    assert stage.learner.refusals.find("ep1", packed(ADDRESS), stage.now) == ("unsolicited", key("a.test"))


def test_wrong_name(stage):
    stage.ask("b.test")
    refused(stage, answer("a.test", good()), "wrong-name")
    refused(stage, answer("b.test", good(), qtype=AAAA), "wrong-name")


def test_late(stage):
    stage.ask("a.test")
    stage.now += LIFE_SECONDS + 0.1
    refused(stage, answer("a.test", good()), "late")


def test_replay(stage):
    stage.tell("a.test", good(address="198.51.100.77"))
    refused(stage, answer("a.test", good()), "replay")


def test_out_of_chain(stage):
    stage.ask("a.test")
    refused(stage, answer("a.test", record("v.g.test", A, 60, ADDRESS)), "out-of-chain")


def test_loops_and_long_chains(stage):
    stage.ask("a.test")
    loop = [record("a.test", CNAME, 60, "b.test"), record("b.test", CNAME, 60, "a.test")]
    refused(stage, answer("a.test", *loop, good()), "chain-loop")
    stage.ask("a.test")
    names = ["a.test", *(f"c{n}.test" for n in range(20))]
    chain = [record(names[n], CNAME, 60, names[n + 1]) for n in range(20)]
    refused(stage, answer("a.test", *chain, record(names[20], A, 60, ADDRESS)), "chain-too-long")


@pytest.mark.parametrize(
    ("address", "counter"),
    [
        ("127.0.0.1", "guard-forbidden"),
        ("10.0.9.9", "guard-private"),
        ("::ffff:10.0.9.9", "guard-embedded"),
        ("203.0.113.7", "guard-network"),
    ],
)
def test_guards(address, counter):
    stage = Stage(RULE, guarded=("203.0.113.0/24",))
    kind = AAAA if ":" in address else A
    stage.ask("a.test", kind)
    refused(stage, answer("a.test", record(POINTER, kind, 60, address), qtype=kind), counter)
    assert stage.learner.refusals.find("ep1", packed(address), stage.now) == (counter, key("a.test"))


def test_additional_and_authority_sections_teach_nothing(stage):
    glue = (record("a.test", A, 60, ADDRESS),)
    assert stage.tell("a.test", authority=glue) == []
    assert stage.tell("a.test", additional=glue) == []


def test_names_outside_policy_open_nothing_but_are_known(stage):
    assert stage.tell("other.test", good()) == []
    assert [(name, address) for _, name, address, _ in stage.learner.names.entries()] == [
        (key("other.test"), packed(ADDRESS))
    ]


def test_malformed_queries_and_strange_ones_are_no_questions(stage):
    stage.learner.note_query(packet(b"\0" * 5), stage.now)
    assert stage.count("malformed-query") == 1
    stage.ask("a.test", flags=ANSWER)
    stage.ask("a.test", flags=0x2800)
    assert stage.count("queries") == 0


def test_two_families_asked_from_one_port_under_one_number(stage):
    stage.ask("a.test", A)
    stage.ask("a.test", AAAA)
    assert stage.judge(answer("a.test", record(POINTER, AAAA, 60, "2001:db8::1"), qtype=AAAA))
    assert stage.judge(answer("a.test", good()))


def test_private_addresses_where_the_rule_admits_them():
    stage = Stage(rule("open", "a.test", allow_private=True), rule("shut", "a.test"), guarded=("10.0.8.0/24",))
    records = [good(address=address) for address in ("10.0.9.9", "10.0.8.8", "127.0.0.1", "198.51.100.1")]
    assert pairs(stage.tell("a.test", *records)) == {
        ("d4-open", CLIENT, "10.0.9.9"),
        ("d4-open", CLIENT, "198.51.100.1"),
        ("d4-shut", CLIENT, "198.51.100.1"),
    }


# --- Chains, hints, rules ---


def test_every_name_of_a_chain_may_be_named_by_policy():
    stage = Stage(rule("first", "a.test"), rule("last", "c.cdn"), rule("none", "x.cdn"))
    elements = stage.tell("a.test", record(POINTER, CNAME, 60, "c.cdn"), record("c.cdn", A, 60, ADDRESS))
    assert pairs(elements) == {("d4-first", CLIENT, ADDRESS), ("d4-last", CLIENT, ADDRESS)}


def test_only_names_on_the_way_to_the_address_count():
    stage = Stage(rule("last", "c.cdn"))
    chain = [record(POINTER, CNAME, 60, "c.cdn"), record("c.cdn", A, 60, ADDRESS)]
    assert pairs(stage.tell("a.test", *chain, good(address="198.51.100.11"))) == {("d4-last", CLIENT, ADDRESS)}


def test_hints_open_addresses(stage):
    hints = service(1, "", (4, packed(ADDRESS)), (6, packed("2001:db8::1")))
    elements = stage.tell("a.test", record(POINTER, HTTPS, 60, hints), qtype=HTTPS)
    assert pairs(elements) == {("d4-r", CLIENT, ADDRESS), ("d6-r", CLIENT6, "2001:db8::1")}


def test_only_the_endpoints_own_rules_open():
    endpoints = (endpoint("ep1", CLIENT, rules=("mine",)), endpoint("ep2", OTHER, rules=("theirs",)))
    stage = Stage(rule("mine", "a.test"), rule("theirs", "a.test", "b.test"), endpoints=endpoints)
    assert pairs(stage.tell("a.test", good())) == {("d4-mine", CLIENT, ADDRESS)}
    assert stage.tell("b.test", good()) == []
    assert not stage.is_open(ADDRESS, OTHER)


def test_in_node_scope_what_one_asks_all_with_the_rule_may_reach():
    endpoints = (
        endpoint("ep1", CLIENT, rules=("all",)),
        endpoint("ep2", OTHER, rules=("all",)),
        endpoint("ep3", "10.0.1.4", rules=()),
    )
    stage = Stage(rule("all", "a.test", scope="node"), endpoints=endpoints)
    assert pairs(stage.tell("a.test", good())) == {("d4-all", CLIENT, ADDRESS), ("d4-all", OTHER, ADDRESS)}
    assert stage.tell("a.test", good(address="198.51.100.11"), client="10.0.1.4") == []


# --- Time ---


@pytest.mark.parametrize(
    ("ttl", "options", "seconds"),
    [
        (60, {}, 60),
        (0, {}, 10),
        (0, {"ttl_floor_seconds": 0.0}, 0),
        (9, {"ttl_floor_seconds": 10.0, "extra_ttl_seconds": 5.0}, 15),
        (3, {"ttl_floor_seconds": 0.0, "extra_ttl_seconds": 5.0}, 8),
        (2**31 - 1, {}, 86_400),
        (2**31 - 1, {"ttl_ceiling_seconds": 60.0}, 60),
        (2**31 - 1, {"ttl_ceiling_seconds": 60.0, "extra_ttl_seconds": 7.0}, 67),
        (2**31, {}, 10),
        (2**32 - 1, {}, 10),
    ],
)
def test_deadlines(ttl, options, seconds):
    stage = Stage(rule("r", "a.test", **options))
    assert [element.deadline for element in stage.tell("a.test", good(ttl))] == [stage.now + seconds]


def test_an_alias_with_a_short_ttl_shortens_the_life_of_the_address(stage):
    elements = stage.tell("a.test", record(POINTER, CNAME, 20, "c.cdn"), record("c.cdn", A, 300, ADDRESS))
    assert [element.deadline for element in elements] == [stage.now + 20]


def test_a_longer_deadline_prolongs_and_a_shorter_one_never_shortens(stage):
    stage.tell("a.test", good(60))
    start = stage.now
    stage.now += 5
    assert stage.tell("a.test", good(5)) == []
    stage.now = start + 59
    assert stage.is_open(ADDRESS)
    stage.now = start + 61
    assert not stage.is_open(ADDRESS)


def test_two_names_for_one_address_leave_the_later_deadline(stage):
    stage.tell("a.test", good(20))
    (element,) = stage.tell("x.g.test", good(90))
    assert (element.deadline, element.is_present) == (stage.now + 90, True)
    assert stage.tell("a.test", good(20)) == []


def test_each_rule_has_deadlines_of_its_own():
    stage = Stage(rule("a", "a.test"), rule("b", "b.test"))
    stage.tell("a.test", good(10))
    stage.tell("b.test", good(60))
    deadlines = dict(stage.learner.elements.items())
    pair = packed(CLIENT) + packed(ADDRESS)
    assert deadlines == {("d4-a", pair): stage.now + 10, ("d4-b", pair): stage.now + 60}


def test_refreshes_that_gain_little_are_left_out(stage):
    stage.tell("a.test", good(100))
    stage.now += 5
    assert stage.tell("a.test", good(100)) == []
    stage.now += 6
    (element,) = stage.tell("a.test", good(100))
    assert element.is_present


def test_an_element_that_is_about_to_go_is_always_refreshed(stage):
    stage.tell("a.test", good(10))
    stage.now += 8.5
    (element,) = stage.tell("a.test", good(10))
    assert (element.is_present, element.deadline) == (True, stage.now + 10)


def test_an_element_that_the_kernel_may_still_have_is_refreshed_not_added(stage):
    stage.tell("a.test", good(10))
    stage.now += 10.01
    stage.learner.expire(stage.now)
    (element,) = stage.tell("a.test", good(10))
    assert element.is_present
    stage.now += 12
    stage.learner.expire(stage.now)
    (element,) = stage.tell("a.test", good(10))
    assert not element.is_present


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 120)), max_size=20))
def test_an_address_is_open_to_at_least_nine_tenths_of_what_any_answer_promised(answers):
    stage = Stage(RULE)
    promised = 0.0
    for wait, ttl in answers:
        stage.now += wait
        stage.learner.expire(stage.now)
        stage.tell("a.test", good(ttl))
        life = max(10, ttl)
        promised = max(promised, stage.now + life - 0.1 * life)
        table = dict(stage.learner.elements.items())
        assert table[("d4-r", packed(CLIENT) + packed(ADDRESS))] >= promised - 1e-6


# --- Bounds ---


def many(count: int, block: str = "198.51") -> list[bytes]:
    return [good(address=f"{block}.{number >> 8}.{number & 255}") for number in range(count)]


def test_an_answer_with_too_many_addresses_opens_the_first(stage):
    assert len(stage.tell("a.test", *many(300))) == MAX_ADDRESSES_PER_ANSWER
    assert stage.count("cap-answer") == 1


def test_an_endpoint_with_too_many_elements_gets_no_new_ones():
    endpoints = (endpoint("ep1", CLIENT, rules=("r",)), endpoint("ep2", OTHER, rules=("r",)))
    stage = Stage(RULE, endpoints=endpoints, max_elements_per_endpoint=10)
    assert len(stage.tell("a.test", *many(12))) == 10
    assert stage.count("cap-endpoint") == 2
    assert stage.is_open("198.51.0.0")
    assert len(stage.tell("a.test", *many(3), client=OTHER)) == 3
    # What is there may still be prolonged, and room that has become free is given anew.
    stage.now += 50
    assert len(stage.tell("a.test", *many(10))) == 10
    stage.now += 70
    stage.learner.expire(stage.now)
    assert len(stage.tell("a.test", *many(5, "198.52"))) == 5


def test_the_node_has_a_bound_too():
    endpoints = (endpoint("ep1", CLIENT, rules=("r",)), endpoint("ep2", OTHER, rules=("r",)))
    stage = Stage(RULE, endpoints=endpoints, max_elements=4)
    assert len(stage.tell("a.test", *many(3))) == 3
    assert len(stage.tell("a.test", *many(3), client=OTHER)) == 1
    assert stage.count("cap-node") == 2


def test_a_set_has_a_bound_that_counts_those_of_all_its_endpoints():
    endpoints = (endpoint("ep1", CLIENT, rules=("r",)), endpoint("ep2", OTHER, rules=("r",)))
    stage = Stage(RULE, endpoints=endpoints, set_size=5)
    assert len(stage.tell("a.test", *many(3))) == 3
    assert len(stage.tell("a.test", *many(3), client=OTHER)) == 2
    assert stage.count("cap-set") == 1
    # What is there may still be prolonged, and room that has become free is given anew.
    stage.now += 50
    assert len(stage.tell("a.test", *many(3))) == 3
    stage.now += 30
    stage.learner.expire(stage.now)
    assert len(stage.tell("a.test", *many(4, "198.52"), client=OTHER)) == 2


def test_a_set_that_the_kernel_calls_full_is_left_alone_for_a_moment():
    stage = Stage(RULE)
    stage.tell("a.test", *many(1))
    stage.learner.places.note_full(["d4-r"], stage.now)
    stage.now += 50
    stage.learner.places.note_full(["d4-r"], stage.now)
    assert len(stage.tell("a.test", *many(3))) == 1  # the one that is there already
    assert (stage.count("cap-set"), stage.count("kernel-set-full")) == (2, 2)
    stage.now += FULL_SECONDS + 0.1
    stage.learner.expire(stage.now)
    assert len(stage.tell("a.test", *many(3))) == 2


def test_who_finds_no_place_is_known_by_the_bound():
    endpoints = (endpoint("ep1", CLIENT, rules=("r",)), endpoint("ep2", OTHER, rules=("r",)))
    stage = Stage(RULE, endpoints=endpoints, max_elements_per_endpoint=3, set_size=4)
    stage.tell("a.test", *many(3))
    assert stage.left_out() == {}
    stage.tell("a.test", *many(4))
    assert stage.left_out() == {"cap-endpoint": ["ep1"]}
    stage.tell("a.test", *many(2), client=OTHER)
    assert stage.left_out() == {"cap-endpoint": ["ep1"], "cap-set": ["ep2"]}
    stage.now += RECENT_SECONDS
    assert stage.left_out() == {}


def test_who_shares_what_another_resolves_is_left_out_by_its_own_name():
    shared = rule("r", "a.test", scope="node")
    own = rule("own", "own.test")
    endpoints = (endpoint("ep1", CLIENT, rules=("r",)), endpoint("ep2", OTHER, rules=("r", "own")))
    stage = Stage(shared, own, endpoints=endpoints, max_elements_per_endpoint=3)
    stage.tell("own.test", *many(3, "198.52"), client=OTHER)
    assert len(stage.tell("a.test", *many(2))) == 2
    assert stage.left_out() == {"cap-endpoint": ["ep2"]}


def test_what_the_past_would_open_is_left_out_by_name_as_well():
    stage = Stage(RULE, max_elements_per_endpoint=3)
    stage.tell("b.test", *many(5))
    assert len(stage.adopt(rule("r2", "b.test"), max_elements_per_endpoint=3)) == 3
    assert stage.left_out() == {"cap-endpoint": ["ep1"]}


def test_answers_of_one_transaction_share_the_room_that_is_left():
    stage = Stage(RULE, max_elements_per_endpoint=10)
    opened = []
    for number in range(3):
        stage.ask("a.test", identifier=number)
        payload = answer("a.test", *many(6, f"198.{number}"), identifier=number)
        opened += stage.learner.judge(packet(payload), stage.now)
    assert len(opened) == 10
    stage.learner.commit(opened[:2])
    assert len(stage.tell("a.test", *many(20, "203.0"))) == 8


# --- The query log fails ---


def test_after_a_loss_a_missing_question_is_excused_for_a_while(stage):
    stage.learner.note_lost_queries(3, stage.now)
    assert stage.judge(answer("a.test", good()))
    assert (stage.count("excused"), stage.count("query-log-lost")) == (1, 3)
    stage.now += LAX_SECONDS + 1
    assert stage.judge(answer("a.test", good(address="198.51.100.11"))) == []
    assert stage.count("unsolicited") == 1


def test_after_a_loss_other_faults_are_not_excused(stage):
    stage.learner.note_lost_queries(1, stage.now)
    stage.ask("b.test")
    assert stage.judge(answer("a.test", good())) == []
    assert stage.judge(answer("a.test", good(), identifier=9), server="10.0.53.66") == []
    stage.tell("a.test", good(address="198.51.100.77"), identifier=7)
    assert stage.judge(answer("a.test", good())) == []
    assert (stage.count("wrong-name"), stage.count("replay"), stage.count("excused")) == (1, 1, 0)


def test_strict_excuses_nothing():
    stage = Stage(RULE, is_strict=True)
    stage.learner.note_lost_queries(1, stage.now)
    assert stage.judge(answer("a.test", good())) == []


# --- New snapshots ---


def test_a_policy_that_comes_later_finds_what_was_resolved_before():
    stage = Stage(rule("r", "other.test"))
    stage.tell("a.test", good(60))
    stage.now += 20
    elements = stage.adopt(RULE)
    assert pairs(elements) == {("d4-r", CLIENT, ADDRESS)}
    assert [element.deadline for element in elements] == [stage.now + 40]


def test_back_fill_credits_every_name_of_the_chain():
    stage = Stage(rule("r", "other.test"))
    stage.tell("a.test", record(POINTER, CNAME, 60, "c.cdn"), record("c.cdn", A, 60, ADDRESS))
    assert pairs(stage.adopt(rule("r", "c.cdn"))) == {("d4-r", CLIENT, ADDRESS)}


def test_back_fill_opens_nothing_expired_guarded_or_of_another():
    endpoints = (endpoint("ep1", CLIENT, rules=("r",)), endpoint("ep2", OTHER, rules=("r",)))
    stage = Stage(rule("r", "other.test"), endpoints=endpoints)
    stage.tell("a.test", good(60), good(60, "10.0.9.9"))
    stage.tell("b.test", good(60, "198.51.100.2"), client=OTHER)
    stage.now += 61
    assert stage.adopt(RULE, endpoints=endpoints) == []
    stage.tell("a.test", good(60), good(60, "10.0.9.9"))
    assert stage.adopt(RULE, endpoints=endpoints) == []  # opened already
    assert pairs(stage.adopt(rule("s", "a.test"), endpoints=(endpoint("ep1", CLIENT, rules=("s",)),))) == {
        ("d4-s", CLIENT, ADDRESS)
    }


def test_names_of_endpoints_that_are_gone_are_forgotten():
    stage = Stage(RULE)
    stage.tell("a.test", good())
    stage.adopt(RULE, endpoints=(endpoint("ep2", CLIENT, rules=("r",)),))
    assert list(stage.learner.names.entries()) == []


def test_forgotten_addresses_give_their_elements_and_names():
    endpoints = (endpoint("ep1", CLIENT, CLIENT6, rules=("r",)), endpoint("ep2", OTHER, rules=("r",)))
    stage = Stage(RULE, endpoints=endpoints)
    stage.tell("a.test", good())
    stage.tell("a.test", good(), client=OTHER)
    keys = stage.learner.forget_addresses(frozenset([packed(CLIENT), packed(CLIENT6)]))
    assert keys == [("d4-r", packed(CLIENT) + packed(ADDRESS))]
    assert {owner for owner, _, _, _ in stage.learner.names.entries()} == {"ep2"}


def test_what_an_earlier_life_was_told_is_remembered_but_opens_nothing_by_itself():
    stage = Stage(RULE)
    stage.learner.remember(packet(answer("a.test", *many(300), good(50))), stage.now - 20)
    assert not stage.is_open("198.51.0.0")
    assert len(stage.learner.names) == MAX_ADDRESSES_PER_ANSWER
    stage.learner.remember(packet(b"garbage"), stage.now)
    stage.learner.remember(packet(answer("a.test", good()), client=OTHER), stage.now)
    elements = stage.adopt(RULE)
    assert {element.deadline for element in elements} == {stage.now + 40}


# --- Hostile answers ---


@pytest.mark.parametrize("mode", ["asked", "unasked", "untrusted"])
@pytest.mark.parametrize("kind", HEAVY)
def test_no_answer_costs_a_millisecond(kind, mode):
    payload = HEAVY[kind]
    plan = make_plan(snapshot(RULE))
    server = "10.0.53.66" if mode == "untrusted" else "10.0.53.53"
    answers = packet(payload, server=server)
    asked = packet(payload[:2] + query("a.test")[2:]) if mode == "asked" and len(payload) > 2 else None

    def fresh():
        learner = Learner(plan)
        if asked is not None:
            learner.note_query(asked, 1.0)
        return learner

    learners = iter([fresh() for _ in range(25)])
    judged = []

    def judge():
        learner = next(learners)
        learner.judge(answers, 1.0)
        judged.append(learner)

    assert best_seconds(judge) < 0.001
    assert judged[0].counters["answers"] == 1
    if kind in REFUSED:
        reason = "untrusted-server" if mode == "untrusted" else "malformed"
        assert judged[0].counters[reason] == 1


@pytest.mark.parametrize(
    "addresses",
    [
        [f"10.9.{number}.1" for number in range(256)],
        [f"2002:a00:{number:x}::1" for number in range(1, 257)],
        [f"64:ff9b:1:{number:x}:1::a" for number in range(1, 257)],
        [f"fc00::{number:x}" for number in range(256)],
    ],
    ids=["private", "6to4", "nat64", "unique-local"],
)
def test_no_number_of_guarded_addresses_costs_a_millisecond(addresses):
    kind = AAAA if ":" in addresses[0] else A
    payload = answer("a.test", *(record(POINTER, kind, 60, address) for address in addresses), qtype=kind)
    learners = [Stage(RULE) for _ in range(25)]
    for stage in learners:
        stage.ask("a.test", kind)
    turn = iter(learners)
    assert best_seconds(lambda: next(turn).learner.judge(packet(payload), 1000.0)) < 0.001
    counters = learners[0].learner.counters
    assert sum(n for name, n in counters.items() if name.startswith("guard")) == MAX_REFUSALS_PER_ANSWER
    assert counters["cap-refused"] == 1


def test_a_chain_of_deputies_costs_no_millisecond():
    names = [f"n{number}.test" for number in range(300)]
    records = [record(name, 39, 60, "a.test") for name in names]
    learners = [Stage(rule("r", "*.test")) for _ in range(25)]
    for stage in learners:
        stage.ask("x.y.z.n1.test")
    turn = iter(learners)
    payload = answer("x.y.z.n1.test", *records, good())
    assert best_seconds(lambda: next(turn).learner.judge(packet(payload), 1000.0)) < 0.001


def test_answers_are_counted_by_server_and_code_and_written_addresses_by_family():
    stage = Stage(rule("r", "*.test"))
    stage.ask("a.test")
    stage.judge(answer("a.test", record("a.test", A, 60, "203.0.113.1"), record("a.test", A, 60, "203.0.113.2")))
    stage.ask("a.test", AAAA, identifier=8)
    stage.judge(answer("a.test", record("a.test", AAAA, 60, "2001:db8::1"), qtype=AAAA, identifier=8))
    stage.judge(answer("b.test", flags=0x8183))
    stage.judge(answer("c.test"), server="192.0.2.9")
    assert stage.learner.answered == {(packed(SERVER), 53, 0): 2, (packed(SERVER), 53, 3): 1}
    counters = stage.learner.counters
    assert (counters["elements-written"], counters["elements-written-6"]) == (3, 1)
