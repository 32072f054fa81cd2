"""What a rule is compiled to: fields, sets by definition, and rules that are left out."""

from ipaddress import ip_network

import pytest

from policy.graph.compile import RuleSource, compile_rules
from policy.graph.definitions import DomainDefinition, NetsDefinition, PortsDefinition, ServiceDefinition
from policy.resources.metadata import ObjectMeta
from policy.resources.rule import EntityRule, Rule
from policy.rules import (
    Action,
    Direction,
    DomainOptions,
    EntityMatch,
    ICMPMatch,
    PolicyID,
    PortRange,
    RuleID,
)
from policy.selectors import ALL, parse
from tests.policy.documents import policy

ID = PolicyID("p", "ns", "NetworkPolicy")


def compiled(*rules, namespace="ns", annotations=None, direction=Direction.EGRESS):
    """The rules and definitions of a policy with these rules in one direction."""
    made = policy(namespace=namespace, annotations=annotations, **{direction.value: list(rules)})
    source = RuleSource(id=ID, tier="default", owner=made.metadata)
    return compile_rules(source, direction, getattr(made.spec, direction.value))


def one(rule, **context):
    """The only rule, which must be there."""
    (rule,) = compiled({"action": "Allow", **rule}, **context).rules
    return rule


def nets(text):
    return NetsDefinition(parse(text))


def test_rules_keep_their_place_and_annotations():
    rule = {"action": "Log", "metadata": {"annotations": {"b": "2", "a": "1"}}}
    first, second = compiled({"action": "Pass"}, rule).rules
    assert (first.id, first.action) == (RuleID("default", ID, Direction.EGRESS, 0), Action.PASS)
    assert (second.id.index, second.action, second.annotations) == (1, Action.LOG, (("a", "1"), ("b", "2")))


def test_an_empty_rule_constrains_nothing():
    rule = one({})
    assert (rule.source, rule.destination, rule.ip_version) == (EntityMatch(), EntityMatch(), None)


def test_packet_criteria():
    rule = one({"protocol": "ICMP", "icmp": {"type": 8, "code": 0}, "notICMP": {"type": 3}, "notProtocol": 17})
    assert (rule.protocol, rule.not_protocol, rule.ip_version) == (1, 17, 4)
    assert (rule.icmp, rule.not_icmp) == (ICMPMatch(8, 0), ICMPMatch(3))


@pytest.mark.parametrize(
    ("rule", "version"),
    [
        ({"ipVersion": 6}, 6),
        ({"protocol": "ICMP"}, 4),
        ({"protocol": "ICMPv6"}, 6),
        ({"source": {"nets": ["10.0.0.0/8"]}}, 4),
        ({"source": {"notNets": ["fd00::/8"]}}, 6),
        ({"destination": {"nets": ["fd00::/8"]}}, 6),
        ({"destination": {"notNets": ["10.0.0.0/8"]}}, 4),
        ({"destination": {"selector": "all()"}}, None),
    ],
)
def test_family_is_that_of_what_the_rule_says(rule, version):
    assert one(rule).ip_version == version


V4, V6 = ip_network("10.0.0.0/8"), ip_network("fd00::/8")


@pytest.mark.parametrize(
    ("rule", "version"),
    [
        (Rule(action=Action.ALLOW, source=EntityRule(nets=(V4,)), destination=EntityRule(nets=(V6,))), None),
        (Rule(action=Action.ALLOW, ip_version=6, source=EntityRule(nets=(V4,))), None),
        (Rule(action=Action.ALLOW, protocol=58, source=EntityRule(not_nets=(V4,))), None),
        (Rule(action=Action.ALLOW, source=EntityRule(not_nets=(ip_network("0.0.0.0/0"),))), None),
        (Rule(action=Action.ALLOW, source=EntityRule(not_nets=(ip_network("0.0.0.0/0"), V6))), 6),
        (Rule(action=Action.ALLOW, source=EntityRule(nets=(V4, V6)), destination=EntityRule(nets=(V6,))), 6),
    ],
)
def test_rules_that_cannot_match_are_left_out_for_their_family_or_altogether(rule, version):
    """Validation refuses most of these; whoever hands them in otherwise gets the stricter meaning."""
    source = RuleSource(id=ID, tier="default", owner=ObjectMeta(name="p"))
    made = compile_rules(source, Direction.EGRESS, [rule]).rules
    assert [rule.ip_version for rule in made] == ([] if version is None else [version])
    for left in made:
        assert all(net.version == version for net in (*left.source.nets, *left.source.not_nets))


@pytest.mark.parametrize("action", [Action.DENY, Action.PASS, Action.LOG])
def test_names_outside_of_egress_allow_rules_never_match(action):
    patterns = policy(egress=[{"action": "Allow", "destination": {"domains": ["x.test"]}}]).spec.egress[0].destination
    source = RuleSource(id=ID, tier="default", owner=ObjectMeta(name="p"))
    assert not compile_rules(source, Direction.EGRESS, [Rule(action=action, destination=patterns)]).rules
    assert not compile_rules(source, Direction.INGRESS, [Rule(action=Action.ALLOW, destination=patterns)]).rules
    assert not compile_rules(source, Direction.EGRESS, [Rule(action=Action.ALLOW, source=patterns)]).rules


