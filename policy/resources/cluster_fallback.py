"""What is in force of a faulty policy of administrators (docs/adr/0025-rules-that-fail-closed.md).

Peers and ports of kinds that we do not know, or that are written wrong, make a rule that cannot be applied. Such a rule
must not be left out where leaving it out would let something through (network-policy-api: implementations must fail
closed), so the rest of the policy and the order of its rules stay in force, and

    Accept       is left out
    Deny, Pass   becomes a Deny of everything in its direction

Faults elsewhere (the subject, the priority, an action) leave nothing to go by.
"""

from collections.abc import Iterable, Mapping

from policy.resources.cluster_policy import AdminPolicy, BaselinePolicy, ClusterPolicy
from policy.resources.faults import Location

Written = ClusterPolicy | AdminPolicy | BaselinePolicy
Place = tuple[str, int]
"""A direction, and the place of a rule in it."""

_SPEC = "spec"
_PEERS = {"ingress": "from", "egress": "to"}
_ATTRIBUTES = {"ingress": "from_", "egress": "to"}


def faulty_rules(faulty: Iterable[Location]) -> frozenset[Place] | None:
    """The rules in which everything is that is wrong; None if something else is wrong, too."""
    places: set[Place] = set()
    for location in faulty:
        match location:
            case ("spec", "ingress" | "egress" as direction, int(index), str(field), *_) if field != "action":
                places.add((direction, index))
            case _:
                return None
    return frozenset(places)


def readable(document: Mapping[object, object], places: Iterable[Place]) -> dict[object, object]:
    """The document with rules in these places of which nothing is left but the action."""
    spec = document[_SPEC]
    assert isinstance(spec, Mapping)  # something in it was found faulty
    mended = dict(spec)
    for direction, index in places:
        rules = list(mended[direction])
        rules[index] = {"action": rules[index]["action"], _PEERS[direction]: [{"namespaces": {}}]}
        mended[direction] = rules
    return {**document, _SPEC: mended}


def closed(policy: Written, places: Iterable[Place]) -> Written:
    """The policy with rules in these places of which nobody can say whom they are about (`None`)."""
    for direction, index in places:
        rules = list(getattr(policy.spec, direction))
        rules[index] = rules[index].model_copy(update={_ATTRIBUTES[direction]: None})
        policy = policy.model_copy(update={"spec": policy.spec.model_copy(update={direction: tuple(rules)})})
    return policy
