"""From a resource's model to the structural schema that an API server keeps it by (apiextensions.k8s.io/v1).

    class -> properties: type, bounds and choices of each field, from what reads it; descriptions from the docstrings
          -> what must be there, what has a default
          -> rules of several fields together (`structure_rules`)

A schema says less than `decode`: a selector that cannot be parsed is text to the API server. So everything is decoded
again where it is enforced, and what the schema refuses `decode` refuses too, never the other way round.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, PlainValidator
from pydantic.fields import FieldInfo

from policy.resources import addresses, capture, fields, names, transport
from policy.resources.metadata import ObjectMeta
from policy.resources.model import Model
from policy.resources.structure_rules import ANYWHERE, Place, rules_for
from policy.resources.structure_texts import TEXTS

Schema = dict[str, Any]

_INT_OR_STRING: Schema = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
_KEEP = "x-kubernetes-preserve-unknown-fields"
_SERVER_DEFAULTS = frozenset(("tier", "stagedAction"))
"""Fields whose default the API server writes down: tools that select policies by tier must find it. Other defaults stay
unwritten, and are the same wherever a document is read."""


def _mark(alias: Any) -> object:  # noqa: ANN401 - a form of type
    """What reads values of this type: fields keep it when they lose the name of the type."""
    return get_args(alias)[-1]


_ADDRESS: Schema = {"type": "string", "maxLength": 64}
_BY_MARK: Mapping[object, Schema] = {
    _mark(fields.Number): {"type": "number"},
    _mark(fields.SelectorText): {"type": "string", "maxLength": fields.MAX_SELECTOR_CHARACTERS},
    _mark(fields.NamespaceSelectorText): {"type": "string", "maxLength": fields.MAX_SELECTOR_CHARACTERS},
    _mark(fields.ObjectName): {"type": "string", "maxLength": names.MAX_SUBDOMAIN},
    _mark(fields.LabelName): {"type": "string", "maxLength": names.MAX_LABEL},
    _mark(transport.Port): {**_INT_OR_STRING},
    _mark(transport.Protocol): {**_INT_OR_STRING},
    _mark(transport.TransportProtocol): {**_INT_OR_STRING},
    _mark(transport.KubernetesPort): {**_INT_OR_STRING},
    _mark(addresses.RuleNetwork): _ADDRESS,
    _mark(addresses.Network): _ADDRESS,
    _mark(addresses.Prefix): _ADDRESS,
    _mark(addresses.HostNetwork): _ADDRESS,
    _mark(addresses.Address): _ADDRESS,
    _mark(addresses.Domain): {"type": "string", "maxLength": 255},
    _mark(capture.Time): {"type": "string", "format": "date-time"},
}
_BY_TYPE: Mapping[object, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
}
_SET = get_args(fields.Distinct[str])[-1]


def schema_of(model: type[Model], place: Place = ANYWHERE) -> Schema:
    """The schema of a part of a resource, at a place in it."""
    properties: Schema = {}
    required = []
    for name, field in model.model_fields.items():
        alias = field.alias or name
        if field.annotation is ObjectMeta:
            continue
        properties[alias] = _field(model, name, field, place.within(alias))
        if field.is_required():
            required.append(alias)
    made: Schema = {"type": "object", "description": _sentence(model), "properties": properties}
    if required:
        made["required"] = required
    if model.model_config.get("extra") != "forbid":
        made[_KEEP] = True
    if rules := rules_for(model, place):
        made["x-kubernetes-validations"] = [rule.written for rule in rules]
    return made


def _field(model: type[Model], name: str, field: FieldInfo, place: Place) -> Schema:
    alias = field.alias or name
    made = _of(Annotated[field.annotation, "", *field.metadata], place)
    text = TEXTS.get((model.__name__, alias)) or TEXTS.get(("", alias)) or documented(model).get(name)
    if text:
        made = {"description": text, **{key: value for key, value in made.items() if key != "description"}}
    if alias in _SERVER_DEFAULTS:
        made["default"] = str(field.default)
    return made


def _of(annotation: Any, place: Place) -> Schema:  # noqa: ANN401 - any form of type that a field may have
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _marked(_of(args[0], place), args[1:])
    if origin in (UnionType, Union):
        found = [each for each in args if each is not NoneType]
        return _of(found[0], place) if len(found) == 1 else {**_union(found)}
    if origin is tuple:
        return {"type": "array", "items": _of(args[0], place)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(args[1], place)}
    return _choice(args) if origin is Literal else _plain(annotation, place)


def _plain(annotation: Any, place: Place) -> Schema:  # noqa: ANN401 - as above
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return schema_of(annotation, place)
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return _choice(tuple(annotation))
    return {**_BY_TYPE.get(annotation, {"type": "string"})}


def _union(found: list[Any]) -> Schema:
    """Numbers and text together; anything else that is one of several is read by a validator with a mark."""
    kinds = {get_args(each)[0] if get_origin(each) is Annotated else each for each in found}
    return _INT_OR_STRING if kinds == {int, str} else {"type": "string"}


def _choice(members: tuple[object, ...]) -> Schema:
    if all(isinstance(member, int) for member in members):
        return {"type": "integer", "enum": list(members)}
    return {"type": "string", "enum": [str(member) for member in members]}


def _marked(made: Schema, marks: tuple[object, ...]) -> Schema:
    """With what the validators of a field say."""
    for mark in marks:
        if isinstance(mark, PlainValidator | AfterValidator | BeforeValidator) and mark in _BY_MARK:
            made = {**_BY_MARK[mark]}
        if mark == _SET:
            made["x-kubernetes-list-type"] = "set"
        made |= _checked(getattr(mark, "func", None), made)
    return made


def _checked(check: object, made: Schema) -> Schema:
    match check:
        case fields.MaxLength(limit):
            return {"maxItems" if made.get("type") == "array" else "maxLength": limit}
        case fields.Between(low, high):
            return {"minimum": low, "maximum": high, **({"format": "int64"} if high > 2**31 - 1 else {})}
        case fields.Choice(members, is_folded=True):
            del made["enum"]
            return {"pattern": f"^(?i)({'|'.join(member.value for member in members)})$"}
        case fields.Choice(members):
            return {"type": "string", "enum": [member.value for member in members]}
        case _:
            return {}


# --- Descriptions ---


def _sentence(model: type[Model]) -> str:
    return inspect.cleandoc(model.__doc__ or "").replace("\n", " ")


@cache
def documented(model: type[Model]) -> Mapping[str, str]:
    """What stands in the source under the fields of a class and of those before it; by attribute."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, Model) and each is not Model:
            found |= dict(_documented(each))
    return found


def _documented(model: type[Model]) -> Iterator[tuple[str, str]]:
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for before, after in pairwise(statements):
        match before, after:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text).replace("\n", " ")
