"""Asking the conditions between fields, all over a resource.

A condition is a function from a model to what is wrong with it, if anything. It reads the fields it is about and no
others: where one of these is itself faulty, the condition has no answer and stays silent (see `partial`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from policy.resources.faults import Location
from policy.resources.model import Model


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a condition found. The path begins at the model it was asked of, in the document's spelling."""

    message: str
    location: Location = ()


T = TypeVar("T")

Condition = Callable[[Any], Iterator[Complaint]]
"""Takes a model of the type it is listed for."""

Conditions = Mapping[type[Model] | tuple[type[Model], str], tuple[Condition, ...]]
"""By the type of model, or by type and the field it stands in: `(Rule, "egress")`."""


def present(items: Iterable[T]) -> Iterator[tuple[int, T]]:
    """The items with their places, without those that are wrong: they stand as None in what `partial` reads."""
    return ((index, item) for index, item in enumerate(items) if item is not None)


def merged(*tables: Conditions) -> Conditions:
    """All conditions of the tables together."""
    return {
        key: tuple(condition for table in tables for condition in table.get(key, ()))
        for table in tables
        for key in table
    }


def complaints(
    model: Model, conditions: Conditions, location: Location = (), field: str = ""
) -> Iterator[tuple[Location, str]]:
    """Everything the conditions find in a model and in its parts, with whole paths."""
    for kind in type(model).__mro__:
        for key in (kind, (kind, field)):
            for condition in conditions.get(key, ()):
                for complaint in _answers(condition, model):
                    yield location + complaint.location, complaint.message
    for alias, at, part in _parts(model):
        yield from complaints(part, conditions, location + at, alias)


def _parts(model: Model) -> Iterator[tuple[str, Location, Model]]:
    for name, field in type(model).model_fields.items():
        value = model.__dict__.get(name)
        alias = field.alias or name
        if isinstance(value, Model):
            yield alias, (alias,), value
        elif isinstance(value, tuple):
            for index, item in enumerate(value):
                if isinstance(item, Model):
                    yield alias, (alias, index), item


def _answers(condition: Condition, model: Model) -> Iterator[Complaint]:
    try:
        yield from condition(model)
    except AttributeError as error:
        if not (isinstance(error.obj, Model) and error.name in type(error.obj).model_fields):
            raise
