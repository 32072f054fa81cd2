"""What the control process may ask of the packet process."""

import json

import pytest

from dnsagent import desk as desk_module
from dnsagent.desk import text_of
from dnsagent.journal import read_journal
from tests.dnsagent.packets import dns_answer, dns_query, syn
from tests.dnsagent.process import Process
from tests.dnsagent.stage import CLIENT, CNAME, OTHER, POINTER, A, answer, endpoint, key, packed, query, record, rule

ADDRESS = "198.51.100.10"
RULE = rule("r", "a.test", "*.a.test")


@pytest.fixture
def process(tmp_path):
    made = Process(tmp_path, RULE)
    made.turn()
    yield made
    made.close()


def tell(process, name="a.test", *addresses, client=CLIENT, ttl=60, records=None):
    for_name = records or [record(POINTER, A, ttl, address) for address in addresses or (ADDRESS,)]
    process.log.offer(dns_query(query(name), client=client))
    process.kernel.queue_packet(101, dns_answer(answer(name, *for_name), client=client))
    process.turn()


def names(process, endpoint=None):
    reply = process.ask("names", endpoint=endpoint)
    found = reply["names"]
    while reply["more"]:
        reply = process.ask("names", next=True)
        found += reply["names"]
    return found


def element(address=ADDRESS, client=CLIENT, set_name="d4-r"):
    return set_name, packed(client) + packed(address)


def test_every_reply_is_json(process):
    tell(process)
    for request in (
        {"command": "status"},
        {"command": "names"},
        {"command": "explain", "endpoint": "ep1", "address": ADDRESS},
        {"command": "forget", "addresses": [CLIENT]},
        {"command": "restore", "sets": ["d4-r"]},
        {"command": "tally"},
    ):
        assert json.loads(json.dumps(process.desk.handle(request, {})))["ok"] is True


def test_status_tells_counters_health_and_sizes(process):
    tell(process)
    process.kernel.queue_packet(100, syn("203.0.113.1"))
    process.turn()
    status = process.ask("status")
    assert (status["generation"], status["version"], status["mode"]) == (1, "1.0", "DelayDNSResponse")
    assert (status["elements"], status["names"], status["pending_queries"], status["held_denied"]) == (1, 1, 1, 1)
    counters = status["counters"]
    assert (counters["answers"], counters["elements-written"], counters["answers-received"]) == (1, 1, 1)
    assert all(
        counters[name] == 0
        for name in (
            "forgotten-queries",
            "forgotten-names",
            "forgotten-addresses",
            "journal-failures",
            "journal-too-long",
            "log-lost",
            "denied-missed",
        )
    )
    assert [each["healthy"] for each in status["health"]] == [True] * 3


def test_status_tells_who_is_left_out_at_a_bound(process):
    process.load(RULE, max_elements_per_endpoint=1)
    assert process.ask("status")["left_out"] == {}
    tell(process, "a.test", ADDRESS, "198.51.100.11")
    assert process.ask("status")["left_out"] == {"cap-endpoint": ["ep1"]}


def test_a_wider_bound_opens_what_was_left_out(process):
    process.load(RULE, max_elements_per_endpoint=1)
    tell(process, "a.test", ADDRESS, "198.51.100.11", "198.51.100.12")
    process.load(RULE, max_elements_per_endpoint=2)
    assert process.sets.elements.keys() == {element(), element("198.51.100.11")}
    assert process.ask("status")["left_out"] == {"cap-endpoint": ["ep1"]}
    process.load(RULE, max_elements_per_endpoint=3)
    assert process.sets.elements.keys() == {element(), element("198.51.100.11"), element("198.51.100.12")}
    assert process.ask("status")["left_out"] == {}


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"command": "none"},
        {"command": None},
        {"command": "names", "next": True},
        {"command": "explain"},
        {"command": "explain", "endpoint": "ep1", "address": "x"},
        {"command": "explain", "endpoint": "ep1", "name": "a..b"},
        {"command": "explain", "endpoint": "ep1", "name": "*"},
        {"command": "forget", "addresses": ["nowhere"]},
        {"command": "forget", "addresses": None},
        {"command": "load", "path": 5},
        {"command": "load"},
        {"command": "restore", "sets": 5},
    ],
)
def test_senseless_requests_raise_what_the_link_answers(process, request_):
    with pytest.raises((ValueError, KeyError, TypeError)):
        process.desk.handle(request_, {})


