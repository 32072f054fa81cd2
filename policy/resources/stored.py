"""How Calico's kinds stand in a cluster's storage (crd.projectcalico.org/v1), read as projectcalico.org/v3.

Two things differ. The v3 metadata is kept in an annotation, because labels and annotations of v3 need not be possible
in storage; where the annotation is, it is what counts. And a policy of the default tier may be stored under another
name than its own, `default.<name>`, which older versions did: the name in the annotation is the policy's (Calico: the
policy name migrator renames them in the end). A stored name without the annotation is the policy's name, prefix and
all.
"""

import json
from collections.abc import Mapping

STORED = "crd.projectcalico.org/v1"
METADATA = "projectcalico.org/metadata"
"""The annotation with the v3 metadata, as JSON."""


class StoredMetadataError(ValueError):
    """The annotation cannot be read."""


def as_written(document: Mapping[object, object]) -> Mapping[object, object]:
    """The document with the metadata that its author gave it; one that is not from storage is its own.

    Raises:
        StoredMetadataError: the annotation holds no metadata.
    """
    metadata = document.get("metadata")
    if document.get("apiVersion") != STORED or not isinstance(metadata, Mapping):
        return document
    annotations = metadata.get("annotations")
    text = annotations.get(METADATA) if isinstance(annotations, Mapping) else None
    if text is None:
        return document
    own = _read(text)
    written = {**metadata, "labels": own.get("labels"), "annotations": own.get("annotations")}
    if own.get("name"):
        written["name"] = own["name"]
    return {**document, "metadata": written}


def _read(text: object) -> Mapping[str, object]:
    try:
        own = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        own = None
    if not isinstance(own, dict):
        raise StoredMetadataError("cannot be read: must be the JSON of the metadata, as Calico stores it")
    return own
