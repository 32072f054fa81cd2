"""From what pydantic says is wrong to what we tell the author of a document."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import ValidationError

from policy.errors import Fault
from policy.resources.fields import shown
from policy.resources.model import Model

Location = tuple[int | str, ...]

MAX_FAULTS = 100
"""A document of a million wrong items is told of a hundred: nobody mends more before the next look."""

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping of fields",
}


def path_text(location: Iterable[int | str]) -> str:
    """As `spec.egress[0].destination.ports[1]`; keys that are no words stand in brackets and quotes."""
    text = ""
    for step in location:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{step[:80]!r}]"
    return text


def faults_of(error: ValidationError, root: type[Model]) -> Sequence[tuple[Location, str]]:
    """Where and what, in the order of the model's fields."""
    found = []
    for entry in error.errors(include_url=False, include_context=True):
        # A bad key of a map is reported below the key itself, at "[key]".
        location = tuple(step for step in entry["loc"] if step != "[key]")
        found.append((location, _message(entry["type"], entry, location, root)))
    return found


def limited(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Each fault once, and not more of them than anyone reads."""
    distinct = tuple(dict.fromkeys(faults))
    if len(distinct) <= MAX_FAULTS:
        return distinct
    return (
        *distinct[:MAX_FAULTS],
        Fault("", f"cannot list {len(distinct) - MAX_FAULTS} more faults: mend these first"),
    )


def suggestion(word: str, choices: Iterable[str]) -> str | None:
    """The choice that was probably meant."""
    folded = {choice.lower(): choice for choice in choices}
    close = get_close_matches(word.lower()[:80], folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def _message(kind: str, entry: Mapping[str, Any], location: Location, root: type[Model]) -> str:
    if kind == "value_error":
        return str(entry["ctx"]["error"])
    if kind == "missing":
        return "cannot be left out"
    if kind == "extra_forbidden":
        return _unknown_field(str(location[-1]), _model_at(root, location[:-1]))
    if kind in _EXPECTED:
        return f"must be {_EXPECTED[kind]}, not {shown(entry['input'])}"
    return f"cannot be {shown(entry['input'])}: {entry['msg']}"


def _unknown_field(name: str, model: type[Model] | None) -> str:
    fields = [field.alias or attribute for attribute, field in model.model_fields.items()] if model else []
    meant = suggestion(name, fields)
    advice = f'did you mean "{meant}"?' if meant else f"there are {', '.join(sorted(fields))}"
    return f"cannot be a field here: {advice}"


def _model_at(root: type[Model], location: Location) -> type[Model] | None:
    """The model that decodes this part of the document."""
    model: type[Model] | None = root
    for step in location:
        if isinstance(step, str) and model:
            field = next((field for field in model.model_fields.values() if field.alias == step), None)
            model = model_in(field.annotation) if field else None
    return model


def model_in(annotation: object) -> type[Model] | None:
    """The model that a field holds, be it optional or in a list; None for fields of other types."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next(filter(None, map(model_in, get_args(annotation))), None)