@pytest.mark.parametrize(
    ("namespace", "entity", "positive", "negative"),
    [
        ("ns", {}, None, None),
        ("ns", {"selector": "a == 'b'"}, "a == 'b' && projectcalico.org/namespace == 'ns'", None),
        ("ns", {"selector": "all()"}, "projectcalico.org/namespace == 'ns'", None),
        ("", {"selector": "all()"}, "all()", None),
        ("ns", {"namespaceSelector": "x == 'y' || !has(z)"}, "pcns.x == 'y' || !has(pcns.z)", None),
        ("ns", {"namespaceSelector": "all()"}, "has(projectcalico.org/namespace)", None),
        ("ns", {"namespaceSelector": "global()"}, "!has(projectcalico.org/namespace)", None),
        ("ns", {"notSelector": "a == 'b'"}, "projectcalico.org/namespace == 'ns' && !(a == 'b')", None),
        ("", {"notSelector": "a == 'b'"}, None, "a == 'b'"),
        ("", {"selector": "c == 'd'", "notSelector": "a == 'b'"}, "c == 'd' && !(a == 'b')", None),
        ("", {"serviceAccounts": {"names": ["y", "x"]}}, "projectcalico.org/serviceaccount in {'x', 'y'}", None),
        ("", {"serviceAccounts": {"selector": "r == 's'"}}, "pcsa.r == 's'", None),
        ("", {"serviceAccounts": {"selector": "all()"}}, "has(projectcalico.org/serviceaccount)", None),
        ("ns", {"serviceAccounts": {"names": ["x"], "selector": "has(r)"}},
         "projectcalico.org/serviceaccount in {'x'} && has(pcsa.r) && projectcalico.org/namespace == 'ns'", None),
    ],
)  # fmt: skip
def test_effective_selectors(namespace, entity, positive, negative):
    made = compiled({"action": "Deny", "destination": entity}, namespace=namespace)
    assert made.definitions == {nets(text) for text in (positive, negative) if text is not None}
    match = made.rules[0].destination
    assert match.sets == (() if positive is None else (parse(positive).id,))
    assert match.not_sets == (() if negative is None else (parse(negative).id,))


def test_named_ports_are_looked_up_among_the_selected_for_the_rules_protocol():
    entity = {"selector": "a == 'b'", "ports": ["http", 80, "90:99"], "notPorts": ["dns", 53]}
    made = compiled({"action": "Allow", "protocol": "TCP", "source": entity}, namespace="")
    selector = parse("a == 'b'")
    http, dns = PortsDefinition(selector, 6, "http"), PortsDefinition(selector, 6, "dns")
    assert made.definitions == {NetsDefinition(selector), http, dns}
    match = made.rules[0].source
    assert (match.ports, match.port_sets) == ((PortRange(80, 80), PortRange(90, 99)), (http.id,))
    assert (match.not_ports, match.not_port_sets) == ((PortRange(53, 53),), (dns.id,))


def test_named_ports_without_selector_are_looked_up_among_all():
    assert compiled({"action": "Allow", "destination": {"ports": ["http"]}}).definitions == {
        PortsDefinition(ALL, None, "http")
    }


@pytest.mark.parametrize(("direction", "side"), [(Direction.EGRESS, "destination"), (Direction.INGRESS, "source")])
def test_services_are_of_the_policys_namespace_unless_they_say_so(direction, side):
    rules = [
        {"action": "Allow", side: {"services": service}} for service in ({"name": "s"}, {"name": "s", "namespace": "o"})
    ]
    made = compiled(*rules, direction=direction)
    has_ports = direction is Direction.EGRESS
    wanted = [ServiceDefinition(namespace, "s", has_ports=has_ports) for namespace in ("ns", "o")]
    assert [getattr(rule, side).service_set for rule in made.rules] == [definition.id for definition in wanted]
    assert made.definitions == set(wanted)


def test_domain_sets_are_by_content_and_options():
    rules = [
        {"action": "Allow", "destination": {"domains": domains}} for domains in (["b.test", "*.a.test"], ["c.test"])
    ]
    options = {"dns.tidegate.io/extra-ttl": "1m30s", "dns.tidegate.io/allow-private": "true"}
    first, second = compiled(*rules, annotations=options).rules
    swapped = compiled(*rules[::-1], annotations=options).rules
    plain = compiled(*rules).rules
    assert (first.destination.domain_set, second.destination.domain_set) == (
        swapped[1].destination.domain_set,
        swapped[0].destination.domain_set,
    )
    assert first.destination.domain_set != plain[0].destination.domain_set
    wanted = DomainDefinition(
        own=frozenset(("*.a.test", "b.test")), options=DomainOptions(extra_ttl_seconds=90.0, allow_private=True)
    )
    assert wanted in compiled(*rules, annotations=options).definitions
    assert wanted.id == first.destination.domain_set


def test_single_label_wildcards_are_part_of_the_patterns():
    rule = {"action": "Allow", "destination": {"domains": ["*.a.test"]}}
    made = compiled(rule, annotations={"dns.tidegate.io/wildcard": "single-label"})
    (definition,) = made.definitions
    assert definition.own == {"*{1}.a.test"}


def test_ids_of_different_definitions_differ():
    selector = parse("a == 'b'")
    made = [
        NetsDefinition(selector),
        NetsDefinition(ALL),
        *(PortsDefinition(selector, protocol, name) for protocol in (None, 6, 17) for name in ("http", "dns")),
        *(ServiceDefinition("n", "s", has_ports=has_ports) for has_ports in (True, False)),
        *(
            DomainDefinition(
                own=frozenset(own), selector=by, is_single_label=single, options=DomainOptions(scope=scope)
            )
            for own in ((), ("x",), ("x", "y"))
            for by in (None, selector)
            for single in (True, False)
            for scope in (None, "node", "endpoint")
        ),
    ]
    assert len({definition.id for definition in made}) == len(made)
