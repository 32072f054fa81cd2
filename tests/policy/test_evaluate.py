"""The reference semantics: order, matching, profiles, names. Each test is a fact of Calico's, or of ours about names."""

from ipaddress import ip_address

import pytest

from policy.evaluate import Frame, Happened, Packet, Party, World, judge
from policy.rules import EndpointID, PolicyID
from tests.policy.documents import (
    account,
    endpoint,
    learned,
    namespace,
    network_set,
    packet,
    pod,
    policy,
    profile,
    tier,
    verdict,
)

ALLOW = [{"action": "Allow"}]
DENY = [{"action": "Deny"}]
PASS = [{"action": "Pass"}]
LOG = [{"action": "Log"}]


def egress(*resources, ip="192.0.2.1", port=80, protocol="TCP", names=(), **fields):
    """The verdict on what pod a (10.0.0.1, in ns) sends to an address outside."""
    world = [namespace(), pod("a", "10.0.0.1 fd00::1", labels={"app": "a"}), *resources]
    source = "fd00::1" if ":" in ip else "10.0.0.1"
    return verdict(world, source, ip, port, protocol, names=names, **fields).egress


def is_egress(rule, *resources, annotations=None, **probe):
    """Whether a policy with this one Allow rule lets pod a out."""
    rules = [{"action": "Allow", **rule}]
    made = policy(types=["Egress"], egress=rules, annotations=annotations)
    return egress(made, *resources, **probe).is_allowed


# --- Who decides ---


def test_allowed_by_the_namespace_profile_without_any_policy():
    decided = egress()
    assert decided.is_allowed
    assert decided.deciding.policy == PolicyID("kns.ns", "", "Profile")


def test_denied_when_profile_is_missing():
    decided = verdict([pod("a", "10.0.0.1")], "10.0.0.1", "192.0.2.1").egress
    assert not decided.is_allowed
    assert decided.deciding.happened is Happened.PROFILE_MISSING


def test_denied_without_any_profile():
    decided = verdict([endpoint("a", "10.0.0.1")], "10.0.0.1", "192.0.2.1").egress
    assert not decided.is_allowed
    assert decided.deciding.happened is Happened.NO_PROFILE_MATCHED


def test_an_address_of_nobody_is_judged_by_nobody():
    judged = verdict([namespace()], "192.0.2.1", "192.0.2.2")
    assert (judged.egress, judged.ingress, judged.is_allowed) == (None, None, True)


def test_profiles_are_asked_in_order_and_pass_goes_to_the_next():
    world = [
        endpoint("a", "10.0.0.1", profiles=["none", "passes", "denies", "allows"]),
        profile("none"),
        profile("passes", egress=PASS),
        profile("denies", egress=[{"action": "Deny", "protocol": "UDP"}]),
        profile("allows", egress=ALLOW),
    ]
    assert verdict(world, "10.0.0.1", "192.0.2.1").egress.deciding.policy.name == "allows"
    assert verdict(world, "10.0.0.1", "192.0.2.1", protocol="UDP").egress.deciding.policy.name == "denies"


def test_default_allow_profile_always_exists():
    world = [endpoint("a", "10.0.0.1", profiles=["projectcalico-default-allow"])]
    assert verdict(world, "10.0.0.1", "192.0.2.1").is_allowed


def test_policy_for_ingress_only_leaves_egress_to_profiles():
    assert egress(policy(types=["Ingress"])).is_allowed


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ({}, (True, False)),
        ({"ingress": ALLOW}, (True, True)),
        ({"egress": ALLOW}, (True, True)),
        ({"egress": DENY}, (False, True)),
        ({"ingress": ALLOW, "egress": DENY}, (False, True)),
        ({"types": ["Egress"], "ingress": DENY}, (False, True)),
        ({"types": ["Ingress", "Egress"]}, (False, False)),
    ],
)
def test_types_default_by_the_rules_that_are_there(rules, wanted):
    world = [namespace(), pod("a", "10.0.0.1"), policy(**rules)]
    out = verdict(world, "10.0.0.1", "192.0.2.1").egress.is_allowed
    back = verdict(world, "192.0.2.1", "10.0.0.1").ingress.is_allowed
    assert (out, back) == wanted


