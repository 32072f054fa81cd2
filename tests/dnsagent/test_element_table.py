"""The mirror of the kernel's elements: what it remembers, for how long, and that it does not grow without end."""

from itertools import chain

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dnsagent.element_table import LINGER_SECONDS, ElementTable, owner_of

owners = st.sampled_from([b"\1\1", b"\2\2", b"\3\3"])
keys = st.tuples(st.sampled_from(["d4-a", "d4-b"]), st.tuples(owners, owners).map(b"".join))


class TableMachine(RuleBasedStateMachine):
    """Against a dictionary of deadlines."""

    def __init__(self) -> None:
        super().__init__()
        self.table = ElementTable()
        self.model: dict = {}
        self.now = 100.0

    @rule(key=keys, seconds=st.integers(0, 30))
    def put(self, key, seconds):
        deadline = max(self.now + seconds, self.model.get(key, 0.0))
        self.table.put(key, deadline)
        self.model[key] = deadline

    @rule(key=keys)
    def drop(self, key):
        self.table.drop(key)
        self.model.pop(key, None)

    @rule(seconds=st.sampled_from([0.5, 1.0, 10.0, 40.0]))
    def expire(self, seconds):
        self.now += seconds
        self.table.expire(self.now)
        self._forget_what_the_table_forgot()

    def _forget_what_the_table_forgot(self):
        for key in [key for key in self.model if self.table.deadline(key) is None]:
            assert self.model.pop(key) <= self.now - LINGER_SECONDS, "forgotten too early"
        left = self.now - LINGER_SECONDS - 1
        assert all(deadline >= left for deadline in self.model.values()), "remembered too long"

    @invariant()
    def equal(self):
        assert dict(self.table.items()) == self.model
        assert set(self.table.all_keys()) == self.model.keys()
        counts: dict = {}
        for key in self.model:
            counts[owner_of(key)] = counts.get(owner_of(key), 0) + 1
        assert self.table.per_owner == counts  # no zeros
        sets = {name: sum(key[0] == name for key in self.model) for name, _ in self.model}
        assert (self.table.per_set, self.table._numbers.keys(), len(self.table._names)) == (
            sets,
            sets.keys(),
            len(sets),
        )
        assert set(self.table.of_owners(frozenset([b"\1\1"]))) == {k for k in self.model if owner_of(k) == b"\1\1"}

    @invariant()
    def withdrawn(self):
        found = [*chain(*self.table.withdrawn(frozenset([("d4-a", b"\1\1")]), frozenset(["d4-b"])))]
        assert len(found) == len(set(found))
        assert set(found) == {k for k in self.model if k[0] == "d4-b" or owner_of(k) == b"\1\1"}


TestTable = TableMachine.TestCase
TestTable.settings = settings(max_examples=100, stateful_step_count=40)


def test_refreshes_do_not_grow_the_lists():
    table = ElementTable()
    for number in range(100_000):
        table.put(("d4", bytes([number % 10, 1])), 1000.0 + number)
    assert len(table) == 10
    assert entries_of(table) == 10


def test_elements_dropped_and_put_again_do_not_grow_the_lists():
    table = ElementTable()
    for _ in range(200):
        for number in range(100):
            table.put(("d4", bytes([number, 1])), 1e6)
        for number in range(100):
            table.drop(("d4", bytes([number, 1])))
    assert entries_of(table) < 2000


def entries_of(table) -> int:
    return sum(map(len, table._due.values()))


def test_expiry_of_elements_is_bounded_work():
    table = ElementTable()
    for number in range(100):
        table.put(("d4", bytes([number, 1])), 10.0)
    table.expire(20.0, limit=30)
    assert len(table) == 70
