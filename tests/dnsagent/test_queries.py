"""Pending questions against a list that is searched from end to end."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dnsagent.queries import LIFE_SECONDS, MAX_PER_CONVERSATION, Mismatch, PendingQueries

BOUND = 4
conversations = st.sampled_from([bytes([number]) for number in range(BOUND + 2)])
questions = st.sampled_from([bytes([number]) for number in range(MAX_PER_CONVERSATION + 2)])


class QueriesMachine(RuleBasedStateMachine):
    """The model: a list of [conversation, asked, at, is answered], the latest question last."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = PendingQueries(max_pending=BOUND)
        self.now = 0.0
        self.model: list[list] = []
        self.forgotten = 0

    def of(self, conversation):
        return [entry for entry in self.model if entry[0] == conversation]

    def forget(self, entries):
        self.forgotten += sum(not entry[3] for entry in entries)
        self.model = [entry for entry in self.model if not any(entry is gone for gone in entries)]

    @rule(conversation=conversations, asked=questions)
    def ask(self, conversation, asked):
        self.queries.add(conversation, asked, self.now)
        known = {entry[0] for entry in self.model}
        if conversation not in known and len(known) == BOUND:
            latest = {name: max(i for i, entry in enumerate(self.model) if entry[0] == name) for name in known}
            self.forget(self.of(min(known, key=lambda name: latest[name])))
        again = [entry for entry in self.of(conversation) if entry[1] == asked]
        if again:
            self.model.remove(again[0])
        elif len(self.of(conversation)) == MAX_PER_CONVERSATION:
            self.forget(self.of(conversation)[:1])
        self.model.append([conversation, asked, self.now, False])

    @rule(conversation=conversations, asked=questions)
    def answer(self, conversation, asked):
        mine = self.of(conversation)
        found = [entry for entry in mine if entry[1] == asked]
        expected = None
        if not mine:
            expected = Mismatch.UNSOLICITED
        elif not found:
            expected = Mismatch.WRONG_NAME
        elif found[0][3]:
            expected = Mismatch.REPLAY
        elif self.now - found[0][2] > LIFE_SECONDS:
            expected = Mismatch.LATE
        if found:
            found[0][3] = True
        assert self.queries.take(conversation, asked, self.now) is expected

    @rule(seconds=st.sampled_from([0.0, 1.0, 6.0, LIFE_SECONDS, 2 * LIFE_SECONDS]))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def expire(self):
        self.queries.expire(self.now)
        for conversation in {entry[0] for entry in self.model}:
            if self.now - max(entry[2] for entry in self.of(conversation)) > 2 * LIFE_SECONDS:
                self.model = [entry for entry in self.model if entry[0] != conversation]

    @invariant()
    def has_as_many(self):
        assert len(self.queries) == len({entry[0] for entry in self.model}) <= BOUND
        assert self.queries.forgotten == self.forgotten


TestQueries = QueriesMachine.TestCase
TestQueries.settings = settings(max_examples=150, stateful_step_count=40)


def test_a_question_asked_again_lives_on_though_its_sister_is_old():
    queries = PendingQueries()
    queries.add(b"c", b"A", 0.0)
    queries.add(b"c", b"AAAA", 0.0)
    queries.add(b"c", b"A", 15.0)
    queries.expire(22.0)
    assert queries.take(b"c", b"A", 22.0) is None


def test_a_late_answer_is_called_late_for_a_life_and_then_unsolicited():
    queries = PendingQueries()
    queries.add(b"c", b"A", 0.0)
    queries.expire(19.0)
    assert queries.take(b"c", b"A", 19.0) is Mismatch.LATE
    assert queries.take(b"c", b"A", 19.0) is Mismatch.REPLAY
    queries.expire(20.1)
    assert queries.take(b"c", b"A", 20.1) is Mismatch.UNSOLICITED


def test_the_bound_drops_the_oldest_and_counts_only_open_questions():
    queries = PendingQueries(max_pending=2)
    for number in range(4):
        queries.add(bytes([number]), b"A", float(number))
        queries.take(bytes([number]), b"A", float(number)) if number == 0 else None
    assert len(queries) == 2
    assert queries.forgotten == 1
    assert queries.take(b"\0", b"A", 4.0) is Mismatch.UNSOLICITED
    assert queries.take(b"\3", b"A", 4.0) is None
