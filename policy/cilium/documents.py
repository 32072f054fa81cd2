"""Documents of `cilium.io/v2` as documents of `projectcalico.org/v3`.

All of Cilium's policies count together: what one denies is denied, else what one allows is allowed, else it is denied
if a policy with a default deny selects the workload in that direction. Here three tiers say that: `cilium-deny` with
all denials, `cilium-open` with what policies without a default deny allow (both pass on what they do not know), and the
tier `default` with the others, beside Kubernetes' own policies, as Cilium has those.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network

from policy.cilium import labels
from policy.cilium.context import Context, Network
from policy.cilium.part import Part
from policy.cilium.peers import GROUP_LABEL
from policy.cilium.remarks import CannotError, Effect, Remark
from policy.cilium.rules import Written, rules
from policy.domains import Wildcard
from policy.options import PREFIX

Document = dict[str, object]

API_VERSIONS = ("cilium.io/v2", "cilium.io/v2alpha1")
KINDS = ("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy", "CiliumCIDRGroup")
VERSION = "projectcalico.org/v3"
DENY, OPEN, DEFAULT = "cilium-deny", "cilium-open", "default"
_TIER_ORDERS = {DENY: 500_000, OPEN: 500_001}
_SPEC = (
    "endpointSelector", "description", "labels", "enableDefaultDeny", "ingress", "egress", "ingressDeny", "egressDeny",
    "log",
)  # fmt: skip
_NO_NAME = re.compile(r"[^a-z0-9-]+")
_MAX_LABEL = 63


@dataclass(frozen=True, slots=True)
class Imported:
    """What a document became."""

    documents: tuple[Document, ...]
    remarks: tuple[Remark, ...]


def import_document(value: object, cluster_networks: tuple[Network, ...] = ()) -> Imported | None:
    """Reads one document; None if it is none of Cilium's.

    `cluster_networks` are those of pods, services and nodes: without them nobody can tell what the world is.
    """
    if not isinstance(value, dict) or value.get("apiVersion") not in API_VERSIONS or value.get("kind") not in KINDS:
        return None
    reading = _Reading(cluster_networks)
    try:
        documents = tuple(reading.documents(Part(value, ""), str(value["kind"])))
    except CannotError as error:
        reading.remarks.append(Remark(error.path, Effect.DIFFERENT, f"{error.reason}; the document is left out"))
        documents = ()
    return Imported((*_tiers(documents), *documents), tuple(reading.remarks))


@dataclass(slots=True)
class _Reading:
    """Gathers what must be told."""

    cluster_networks: tuple[Network, ...]
    remarks: list[Remark] = field(default_factory=list)

    def documents(self, document: Part, kind: str) -> Iterator[Document]:
        metadata = document.get("metadata")
        name = metadata.get("name") if metadata else None
        if metadata is None or name is None:
            raise CannotError("metadata", "has no name")
        if kind == "CiliumCIDRGroup":
            yield _group(name.text(), document)
            return
        where = metadata.get("namespace")
        namespace = (where.text() if where else "default") if kind == "CiliumNetworkPolicy" else ""
        specs = [spec for spec in (document.get("spec"),) if spec]
        more = document.get("specs")
        specs += more.items() if more else []
        for number, spec in enumerate(specs):
            suffix = f"-{number + 1}" if len(specs) > 1 else ""
            yield from self._policies(_name(name.text()) + suffix, namespace, spec)

    def _policies(self, name: str, namespace: str, spec: Part) -> Iterator[Document]:
        try:
            spec.only(*_SPEC)
            subject = _subject(spec, namespace)
            asked = {direction: _is_closed(spec, direction) for direction in ("ingress", "egress")}
        except CannotError as error:
            self.remarks.append(Remark(error.path, Effect.DIFFERENT, f"{error.reason}; the policy is left out"))
            return
        made = _Made(name, namespace, subject)
        for direction, is_closed in asked.items():
            for action, section in (("Allow", spec.get(direction)), ("Deny", spec.get(f"{direction}Deny"))):
                if section is not None and section.value:
                    context = self._context(namespace, direction, action)
                    tier = DENY if action == "Deny" else DEFAULT if is_closed else OPEN
                    made.add(tier, direction, list(rules(section, action, context)))
            if is_closed:
                made.add(DEFAULT, direction, [])
        yield from made.documents()

    def _context(self, namespace: str, direction: str, action: str) -> Context:
        return Context(
            is_namespaced=bool(namespace),
            is_ingress=direction == "ingress",
            cluster_networks=self.cluster_networks,
            tell=self.remarks.append,
            loss=Effect.NARROWER if action == "Allow" else Effect.WIDER,
        )


def _subject(spec: Part, namespace: str) -> dict[str, object]:
    chosen = spec.get("endpointSelector")
    if chosen is None:
        raise CannotError(spec.path, "has no endpointSelector: policy for hosts does not carry over")
    found = labels.selected(chosen)
    if not namespace:
        return {"selector": found.own or "all()", "namespaceSelector": found.namespace or "all()"}
    if found.namespace not in {"", f"{labels.NAMESPACE_NAME} == '{namespace}'"}:
        raise CannotError(chosen.path, "selects by namespace in a policy of one namespace")
    return {"selector": found.own or "all()"}


def _is_closed(spec: Part, direction: str) -> bool:
    """Whether the policy denies by default: as it says, or if it has rules (Cilium: enableDefaultDeny)."""
    said = spec.get("enableDefaultDeny")
    choice = said.get(direction) if said else None
    if choice is not None:
        return choice.flag()
    sections = (spec.get(direction), spec.get(f"{direction}Deny"))
    return any(section is not None and bool(section.value) for section in sections)


@dataclass(slots=True)
class _Made:
    """The rules of one policy, by tier and by what `*` means."""

    name: str
    namespace: str
    subject: dict[str, object]
    rules: dict[tuple[str, bool], dict[str, list[dict[str, object]]]] = field(default_factory=dict)

    def add(self, tier: str, direction: str, written: list[Written]) -> None:
        for is_single in (False, True):
            fitting = [each.rule for each in written if (each.wildcard is Wildcard.SINGLE_LABEL) is is_single]
            if fitting or not is_single:
                self.rules.setdefault((tier, is_single), {}).setdefault(direction, []).extend(fitting)

    def documents(self) -> Iterator[Document]:
        for (tier, is_single), sections in self.rules.items():
            yield self._document(tier, sections, is_single=is_single)

    def _document(self, tier: str, sections: dict[str, list[dict[str, object]]], *, is_single: bool) -> Document:
        metadata: dict[str, object] = {"name": self.name + _SUFFIXES[tier] + ("-one-label" if is_single else "")}
        if self.namespace:
            metadata["namespace"] = self.namespace
        if is_single:
            metadata["annotations"] = {f"{PREFIX}wildcard": Wildcard.SINGLE_LABEL.value}
        types = {"types": [direction.capitalize() for direction in sections]}
        spec = {"tier": tier, **self.subject, **types, **{key: found for key, found in sections.items() if found}}
        kind = "NetworkPolicy" if self.namespace else "GlobalNetworkPolicy"
        return {"apiVersion": VERSION, "kind": kind, "metadata": metadata, "spec": spec}


_SUFFIXES = {DENY: "-deny", OPEN: "-open", DEFAULT: ""}


def identity(document: Document) -> tuple[object, ...]:
    """Kind, namespace and name."""
    metadata = document["metadata"]
    parts = metadata if isinstance(metadata, dict) else {}
    return document["kind"], parts.get("namespace"), parts.get("name")


def _tiers(documents: tuple[Document, ...]) -> Iterator[Document]:
    used = {str(spec["tier"]) for document in documents if "tier" in (spec := _spec(document))}
    for tier, order in _TIER_ORDERS.items():
        if tier in used:
            spec = {"order": order, "defaultAction": "Pass"}
            yield {"apiVersion": VERSION, "kind": "Tier", "metadata": {"name": tier}, "spec": spec}


def _spec(document: Document) -> dict[str, object]:
    spec = document["spec"]
    return spec if isinstance(spec, dict) else {}


def _group(name: str, document: Part) -> Document:
    spec = document.get("spec")
    listed = spec.get("externalCIDRs") if spec else None
    nets = listed.texts() if listed else []
    for part in listed.items() if listed else ():
        _check_network(part)
    metadata = {"name": f"cidrgroup-{_name(name)}", "labels": {GROUP_LABEL: name}}
    return {"apiVersion": VERSION, "kind": "GlobalNetworkSet", "metadata": metadata, "spec": {"nets": nets}}


def _check_network(part: Part) -> None:
    try:
        ip_network(part.text(), strict=False)
    except ValueError:
        raise CannotError(part.path, f"{part.text()!r} is no network") from None


def _name(text: str) -> str:
    """A policy's name has no dots here but one."""
    return _NO_NAME.sub("-", text.lower()).strip("-")[: _MAX_LABEL - len("-open-one-label-99")] or "x"
