"""What is taken out of the sets by which the kernel's rules give grace: at once what policy withdraws, later the rest."""

import pytest

from dnsagent.grace import read_times, write_times
from reconcile.instant import Instant, WallInstant
from tests.dnsagent.process import Process
from tests.dnsagent.stage import CLIENT, OTHER, POINTER, A, endpoint, packed, record, rule
from tests.dnsagent.test_desk import names, tell

ADDRESS, SECOND = "198.51.100.10", "198.51.100.11"
GRACED = rule("r", "a.test", "*.a.test", grace4="g4-r", grace6="g6-r", grace_seconds=60.0)
BOTH = (endpoint("ep1", CLIENT, rules=("r",)), endpoint("ep2", OTHER, rules=("r",)))


@pytest.fixture
def process(tmp_path):
    made = Process(tmp_path, GRACED, endpoints=BOTH)
    made.turn()
    yield made
    made.close()


def pair(client=CLIENT, address=ADDRESS, set_name="g4-r"):
    return set_name, packed(client) + packed(address)


def connect(process, client=CLIENT, address=ADDRESS, left_ms=60_000):
    """As the kernel's rules do it, at a hit of the learned set."""
    process.sets.elements[pair(client, address)] = left_ms


def is_graced(process, client=CLIENT, address=ADDRESS):
    return pair(client, address) in process.sets.elements


def sweep(process, seconds=30.0):
    """So much later, everything is looked at."""
    process.clock.advance(seconds)
    for _ in range(4):
        process.grace.expire(process.clock.now())


def test_a_pair_stays_when_the_time_of_its_address_is_over(process):
    tell(process, ttl=10)
    connect(process)
    sweep(process, 100)
    assert is_graced(process)
    assert process.ask("status")["grace"] == {"pairs": 1, "full": []}


def test_an_endpoint_that_is_gone_takes_its_pairs_along_at_once(process):
    tell(process)
    connect(process)
    connect(process, OTHER)
    process.ask("forget", addresses=[CLIENT])
    assert (is_graced(process), is_graced(process, OTHER)) == (False, True)


def test_an_address_that_becomes_another_endpoints_has_no_grace(process):
    tell(process)
    connect(process)
    process.load(GRACED, endpoints=(endpoint("ep9", CLIENT, rules=("r",)), BOTH[1]))
    assert not is_graced(process)


def test_a_rule_that_an_endpoint_has_no_more_takes_its_grace_at_once(process):
    tell(process)
    connect(process)
    connect(process, OTHER)
    process.load(GRACED, endpoints=(BOTH[0], endpoint("ep2", OTHER, rules=())))
    assert (is_graced(process), is_graced(process, OTHER)) == (True, False)


def test_a_name_that_the_rule_selects_no_more_does_not_live_on(process):
    tell(process, "a.test", ADDRESS, ttl=10)
    tell(process, "x.a.test", SECOND, ttl=10)
    connect(process)
    connect(process, address=SECOND)
    process.clock.advance(100)
    process.load(rule("r", "a.test", grace4="g4-r", grace6="g6-r", grace_seconds=60.0), endpoints=BOTH)
    assert (is_graced(process), is_graced(process, address=SECOND)) == (True, False)


def test_an_address_under_two_names_stays_while_one_is_selected(process):
    tell(process, "a.test", ADDRESS, ttl=10)
    tell(process, "x.a.test", ADDRESS, ttl=10)
    connect(process)
    process.clock.advance(100)
    process.load(rule("r", "x.a.test", grace4="g4-r", grace6="g6-r", grace_seconds=60.0), endpoints=BOTH)
    assert is_graced(process)


def test_where_no_name_is_remembered_a_narrower_rule_ends_the_grace(process):
    connect(process)
    process.load(rule("r", "a.test", grace4="g4-r", grace6="g6-r", grace_seconds=60.0), endpoints=BOTH)
    assert not is_graced(process)


def test_a_sweep_takes_out_whom_the_policy_does_not_know(process):
    connect(process, "10.0.99.99")
    sweep(process)
    assert not is_graced(process, "10.0.99.99")
    assert process.learner.counters["grace-withdrawn"] == 1


