"""Makes a failing world small: takes away documents, rules and fields as long as the oracles still disagree."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace

from tests.oracles.cases import Case
from tests.oracles.documents import Document
from tests.oracles.worlds import Probe, World


def disagree(world: World) -> bool:
    """Whether the oracles differ about a probe of the world."""
    case = Case(world)
    simulation = case.simulation()
    return any(not simulation.judge(packet).agrees(case.evaluated(packet)) for _, packet in case.packets)


def shrunk(world: World, probe: Probe, fails: Callable[[World], bool] = disagree) -> World:
    """A smallest world, in the sense that nothing more can be left out alone, that still fails for this probe."""
    world = replace(world, probes=(probe,))
    while (smaller := next((each for each in _smaller(world) if _still(each, fails)), None)) is not None:
        world = smaller
    return world


def _still(world: World, fails: Callable[[World], bool]) -> bool:
    """Worlds that are not valid any more do not count."""
    try:
        return fails(world)
    except (AssertionError, KeyError):
        return False


def _smaller(world: World) -> Iterator[World]:
    for index in range(len(world.documents)):
        yield replace(world, documents=world.documents[:index] + world.documents[index + 1 :])
    for index in range(len(world.names)):
        yield replace(world, names=world.names[:index] + world.names[index + 1 :])
    for index, document in enumerate(world.documents):
        for smaller in _without_one_thing(document):
            yield replace(world, documents=(*world.documents[:index], smaller, *world.documents[index + 1 :]))


def _without_one_thing(document: Document) -> Iterator[Document]:
    """The document without one entry of its labels or somewhere in its spec."""
    places = [("metadata", "labels"), ("spec",)]
    for place in places:
        for path in _paths(_at(document, place)):
            made = deepcopy(document)
            *above, last = path
            del _at(made, (*place, *above))[last]
            yield made


def _paths(value: object) -> Iterator[tuple[str | int, ...]]:
    """Every entry of nested mappings and lists, outer ones first."""
    items: list = list(value.items()) if isinstance(value, dict) else []
    if isinstance(value, list):
        items = list(enumerate(value))
    for key, inner in items:
        yield (key,)
        yield from ((key, *rest) for rest in _paths(inner))


def _at(value: object, path: tuple) -> object:
    for key in path:
        value = value.get(key, {}) if isinstance(value, dict) else value[key]
    return value