def test_policy_with_only_log_rules_isolates():
    decided = egress(policy(egress=LOG))
    assert not decided.is_allowed
    assert [step.happened for step in decided.trace] == [Happened.LOGGED, Happened.END_OF_TIER_DENIED]
    assert decided.deciding.rule == -1


def test_log_goes_on_with_the_next_rule():
    assert egress(policy(egress=LOG + ALLOW)).deciding.rule == 1


def test_pass_skips_the_rest_of_the_tier():
    world = [policy("a", order=1, egress=PASS), policy("b", order=2, egress=DENY)]
    decided = egress(*world)
    assert decided.is_allowed
    assert [step.happened for step in decided.trace] == [Happened.PASSED, Happened.ALLOWED]


def test_allow_in_an_earlier_tier_beats_deny_in_a_later_one():
    world = [tier("early", order=1), policy("a", tier="early", egress=ALLOW), policy("b", egress=DENY)]
    assert egress(*world).deciding.tier == "early"
    assert egress(*world).is_allowed


def test_tier_with_default_action_pass_goes_on():
    world = [tier("early", order=1, defaultAction="Pass"), policy("a", tier="early", types=["Egress"])]
    decided = egress(*world)
    assert decided.is_allowed
    assert decided.trace[0].happened is Happened.END_OF_TIER_PASSED


def test_tier_whose_policies_do_not_select_does_not_count():
    world = [tier("early", order=1), policy("a", tier="early", selector="app == 'other'", egress=DENY)]
    assert egress(*world).is_allowed


def test_end_of_tier_names_the_last_policy_that_governs_the_direction():
    world = [policy(name, order=order, types=[kind]) for name, order, kind in
             [("x", 1, "Egress"), ("y", 2, "Egress"), ("z", 3, "Ingress")]]  # fmt: skip
    assert egress(*world).deciding.policy.name == "y"


@pytest.mark.parametrize(
    "names_and_orders",
    [
        [("b", 1), ("a", 2)],
        [("b", 1.5), ("a", None)],
        [("a", -1), ("b", 0)],
        [("a", None), ("b", None)],
        [("a-b", None), ("a", None)],
        [("a.b", 7), ("a", 7)],
    ],
)
def test_policies_are_asked_by_order_then_by_the_text_of_their_names(names_and_orders):
    made = [
        policy(name, egress=ALLOW if index == 0 else DENY, **({} if order is None else {"order": order}))
        for index, (name, order) in enumerate(names_and_orders)
    ]
    assert egress(*made).deciding.policy.name == names_and_orders[0][0]
    assert egress(*reversed(made)).is_allowed


def test_name_is_compared_before_kind():
    world = [policy("b", namespace="", egress=DENY), policy("a", egress=ALLOW)]
    assert egress(*world).is_allowed


def test_two_policies_may_have_one_name():
    world = [policy("p", namespace="", egress=PASS), policy("p", egress=DENY)]
    assert egress(*world).is_allowed  # p//GlobalNetworkPolicy stands before p/ns/NetworkPolicy


def test_tiers_are_asked_by_order_then_name_and_unknown_ones_last_with_deny():
    def first(*tiers):
        return egress(*tiers, *(policy("p", namespace="", tier=made, egress=ALLOW) for made in ("ghost",))).deciding

    assert first().happened is Happened.ALLOWED
    world = [policy("g", tier="ghost", types=["Egress"]), policy("d", tier="default", egress=PASS)]
    decided = egress(*world)
    assert [step.tier for step in decided.trace] == ["default", "ghost"]
    assert decided.deciding.happened is Happened.END_OF_TIER_DENIED

    same = [tier("app"), tier("zone"), *(policy("p", tier=name, egress=PASS, namespace="ns") for name in ["zone"])]
    more = [policy("q", tier="app", egress=PASS), policy("r", tier="default", egress=PASS)]
    assert [step.tier for step in egress(*same, *more).trace] == ["app", "default", "zone", ""]


