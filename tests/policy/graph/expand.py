"""One written sequence of states becomes many: Felix's five expansions and four ways to flush, and deletions.

A sequence is a list of states; going from one to the next changes the keys in which they differ.
"""

from collections.abc import Iterator
from itertools import permutations

from policy.resources.metadata import ResourceKey
from tests.policy.graph.checks import CheckedGraph, State

Step = list[tuple[ResourceKey, object]]
"""Changes that belong together; None is a deletion."""


def steps(states: list[State]) -> list[Step]:
    """The changes from nothing to the first state, to the second, and so on."""
    before: State = {}
    made = []
    for state in states:
        gone = [(key, None) for key in before if key not in state]
        changed = [(key, resource) for key, resource in state.items() if before.get(key) != resource]
        made.append(gone + changed)
        before = state
    return made


def expansions(states: list[State]) -> Iterator[tuple[str, list[Step]]]:
    yield "as written", steps(states)
    yield "keys reversed", [step[::-1] for step in steps(states)]
    yield "states reversed", steps(states[::-1])
    yield "empties between", steps([state for each in states for state in (each, {})])
    for number, state in enumerate(states):
        yield f"state {number} alone", steps([state, {}])
    yield "squashed", [[change for step in steps(states) for change in step]]


def flushes_after_each_key(graph: CheckedGraph, sequence: list[Step]) -> None:
    for step in sequence:
        for key, resource in step:
            graph.update(key, resource)
            graph.flush()


def flushes_after_duplicates(graph: CheckedGraph, sequence: list[Step]) -> None:
    for step in sequence:
        for key, resource in step:
            graph.update(key, resource)
            graph.update(key, resource)
            graph.flush()


def flushes_after_each_state(graph: CheckedGraph, sequence: list[Step]) -> None:
    for step in sequence:
        for key, resource in step:
            graph.update(key, resource)
        graph.flush()


def flushes_at_the_end(graph: CheckedGraph, sequence: list[Step]) -> None:
    for step in sequence:
        for key, resource in step:
            graph.update(key, resource)
    graph.flush()


FLUSHES = [flushes_after_each_key, flushes_after_duplicates, flushes_after_each_state, flushes_at_the_end]


def deletions(state: State) -> Iterator[list[ResourceKey]]:
    """Orders in which a state can be taken apart: each key first, each pair first, all orders of small states."""
    keys = list(state)
    if len(keys) <= 4:
        yield from map(list, permutations(keys))
        return
    for pair in permutations(keys, 2):
        yield [*pair, *(key for key in keys if key not in pair)]
