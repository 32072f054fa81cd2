"""Definitions of Calico's kinds for an API server that has none, made from the models that read them.

python -m tidegate.store.kube.crds deploy/kubernetes/crds     writes a file for each kind
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policy.resources.registry import CALICO, KINDS
from policy.resources.structure import schema_of
from policy.resources.structure_rules import Place
from tidegate.store.kube.kinds import collections, plural
from tidegate.store.yaml_writer import write_yaml

_HEAD = "# Made by `python -m tidegate.store.kube.crds deploy/kubernetes/crds`; do not edit.\n"
_GROUP, _, _VERSION = CALICO.partition("/")


@dataclass(frozen=True, slots=True)
class Shown:
    """How kubectl shows a kind."""

    short_names: tuple[str, ...] = ()
    columns: tuple[tuple[str, str, str], ...] = ()
    """Title, type, path."""


_POLICY = (
    ("Tier", "string", ".spec.tier"),
    ("Order", "number", ".spec.order"),
    ("Selector", "string", ".spec.selector"),
    ("Age", "date", ".metadata.creationTimestamp"),
)
_STAGED = (("Action", "string", ".spec.stagedAction"), *_POLICY)
_AGE = (("Age", "date", ".metadata.creationTimestamp"),)
_SHOWN: Mapping[str, Shown] = {
    "Tier": Shown(
        (), (("Order", "number", ".spec.order"), ("Default", "string", ".spec.defaultAction"), *_AGE)
    ),
    "NetworkPolicy": Shown(("cnetpol",), _POLICY),
    "GlobalNetworkPolicy": Shown(("gnp",), _POLICY),
    "StagedNetworkPolicy": Shown(("snp",), _STAGED),
    "StagedGlobalNetworkPolicy": Shown(("sgnp",), _STAGED),
    "StagedKubernetesNetworkPolicy": Shown(("sknp",), (("Action", "string", ".spec.stagedAction"), *_AGE)),
    "NetworkSet": Shown(("netset",), _AGE),
    "GlobalNetworkSet": Shown(("gns",), _AGE),
    "HostEndpoint": Shown(
        ("hep",), (("Node", "string", ".spec.node"), ("Interface", "string", ".spec.interfaceName"), *_AGE)
    ),
    "IPPool": Shown((), (("CIDR", "string", ".spec.cidr"), ("Selector", "string", ".spec.nodeSelector"), *_AGE)),
    "PacketCapture": Shown(("pcap",), (("Selector", "string", ".spec.selector"), *_AGE)),
}  # fmt: skip


def definitions() -> dict[str, dict[str, Any]]:
    """Every definition by its name, `<plural>.projectcalico.org`."""
    found = [_definition(each.kind) for each in collections(CALICO) if each.api_version == CALICO]
    return {each["metadata"]["name"]: each for each in found}


def files() -> Iterator[tuple[str, str]]:
    """Name and content of each file."""
    for name, definition in definitions().items():
        yield f"{name}.yaml", _HEAD + write_yaml([definition])


def _definition(kind: str) -> dict[str, Any]:
    model, shown = KINDS[CALICO, kind].model, _SHOWN.get(kind, Shown((), _AGE))
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural(kind), "singular": kind.lower()}
    lists = {"shortNames": list(shown.short_names)} if shown.short_names else {}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural(kind)}.{_GROUP}"},
        "spec": {
            "group": _GROUP,
            "names": {**names, **lists, "categories": ["tidegate"]},
            "scope": "Namespaced" if model.IS_NAMESPACED else "Cluster",
            "versions": [_version(kind, shown)],
        },
    }


def _version(kind: str, shown: Shown) -> dict[str, Any]:
    model = KINDS[CALICO, kind].model
    schema = schema_of(model, Place(is_cluster=not model.IS_NAMESPACED))
    schema["properties"] |= {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "status": _STATUS,
    }
    has_tier = "tier" in schema["properties"].get("spec", {}).get("properties", {})
    return {
        "name": _VERSION,
        "served": True,
        "storage": True,
        **({"selectableFields": [{"jsonPath": ".spec.tier"}]} if has_tier else {}),
        "additionalPrinterColumns": [
            {"name": title, "type": of_type, "jsonPath": path} for title, of_type, path in shown.columns
        ],
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }


_TEXT = {"type": "string"}
_STATUS = {
    "type": "object",
    "description": "What is known about it; written by programs.",
    "x-kubernetes-preserve-unknown-fields": True,
    "properties": {
        "conditions": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
            "items": {
                "type": "object",
                "required": ["type", "status"],
                "properties": {
                    "type": _TEXT,
                    "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                    "reason": _TEXT,
                    "message": _TEXT,
                    "observedGeneration": {"type": "integer", "format": "int64"},
                    "lastTransitionTime": {"type": "string", "format": "date-time"},
                },
            },
        }
    },
}


def main(directory: Path) -> None:
    """Writes all files anew."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files():
        (directory / name).write_text(content)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