def test_reserved_tiers_pass_around_the_default_tier():
    world = [
        policy("a", namespace="", tier="kube-admin", types=["Egress"]),
        policy("b", namespace="", tier="kube-baseline", types=["Egress"]),
        policy("c", namespace="", egress=PASS),
    ]
    assert [step.tier for step in egress(*world).trace] == ["kube-admin", "default", "kube-baseline", ""]
    assert egress(*world).is_allowed


def test_untracked_and_pre_dnat_policies_are_not_about_workloads():
    untracked = policy("u", namespace="", doNotTrack=True, applyOnForward=True, egress=DENY)
    before_dnat = policy("d", namespace="", preDNAT=True, applyOnForward=True, types=["Ingress"], ingress=DENY)
    assert egress(untracked, before_dnat).is_allowed


# --- Whom policies select ---


@pytest.mark.parametrize(
    ("spec", "selected"),
    [
        ({}, True),
        ({"selector": "app == 'a'"}, True),
        ({"selector": "app == 'b'"}, False),
        ({"selector": "projectcalico.org/orchestrator == 'k8s'"}, True),
        ({"serviceAccountSelector": "role == 'x'"}, True),
        ({"serviceAccountSelector": "role == 'y'"}, False),
        ({"serviceAccountSelector": "all()"}, True),
        ({"serviceAccountSelector": "!has(role)"}, False),
        ({"namespace": "", "namespaceSelector": "team == 'red'"}, True),
        ({"namespace": "", "namespaceSelector": "team == 'blue'"}, False),
        ({"namespace": "", "namespaceSelector": "projectcalico.org/name == 'ns'"}, True),
        ({"namespace": "", "namespaceSelector": "all()"}, True),
        ({"namespace": "", "selector": "pcns.team == 'red'"}, True),
        ({"namespace": "other"}, False),
    ],
)
def test_subjects(spec, selected):
    world = [
        namespace("ns", team="red"),
        namespace("other"),
        account("sa", role="x"),
        pod("a", "10.0.0.1", labels={"app": "a"}, account="sa"),
        policy(egress=DENY, **spec),
    ]
    assert verdict(world, "10.0.0.1", "192.0.2.1").is_allowed is not selected


def test_service_account_selector_all_wants_an_account():
    world = [namespace(), pod("a", "10.0.0.1"), policy(egress=DENY, serviceAccountSelector="all()")]
    assert verdict(world, "10.0.0.1", "192.0.2.1").is_allowed


def test_a_pod_cannot_give_itself_the_labels_of_a_namespace_or_account():
    labels = {
        "pcns.team": "red",
        "pcsa.role": "x",
        "projectcalico.org/namespace": "ns",
        "projectcalico.org/serviceaccount": "sa",
    }
    world = [namespace("other"), pod("a", "10.0.0.1", namespace="other", labels=labels)]
    for spec in (
        {"namespace": "", "namespaceSelector": "team == 'red'"},
        {"namespace": "", "serviceAccountSelector": "role == 'x'"},
        {"namespace": "", "serviceAccountSelector": "all()"},
        {"namespace": "ns"},
    ):
        assert verdict([*world, policy(egress=DENY, **spec)], "10.0.0.1", "192.0.2.1").is_allowed, spec


def test_own_labels_win_over_profiles_and_the_first_profile_over_the_second():
    world = [
        endpoint("a", "10.0.0.1", labels={"k": "own"}, profiles=["one", "two"]),
        profile("one", labelsToApply={"k": "one", "l": "one"}, egress=ALLOW),
        profile("two", labelsToApply={"k": "two", "l": "two", "m": "two"}),
        policy(selector="k == 'own' && l == 'one' && m == 'two'", egress=DENY),
    ]
    assert not verdict(world, "10.0.0.1", "192.0.2.1").is_allowed


