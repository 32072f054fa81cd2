"""Every field of every kind has a value that is accepted and one that is refused, with the path of the field."""

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest

from policy.errors import Faults
from policy.resources.decode import decode
from policy.resources.faults import model_in
from policy.resources.metadata import ObjectMeta
from policy.resources.model import Model
from policy.resources.partial import item_type
from policy.resources.policies import NetworkPolicy, PolicySpec
from policy.resources.registry import KINDS
from policy.resources.rule import EntityRule, Rule, ServiceAccountMatch, ServiceMatch
from policy.resources.sets import NetworkSet
from tests.policy.matrix import BASE, BESIDE, EXAMPLES, WHOLE_PARTS, Examples, With

Step = tuple[type[Model], str]
"""A model, and the field of it in which the next one stands."""
Route = tuple[tuple[str, str], tuple[Step, ...]]
"""A kind, and the way from its document to a part."""

NAMES = {"KubernetesBaselineAdminNetworkPolicy": "default"}
POLICY = ("projectcalico.org/v3", "NetworkPolicy")
DESTINATION: tuple[Step, ...] = ((NetworkPolicy, "spec"), (PolicySpec, "egress"), (Rule, "destination"))
CHOSEN: dict[type[Model], Route] = {
    ObjectMeta: (("projectcalico.org/v3", "NetworkSet"), ((NetworkSet, "metadata"),)),
    EntityRule: (POLICY, DESTINATION),
    ServiceMatch: (POLICY, (*DESTINATION, (EntityRule, "services"))),
    ServiceAccountMatch: (POLICY, (*DESTINATION, (EntityRule, "serviceAccounts"))),
}
"""Where everything can be said that these may say."""


def routes() -> dict[type[Model], Route]:
    """The shortest way to every model."""
    found: dict[type[Model], Route] = {}
    front: list[tuple[type[Model], Route]] = [(kind.model, (key, ())) for key, kind in KINDS.items()]
    while front:
        later = []
        for model, route in front:
            if model in found:
                continue
            found[model] = route
            kind, steps = route
            later += [(part, (kind, (*steps, (model, alias)))) for alias, part in parts(model)]
        front = later
    return found | CHOSEN


def parts(model):
    """Fields that hold models."""
    held = [(field.alias or name, model_in(field.annotation)) for name, field in model.model_fields.items()]
    return [(alias, part) for alias, part in held if part]


def declaring(model: type[Model], name: str) -> str:
    """The model that declares a field."""
    return next(base.__name__ for base in reversed(model.__mro__) if name in getattr(base, "model_fields", {}))


def examples(model: type[Model], name: str) -> Examples | None:
    field = model.model_fields[name]
    alias = field.alias or name
    if found := EXAMPLES.get(declaring(model, name), {}).get(alias):
        return found
    part = model_in(field.annotation)
    if part is ObjectMeta:
        return [{"name": NAMES.get(model.KIND, "x")}], ["x", [], 5, {}]
    if part is not None:
        whole: Any = WHOLE_PARTS.get((model.__name__, alias), BASE.get(part.__name__, {}))
        if part.__name__ == "Rule":
            return None
        return ([[whole]], ["x", {}, [5]]) if item_type(field.annotation) is not None else ([whole], ["x", [], 5])
    return PLAIN.get(plain_type(field.annotation, len(field.metadata)))


PLAIN: dict[object, Examples] = {
    str: (["", "any text"], [5, [], True]),
    bool: ([True, False], ["true", 1]),
}


def plain_type(annotation: object, checks: int = 0) -> object:
    """The type of a field that is checked for nothing else; None for others."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return plain_type(inner, checks + len(metadata))
    if get_origin(annotation) is UnionType or get_origin(annotation) is Union:
        return plain_type(get_args(annotation)[0], checks)
    return annotation if checks <= 1 else None


ROUTES = routes()
FIELDS = sorted(
    ((model, name) for model in ROUTES for name in model.model_fields), key=lambda pair: (pair[0].__name__, pair[1])
)


def document(model: type[Model], fields: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A document in which the part is good but for these fields, and the path of the part."""
    (version, kind), steps = ROUTES[model]
    content = {**BASE.get(model.__name__, {}), **fields}
    path = ""
    for parent, alias in reversed(steps):
        field = next(field for name, field in parent.model_fields.items() if (field.alias or name) == alias)
        is_list = item_type(field.annotation) is not None
        content = {
            **BASE.get(parent.__name__, {}),
            **BESIDE.get((parent.__name__, alias), {}),
            alias: [content] if is_list else content,
        }
        path = f"{alias}{'[0]' if is_list else ''}" + (f".{path}" if path else "")
    root = KINDS[version, kind].model
    metadata = {"name": NAMES.get(root.KIND, "x")}
    spec = dict(parts(root)).get("spec")
    rest = {"spec": BASE[spec.__name__]} if spec is not None and spec.__name__ in BASE else {}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest, **content}, path


def with_value(model: type[Model], name: str, example: Any) -> tuple[dict[str, Any], str]:
    alias = model.model_fields[name].alias or name
    value, beside = (example.value, example.beside) if isinstance(example, With) else (example, {})
    made, path = document(model, {**beside, alias: value})
    return made, f"{path}.{alias}" if path else alias


@pytest.mark.parametrize(("model", "name"), FIELDS, ids=lambda item: getattr(item, "__name__", item))
def test_a_field_is_accepted_and_refused(model, name):
    found = examples(model, name)
    assert found is not None, f"write examples for {declaring(model, name)}.{model.model_fields[name].alias}"
    good, bad = found
    assert good
    assert bad
    for example in good:
        made, _ = with_value(model, name, example)
        decoded = decode(made)
        assert not isinstance(decoded, Faults), f"{made}: {decoded}"
    for example in bad:
        made, path = with_value(model, name, example)
        decoded = decode(made)
        assert isinstance(decoded, Faults), made
        assert all(fault.message for fault in decoded.faults)
        assert any(is_about(fault.path, path) for fault in decoded.faults), f"{path}: {decoded}"


def is_about(found: str, path: str) -> bool:
    """A fault of the field, of something in it, or of the part that it stands in."""
    part = path.rpartition(".")[0]
    return found.startswith(path) or found == part or (found.rpartition(".")[0] == part and found != path)


def test_the_table_has_no_examples_of_what_is_not_there():
    declared = {(declaring(model, name), model.model_fields[name].alias or name) for model, name in FIELDS}
    written = {(model, alias) for model, fields in EXAMPLES.items() for alias in fields}
    assert written <= declared, written - declared


def test_every_model_is_reached():
    assert len(ROUTES) > 90
    assert len(FIELDS) > 290
