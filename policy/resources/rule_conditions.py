"""How the fields of a rule go together (Calico: Rule and EntityRule validation)."""

from collections.abc import Callable, Iterator
from functools import partial

from policy.resources.conditions import Complaint, Conditions, present
from policy.resources.rule import EntityRule, HTTPPath, ICMPFields, Rule, ServiceMatch
from policy.resources.transport import ICMP, ICMPV6, PORT_PROTOCOLS, TCP
from policy.rules import Action, IPNetwork, PortRange

_VERSION_OF = {ICMP: 4, ICMPV6: 6}
_NAME_OF = {ICMP: "ICMP", ICMPV6: "ICMPv6"}
_SIDES = ("source", "destination")


def _side(rule: Rule, side: str) -> EntityRule:
    return rule.source if side == "source" else rule.destination


# --- Protocol, version, ICMP ---


def _ports_fit_the_protocol(side: str, name: str, rule: Rule) -> Iterator[Complaint]:
    entity = _side(rule, side)
    for index, port in enumerate(entity.ports if name == "ports" else entity.not_ports):
        if rule.protocol is None and isinstance(port, PortRange):
            wrong = "cannot be a number without a protocol: add `protocol: TCP` to the rule, or UDP or SCTP"
            yield Complaint(wrong, (side, name, index))
        elif rule.protocol is not None and rule.protocol not in PORT_PROTOCOLS:
            yield Complaint("cannot be given: only the protocols TCP, UDP and SCTP have ports", (side, name, index))


def _icmp_needs_its_protocol(name: str, rule: Rule) -> Iterator[Complaint]:
    icmp = rule.icmp if name == "icmp" else rule.not_icmp
    if icmp is not None and rule.protocol not in _VERSION_OF:
        yield Complaint("cannot be matched without its protocol: add `protocol: ICMP` or ICMPv6 to the rule", (name,))


def _icmp_agrees_with_version(name: str, rule: Rule) -> Iterator[Complaint]:
    protocol = (rule.protocol if name == "protocol" else rule.not_protocol) or 0
    version = _VERSION_OF.get(protocol)
    if version and rule.ip_version not in (None, version):
        wrong = f"cannot be {rule.ip_version} where {name} is {_NAME_OF[protocol]}: that is IPv{version}"
        yield Complaint(wrong, ("ipVersion",))


def _code_needs_type(icmp: ICMPFields) -> Iterator[Complaint]:
    if icmp.code is not None and icmp.type is None:
        yield Complaint("cannot be given without a type", ("code",))


# --- Networks ---


def _nets_of_one_family(rule: Rule) -> Iterator[Complaint]:
    families = {net.version: net for side in _SIDES for name in _NETS for _, net in _nets(side, name, rule)}
    if len(families) > 1:
        both = f"{families[4]} and {families[6]}"
        yield Complaint(f"cannot mix IPv4 and IPv6 networks ({both}): write one rule for each")


def _nets_agree_with_version(side: str, name: str, rule: Rule) -> Iterator[Complaint]:
    for index, net in _nets(side, name, rule):
        if rule.ip_version not in (None, net.version):
            yield Complaint(f"cannot be {net}: the rule's ipVersion is {rule.ip_version}", (side, name, index))


_NETS: dict[str, Callable[[EntityRule], tuple[IPNetwork, ...]]] = {
    "nets": lambda entity: entity.nets,
    "notNets": lambda entity: entity.not_nets,
}


def _nets(side: str, name: str, rule: Rule) -> Iterator[tuple[int, IPNetwork]]:
    return present(_NETS[name](_side(rule, side)))


def _not_nets_leave_something(entity: EntityRule) -> Iterator[Complaint]:
    for index, net in present(entity.not_nets):
        if net.prefixlen == 0:
            yield Complaint(f"cannot be {net}: the rule would match nothing", ("notNets", index))


# --- Services and domains ---


_Given = dict[str, Callable[[EntityRule], object]]
_SELECTING: _Given = {
    "nets": lambda entity: entity.nets,
    "selector": lambda entity: entity.selector,
    "notSelector": lambda entity: entity.not_selector,
    "namespaceSelector": lambda entity: entity.namespace_selector,
    "serviceAccounts": lambda entity: entity.service_accounts is not None,
}
"""Fields that say who is meant."""
_BESIDE_SERVICES: _Given = {**_SELECTING, "notNets": lambda entity: entity.not_nets}
_BESIDE_DOMAINS: _Given = {**_SELECTING, "services": lambda entity: entity.services is not None}


def _nothing_beside_services(name: str, entity: EntityRule) -> Iterator[Complaint]:
    if entity.services is not None and _BESIDE_SERVICES[name](entity):
        yield Complaint(
            "cannot stand beside services, which already say who is meant: write one rule for each", (name,)
        )


