"""Policies by names that stand before others, names told for them, and packets to what was told."""

from collections.abc import Iterable
from random import Random
from typing import Any

from tests.oracles import vocabulary as words
from tests.oracles.documents import Document, resource, some

GRACE = "dns.tidegate.io/grace"


def documents(chance: Random) -> list[Document]:
    """Now and then an early policy that allows names to many, mostly with grace."""
    if chance.random() < 0.4:
        return []
    rules = [
        {"action": "Allow", "destination": {"domains": some(chance, words.DOMAINS, 1, 2)}}
        | chance.choice([{}, {"protocol": "TCP"}, {"protocol": "UDP"}])
        for _ in range(chance.randint(1, 2))
    ]
    spec = {
        "tier": "default",
        "order": -10,
        "selector": chance.choice(["all()", "all()", *words.SELECTORS]),
        "types": ["Egress"],
        "egress": rules,
    }
    annotations = {GRACE: chance.choice(["0s", "5m", "1h"])} if chance.random() < 0.7 else {}
    if chance.random() < 0.2:
        annotations["dns.tidegate.io/scope"] = "node"
    return [resource("GlobalNetworkPolicy", "early-names", spec, annotations=annotations)]


def give_grace(chance: Random, policies: Iterable[Document]) -> None:
    """Some policies let addresses be used again when their time is over, some say that they do not."""
    for policy in policies:
        if policy["kind"] in ("NetworkPolicy", "GlobalNetworkPolicy") and chance.random() < 0.5:
            policy["metadata"].setdefault("annotations", {})[GRACE] = chance.choice(["0s", "5m", "1h"])


def some_past(chance: Random, names: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """The names, some of which were told and used a while ago: their time is over."""
    return tuple(name | ({"past": True} if chance.random() < 0.4 else {}) for name in names)


def naming_rules(documents: Iterable[Document]) -> list[Document]:
    """The egress rules that allow names of their own; those of the early policy more often."""
    rules = [
        rule
        for document in documents
        for rule in document.get("spec", {}).get("egress", ())
        * (4 if document["metadata"]["name"] == "early-names" else 1)
    ]
    return [rule for rule in rules if rule.get("destination", {}).get("domains")]
