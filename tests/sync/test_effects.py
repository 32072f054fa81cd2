"""What documents do not do is told as of the documents of the moment, however they came to be so."""

from random import Random

import pytest

from policy.resources.decode import decode
from tests.policy import documents
from tidegate.sync.conditions import ConditionType
from tidegate.sync.effects import Effects


def effects(*resources) -> Effects:
    made = Effects("here")
    for resource in resources:
        made.on_update(resource.key, resource)
    return made


def pool():
    return decode(
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": "IPPool",
            "metadata": {"name": "p"},
            "spec": {"cidr": "10.0.0.0/16"},
        }
    )


def test_a_tier_that_policies_name_and_nobody_made_is_told():
    lost = [documents.policy(f"p{index:02}", tier="lost") for index in range(12)]
    made = effects(documents.policy("a", tier="found"), documents.tier("found"), documents.policy("b"), *lost)
    [condition] = made.missing_tiers
    assert (condition.type, condition.subject, condition.is_normal) == (ConditionType.TIER_MISSING, "Tier lost", False)
    assert "NetworkPolicy ns/p00" in condition.message
    assert condition.message.endswith("and 2 more")
    for policy in lost[1:]:
        made.on_update(policy.key, None)
    moved = documents.policy("p00", tier="found")
    made.on_update(moved.key, moved)
    assert made.missing_tiers == []


def test_a_tier_that_goes_while_policies_are_in_it_is_missing():
    made = effects(documents.policy("a", tier="found"), documents.tier("found"))
    made.on_update(documents.tier("found").key, None)
    assert [condition.subject for condition in made.missing_tiers] == ["Tier found"]


def test_what_has_no_effect_is_told_until_it_goes():
    made = effects(pool())
    assert [condition.subject for condition in made.idle] == ["IPPool p"]
    made.on_update(pool().key, None)
    assert made.idle == []


@pytest.mark.parametrize("seed", range(20))
def test_any_sequence_of_changes_tells_what_its_last_documents_tell(seed):
    chance, made, present = Random(seed), Effects("here"), {}
    everything = [
        *(documents.policy(name, tier=tier) for name in "abc" for tier in ("x", "y", "default")),
        *(documents.tier(name) for name in ("x", "y", "default")),
        pool(),
    ]
    for _ in range(60):
        resource = chance.choice(everything)
        if chance.random() < 0.4:
            present.pop(resource.key, None)
            made.on_update(resource.key, None)
        else:
            present[resource.key] = resource
            made.on_update(resource.key, resource)
        fresh = effects(*present.values())
        assert sorted(made.idle, key=str) == sorted(fresh.idle, key=str)
        assert made.missing_tiers == fresh.missing_tiers
