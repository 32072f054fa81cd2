"""Packets that wait for their records: each gets one verdict, and none passes with a copy lost where that is refused."""

import json

import pytest

from dnsagent.logged import PAGE, LoggedPackets
from nfq.counters import LogCounters
from nfq.fake import FakeKernel, FakeQueue
from nfq.fake_log import FakeLog
from nfq.held import ACCEPT
from nfq.log_messages import LogOrigin
from nfq.nflog import LogSettings
from nfq.queue import QueueSettings
from nfq.supervise import SupervisedLog, SupervisedQueue
from reconcile.clock import ManualClock

QUEUE, GROUP = 103, 5


class Stage:
    """The two sides of the kernel, and what reads them."""

    def __init__(self, *, drops=True, **bounds) -> None:
        self.clock, self.kernel, self.logs = ManualClock(), FakeKernel(), []
        settings, now = QueueSettings(number=QUEUE, default=ACCEPT), self.clock.now()
        self.queue = SupervisedQueue(QUEUE, lambda counters: FakeQueue(self.kernel, settings, counters), now)
        self.log = SupervisedLog(GROUP, self.open_log, now)
        self.logged = LoggedPackets(self.queue, self.log, self.clock, drops, **bounds)
        self.logged.take(now)  # binds both

    def open_log(self, counters: LogCounters) -> FakeLog:
        self.logs.append(FakeLog(LogSettings(group=GROUP), counters))
        return self.logs[-1]

    def connect(self, number, *rules):
        """A packet meets Log rules, then waits."""
        for rule in rules:
            self.logs[-1].offer(b"packet %d" % number, LogOrigin(prefix=rule))
        return self.kernel.queue_packet(QUEUE, b"packet %d" % number)

    def take(self):
        self.logged.take(self.clock.now())

    def page(self, after=0, life=None):
        if life is None:
            life = self.logged.page({"after": 0, "life": ""}, {})["life"]
        return self.logged.page({"after": after, "life": life}, {})

    def close(self):
        self.queue.close()
        self.log.close()


@pytest.fixture
def stages():
    made = []

    def make(**options):
        made.append(Stage(**options))
        return made[-1]

    yield make
    for stage in made:
        stage.close()


def verdicts(stage):
    counters = stage.queue.counters
    return counters.accepted, counters.dropped


def test_a_packet_passes_once_and_all_rules_that_it_met_have_their_copies(stages):
    stage = stages()
    stage.connect(1, b"a", b"b", b"c")
    stage.take()
    assert verdicts(stage) == (1, 0)
    assert [copy[1] for copy in stage.page()["copies"]] == ["a", "b", "c"]


def test_where_copies_may_be_lost_the_packet_is_dropped_and_the_next_one_passes(stages):
    stage = stages()
    stage.connect(1, b"a")
    stage.logs[-1].miss(1)
    stage.take()
    stage.connect(2, b"a")
    stage.take()
    assert verdicts(stage) == (1, 1)
    assert (stage.page()["lost"], stage.page()["dropped"]) == (1, 1)


def test_or_it_passes_where_overflow_passes_and_the_copies_are_counted(stages):
    stage = stages(drops=False)
    stage.connect(1, b"a")
    stage.logs[-1].miss(2)
    stage.take()
    assert verdicts(stage) == (1, 0)
    assert (stage.page()["lost"], stage.page()["dropped"]) == (2, 0)


@pytest.mark.parametrize(("drops", "expected"), [(True, (0, 1)), (False, (1, 0))])
def test_while_nobody_can_read_the_copies_the_stated_choice_holds_and_is_counted(stages, drops, expected):
    stage = stages(drops=drops)
    stage.logs[-1].lose()
    stage.take()
    stage.log.receive(stage.clock.now())  # notices it; the next attempt is not due at once
    stage.kernel.queue_packet(QUEUE, b"packet")
    stage.take()
    assert verdicts(stage) == expected
    assert stage.page()["unread"] == 1


def test_no_room_for_copies_is_a_loss_before_it_happens(stages):
    stage = stages(max_copies=4, max_unread=1)
    stage.connect(1, b"a", b"b", b"c", b"d")
    stage.take()
    stage.connect(2, b"a")
    stage.take()
    assert verdicts(stage) == (1, 1)
    page = stage.page()
    assert (page["lost"], len(page["copies"])) == (1, 4)
    stage.page(page["last"])
    stage.connect(3, b"a")
    stage.take()
    assert verdicts(stage) == (2, 1)


def test_a_page_is_given_until_it_is_confirmed_and_a_number_of_another_life_confirms_nothing(stages):
    stage = stages()
    for number in range(PAGE + 1):
        stage.connect(number, b"a")
    for _ in range(20):
        stage.take()
    first = stage.page()
    assert (len(first["copies"]), first["more"], first["last"]) == (PAGE, True, PAGE)
    assert stage.page() == first
    assert len(stage.page(99_999)["copies"]) == PAGE
    assert stage.page(PAGE, life="another") == first
    assert len(stage.page(first["last"])["copies"]) == 1
    assert stage.page(first["last"] + 1)["copies"] == []


def test_a_successor_goes_on_with_the_copies_and_the_counts(stages):
    before, after = stages(), stages()
    before.connect(1, b"a", b"b", b"c")
    before.take()
    first = before.page()
    before.page(2, life=first["life"])  # two are told of
    before.logs[-1].miss(4)
    left = json.loads(json.dumps(before.logged.left()))
    after.logged.take_over(left)
    after.connect(2, b"d")
    after.take()
    page = after.page(2, life=first["life"])
    assert [copy[1] for copy in page["copies"]] == ["c", "d"]
    assert (page["last"], page["received"], page["lost"], page["life"]) == (4, 2, 4, first["life"])


@pytest.mark.parametrize("left", [{}, {"copies": [[1]]}, {"copies": [], "counts": {}}, [], None, {"copies": [None]}])
def test_what_nobody_has_left_is_refused_whole(stages, left):
    stage = stages()
    with pytest.raises((ValueError, KeyError, TypeError)):
        stage.logged.take_over(left)
    assert stage.page()["copies"] == []


def test_without_a_queue_nothing_is_done(stages):
    idle = LoggedPackets(None, None, ManualClock(), True)
    idle.take(ManualClock().now())
    assert not idle.read(ManualClock().now())
    assert idle.page({"after": 0, "life": ""}, {})["copies"] == []


def test_every_verdict_is_one_of_two(stages):
    stage = stages()
    for number in range(3):
        stage.connect(number, b"a")
    stage.take()
    assert stage.queue.counters.repeated == 0
    assert sum(verdicts(stage)) == 3
