"""Elements in a kernel that refuses some: the others are written, at a bounded cost."""

import errno
from collections import Counter

import pytest

from dnsagent.kernel_sets import CHUNK, MAX_ATTEMPTS, KernelSets
from dnsagent.learn import Element
from nft.elements import Operation
from nft.errors import ElementError, NftError

NOW = 100.0


class Writer:
    """A kernel with sets of a certain size; elements are there or not, and a transaction is applied whole or not."""

    def __init__(self, room: dict[str, int] | None = None) -> None:
        self.room = room
        self.elements: dict[tuple[str, bytes], int] = {}
        self.transactions: list[int] = []
        self.refused = 0
        self.failing: list[Exception] = []
        self.poison: set[bytes] = set()

    def write(self, changes):
        self.transactions.append(len(changes))
        if self.failing:
            raise self.failing.pop(0)
        after, failures, blamed = dict(self.elements), {}, set()
        for position, change in enumerate(changes):
            at = change.set_name, change.key
            if self.room is not None and change.set_name not in self.room:
                failures[position] = 2
                continue
            full = self.room is not None and sum(k[0] == at[0] for k in after) >= self.room[at[0]]
            if change.operation is Operation.DELETE and at in after:
                del after[at]
            elif change.operation is not Operation.DELETE and (at in after or not full) and at[1] not in self.poison:
                after[at] = change.timeout_ms
            elif (change.set_name, change.operation) not in blamed:
                blamed.add((change.set_name, change.operation))
                failures[position] = errno.EINVAL if at[1] in self.poison else errno.ENFILE if full else errno.ENOENT
        if failures:
            self.refused += 1
            raise ElementError(next(iter(failures.values())), "table t", failures)
        self.elements = after


def element(number: int, set_name: str = "d4", deadline: float = NOW + 60, *, is_present: bool = False) -> Element:
    return Element((set_name, number.to_bytes(8, "big")), deadline, is_present=is_present)


@pytest.fixture
def counters():
    return Counter()


def sets(writer, counters):
    return KernelSets(writer, counters)


def keys(elements):
    return [element.key for element in elements]


def test_all_elements_go_in_one_transaction(counters):
    writer = Writer()
    elements = [element(1), element(2, "d6"), element(3, is_present=True)]
    assert sets(writer, counters).write(elements, NOW) == elements
    assert writer.transactions == [3]
    assert writer.elements["d4", (1).to_bytes(8, "big")] == 60_001
    assert counters == Counter()


def test_nothing_to_write_is_no_transaction(counters):
    writer = Writer()
    assert sets(writer, counters).write([], NOW) == []
    assert writer.transactions == []


def test_of_several_for_one_key_the_latest_deadline_is_written(counters):
    writer = Writer()
    written = sets(writer, counters).write(
        [element(1, deadline=NOW + 5), element(1, deadline=NOW + 9), element(1)], NOW
    )
    assert [each.deadline for each in written] == [NOW + 60]
    assert writer.elements == {("d4", (1).to_bytes(8, "big")): 60_001}


def test_the_kernels_deadline_never_passes_before_ours(counters):
    writer = Writer()
    sets(writer, counters).write([element(1, deadline=NOW + 0.0004), element(2, deadline=NOW - 5)], NOW)
    assert list(writer.elements.values()) == [1, 1]


def test_what_is_present_is_refreshed_and_what_is_not_is_added():
    seen = []

    class Recorder:
        def write(self, changes):
            seen.extend(change.operation for change in changes)

    KernelSets(Recorder(), Counter()).write([element(1), element(2, is_present=True)], NOW)
    assert seen == [Operation.ADD, Operation.REFRESH]


def test_without_the_element_that_is_to_blame_the_others_are_written(counters):
    writer = Writer()
    writer.poison = {(5).to_bytes(8, "big")}
    written = sets(writer, counters).write([element(number) for number in range(10)], NOW)
    assert len(written) == 9
    assert keys(written) == sorted(writer.elements)
    assert writer.transactions == [10, 9]
    assert counters == {"program-failed": 1}