def test_a_written_endpoint_stands_for_its_pod():
    world = [namespace(), pod("a", "10.0.0.1"), endpoint("node-1-k8s-a-eth0", "10.0.0.1", pod="a")]
    made = World(world)
    assert [holder.endpoint for holder in made.endpoints] == ["ns/node-1-k8s-a-eth0"]


# --- What rules match ---


@pytest.mark.parametrize(
    ("rule", "probe", "wanted"),
    [
        ({}, {}, True),
        ({"ipVersion": 4}, {}, True),
        ({"ipVersion": 6}, {}, False),
        ({"ipVersion": 6}, {"ip": "2001:db8::1"}, True),
        ({"protocol": "TCP"}, {}, True),
        ({"protocol": 6}, {}, True),
        ({"protocol": "UDP"}, {}, False),
        ({"notProtocol": "UDP"}, {}, True),
        ({"notProtocol": "TCP"}, {}, False),
        ({"protocol": "ICMP"}, {"protocol": "ICMP"}, True),
        ({"protocol": "ICMP"}, {"protocol": "ICMP", "ip": "2001:db8::1"}, False),
        ({"protocol": "ICMPv6"}, {"protocol": "ICMPv6", "ip": "2001:db8::1"}, True),
        ({"protocol": "ICMP", "icmp": {"type": 8}}, {"protocol": "ICMP", "icmp_type": 8, "icmp_code": 3}, True),
        ({"protocol": "ICMP", "icmp": {"type": 8}}, {"protocol": "ICMP", "icmp_type": 0}, False),
        ({"protocol": "ICMP", "icmp": {"type": 8, "code": 0}}, {"protocol": "ICMP", "icmp_type": 8, "icmp_code": 3},
         False),
        ({"protocol": "ICMP", "notICMP": {"type": 8}}, {"protocol": "ICMP", "icmp_type": 8}, False),
        ({"protocol": "ICMP", "notICMP": {"type": 8}}, {"protocol": "ICMP", "icmp_type": 0}, True),
        ({"protocol": "ICMP", "notICMP": {"type": 8, "code": 1}}, {"protocol": "ICMP", "icmp_type": 8, "icmp_code": 0},
         True),
        ({"destination": {"nets": ["192.0.2.0/24", "198.51.100.0/24"]}}, {}, True),
        ({"destination": {"nets": ["198.51.100.0/24"]}}, {}, False),
        ({"destination": {"nets": ["0.0.0.0/0"]}}, {}, True),
        ({"destination": {"nets": ["0.0.0.0/0"]}}, {"ip": "2001:db8::1"}, False),
        ({"destination": {"notNets": ["198.51.100.0/24"]}}, {}, True),
        ({"destination": {"notNets": ["192.0.2.0/28"]}}, {}, False),
        ({"destination": {"notNets": ["198.51.100.0/24"]}}, {"ip": "2001:db8::1"}, False),
        ({"source": {"nets": ["10.0.0.0/8"], "notNets": ["10.0.0.1/32"]}}, {}, False),
        ({"source": {"nets": ["10.0.0.0/8"]}}, {}, True),
        ({"protocol": "TCP", "destination": {"ports": [80, "90:99"]}}, {}, True),
        ({"protocol": "TCP", "destination": {"ports": [80, "90:99"]}}, {"port": 99}, True),
        ({"protocol": "TCP", "destination": {"ports": [80, "90:99"]}}, {"port": 100}, False),
        ({"protocol": "TCP", "destination": {"notPorts": [80]}}, {}, False),
        ({"protocol": "TCP", "destination": {"notPorts": [81]}}, {}, True),
        ({"protocol": "TCP", "source": {"ports": [1234]}}, {"source_port": 1234}, True),
        ({"protocol": "TCP", "source": {"ports": [1234]}}, {"source_port": 1235}, False),
        ({"protocol": "TCP", "source": {"ports": [1234]}}, {}, False),
        ({"protocol": "SCTP", "destination": {"ports": [80]}}, {"protocol": "SCTP"}, True),
        ({"destination": {"services": {"name": "web"}}}, {}, False),
    ],
)  # fmt: skip
def test_criteria_of_the_packet(rule, probe, wanted):
    assert is_egress(rule, **probe) is wanted


