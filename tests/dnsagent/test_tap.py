"""What passes is told to who listens, in order, once, within bounds; and to nobody else."""

import base64

from dnsagent.desk import shown
from dnsagent.tap import ANSWER, LEASE_SECONDS, QUESTION, Tap
from reconcile.instant import Instant
from tests.dnsagent.stage import A, Stage, answer, packed, packet, query, record, rule

NXDOMAIN = 0x8183


def listening(*rules, **options):
    stage = Stage(*rules, **options)
    stage.learner.tap.fetch(0, 10, Instant(stage.now))
    return stage


def seen(stage, after=0, most=100):
    return stage.learner.tap.fetch(after, most, Instant(stage.now))[0]


def test_nothing_is_kept_where_nobody_listens():
    stage = Stage(rule("r", "a.test"))
    stage.ask("a.test")
    stage.judge(answer("a.test", record("a.test", A, 60, "198.51.100.1")))
    assert seen(stage) == []
    assert stage.learner.tap.lost == 0


def test_a_question_and_its_answer_are_seen_with_what_was_opened():
    stage = listening(rule("r", "a.test"), rule("other", "b.test"))
    stage.ask("a.test")
    stage.now += 0.5
    reply = answer("a.test", record("a.test", A, 60, "198.51.100.1"), record("a.test", A, 5, "198.51.100.2"))
    stage.judge(reply)
    asked, told = seen(stage)
    assert (asked.kind, asked.at, asked.payload) == (QUESTION, 1000.0, query("a.test"))
    assert (told.kind, told.at, told.payload, told.reason) == (ANSWER, 1000.5, reply, "")
    assert list(told.opened.rules) == ["r"]
    assert told.opened.lifetimes == {packed("198.51.100.1"): 60.0, packed("198.51.100.2"): 10.0}, "the floor is 10 s"


def test_an_answer_that_renews_nothing_is_still_told_with_its_rules():
    stage = listening(rule("r", "a.test"))
    for number in (7, 8):
        stage.ask("a.test", identifier=number)
        stage.judge(answer("a.test", record("a.test", A, 60, "198.51.100.1"), identifier=number))
    assert [list(each.opened.rules) for each in seen(stage) if each.kind == ANSWER] == [["r"], ["r"]]


def test_what_was_refused_says_why():
    stage = listening(rule("r", "*.test"), guarded=("198.51.100.0/24",))
    stage.ask("no.test")
    stage.judge(answer("no.test", flags=NXDOMAIN))
    stage.judge(answer("un.test", record("un.test", A, 60, "203.0.113.1"), identifier=9))
    stage.ask("g.test", identifier=10)
    stage.judge(answer("g.test", record("g.test", A, 60, "198.51.100.1"), identifier=10))
    stage.judge(answer("x.test")[:20])
    reasons = [each.reason for each in seen(stage) if each.kind == ANSWER]
    assert reasons[:2] == ["negative", "unsolicited"]
    assert reasons[2]
    assert reasons[3] == "malformed"
    assert all(each.opened is None for each in seen(stage))


def test_a_reason_is_not_carried_over_to_the_next_answer():
    stage = listening(rule("r", "*.test"))
    stage.judge(answer("un.test", record("un.test", A, 60, "203.0.113.1"), identifier=9))
    stage.ask("a.test")
    stage.judge(answer("a.test", record("a.test", A, 60, "198.51.100.1")))
    first, _, second = seen(stage)
    assert (first.reason, second.reason) == ("unsolicited", "")
    assert first.opened is None


def test_an_answer_of_a_server_that_is_not_trusted_is_not_told():
    stage = listening(rule("r", "a.test"))
    stage.judge(answer("a.test", record("a.test", A, 60, "198.51.100.1")), server="192.0.2.9")
    assert seen(stage) == []


def test_what_is_not_confirmed_is_told_again_and_what_is_confirmed_goes():
    stage = listening(rule("r", "a.test"))
    for number in range(5):
        stage.ask("a.test", identifier=number)
    tap = stage.learner.tap
    page, last = tap.fetch(0, 2, Instant(stage.now))
    assert ([each.payload[1] for each in page], last) == ([0, 1], 2)
    assert [each.payload[1] for each in tap.fetch(0, 2, Instant(stage.now))[0]] == [0, 1]
    assert [each.payload[1] for each in tap.fetch(2, 9, Instant(stage.now))[0]] == [2, 3, 4]
    assert tap.fetch(5, 9, Instant(stage.now)) == ([], 5)


def test_a_number_of_another_life_confirms_nothing():
    stage = listening(rule("r", "a.test"))
    stage.ask("a.test")
    assert len(seen(stage, after=1_000_000)) == 1


def test_at_the_bound_what_comes_is_lost_and_counted():
    for tap in (Tap(max_sightings=2), Tap(max_bytes=2 * len(query("a.test")))):
        stage = Stage(rule("r", "a.test"))
        stage.learner.tap = tap
        tap.fetch(0, 1, Instant(stage.now))
        for number in range(5):
            stage.ask("a.test", identifier=number)
        assert [each.payload[1] for each in seen(stage)] == [0, 1]
        assert tap.lost == 3
        seen(stage, after=2)
        stage.ask("a.test", identifier=9)
        assert [each.payload[1] for each in seen(stage, after=2)] == [9], "there is room again"


def test_who_does_not_come_back_is_forgotten_and_what_waited_is_counted():
    stage = listening(rule("r", "a.test"))
    stage.ask("a.test")
    stage.learner.expire(Instant(stage.now + LEASE_SECONDS))
    assert stage.learner.tap.is_on
    stage.learner.expire(Instant(stage.now + LEASE_SECONDS + 1))
    assert not stage.learner.tap.is_on
    assert stage.learner.tap.lost == 1
    assert seen(stage) == []


def test_it_is_written_so_that_it_can_be_read():
    stage = listening(rule("r", "a.test"))
    stage.learner.note_query(packet(query("a.test")), Instant(1000.0))
    (asked,) = seen(stage)
    written = shown(asked)
    assert base64.b64decode(written[6]) == query("a.test")
    assert written[2] == packed("10.0.1.2").hex()


def test_who_says_that_it_is_enough_misses_nothing():
    stage = listening(rule("r", "a.test"))
    stage.ask("a.test")
    stage.learner.tap.end()
    stage.ask("a.test", identifier=9)
    assert (stage.learner.tap.is_on, stage.learner.tap.lost) == (False, 0)
    assert seen(stage) == []