def test_a_missing_set_costs_only_its_own_elements(counters):
    writer = Writer(room={"d4": 100})
    elements = [element(1), element(2, "gone"), element(3), element(4, "gone")]
    assert keys(sets(writer, counters).write(elements, NOW)) == keys([elements[0], elements[2]])
    assert writer.transactions == [4, 2]


def test_a_full_set_is_left_out_and_keeps_nobody_waiting(counters):
    writer = Writer(room={"full": 3, "d4": 100})
    elements = [*(element(number, "full") for number in range(200)), *(element(number) for number in range(50))]
    written = sets(writer, counters).write(elements, NOW)
    assert {each.key[0] for each in written} == {"d4"}
    assert len(written) == 50
    assert len(writer.transactions) <= MAX_ATTEMPTS


def test_a_full_set_refreshes_what_it_has_and_is_told_of_once(counters):
    writer = Writer(room={"full": 3, "d4": 100})
    kernel = sets(writer, counters)
    there = [element(number, "full") for number in range(3)]
    kernel.write(there, NOW)
    assert kernel.take_full() == frozenset()
    again = [element(number, "full", NOW + 90, is_present=True) for number in range(3)]
    written = kernel.write([element(7, "full"), *again, element(8, "full"), element(1)], NOW)
    assert keys(written) == [*keys(again), element(1).key]
    assert writer.transactions == [3, 6, 4]
    assert kernel.take_full() == {"full"}
    assert kernel.take_full() == frozenset()


def test_many_elements_for_a_full_set_cost_one_refused_transaction(counters):
    writer = Writer(room={"full": 3})
    assert sets(writer, counters).restore([element(number, "full") for number in range(3 * CHUNK)], NOW) == []
    assert (writer.transactions, counters) == ([CHUNK], {"program-failed": 1})


def test_a_kernel_that_refuses_everything_costs_a_bounded_number_of_transactions(counters):
    writer = Writer(room={})
    assert sets(writer, counters).write([element(number) for number in range(500)], NOW) == []
    assert len(writer.transactions) == 1
    writer = Writer()
    writer.failing = [NftError(1, "write", "table t") for _ in range(1000)]
    assert sets(writer, counters).write([element(number) for number in range(500)], NOW) == []
    assert len(writer.transactions) == 1 + MAX_ATTEMPTS


def test_a_refusal_that_blames_nobody_is_tried_element_by_element(counters):
    writer = Writer()
    writer.failing = [NftError(12, "write", "table t")]
    written = sets(writer, counters).write([element(number) for number in range(5)], NOW)
    assert len(written) == 5
    assert writer.transactions == [5, 1, 1, 1, 1, 1]


def test_many_elements_go_in_transactions_that_answers_can_come_between(counters):
    writer = Writer()
    elements = [element(number) for number in range(CHUNK * 2 + 10)]
    for write in (sets(writer, counters).write, sets(writer, counters).restore):
        writer.transactions.clear()
        assert len(write(elements, NOW)) == len(elements)
        assert writer.transactions == [CHUNK, CHUNK, 10]


def test_deleting_what_is_there_is_one_transaction_a_set(counters):
    writer = Writer()
    elements = [element(1), element(2), element(3, "d6")]
    sets(writer, counters).write(elements, NOW)
    sets(writer, counters).delete(keys(elements))
    assert writer.elements == {}
    assert writer.transactions == [3, 2, 1]
    assert counters == Counter()


def test_an_element_that_has_just_expired_does_not_save_the_others(counters):
    writer = Writer()
    elements = [element(number) for number in range(50)]
    sets(writer, counters).write(elements[:20] + elements[21:], NOW)
    sets(writer, counters).delete(keys(elements))
    assert writer.elements == {}
    assert len(writer.transactions) == 3


def test_a_missing_set_does_not_save_the_elements_of_others(counters):
    writer = Writer(room={"d4": 100})
    sets(writer, counters).write([element(number) for number in range(20)], NOW)
    sets(writer, counters).delete([*keys(element(n, "gone") for n in range(300)), *keys(element(n) for n in range(20))])
    assert writer.elements == {}
    assert len(writer.transactions) < 15