SETS = (
    network_set("global", labels={"set": "g"}, nets=["192.0.2.1"]),
    network_set("local", namespace="ns", labels={"set": "l"}, nets=["192.0.2.2/32"]),
    network_set("remote", namespace="other", labels={"set": "r"}, nets=["192.0.2.3"]),
    namespace("other", team="blue"),
    pod("b", "192.0.2.4", labels={"app": "b"}, account="sa"),
    account("sa", role="x"),
    pod("c", "192.0.2.5", namespace="other", labels={"app": "c"}),
)
G, L, R, B, C, NOBODY = (f"192.0.2.{last}" for last in (1, 2, 3, 4, 5, 99))


@pytest.mark.parametrize(
    ("scope", "entity", "wanted"),
    [
        ("ns", {}, {G, L, R, B, C, NOBODY}),
        ("ns", {"selector": "all()"}, {L, B}),
        ("", {"selector": "all()"}, {G, L, R, B, C}),
        ("ns", {"selector": "set == 'r'"}, set()),
        ("ns", {"selector": "set == 'r'", "namespaceSelector": "all()"}, {R}),
        ("ns", {"namespaceSelector": "all()"}, {L, R, B, C}),
        ("ns", {"namespaceSelector": "global()"}, {G}),
        ("ns", {"namespaceSelector": "team == 'blue'"}, {R, C}),
        ("ns", {"namespaceSelector": "!has(team)"}, {G, L, B}),
        ("", {"namespaceSelector": "team != 'blue'", "selector": "has(set)"}, {G, L}),
        ("ns", {"notSelector": "app == 'b'"}, {L}),
        ("", {"notSelector": "app == 'b'"}, {G, L, R, C, NOBODY}),
        ("", {"selector": "has(app)", "notSelector": "app == 'b'"}, {C}),
        ("ns", {"serviceAccounts": {"names": ["sa"]}}, {B}),
        ("", {"serviceAccounts": {"selector": "role == 'x'"}}, {B}),
        ("", {"serviceAccounts": {"selector": "all()"}}, {B}),
        ("", {"serviceAccounts": {"names": ["sa"], "selector": "role == 'y'"}}, set()),
        ("", {"serviceAccounts": {"names": ["other"]}}, set()),
        ("", {"selector": "has(set)", "nets": ["192.0.2.2/31"]}, {L, R}),
        ("", {"selector": "has(set)", "notNets": ["192.0.2.2/31"]}, {G}),
    ],
)  # fmt: skip
def test_whom_a_rule_selects(scope, entity, wanted):
    made = policy(namespace=scope, types=["Egress"], egress=[{"action": "Allow", "destination": entity}])
    found = {ip for ip in (G, L, R, B, C, NOBODY) if egress(made, *SETS, ip=ip).is_allowed}
    assert found == wanted


def test_all_criteria_must_be_met_by_one_holder_of_the_address():
    shared = [
        network_set("one", labels={"a": "1"}, nets=["192.0.2.0/24"]),
        network_set("two", labels={"b": "1"}, nets=["192.0.2.0/24"]),
    ]
    made = policy(namespace="", egress=[{"action": "Allow", "destination": {"selector": "has(a) && has(b)"}}])
    assert not egress(made, *shared).is_allowed


