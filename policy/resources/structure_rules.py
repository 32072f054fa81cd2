"""Rules about several fields together, in the API server's own language (CEL), with the messages of `decode`.

Each says what a condition in `rule_conditions`, `object_conditions`, `staged` or `ip_pool` says, as far as CEL can:
tests put the same documents to both. Numbers that stand as text ("80") are left to `decode`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from policy.resources import policies, rule, staged, workload
from policy.resources.ip_pool import IPPoolSpec
from policy.resources.model import Model
from policy.resources.policies import RESERVED_TIERS


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a resource a part stands, as far as rules differ by it."""

    is_cluster: bool = False
    """In a resource without a namespace."""
    direction: str = ""
    """`ingress` or `egress`, below one of these."""

    def within(self, field: str) -> "Place":
        """The place of a field."""
        return replace(self, direction=field) if field in ("ingress", "egress") else self


ANYWHERE = Place()
"""In a namespaced resource, in no direction."""


@dataclass(frozen=True, slots=True)
class CelRule:
    """One rule."""

    rule: str
    message: str
    path: str = ""
    """The field that is wrong, below the part: `.source.domains`."""

    @property
    def written(self) -> dict[str, Any]:
        """As a schema has it."""
        place = {"fieldPath": self.path} if self.path else {}
        return {"rule": self.rule, "message": self.message, **place}


_BESIDE_SERVICES = ("nets", "notNets", "selector", "notSelector", "namespaceSelector", "serviceAccounts")
_BESIDE_DOMAINS = ("nets", "selector", "notSelector", "namespaceSelector", "serviceAccounts", "services")
_OBJECTS = frozenset(("serviceAccounts", "services"))


def _given(field: str) -> str:
    """Whether a field says anything: empty text and empty lists do not."""
    return f"has(self.{field})" if field in _OBJECTS else f"(has(self.{field}) && size(self.{field}) > 0)"


def _alone(field: str, others: tuple[str, ...]) -> tuple[CelRule, ...]:
    message = f"cannot stand beside {field}, which already say who is meant: write one rule for each"
    return tuple(CelRule(f"!{_given(field)} || !{_given(other)}", message, f".{other}") for other in others)


def _numbers_need_a_protocol(side: str, field: str) -> CelRule:
    here = f"self.{side}.{field}"
    return CelRule(
        f"!has(self.{side}) || !has({here}) || has(self.protocol) || {here}.all(p, type(p) == string)",
        "cannot be a number without a protocol: add `protocol: TCP` to the rule, or UDP or SCTP",
        f".{side}.{field}",
    )


def _icmp_needs_its_protocol(field: str) -> CelRule:
    return CelRule(
        f"!has(self.{field}) || (has(self.protocol) && (type(self.protocol) == int "
        "? self.protocol == 1 || self.protocol == 58 : self.protocol in ['ICMP', 'ICMPv6', '1', '58']))",
        "cannot be matched without its protocol: add `protocol: ICMP` or ICMPv6 to the rule",
        f".{field}",
    )


def _absent(side: str, field: str) -> str:
    return f"!has(self.{side}) || !has(self.{side}.{field})"


def _no_domains(side: str) -> str:
    return f"{_absent(side, 'domains')} || size(self.{side}.domains) == 0"


_RULE = (
    *(_numbers_need_a_protocol(side, field) for side in ("source", "destination") for field in ("ports", "notPorts")),
    *map(_icmp_needs_its_protocol, ("icmp", "notICMP")),
    CelRule(
        _no_domains("source"),
        "cannot be on the source side: names are learned of where traffic goes",
        ".source.domains",
    ),
    CelRule(
        f"{_no_domains('destination')} || self.action == 'Allow'",
        "cannot be in a rule of another action than Allow: the same address may have names never asked for",
        ".destination.domains",
    ),
    CelRule("!has(self.http) || self.action == 'Allow'", "cannot be in a rule of another action than Allow", ".http"),
    *(
        CelRule(
            f"{_absent('destination', 'services')} || {_absent('destination', field)} "
            f"|| size(self.destination.{field}) == 0",
            "cannot stand beside services: the service has its own ports",
            f".destination.{field}",
        )
        for field in ("ports", "notPorts")
    ),
)  # fmt: skip
_PEER = "cannot be here: services are destinations of egress rules and sources of ingress rules"
_INGRESS_RULE = (
    CelRule(_no_domains("destination"), "cannot be in an ingress rule: move it to egress", ".destination.domains"),
    CelRule(_absent("destination", "services"), _PEER, ".destination.services"),
)
_EGRESS_RULE = (
    CelRule("!has(self.http)", "cannot be in an egress rule: requests are seen where they arrive", ".http"),
    CelRule(_absent("source", "services"), _PEER, ".source.services"),
)