def test_a_snapshot_that_cannot_be_read_changes_nothing(process):
    tell(process)
    path = process.state / "snapshot.json"
    for text in ("{", json.dumps({"format": 99}), "\xff"):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(ValueError, match="cannot read"):
            process.ask("load", path=str(path))
    with pytest.raises(OSError, match="No such file"):
        process.ask("load", path=str(process.state / "missing"))
    assert process.learner.plan.snapshot.generation == 1
    assert names(process)


def test_a_snapshot_with_a_bad_pattern_changes_nothing(process):
    with pytest.raises(ValueError, match="wildcard"):
        process.load(rule("r", "a.*"))
    assert process.learner.plan.snapshot.generation == 1


# --- load ---


def test_loading_opens_what_was_resolved_before(process):
    tell(process, "b.test")
    assert process.sets.elements == {}
    process.kernel.queue_packet(100, syn(ADDRESS))
    process.turn()
    assert process.load(RULE, rule("s", "b.test"), generation=7)["generation"] == 7
    assert set(process.sets.elements) == {element(set_name="d4-s")}
    assert [packet.payload for packet in process.kernel.repeated] == [syn(ADDRESS)]


def test_loading_deletes_what_an_endpoint_may_no_longer_have(tmp_path):
    endpoints = (endpoint("ep1", CLIENT, rules=("r",)), endpoint("ep2", OTHER, rules=("r",)))
    process = Process(tmp_path, RULE, endpoints=endpoints)
    process.turn()
    tell(process)
    tell(process, client=OTHER)
    assert len(process.sets.elements) == 2
    process.load(RULE, endpoints=(endpoint("ep1", CLIENT, rules=()), endpoints[1]))
    assert set(process.sets.elements) == {element(client=OTHER)}
    assert not process.learner.is_open(packed(CLIENT), packed(ADDRESS), process.clock.now())
    process.close()


def test_an_address_given_to_another_endpoint_inherits_nothing_not_even_after_a_restart(process):
    tell(process)
    process.load(RULE, endpoints=(endpoint("ep9", CLIENT, rules=("r",)),))
    assert process.sets.elements == {}
    assert names(process) == []
    tell(process, "n.a.test", "198.51.100.77")
    process.loop.journal.flush()
    again = [entry.packet for entry in read_journal(process.state / "names.journal", process.clock.wall())]
    assert [entry is None for entry in again] == [False, True, True, False]


def test_elements_of_sets_that_are_gone_are_forgotten(process):
    tell(process)
    process.load(rule("other", "a.test"))
    assert set(dict(process.learner.elements.items())) == {element(set_name="d4-other")}


def test_loading_again_the_same_writes_nothing(process):
    tell(process)
    before = process.sets.transactions
    process.load(RULE, generation=2)
    assert process.sets.transactions == before


def test_answers_do_not_wait_for_a_long_back_fill(process, monkeypatch):
    monkeypatch.setattr("dnsagent.learn.BACK_FILL_STEP", 10)
    for number in range(100):
        tell(process, f"n{number}.b.test", f"198.51.100.{number}")
    process.log.offer(dns_query(query("a.test")))
    process.kernel.queue_packet(101, dns_answer(answer("a.test", record(POINTER, A, 60, "198.51.101.1"))))
    elements_when_it_passed = []
    settle = process.kernel.settle
    monkeypatch.setattr(
        process.kernel,
        "settle",
        lambda *args: (elements_when_it_passed.append(len(process.sets.elements)), settle(*args)),
    )
    process.load(rule("r", "*.test"), generation=2)
    assert elements_when_it_passed == [11]
    assert len(process.sets.elements) == 101


# --- restore and forget ---


def test_sets_made_anew_get_their_elements_back_with_the_time_left(process):
    tell(process)
    tell(process, "x.a.test", "198.51.100.11", ttl=10)
    process.sets.elements.clear()
    process.clock.advance(20)
    assert process.ask("restore", sets=["d4-r", "d6-r", "d4-unknown"])["restored"] == 1
    assert process.sets.elements == {element(): pytest.approx(40_000, abs=300)}
    assert process.ask("restore", sets=[])["restored"] == 0


def test_restoring_does_not_change_what_is_counted(process):
    tell(process)
    for _ in range(3):
        process.sets.elements.clear()
        process.ask("restore", sets=["d4-r"])
    assert len(process.learner.elements) == 1
    assert dict(process.learner.elements.per_owner) == {packed(CLIENT): 1}