PORTS = [("http", "TCP", 80), ("dns", "UDP", 53)]


@pytest.mark.parametrize(
    ("rule", "probe", "wanted"),
    [
        ({"destination": {"ports": ["http"]}}, {}, True),
        ({"protocol": "TCP", "destination": {"ports": ["http"]}}, {}, True),
        ({"protocol": "UDP", "destination": {"ports": ["dns"]}}, {"protocol": "UDP", "port": 53}, True),
        ({"destination": {"ports": ["dns"]}}, {"port": 53}, False),
        ({"destination": {"ports": ["http"]}}, {"port": 81}, False),
        ({"destination": {"ports": ["http"]}}, {"ip": "192.0.2.99"}, False),
        ({"destination": {"ports": ["nobody-has-this"]}}, {}, False),
        ({"destination": {"selector": "app == 'other'", "ports": ["http"]}}, {}, False),
        ({"destination": {"selector": "app == 'b'", "ports": ["http"]}}, {}, True),
        ({"protocol": "TCP", "destination": {"ports": ["http", 99]}}, {"port": 99}, True),
        ({"protocol": "TCP", "destination": {"selector": "app == 'b'", "ports": ["http", 99]}},
         {"port": 99, "ip": "192.0.2.99"}, False),
        ({"destination": {"notPorts": ["http"]}}, {}, False),
        ({"destination": {"notPorts": ["http"]}}, {"port": 81}, True),
        ({"destination": {"selector": "app == 'b'", "notPorts": ["http"]}}, {"port": 81}, True),
    ],
)  # fmt: skip
def test_named_ports(rule, probe, wanted):
    assert is_egress(rule, pod("b", "192.0.2.1", labels={"app": "b"}, ports=PORTS), **probe) is wanted


def test_named_ports_on_the_source_side():
    world = [
        namespace(),
        pod("a", "10.0.0.1"),
        pod("b", "10.0.0.2", ports=PORTS),
        policy(selector="all()", ingress=[{"action": "Allow", "source": {"ports": ["http"]}}]),
    ]
    assert verdict(world, "10.0.0.2", "10.0.0.1", source_port=80).ingress.is_allowed
    assert not verdict(world, "10.0.0.2", "10.0.0.1", source_port=81).ingress.is_allowed


def test_trace_says_which_criterion_failed():
    rules = [
        {"action": "Allow", "protocol": "UDP"},
        {"action": "Allow", "destination": {"nets": ["198.51.100.0/24"]}},
        {"action": "Allow", "protocol": "TCP", "destination": {"ports": [81]}},
        {"action": "Allow", "destination": {"selector": "app == 'x'"}},
        {"action": "Allow", "destination": {"domains": ["x.test"]}},
        {"action": "Allow", "source": {"notNets": ["10.0.0.0/8"]}},
    ]
    reasons = [step.reason for step in egress(policy(egress=rules)).trace]
    assert reasons == [
        "protocol",
        "destination.nets",
        "destination.ports",
        "destination.selector",
        "destination.domains",
        "source.notNets",
        "",
    ]


# --- Names ---

KNOWN = [learned("ns/a", "www.x.test", "192.0.2.1")]


@pytest.mark.parametrize(
    ("rule", "probe", "wanted"),
    [
        ({"destination": {"domains": ["www.x.test"]}}, {}, True),
        ({"destination": {"domains": ["*.x.test"]}}, {}, True),
        ({"destination": {"domains": ["x.test"]}}, {}, False),
        ({"destination": {"domains": ["x.test", "www.x.test"]}}, {}, True),
        ({"destination": {"domains": ["www.x.test"]}}, {"ip": "192.0.2.2"}, False),
        ({"protocol": "TCP", "destination": {"domains": ["www.x.test"], "ports": [443]}}, {}, False),
        ({"protocol": "TCP", "destination": {"domains": ["www.x.test"], "ports": [443]}}, {"port": 443}, True),
        ({"ipVersion": 6, "destination": {"domains": ["www.x.test"]}}, {}, False),
    ],
)
def test_domains_of_a_rule(rule, probe, wanted):
    assert is_egress(rule, names=KNOWN, **probe) is wanted


