"""Random staged policies, and the world in which they are enforced."""

from collections.abc import Iterable
from random import Random

from tests.oracles import documents as made_by
from tests.oracles.documents import Document

ENFORCED = {"StagedNetworkPolicy": "NetworkPolicy", "StagedGlobalNetworkPolicy": "GlobalNetworkPolicy"}


def without(world: Iterable[Document]) -> tuple[Document, ...]:
    """The documents of the world in which nothing is staged."""
    return tuple(item for item in world if not _is_staged(item))


def promoted(world: tuple[Document, ...]) -> tuple[Document, ...]:
    """The documents of the world in which everything that is staged has been done."""
    leaving = {
        (ENFORCED[item["kind"]], *_place(item))
        for item in world
        if item["kind"] in ENFORCED and item["spec"].get("stagedAction") == "Delete"
    }
    return tuple(
        _enforced(item)
        for item in world
        if item.get("spec", {}).get("stagedAction") != "Delete" and (_calico_kind(item), *_place(item)) not in leaving
    )


def documents(chance: Random, known_tiers: list[str], enforced: list[Document]) -> list[Document]:
    """Staged policies of all kinds and actions, in half of the worlds. Their names are free, so that they can be promoted.

    They do not learn for other workloads of the node: enforced and staged rules share nothing there.
    """
    if chance.random() < 0.5:
        return []
    made = []
    for index in range(chance.randint(1, 3)):
        policy = made_by.policy(chance, f"s{index}", known_tiers)
        policy["spec"]["stagedAction"] = chance.choice(["Set", "Learn", "Ignore"])
        if policy["apiVersion"] == made_by.CALICO:
            policy["kind"] = f"Staged{policy['kind']}"
            policy["metadata"].get("annotations", {}).pop("dns.tidegate.io/scope", None)
        else:
            policy |= {"apiVersion": made_by.CALICO, "kind": "StagedKubernetesNetworkPolicy"}
        made.append(policy)
    calico = [item for item in enforced if item["apiVersion"] == made_by.CALICO]
    if calico and chance.random() < 0.4:
        made.append(_deletion(chance.choice(calico)))
    return made


def _deletion(of: Document) -> Document:
    spec = {"stagedAction": "Delete", "tier": of["spec"]["tier"]}
    return {**of, "kind": f"Staged{of['kind']}", "metadata": {**of["metadata"], "annotations": {}}, "spec": spec}


def _is_staged(item: Document) -> bool:
    return item["kind"].startswith("Staged")


def _enforced(item: Document) -> Document:
    if not _is_staged(item):
        return item
    spec = {key: value for key, value in item["spec"].items() if key != "stagedAction"}
    if item["kind"] == "StagedKubernetesNetworkPolicy":
        return {**item, "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": spec}
    return {**item, "kind": ENFORCED[item["kind"]], "spec": spec}


def _calico_kind(item: Document) -> str:
    return item["kind"] if item["apiVersion"] == made_by.CALICO else ""


def _place(item: Document) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]