def test_forgotten_addresses_lose_their_elements_and_names(tmp_path):
    endpoints = (endpoint("ep1", CLIENT, rules=("r",)), endpoint("ep2", OTHER, rules=("r",)))
    process = Process(tmp_path, RULE, endpoints=endpoints)
    process.turn()
    tell(process)
    tell(process, client=OTHER)
    assert process.ask("forget", addresses=[CLIENT, "fd00::99"])["deleted"] == 1
    assert set(process.sets.elements) == {element(client=OTHER)}
    assert [each["endpoint"] for each in names(process)] == ["ep2"]
    process.close()


def test_forgetting_elements_that_have_expired_is_no_transaction(process):
    tell(process, ttl=10)
    process.clock.advance(10.5)
    before = process.sets.transactions
    process.ask("forget", addresses=[CLIENT])
    assert process.sets.transactions == before
    assert len(process.learner.elements) == 0


# --- names and explain ---


def test_names_tell_everything(process):
    chain = [record(POINTER, CNAME, 60, r"c.cdn"), record("c.cdn", A, 30, ADDRESS)]
    tell(process, "a.test", records=chain)
    process.clock.advance(5)
    (entry,) = names(process)
    assert entry == {
        "endpoint": "ep1",
        "name": "a.test",
        "ip": ADDRESS,
        "ttl_seconds": 30,
        "learned_seconds_ago": 5.0,
        "expires_in_seconds": 25.0,
        "server": "10.0.53.53",
        "chain": ["a.test", "c.cdn"],
        "rules": ["r"],
    }


def test_names_leave_out_what_is_not_open(process):
    tell(process, "b.test", "198.51.100.12")
    tell(process)
    process.clock.advance(61)
    assert names(process) == []


def test_names_of_one_endpoint(tmp_path):
    endpoints = (endpoint("ep1", CLIENT, rules=("r",)), endpoint("ep2", OTHER, rules=("r",)))
    process = Process(tmp_path, RULE, endpoints=endpoints)
    process.turn()
    tell(process)
    tell(process, client=OTHER)
    assert [each["endpoint"] for each in names(process, "ep2")] == ["ep2"]
    assert names(process, "ep3") == []
    process.close()


def test_elements_without_a_name_are_orphans(process):
    process.learner.elements.put(element("198.51.100.99"), process.clock.now() + 30)
    process.learner.elements.put(element("198.51.100.99", set_name="d4-s"), process.clock.now() + 30)
    process.learner.elements.put(element("198.51.100.98"), process.clock.now())
    process.learner.elements.put(element("198.51.100.97", client=OTHER), process.clock.now() + 30)
    tell(process)
    found = names(process, "ep1")
    assert [(each["ip"], each.get("orphan", False)) for each in found] == [(ADDRESS, False), ("198.51.100.99", True)]


def test_names_come_in_pages_of_bounded_work(process, monkeypatch):
    monkeypatch.setattr(desk_module, "PAGE", 10)
    for number in range(35):
        tell(process, f"n{number}.a.test", f"198.51.100.{number}")
        tell(process, f"n{number}.b.test", f"198.51.101.{number}")
    reply, pages = process.ask("names"), 1
    found = list(reply["names"])
    while reply["more"]:
        assert len(reply["names"]) <= 10
        tell(process, f"later{pages}.a.test", f"198.51.102.{pages}")
        reply = process.ask("names", next=True)
        found += reply["names"]
        pages += 1
    assert pages > 7
    assert {f"n{number}.a.test" for number in range(35)} <= {each["name"] for each in found}


def test_explain_tells_who_was_told_what(tmp_path):
    endpoints = (endpoint("ep1", CLIENT, rules=("r",)), endpoint("ep2", OTHER, rules=("r",)))
    process = Process(tmp_path, RULE, endpoints=endpoints)
    process.turn()
    tell(process)
    mine = process.ask("explain", endpoint="ep1", address=ADDRESS)
    assert (mine["is_open"], mine["has_domain_rules"], mine["refusal"]) == (True, True, None)
    assert [(each["name"], each["own"]) for each in mine["told"]] == [("a.test", True)]
    other = process.ask("explain", endpoint="ep2", address=ADDRESS)
    assert (other["is_open"], [each["own"] for each in other["told"]]) == (False, [False])
    by_name = process.ask("explain", endpoint="ep1", name="A.Test.")
    assert [each["ip"] for each in by_name["told"]] == [ADDRESS]
    stranger = process.ask("explain", endpoint="ep3", address="192.0.2.1")
    assert (stranger["has_domain_rules"], stranger["told"]) == (False, [])
    process.close()