def test_names_learned_by_another_endpoint_do_not_count():
    others = [learned("ns/b", "www.x.test", "192.0.2.1")]
    rule = {"destination": {"domains": ["www.x.test"]}}
    assert not is_egress(rule, pod("b", "10.0.0.2"), names=others)


@pytest.mark.parametrize(
    ("node", "rules", "wanted"),
    [
        ("node-1", ["www.x.test"], True),
        ("node-2", ["www.x.test"], False),
        ("node-1", ["other.test"], False),
    ],
)
def test_node_scope_shares_what_neighbours_learned_for_the_same_names(node, rules, wanted):
    node_wide = {"dns.tidegate.io/scope": "node"}

    def domains(name, patterns, app):
        rule = {"action": "Allow", "destination": {"domains": patterns}}
        return policy(name, selector=f"app == '{app}'", types=["Egress"], egress=[rule], annotations=node_wide)

    world = [pod("b", "10.0.0.2", labels={"app": "b"}, node=node), domains("b", rules, "b")]
    others = [learned("ns/b", "www.x.test", "192.0.2.1")]
    assert egress(domains("a", ["www.x.test"], "a"), *world, names=others).is_allowed is wanted


@pytest.mark.parametrize(("depth", "wanted"), [("www.x.test", True), ("a.www.x.test", False)])
def test_single_label_wildcards_by_annotation(depth, wanted):
    options = {"dns.tidegate.io/wildcard": "single-label"}
    rule = {"destination": {"domains": ["*.x.test"]}}
    assert is_egress(rule, names=[learned("ns/a", depth, "192.0.2.1")], annotations=options) is wanted


NAMED_SET = network_set("named", labels={"set": "n"}, nets=["198.51.100.0/24"], domains=["*.x.test"])


@pytest.mark.parametrize(
    ("entity", "ip", "wanted"),
    [
        ({"selector": "set == 'n'", "namespaceSelector": "global()"}, "192.0.2.1", True),
        ({"selector": "set == 'n'", "namespaceSelector": "global()"}, "198.51.100.9", True),
        ({"selector": "set == 'n'", "namespaceSelector": "global()"}, "192.0.2.2", False),
        ({"selector": "set == 'n'"}, "192.0.2.1", False),
        ({"selector": "set == 'm'", "namespaceSelector": "global()"}, "192.0.2.1", False),
        ({"notSelector": "set == 'm'", "namespaceSelector": "global()"}, "192.0.2.1", True),
        ({"notSelector": "set == 'n'", "namespaceSelector": "global()"}, "192.0.2.1", False),
        ({"selector": "set == 'n'", "namespaceSelector": "global()", "notNets": ["192.0.2.0/24"]}, "192.0.2.1", False),
        ({"selector": "set == 'n'", "namespaceSelector": "global()", "nets": ["10.0.0.0/8"]}, "192.0.2.1", True),
        ({"selector": "set == 'n'", "namespaceSelector": "global()", "nets": ["fd00::/8"]}, "192.0.2.1", False),
    ],
)
def test_domains_of_selected_network_sets(entity, ip, wanted):
    assert is_egress({"destination": entity}, NAMED_SET, names=KNOWN, ip=ip) is wanted


@pytest.mark.parametrize("rules", [{"egress": DENY}, {"ingress": ALLOW}])
def test_domains_of_network_sets_mean_something_in_egress_allow_rules_only(rules):
    entity = {"selector": "set == 'n'", "namespaceSelector": "global()"}
    made = {key: [{**rule, "destination": entity} for rule in value] for key, value in rules.items()}
    world = [namespace(), pod("a", "10.0.0.1"), pod("b", "192.0.2.1"), NAMED_SET, policy(**made)]
    known = [learned("ns/a", "www.x.test", "192.0.2.1")]
    judged = verdict(world, "10.0.0.1", "192.0.2.1", names=known)
    reasons = [step.reason for half in (judged.egress, judged.ingress) for step in half.trace]
    assert "destination.selector" in reasons


