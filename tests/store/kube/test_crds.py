"""The definitions in deploy/ are what the models say, and they refuse nothing that `decode` takes."""

from pathlib import Path

import pytest

from policy.resources.registry import CALICO, KINDS
from policy.resources.structure import schema_of
from tidegate.store.kube import crds
from tidegate.store.kube.kinds import collections

DIRECTORY = Path(__file__).parents[3] / "deploy" / "kubernetes" / "crds"
DEFINITIONS = crds.definitions()


def schema(name):
    return DEFINITIONS[f"{name}.projectcalico.org"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def parts(value):
    """A schema and everything in it."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from parts(each)
    elif isinstance(value, list):
        for each in value:
            yield from parts(each)


def test_the_files_are_what_the_models_say():
    assert {path.name: path.read_text() for path in DIRECTORY.iterdir()} == dict(crds.files()), (
        "write them anew: python -m tidegate.store.kube.crds deploy/kubernetes/crds"
    )


def test_every_followed_kind_of_the_group_is_defined():
    assert {each.name for each in collections(CALICO) if each.api_version == CALICO} == DEFINITIONS.keys()


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_every_field_of_a_definition_has_a_type_and_every_object_a_text(name):
    found = DEFINITIONS[name]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for part in parts(found["properties"].get("spec", {})):
        for field in (part.get("properties") or {}).values() if part.get("type") == "object" else ():
            assert "type" in field or "x-kubernetes-int-or-string" in field, field


def test_bounds_choices_and_sets_come_from_what_reads_the_fields():
    spec = schema("globalnetworkpolicies")["properties"]["spec"]["properties"]
    rule = spec["egress"]["items"]["properties"]
    assert spec["egress"]["maxItems"] == 1024
    assert spec["types"]["items"]["enum"] == ["Ingress", "Egress"]
    assert spec["types"]["x-kubernetes-list-type"] == "set"
    assert spec["tier"] == {
        "description": spec["tier"]["description"],
        "type": "string",
        "maxLength": 63,
        "default": "default",
    }
    assert rule["ipVersion"]["enum"] == [4, 6]
    assert rule["icmp"]["properties"]["type"] == {"type": "integer", "minimum": 0, "maximum": 254} | {
        "description": rule["icmp"]["properties"]["type"]["description"]
    }
    assert rule["destination"]["properties"]["selector"]["maxLength"] == 1024
    assert rule["destination"]["properties"]["ports"]["items"]["x-kubernetes-int-or-string"]
    assert schema("tiers")["properties"]["spec"]["properties"]["defaultAction"]["enum"] == ["Deny", "Pass"]


def test_what_a_kind_leaves_out_is_kept_where_others_may_need_it():
    spec = schema("felixconfigurations")["properties"]["spec"]
    assert spec["x-kubernetes-preserve-unknown-fields"]
    assert "pattern" in spec["properties"]["defaultEndpointToHostAction"]
    assert "x-kubernetes-preserve-unknown-fields" not in schema("tiers")["properties"]["spec"]


def test_required_fields_are_those_without_a_default():
    assert schema("ippools")["required"] == ["spec"]
    assert schema("ippools")["properties"]["spec"]["required"] == ["cidr"]
    assert "required" not in schema("tiers")
    assert schema_of(KINDS[CALICO, "NetworkPolicy"].model)["properties"]["spec"]["properties"]["ingress"]["items"][
        "required"
    ] == ["action"]