def _nothing_beside_domains(name: str, entity: EntityRule) -> Iterator[Complaint]:
    if entity.domains and _BESIDE_DOMAINS[name](entity):
        yield Complaint("cannot stand beside domains, which already say who is meant: write one rule for each", (name,))


def _service_has_a_name(services: ServiceMatch) -> Iterator[Complaint]:
    if not services.name:
        yield Complaint("cannot be left out", ("name",))


def _service_has_a_namespace(services: ServiceMatch) -> Iterator[Complaint]:
    if not services.namespace:
        yield Complaint(
            "cannot be left out here: only a namespaced policy has a namespace to default to", ("namespace",)
        )


def _service_is_the_peer(side: str, rule: Rule) -> Iterator[Complaint]:
    if _side(rule, side).services is not None:
        wrong = "cannot be here: services are destinations of egress rules and sources of ingress rules"
        yield Complaint(wrong, (side, "services"))


def _service_has_its_own_ports(name: str, rule: Rule) -> Iterator[Complaint]:
    to = rule.destination
    if to.services is not None and (to.ports if name == "ports" else to.not_ports):
        yield Complaint("cannot stand beside services: the service has its own ports", ("destination", name))


def _domains_are_destinations(rule: Rule) -> Iterator[Complaint]:
    if rule.source.domains:
        wrong = "cannot be on the source side: names are learned of where traffic goes"
        yield Complaint(wrong, ("source", "domains"))


def _domains_are_for_egress(rule: Rule) -> Iterator[Complaint]:
    if rule.destination.domains:
        yield Complaint("cannot be in an ingress rule: move it to egress", ("destination", "domains"))


def _domains_are_allowed(rule: Rule) -> Iterator[Complaint]:
    if rule.destination.domains and rule.action is not Action.ALLOW:
        wrong = "cannot be in a rule of another action than Allow: the same address may have names never asked for"
        yield Complaint(wrong, ("destination", "domains"))


# --- HTTP ---


def _http_is_allowed(rule: Rule) -> Iterator[Complaint]:
    if rule.http is not None and rule.action is not Action.ALLOW:
        yield Complaint("cannot be in a rule of another action than Allow", ("http",))


def _http_is_tcp(rule: Rule) -> Iterator[Complaint]:
    if rule.http is not None and rule.protocol not in (None, TCP):
        yield Complaint("cannot be matched in another protocol than TCP", ("http",))


def _http_is_for_ingress(rule: Rule) -> Iterator[Complaint]:
    if rule.http is not None:
        yield Complaint("cannot be in an egress rule: requests are seen where they arrive", ("http",))


def _path_is_one_thing(path: HTTPPath) -> Iterator[Complaint]:
    if (path.exact is None) == (path.prefix is None):
        yield Complaint("must have either exact or prefix")


def _path_is_a_path(name: str, path: HTTPPath) -> Iterator[Complaint]:
    text = path.exact if name == "exact" else path.prefix
    if text is not None and not text.startswith("/"):
        yield Complaint("must begin with '/'", (name,))
    if text is not None and ("?" in text or "#" in text):
        yield Complaint("cannot have '?' or '#': only the path is matched", (name,))


RULE_CONDITIONS: Conditions = {
    Rule: (
        *(partial(_ports_fit_the_protocol, side, name) for side in _SIDES for name in ("ports", "notPorts")),
        *(partial(_icmp_needs_its_protocol, name) for name in ("icmp", "notICMP")),
        *(partial(_icmp_agrees_with_version, name) for name in ("protocol", "notProtocol")),
        _nets_of_one_family,
        *(partial(_nets_agree_with_version, side, name) for side in _SIDES for name in _NETS),
        *(partial(_service_has_its_own_ports, name) for name in ("ports", "notPorts")),
        _domains_are_destinations,
        _domains_are_allowed,
        _http_is_allowed,
        _http_is_tcp,
    ),
    (Rule, "ingress"): (_domains_are_for_egress, partial(_service_is_the_peer, "destination")),
    (Rule, "egress"): (_http_is_for_ingress, partial(_service_is_the_peer, "source")),
    EntityRule: (
        _not_nets_leave_something,
        *(partial(_nothing_beside_services, name) for name in _BESIDE_SERVICES),
        *(partial(_nothing_beside_domains, name) for name in _BESIDE_DOMAINS),
    ),
    ICMPFields: (_code_needs_type,),
    ServiceMatch: (_service_has_a_name,),
    HTTPPath: (_path_is_one_thing, *(partial(_path_is_a_path, name) for name in ("exact", "prefix"))),
}
"""For rules wherever they stand."""

CLUSTER_RULE_CONDITIONS: Conditions = {ServiceMatch: (_service_has_a_namespace,)}
"""Further ones for rules of cluster-wide resources."""