# --- Both ends, and the frame ---


def test_both_ends_judge_wherever_they_are():
    world = [
        namespace(),
        pod("a", "10.0.0.1", labels={"app": "a"}),
        pod("b", "10.0.0.2", labels={"app": "b"}, node="node-2"),
        policy("in", selector="app == 'b'", types=["Ingress"], ingress=[{"action": "Allow", "protocol": "UDP"}]),
    ]
    judged = verdict(world, "10.0.0.1", "10.0.0.2")
    assert (judged.egress.is_allowed, judged.ingress.is_allowed, judged.is_allowed) == (True, False, False)
    assert verdict(world, "10.0.0.1", "10.0.0.2", protocol="UDP").is_allowed


def test_a_pod_to_itself_passes_both_of_its_policies():
    world = [namespace(), pod("a", "10.0.0.1"), policy(types=["Ingress"])]
    judged = verdict(world, "10.0.0.1", "10.0.0.1")
    assert (judged.egress.is_allowed, judged.ingress.is_allowed) == (True, False)


def to_host(host, protocol=6, icmp_type=None, frame=None, *policies):
    world = World([namespace(), pod("a", "fd00::1"), *policies])
    sent = Packet(
        source=Party(address=ip_address("fd00::1"), endpoint=EndpointID("ns/a")),
        destination=Party(address=ip_address("fd00::ffff"), host=host),
        protocol=protocol,
        icmp_type=icmp_type,
    )
    return judge(world, sent, frame=frame).egress.deciding.happened


def test_own_host_needs_the_frames_leave_and_other_hosts_do_not():
    assert to_host("node-1") is Happened.HOST_DENIED
    assert to_host("node-2") is Happened.ALLOWED
    assert to_host("node-1", frame=Frame(default_endpoint_to_host_action="Accept")) is Happened.ALLOWED
    denied = policy(egress=DENY)
    assert to_host("node-1", 6, None, Frame(default_endpoint_to_host_action="Accept"), denied) is Happened.DENIED


def test_neighbour_discovery_with_the_own_host_always_passes():
    denied = policy(egress=DENY)
    assert to_host("node-1", 58, 135, None, denied) is Happened.NEIGHBOUR_DISCOVERY_ALLOWED
    assert to_host("node-1", 58, 128, None, denied) is Happened.DENIED
    assert to_host("node-2", 58, 135, None, denied) is Happened.DENIED


def test_the_own_host_reaches_its_workloads_and_other_hosts_are_judged():
    world = World([namespace(), pod("a", "10.0.0.1"), policy(types=["Ingress"])])

    def sent(host):
        source = Party(address=ip_address("172.16.0.1"), host=host)
        destination = Party(address=ip_address("10.0.0.1"))
        return judge(world, Packet(source=source, destination=destination, protocol=6))

    assert sent("node-1").ingress is None
    assert not sent("node-2").is_allowed


def test_workloads_do_not_send_encapsulated_packets_unless_told_so():
    assert egress(protocol="UDP", port=4789).deciding.happened is Happened.ENCAPSULATION_DENIED
    assert egress(protocol=4).deciding.happened is Happened.ENCAPSULATION_DENIED
    world = World([namespace(), pod("a", "10.0.0.1")])
    frame = Frame(allow_vxlan_packets_from_workloads=True, allow_ipip_packets_from_workloads=True)
    for sent in (packet("10.0.0.1", "192.0.2.1", 4789, "UDP"), packet("10.0.0.1", "192.0.2.1", protocol=4)):
        assert judge(world, sent, frame=frame).is_allowed
