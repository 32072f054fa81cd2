"""Documents as they stand in a cluster's storage are read as what their authors wrote."""

import json

import pytest

from policy.errors import Faults
from policy.resources.decode import decode, key_of
from policy.resources.metadata import ResourceKey
from policy.resources.registry import CALICO, CALICO_STORED, KINDS
from tests.policy.test_decode_any import DOCUMENTS

ANNOTATION = "projectcalico.org/metadata"


def stored(name="default.allow", metadata=None, kind="NetworkPolicy", **further):
    annotations = {"kept": "no", **({} if metadata is None else {ANNOTATION: metadata})}
    return {
        "apiVersion": CALICO_STORED,
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop", "annotations": annotations, **further},
        "spec": {"selector": "all()"},
    }


def test_every_kind_of_calicos_is_read_from_storage_as_the_same_thing():
    ours = [document for document in DOCUMENTS if document["apiVersion"] == CALICO]
    assert len(ours) >= 13
    for document in ours:
        assert decode({**document, "apiVersion": CALICO_STORED}) == decode(document)


def test_the_metadata_that_the_author_wrote_counts():
    own = {"name": "allow", "namespace": "shop", "labels": {"a": "b"}, "annotations": {"note": "x"}, "uid": "1"}
    document = stored(metadata=json.dumps(own), labels={"projectcalico.org/tier": "default"})
    policy = decode(document)
    assert policy.key == key_of(document) == ResourceKey("NetworkPolicy", "shop", "allow")
    assert (policy.metadata.labels, policy.metadata.annotations) == ({"a": "b"}, {"note": "x"})


def test_without_it_the_stored_name_is_the_name_prefix_and_all():
    assert decode(stored()).key.name == "default.allow"
    assert decode(stored(metadata="{}")).key.name == "default.allow"


def test_only_storage_has_it():
    document = {**stored(metadata='{"name": "allow"}'), "apiVersion": CALICO}
    assert decode(document).key.name == "default.allow"


@pytest.mark.parametrize("metadata", ["", "{", "[]", '"x"', 5, "[" * 100_000])
def test_what_cannot_be_read_is_a_fault_with_its_path(metadata):
    document = stored(metadata=metadata)
    decoded = decode(document)
    assert isinstance(decoded, Faults)
    assert [fault.path for fault in decoded.faults] == [f"metadata.annotations['{ANNOTATION}']"]
    assert key_of(document) is None


def test_a_name_in_it_is_checked_as_any_other():
    [fault] = decode(stored(metadata='{"name": "Allow"}')).faults
    assert fault.path == "metadata.name"


def test_all_kinds_of_calicos_are_there_in_both_forms():
    assert {kind for version, kind in KINDS if version == CALICO} == {
        kind for version, kind in KINDS if version == CALICO_STORED
    }
