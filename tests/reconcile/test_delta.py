"""DeltaTracker against a model that computes everything anew each time."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reconcile.delta import DeltaTracker

keys = st.integers(0, 5)
values = st.integers(0, 2)
worlds = st.dictionaries(keys, values)


class TrackerMachine(RuleBasedStateMachine):
    """Two dictionaries are all the model has."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker: DeltaTracker[int, int] = DeltaTracker()
        self.desired: dict[int, int] = {}
        self.actual: dict[int, int] = {}

    @rule(key=keys, value=values)
    def want(self, key, value):
        self.tracker.want(key, value)
        self.desired[key] = value

    @rule(key=keys)
    def unwant(self, key):
        self.tracker.unwant(key)
        self.desired.pop(key, None)

    @rule(world=worlds)
    def want_exactly(self, world):
        self.tracker.want_exactly(world)
        self.desired = dict(world)

    @rule(world=worlds)
    def found(self, world):
        self.tracker.found(world)
        self.actual = dict(world)

    @rule(data=st.data())
    def carry_out_some(self, data):
        for key, value in self.tracker.updates():
            if data.draw(st.booleans()):
                self.tracker.did_update(key, value)
                self.actual[key] = value
        for key in self.tracker.deletions():
            if data.draw(st.booleans()):
                self.tracker.did_delete(key)
                del self.actual[key]

    @rule(key=keys, value=values)
    def somebody_else_writes(self, key, value):
        self.tracker.did_update(key, value)
        self.actual[key] = value

    @rule()
    def carry_out_all(self):
        for key, value in self.tracker.updates():
            self.tracker.did_update(key, value)
        for key in self.tracker.deletions():
            self.tracker.did_delete(key)
        self.actual = dict(self.desired)
        assert self.tracker.is_in_agreement

    @invariant()
    def agrees_with_the_model(self):
        updates = {key: value for key, value in self.desired.items() if self.actual.get(key) != value}
        deletions = self.actual.keys() - self.desired.keys()
        assert dict(self.tracker.updates()) == updates
        assert set(self.tracker.deletions()) == deletions
        assert self.tracker.pending == len(updates) + len(deletions)
        assert dict(self.tracker.desired()) == self.desired
        assert dict(self.tracker.actual()) == self.actual


TestTracker = TrackerMachine.TestCase


def test_what_waits_longest_goes_first():
    tracker: DeltaTracker[str, int] = DeltaTracker()
    for key in ("b", "a", "c"):
        tracker.want(key, 1)
    tracker.want("b", 2)
    assert [key for key, _ in tracker.updates()] == ["b", "a", "c"]


def test_a_plan_that_moved_on_meanwhile_stays_to_do():
    tracker: DeltaTracker[str, int] = DeltaTracker()
    tracker.want("a", 1)
    for key, value in tracker.updates():
        tracker.want("a", 2)
        tracker.did_update(key, value)
    assert list(tracker.updates()) == [("a", 2)]
