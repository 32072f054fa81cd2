"""The fixed part: settings change it, policy does not."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from dnsagent.snapshot import Mode, TrustedServer
from nft import expr
from nft.expr import Field
from tests.render.states import NET4, endpoint, policy, state, tier, to, typical
from tidegate.config.packets import DenyAction, HostAction, SourceCheck
from tidegate.render import RenderSettings, names, render_table


def chain(name, **settings):
    return render_table(state(), RenderSettings(**settings)).chains[name]


def statements(name, **settings):
    return [item for rule in chain(name, **settings).rules for item in rule.statements]


def test_established_connections_come_first():
    for name in ("filter-forward", "filter-delivery", "filter-input", "filter-host"):
        first = chain(name).rules[0].statements
        assert first == (expr.Compare(Field.CT_STATE, expr.Op.EQ, "established,related"), expr.Accept())


@pytest.mark.parametrize("mode", list(Mode))
def test_conntrack_is_used_whatever_the_mode(mode):
    anchor = chain("mangle-prerouting", dns_mode=mode).rules[0].statements
    assert expr.Compare(Field.CT_STATE, expr.Op.EQ, "invalid") in anchor
    assert expr.Drop() not in anchor


@pytest.mark.parametrize(
    ("mode", "below", "answers", "denied"),
    [
        (Mode.DELAY_DNS_RESPONSE, True, True, True),
        (Mode.DELAY_DNS_RESPONSE, False, True, False),
        (Mode.DELAY_DENIED_PACKET, False, False, True),
        (Mode.NO_DELAY, True, False, False),
        (Mode.PROXY, True, True, True),
    ],
)
def test_the_mode_says_who_waits(mode, below, answers, denied):
    settings = {"dns_mode": mode, "holds_denied_below": below}
    assert (expr.Goto(names.QUEUE_ANSWERS) in statements("dns-postrouting", **settings)) == answers
    ends = [rule.statements[-1] for rule in chain("dns-postrouting", **settings).rules if rule.comment == "DNS answer"]
    assert (expr.LogToGroup(3) in ends) == (not answers)
    assert (expr.Goto(names.QUEUE_DENIED) in statements(names.DENY_EGRESS, **settings)) == denied


def test_untrusted_answers_are_shown_but_never_held():
    rules = [rule for rule in chain("dns-postrouting").rules if rule.comment == "untrusted DNS answer"]
    assert len(rules) == 2
    for rule in rules:
        assert rule.statements[-1] == expr.LogToGroup(3)
        assert any(isinstance(item, expr.RateLimit) for item in rule.statements)
        assert any(isinstance(item, expr.Lookup) and item.negated for item in rule.statements)


def test_a_denied_packet_is_held_once_and_then_denied():
    hold, full, deny = chain(names.DENY_EGRESS).rules
    assert expr.MarkBits(0x20000, expr.Op.EQ, 0) in hold.statements
    assert (full.comment, full.statements[-1]) == (names.HELD_RATE_FULL, expr.Counter())
    assert deny.statements[-1] == expr.Drop()


def test_answers_pass_without_an_agent_and_denied_packets_do_not():
    assert statements(names.QUEUE_ANSWERS) == [expr.Queue(101, bypass=True)]
    assert statements(names.QUEUE_DENIED) == [expr.Queue(100)]


def test_only_endpoints_with_names_are_dns_clients():
    named = policy("a", egress=({"destination": to(domain_set="d")},))
    plain = policy("b", egress=({},))
    who = (
        endpoint("one", tiers=(tier(egress=(plain.id, named.id)),)),
        endpoint("two", tiers=(tier(egress=(plain.id,)),)),
    )
    table = render_table(state(endpoints=who, policies=(named, plain), domains={"d": ("a.example",)}), RenderSettings())
    assert table.elements[names.DNS_CLIENTS] == {("calione",)}
    assert table.elements[names.WORKLOADS] == {("calione",), ("calitwo",)}


def test_workloads_are_proxied_by_their_policy_or_all_by_the_mode():
    named = policy("a", egress=({"destination": to(domain_set="d")},))
    proxying = replace(policy("b", egress=({},)), is_proxied=True)
    who = (
        endpoint("one", tiers=(tier(egress=(named.id, proxying.id)),)),
        endpoint("two", tiers=(tier(egress=(named.id,)),)),
        endpoint("six", tiers=(tier(egress=(proxying.id,)),)),
    )
    node = state(endpoints=who, policies=(named, proxying), domains={"d": ("a.example",)})

    def proxied(**settings):
        return render_table(node, RenderSettings(**settings)).elements[names.DNS_PROXIED]

    assert proxied() == {("calione",)}
    assert proxied(dns_mode=Mode.PROXY) == {("calione",), ("calitwo",)}
    assert proxied(dns_mode=Mode.PROXY, forwards=False) == frozenset()


def test_what_nobody_takes_goes_its_way_unless_it_must_not():
    comments = [rule.comment for rule in chain("dns-prerouting").rules]
    assert "nobody answers or learns" not in comments
    comments = [rule.comment for rule in chain("dns-prerouting", closes_without_forwarder=True).rules]
    assert comments.index("nobody answers or learns") < comments.index("nobody listens")
    drop = chain("dns-prerouting", closes_without_forwarder=True).rules[comments.index("nobody answers or learns")]
    assert drop.statements[-1] == expr.Drop()
    assert expr.Lookup((Field.IIFNAME,), names.DNS_PROXIED) in drop.statements


def test_a_kernel_that_cannot_hand_over_gets_no_rules_for_it():
    for name in ("dns-prerouting", "filter-output"):
        assert chain(name, reads_tcp=False, forwards=False).rules == ()
    assert expr.SetMark(0x80000000, 0x80000000) not in statements("mangle-prerouting", reads_tcp=False, forwards=False)


def test_trusted_servers_are_elements():
    servers = (TrustedServer(address=ip_address("10.96.0.10")), TrustedServer(address=ip_address("fd00::a"), port=5353))
    table = render_table(state(), RenderSettings(trusted_servers=servers))
    assert table.elements["dns-servers4"] == {(ip_address("10.96.0.10"), 53)}
    assert table.elements["dns-servers6"] == {(ip_address("fd00::a"), 5353)}


def test_learned_sets_belong_to_the_packet_process():
    table = render_table(typical(), RenderSettings())
    learned = [item for item in table.sets.values() if item.is_learned]
    assert [item.name[:2] for item in learned] == ["d4", "d6"]
    for item in learned:
        assert item.has_timeout
        assert not item.is_interval
        assert item.name not in table.elements
        assert (item.size, item.gc_interval_seconds) == (4 * 65536, 60)


def test_no_set_has_both_intervals_and_timeouts():
    for item in render_table(typical(), RenderSettings()).sets.values():
        assert not (item.is_interval and item.has_timeout)


def test_loose_spoofing_asks_for_the_route_back():
    assert expr.ReversePathMissing() in statements("raw-prerouting", source_check=SourceCheck.LOOSE)
    assert expr.ReversePathMissing() not in statements("raw-prerouting", source_check=SourceCheck.STRICT)
    assert not statements("raw-prerouting", source_check=SourceCheck.OFF)


@pytest.mark.parametrize("action", list(HostAction))
def test_what_a_workload_may_reach_of_its_host(action):
    assert (expr.Drop() in statements("filter-host", endpoint_to_host=action)) == (action is HostAction.DROP)


def test_a_rejecting_node_tells_the_sender():
    assert statements(names.DENY_INGRESS, deny_action=DenyAction.REJECT)[-1] == expr.Reject()


def test_interfaces_that_look_like_workloads_and_are_none_pass_nothing():
    settings = {"interface_prefixes": ("cali", "tap")}
    for name, field in (
        ("filter-forward", Field.IIFNAME),
        ("filter-delivery", Field.OIFNAME),
        ("filter-input", Field.IIFNAME),
    ):
        *_, first, second = chain(name, **settings).rules
        for rule, prefix in ((first, "cali*"), (second, "tap*")):
            assert rule.statements == (expr.Compare(field, expr.Op.EQ, prefix), expr.Counter(), expr.Drop())


def test_source_prefixes_are_honoured_only_where_the_node_says_so():
    who = endpoint("a", allowed_source_prefixes=(NET4,))
    strict = render_table(state(endpoints=(who,)), RenderSettings())
    assert not strict.verdicts[names.SOURCE_PREFIXES]
    lax = render_table(state(endpoints=(who,)), RenderSettings(honours_source_prefixes=True))
    (jump,) = lax.verdicts[names.SOURCE_PREFIXES].values()
    (rule,) = lax.chains[jump.chain].rules
    assert rule.statements == (expr.Compare(Field.IP_SADDR, expr.Op.EQ, NET4), expr.Accept())
