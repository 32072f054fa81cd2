"""What can be read of a document in which something is wrong.

Fields that are wrong are missing: reading one raises AttributeError. So the conditions between fields can be asked of
a faulty document too, and whoever mends it hears of everything at once, and of nothing that only follows from a fault
already told.
"""

from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from policy.resources.faults import model_in
from policy.resources.model import Model, fields_of


def partial(model: type[Model], document: object) -> Model:
    """The model with every field that is good, and every part in which some fields are.

    Raises:
        ValueError: The document is no mapping: there is nothing in it to read.
    """
    document_fields = model.prepared(fields_of(document))
    aliases = {name: field.alias or name for name, field in model.model_fields.items()}
    given = {name for name, alias in aliases.items() if alias in document_fields}
    made = model.model_construct(given)
    for name in model.model_fields:
        if name in given:
            made.__dict__.pop(name, None)
            _read(made, model, name, document_fields[aliases[name]])
    return made


def _read(made: Model, model: type[Model], name: str, value: object) -> None:
    annotation = model.model_fields[name].annotation
    try:
        made.__dict__[name] = _validated(_field_adapter(model, name), value)
    except ValidationError:
        if (listed := item_type(annotation)) is not None:
            # A wrong item stands as None, so that the others keep their index; a list that is none is missing.
            if isinstance(value, list):
                made.__dict__[name] = tuple(_item(listed, item) for item in value)
        elif (part := model_in(annotation)) is not None:
            _read_part(made, name, part, value)


def item_type(annotation: Any) -> Any:  # noqa: ANN401 - any form of type that a field may have
    """What the items of a list are, be the list optional or checked; None for what is no list."""
    if get_origin(annotation) is tuple:
        return get_args(annotation)[0]
    if get_origin(annotation) is Annotated:
        return item_type(get_args(annotation)[0])
    if get_origin(annotation) is UnionType or get_origin(annotation) is Union:
        return next(filter(None, map(item_type, get_args(annotation))), None)
    return None


def _read_part(made: Model, name: str, part: type[Model], value: object) -> None:
    if isinstance(value, Mapping):
        try:
            made.__dict__[name] = partial(part, value)
        except ValueError:
            return


def _item(annotation: Any, value: object) -> object:  # noqa: ANN401 - any form of type that a list may hold
    part = model_in(annotation)
    try:
        return partial(part, value) if part else _validated(_adapter(annotation), value)
    except ValueError:  # pydantic's ValidationError is one
        return None


def _validated(adapter: TypeAdapter[Any], value: object) -> object:
    return adapter.validate_python(value, by_alias=True, by_name=False)


@cache
def _field_adapter(model: type[Model], name: str) -> TypeAdapter[Any]:
    field = model.model_fields[name]
    # The name means nothing there: Annotated wants at least one thing beside the type.
    return TypeAdapter(cast(Any, Annotated[field.annotation, name, *field.metadata]))


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:  # noqa: ANN401 - as above
    return TypeAdapter(annotation)
