"""Asking the conditions between fields, all over a resource.

A condition is a function from a model to what is wrong with it, if anything. It reads the fields it is about and no
others: where one of these is itself faulty, the condition has no answer and stays silent (see `partial`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from policy.resources.faults import Location, model_in
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


@dataclass(frozen=True, slots=True)
class _Questions:
    """What to ask of a type of model in one place."""

    conditions: tuple[Condition, ...]
    parts: tuple[tuple[str, str], ...]
    """Attribute and alias of the fields under which there is anything to ask."""


class Checklist:
    """The conditions of one kind, looked up once for each type of model; parts with no condition are never visited."""

    def __init__(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self._questions: dict[tuple[type[Model], str], _Questions] = {}

    def complaints(self, model: Model, location: Location = (), field: str = "") -> Iterator[tuple[Location, str]]:
        """Everything the conditions find in a model and in its parts, with whole paths."""
        questions = self._of(type(model), field)
        for condition in questions.conditions:
            for complaint in _answers(condition, model):
                yield location + complaint.location, complaint.message
        for name, alias in questions.parts:
            value = model.__dict__.get(name)
            if isinstance(value, Model):
                yield from self.complaints(value, (*location, alias), alias)
            elif isinstance(value, tuple):
                for index, item in enumerate(value):
                    if isinstance(item, Model):
                        yield from self.complaints(item, (*location, alias, index), alias)

    def _of(self, kind: type[Model], field: str) -> _Questions:
        found = self._questions.get((kind, field))
        if found is None:
            keys = [key for each in kind.__mro__ for key in (each, (each, field))]
            conditions = tuple(condition for key in keys for condition in self._conditions.get(key, ()))
            found = self._questions[kind, field] = _Questions(conditions, tuple(self._parts(kind)))
        return found

    def _parts(self, kind: type[Model]) -> Iterator[tuple[str, str]]:
        for name, field in kind.model_fields.items():
            part, alias = model_in(field.annotation), field.alias or name
            if part is not None:
                questions = self._of(part, alias)
                if questions.conditions or questions.parts:
                    yield name, alias


def _answers(condition: Condition, model: Model) -> Iterator[Complaint]:
    try:
        yield from condition(model)
    except AttributeError as error:
        if not (isinstance(error.obj, Model) and error.name in type(error.obj).model_fields):
            raise