def test_explain_tells_why_an_address_was_refused(process):
    tell(process, "a.test", "10.1.2.3")
    reply = process.ask("explain", endpoint="ep1", address="10.1.2.3")
    assert reply["refusal"] == {"reason": "guard-private", "name": "a.test"}


def test_stopping_ends_the_loop(process):
    process.ask("stop")
    process.loop.run()
    assert process.kernel.queue(101) is None


def test_names_print_as_people_write_them():
    assert text_of(key("www.a.test")) == "www.a.test"
    assert text_of(key("evil\0a.test")) == r"evil\.a.test"
    assert text_of(b"") == "."


def test_the_tally_counts_what_the_kernel_took(process):
    before = process.ask("tally")
    tell(process, "a.test", "198.51.100.10")
    after = process.ask("tally")
    assert (after["commits"] - before["commits"], after["generation"] - before["generation"]) == (1, 1)


def test_answers_do_not_wait_for_a_long_restoration(process, monkeypatch):
    monkeypatch.setattr("dnsagent.desk.CHUNK", 10)
    for number in range(100):
        tell(process, f"n{number}.a.test", f"198.51.100.{number}")
    process.sets.elements.clear()
    process.log.offer(dns_query(query("a.test")))
    process.kernel.queue_packet(101, dns_answer(answer("a.test", record(POINTER, A, 600, "198.51.100.99"))))
    assert process.ask("restore", sets=["d4-r", "d6-r"])["restored"] == 99
    assert len(process.sets.elements) == 100
    # The answer that came between two pieces is what counts for its address.
    assert max(process.sets.elements.values()) == process.sets.elements[element("198.51.100.99")]


def test_a_set_that_loses_a_pattern_loses_what_only_that_has_opened(process):
    wide = rule("r", "a.test", "b.test", "c.test")
    process.load(wide, generation=2)
    both, lost, kept = "198.51.100.1", "198.51.100.2", "198.51.100.3"
    tell(process, "a.test", both)
    tell(process, "b.test", both, lost)
    tell(process, "c.test", kept)
    assert set(process.sets.elements) == {element(both), element(lost), element(kept)}
    process.load(rule("r", "a.test", "c.test"), generation=3)
    assert set(process.sets.elements) == {element(both), element(kept)}
    assert not process.learner.is_open(packed(CLIENT), packed(lost), process.clock.now())


def test_what_has_no_name_goes_with_a_pattern_and_other_sets_keep_theirs(process):
    process.load(rule("r", "a.test", "b.test"), rule("s", "a.test"), generation=2)
    tell(process)
    process.learner.names.forget("ep1")
    process.load(rule("r", "a.test"), rule("s", "a.test"), generation=3)
    assert set(process.sets.elements) == {element(set_name="d4-s")}


def test_in_node_scope_what_another_was_told_keeps_an_address_open(tmp_path):
    endpoints = (endpoint("ep1", CLIENT, rules=("r",)), endpoint("ep2", OTHER, rules=("r",)))
    process = Process(tmp_path, rule("r", "a.test", "b.test", scope="node"), endpoints=endpoints)
    process.turn()
    tell(process, client=OTHER)
    assert set(process.sets.elements) == {element(), element(client=OTHER)}
    process.load(rule("r", "a.test", scope="node"), endpoints=endpoints, generation=2)
    assert set(process.sets.elements) == {element(), element(client=OTHER)}
    process.load(rule("r", "b.test", scope="node"), endpoints=endpoints, generation=3)
    assert process.sets.elements == {}
    process.close()


def test_the_past_tells_what_expired_and_which_sets_its_names_would_be_in(process):
    tell(process, ttl=1)
    process.clock.advance(1000)
    process.turn()
    assert names(process) == []
    (told,) = process.ask("names", endpoint="ep1", past=True)["names"]
    assert (told["ip"], told["rules"]) == (ADDRESS, ["r"])
    assert told["expires_in_seconds"] <= 0
    process.load(rule("r", "other.test"), generation=2)
    (told,) = process.ask("names", endpoint="ep1", past=True)["names"]
    assert told["rules"] == []


def test_the_past_does_not_excuse_what_is_guarded(process):
    tell(process, "a.test", "10.1.2.3")
    (told,) = process.ask("names", endpoint="ep1", past=True)["names"]
    assert (told["ip"], told["rules"]) == ("10.1.2.3", [])