def test_a_sweep_takes_out_what_a_guard_refuses(process):
    connect(process, address="10.9.9.9")
    sweep(process)
    assert not is_graced(process, address="10.9.9.9")
    assert process.learner.counters["grace-guarded"] == 1


def test_a_sweep_takes_out_what_has_more_time_than_the_rule_gives_today(process):
    connect(process, left_ms=3_600_000)
    sweep(process)
    assert not is_graced(process)
    assert process.learner.counters["grace-shortened"] == 1


def test_grace_ends_its_cap_after_the_address_was_last_open_by_name(tmp_path):
    process = Process(tmp_path, GRACED, endpoints=BOTH, grace_max_seconds=1000.0)
    process.turn()
    tell(process, ttl=500)
    connect(process)
    sweep(process, 490)
    sweep(process, 900)  # it was open 900 seconds ago
    assert is_graced(process)
    sweep(process, 101)
    assert not is_graced(process)
    assert process.learner.counters["grace-capped"] == 1
    process.close()


def test_another_life_goes_on_counting(tmp_path):
    first = Process(tmp_path, GRACED, endpoints=BOTH, grace_max_seconds=1000.0)
    first.turn()
    connect(first)
    sweep(first)
    first.close()
    second = Process(tmp_path, GRACED, endpoints=BOTH, grace_max_seconds=1000.0)
    connect(second)
    second.clock.advance(30 + 1001 - second.clock.now() + 1000.0)
    sweep(second, 0)
    assert not is_graced(second)
    second.close()


def test_a_full_set_is_told_until_it_has_room_again(tmp_path):
    process = Process(tmp_path, GRACED, endpoints=BOTH, set_size=1)
    process.turn()
    connect(process)
    sweep(process)
    assert process.ask("status")["grace"]["full"] == ["g4-r"]
    assert process.learner.counters["grace-full"] == 1
    del process.sets.elements[pair()]
    sweep(process)
    assert process.ask("status")["grace"] == {"pairs": 0, "full": []}
    process.close()


def test_too_many_pairs_are_taken_out_and_counted(process, monkeypatch):
    monkeypatch.setattr("dnsagent.grace.MAX_PAIRS", 1)
    connect(process)
    connect(process, address=SECOND)
    sweep(process)
    assert is_graced(process) is not is_graced(process, address=SECOND)
    assert process.learner.counters["cap-grace"] == 1


def test_names_and_explain_tell_of_grace(process):
    tell(process, records=[record(POINTER, A, 10, ADDRESS), record(POINTER, A, 10, SECOND)])
    connect(process, left_ms=42_000)
    process.clock.advance(100)
    assert [(entry["ip"], entry["expires_in_seconds"], entry["grace"]) for entry in names(process)] == [
        (ADDRESS, 42.0, True)
    ]
    told = {each["ip"]: each for each in process.ask("explain", endpoint="ep1", name="a.test")["told"]}
    assert (told[ADDRESS]["is_open"], told[ADDRESS]["grace_seconds"]) == (False, 42.0)
    assert (told[SECOND]["is_open"], told[SECOND]["grace_seconds"]) == (False, 0.0)


def test_what_is_written_is_read_and_what_is_broken_is_left_out(tmp_path):
    path = tmp_path / "grace.times"
    times = {pair(): Instant(90.0), pair(OTHER): Instant(100.0)}
    write_times(path, times, Instant(100.0), WallInstant(5000.0))
    assert read_times(path, Instant(7.0), WallInstant(5001.0)) == {pair(): Instant(-4.0), pair(OTHER): Instant(6.0)}
    path.write_text(f"{path.read_text()}g4-r nonsense 12\nshort\n")
    assert len(read_times(path, Instant(7.0), WallInstant(5001.0))) == 2
    path.write_bytes(b"\xff\xfe")
    assert read_times(path, Instant(7.0), WallInstant(5001.0)) == {}
    assert read_times(tmp_path / "none", Instant(7.0), WallInstant(5001.0)) == {}


def test_a_time_from_the_future_is_now(tmp_path):
    path = tmp_path / "grace.times"
    write_times(path, {pair(): Instant(100.0)}, Instant(100.0), WallInstant(9000.0))
    assert read_times(path, Instant(7.0), WallInstant(5000.0)) == {pair(): Instant(7.0)}
