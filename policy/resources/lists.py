"""Lists of resources: `kubectl get -o yaml` gives one document of kind List."""

from collections.abc import Mapping, Sequence

from policy.resources.registry import KINDS

_SUFFIX = "List"


def unroll(document: object) -> Sequence[object]:
    """The documents in a list; a document that is no list is the only one in its own.

    The items of a typed list (`NetworkPolicyList`) may leave out what they are: the API server's own answers do.
    """
    if not isinstance(document, Mapping) or not _is_list(document):
        return (document,)
    items = document.get("items")
    if items is None:
        return ()
    return [_typed(item, document) for item in items] if isinstance(items, list) else (document,)


def _is_list(document: Mapping[object, object]) -> bool:
    version, kind = document.get("apiVersion"), document.get("kind")
    if not isinstance(version, str) or not isinstance(kind, str):
        return False
    if (version, kind) == ("v1", _SUFFIX):
        return True
    return kind.endswith(_SUFFIX) and (version, kind.removesuffix(_SUFFIX)) in KINDS


def _typed(item: object, document: Mapping[object, object]) -> object:
    kind = document["kind"]
    if isinstance(item, dict) and "kind" not in item and isinstance(kind, str) and kind != _SUFFIX:
        return {"apiVersion": document["apiVersion"], "kind": kind.removesuffix(_SUFFIX), **item}
    return item
