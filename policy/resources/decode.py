"""From a document to a resource, or to everything that is wrong with it.

    document --> registry --> pydantic: each field --> conditions: fields together --> Resource
                                   |                        ^
                                   +-- faulty --> partial --+--> Faults

Nothing here raises on any document, whatever it holds: a fault is a value. The order of the faults is that of the
model's fields, conditions last.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from policy.errors import Fault, Faults
from policy.resources import cluster_fallback, faults, names
from policy.resources.cluster_fallback import Written
from policy.resources.fields import shown
from policy.resources.metadata import DEFAULT_NAMESPACE, Resource, ResourceKey
from policy.resources.partial import partial
from policy.resources.registry import KINDS, Kind
from policy.resources.stored import METADATA, StoredMetadataError, as_written


@dataclass(frozen=True, slots=True)
class Identity:
    """What a document calls itself, right or wrong; "" for what it does not say."""

    api_version: str
    kind: str
    namespace: str
    name: str


def identify(document: object) -> Identity:
    """What a document calls itself, for messages about it."""
    metadata = _get(document, "metadata")
    return Identity(
        _text(document, "apiVersion"), _text(document, "kind"), _text(metadata, "namespace"), _text(metadata, "name")
    )


def key_of(document: object) -> ResourceKey | None:
    """Which resource a document is about, right or wrong; None if it does not say so in a way that could be right."""
    try:
        identity = identify(as_written(document) if isinstance(document, Mapping) else document)
    except StoredMetadataError:
        return None
    kind = KINDS.get((identity.api_version, identity.kind))
    if kind is None or not identity.name or names.wrong_name(kind.model.KIND, identity.name):
        return None
    namespace = (identity.namespace or DEFAULT_NAMESPACE) if kind.model.IS_NAMESPACED else ""
    return ResourceKey(kind.model.KIND, namespace, identity.name)


def decode(document: object) -> Resource | Faults:
    """The resource that a document describes, defaults filled in; or all its faults.

    Time is linear in the document; a document with faults is read twice.
    """
    if not isinstance(document, Mapping):
        return Faults((Fault("", f"must be a mapping with apiVersion, kind and metadata, not {shown(document)}"),))
    kind = _kind(document)
    return _read(kind, document) if isinstance(kind, Kind) else kind


def _kind(document: Mapping[object, object]) -> Kind | Faults:
    missing = [Fault(field, "cannot be left out") for field in ("apiVersion", "kind") if not document.get(field)]
    if missing:
        return Faults(tuple(missing))
    version, name = document["apiVersion"], document["kind"]
    known = KINDS.get((version, name)) if isinstance(version, str) and isinstance(name, str) else None
    return known or Faults((_unknown(version, name),))


def _unknown(version: object, name: object) -> Fault:
    names = {name for _, name in KINDS}
    if isinstance(name, str) and name in names:
        right = " or ".join(version for version, known in KINDS if known == name)
        return Fault("apiVersion", f"cannot be {shown(version)} for a {name}: write {right}")
    meant = faults.suggestion(name, names) if isinstance(name, str) else None
    advice = f'did you mean "{meant}"?' if meant else f"known kinds are {', '.join(sorted(names))}"
    return Fault("kind", f"cannot be {shown(name)}: {advice}")


def fallback(document: object) -> Resource | None:
    """What is in force of a faulty document that never was valid; None, as for most kinds, if nothing is."""
    kind = _kind(document) if isinstance(document, Mapping) else None
    if not isinstance(kind, Kind) or not isinstance(document, Mapping) or not kind.fails_closed:
        return None
    found = _written(kind, document)
    places = None if isinstance(found, Resource) else cluster_fallback.faulty_rules(location for location, _ in found)
    if not places:
        return None
    rest = _written(kind, cluster_fallback.readable(document, places))
    return _meaning(kind, cluster_fallback.closed(rest, places)) if isinstance(rest, Written) else None


def _read(kind: Kind, document: Mapping[object, object]) -> Resource | Faults:
    found = _written(kind, document)
    return _meaning(kind, found) if isinstance(found, Resource) else _told(found)


def _meaning(kind: Kind, resource: Resource) -> Resource:
    return kind.convert(resource) if kind.convert else resource


def _written(kind: Kind, document: Mapping[object, object]) -> Resource | list[tuple[faults.Location, str]]:
    """The resource as its model has it, or everything that is wrong."""
    try:
        document = as_written(document)
    except StoredMetadataError as error:
        return [(("metadata", "annotations", METADATA), str(error))]
    try:
        resource = kind.model.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        return [*faults.faults_of(error, kind.model), *_further(kind, document)]
    return list(kind.checklist.complaints(resource)) or resource


def _further(kind: Kind, document: Mapping[object, object]) -> Iterator[tuple[faults.Location, str]]:
    """What the conditions say about the good part of a faulty document."""
    try:
        readable = partial(kind.model, document)
    except ValueError:  # not even the outermost fields can be told apart
        return
    yield from kind.checklist.complaints(readable)


def _told(found: list[tuple[faults.Location, str]]) -> Faults:
    return Faults(faults.limited(Fault(faults.path_text(location), message) for location, message in found))


def _get(document: object, field: str) -> object:
    return document.get(field) if isinstance(document, Mapping) else None


def _text(document: object, field: str) -> str:
    value = _get(document, field)
    return value if isinstance(value, str) else ""