_GLOBAL_POLICY = (
    CelRule(
        "!has(self.doNotTrack) || !self.doNotTrack || !has(self.preDNAT) || !self.preDNAT",
        "cannot be true where doNotTrack is: a policy acts at one place",
        ".preDNAT",
    ),
    *(
        CelRule(
            f"!has(self.{field}) || !self.{field} || (has(self.applyOnForward) && self.applyOnForward)",
            "cannot be true without `applyOnForward: true`",
            f".{field}",
        )
        for field in ("doNotTrack", "preDNAT")
    ),
    CelRule(
        "!has(self.preDNAT) || !self.preDNAT || !has(self.egress) || size(self.egress) == 0",
        "cannot have rules where preDNAT is true: only arriving traffic is seen before DNAT",
        ".egress",
    ),
)
_POLICY = (
    CelRule(
        "!has(self.types) || size(self.types) > 0",
        "cannot be empty: leave it out to have it follow from the rules",
        ".types",
    ),
)


def _of_reserved(name: str, field: str, value: str, said: str) -> CelRule:
    return CelRule(
        f"self.metadata.name != '{name}' || !has(self.spec) || !has(self.spec.{field}) || self.spec.{field} == {value}",
        f"cannot be changed in this tier: it is {said}",
        f".spec.{field}",
    )


_TIER = tuple(
    each
    for name, (order, action) in RESERVED_TIERS.items()
    for each in (
        _of_reserved(name, "order", f"{order:.1f}", f"{order:g}"),
        _of_reserved(name, "defaultAction", f"'{action}'", str(action)),
    )
)
_DELETION = tuple(
    CelRule(
        f"!has(self.stagedAction) || self.stagedAction != 'Delete' || !has(self.{field}) || size(self.{field}) == 0",
        "cannot be given where stagedAction is Delete",
        f".{field}",
    )
    for field in ("ingress", "egress", "types", "selector")
)

_RULES: Mapping[type[Model], tuple[CelRule, ...]] = {
    rule.Rule: _RULE,
    rule.EntityRule: (*_alone("services", _BESIDE_SERVICES), *_alone("domains", _BESIDE_DOMAINS)),
    rule.ICMPFields: (CelRule("!has(self.code) || has(self.type)", "cannot be given without a type", ".code"),),
    rule.ServiceMatch: (CelRule("has(self.name) && self.name != ''", "cannot be left out", ".name"),),
    rule.HTTPPath: (CelRule("has(self.exact) != has(self.prefix)", "must have either exact or prefix"),),
    policies.PolicySpec: _POLICY,
    policies.GlobalPolicySpec: _GLOBAL_POLICY,
    policies.Tier: _TIER,
    staged.StagedPolicySpec: _DELETION,
    staged.StagedGlobalPolicySpec: _DELETION,
    workload.HostEndpointSpec: (
        CelRule("self.node != ''", "cannot be empty: name the node", ".node"),
        CelRule(
            "(has(self.interfaceName) && self.interfaceName != '') "
            "|| (has(self.expectedIPs) && size(self.expectedIPs) > 0)",
            "must have interfaceName or expectedIPs: the endpoint is found by one of them",
        ),
    ),
    IPPoolSpec: (
        CelRule(
            "!has(self.ipipMode) || self.ipipMode == 'Never' || !has(self.vxlanMode) || self.vxlanMode == 'Never'",
            "cannot be given together with ipipMode: a packet travels in one other",
            ".vxlanMode",
        ),
    ),
}  # fmt: skip
_CLUSTER_SERVICE = CelRule(
    "has(self.namespace) && self.namespace != ''",
    "cannot be left out here: only a namespaced policy has a namespace to default to",
    ".namespace",
)


def rules_for(model: type[Model], place: Place) -> tuple[CelRule, ...]:
    """The rules of a part at a place: its own, and those of what it is a kind of."""
    found = [each for kind in reversed(model.__mro__) for each in _RULES.get(kind, ())]
    if model is rule.Rule and place.direction:
        found += _INGRESS_RULE if place.direction == "ingress" else _EGRESS_RULE
    if model is rule.ServiceMatch and place.is_cluster:
        found.append(_CLUSTER_SERVICE)
    return tuple(found)
