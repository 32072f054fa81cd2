"""The part of the table that never changes: base chains in the order a packet meets them, and the ends of policy.

    prerouting  -300  raw-prerouting      a workload's source address is its own
    prerouting  -150  mangle-prerouting   DNS queries are shown to the packet process, as the client sent them
    prerouting   -90  dns-prerouting      DNS over TCP is handed to the packet process, behind destination NAT
    forward        0  filter-forward      what the sender's policy lets out     -> from-.. le-.. te-.. pe-..
    forward        1  filter-delivery     what the receiver's policy lets in    -> to-.. li-.. ti-.. pi-..
    input          0  filter-input        the sender's policy, towards its host -> from-.. as above
    input          1  filter-host         whether workloads may reach their own host at all
    forward        3  named-forward        whether a connection has named itself, where a rule demands it
    input          3  named-input          likewise
    input          4  log-input            what Log rules have copied waits until the copies are read
    postrouting    5  log-postrouting      likewise
    output         0  filter-output       the host's own packets to workloads: not filtered, but for DNS that the packet
                                          process passes on in a workload's name
    output    -150  dns-output          the host's own DNS queries, where a host endpoint has rules by names
    input      110  dns-input           likewise its answers
    postrouting  110  dns-postrouting     DNS answers wait here until their addresses are in the sets

Each stage is a base chain of its own, so that `accept` in a policy means "this stage is passed" and nothing more: no
mark to set and to look at behind every policy, and the kernel, which follows every path from a base chain when it
checks a change, walks the sum of the stages' paths and not their product.

No base chain is ever deleted while the agent runs, and one rule always uses conntrack: packets that wait in a queue die
when a base chain goes or when conntrack's hooks go (kernel: nf_queue.c, nf_conntrack_proto.c).
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network

from nft import expr
from nft.expr import Compare, Field, Lookup, Op
from nft.model import Chain, Hook, Rule
from policy.rules import Direction
from tidegate.config.packets import DenyAction, HostAction, SourceCheck
from tidegate.render import host_dns, named, names
from tidegate.render.copies import copies, held_copies
from tidegate.render.dns import answer_rules, query_rules
from tidegate.render.ended import asked_first, ended_chains
from tidegate.render.hosts import empty_chains
from tidegate.render.intercept import handing_rules, host_rules, mark_rules, output_rules
from tidegate.render.limits import of_receiver, of_sender
from tidegate.render.logged import logged_chains
from tidegate.render.settings import RenderSettings

_ESTABLISHED = Rule((Compare(Field.CT_STATE, Op.EQ, "established,related"), expr.Accept()), "established")
_IPIP = 4
_UDP = 17
_ICMPV6 = 58
_VXLAN_PORT = 4789
_NEIGHBOUR_TYPES = (130, 131, 132, 133, 135, 136)
"""Listener queries, reports and dones, router solicitations, neighbour solicitations and advertisements (RFC 4861)."""


def base_chains(settings: RenderSettings) -> tuple[Chain, ...]:
    """The chains that hang on hooks, and the chains that packets of every workload end in."""
    return (
        Chain("raw-prerouting", _anti_spoofing(settings), Hook("filter", "prerouting", -300)),
        Chain("mangle-prerouting", _mangle(settings), Hook("filter", "prerouting", -150)),
        Chain("dns-prerouting", handing_rules(settings), Hook("filter", "prerouting", -90)),
        *limitable_chains(settings),
        Chain("filter-host", _host(settings), Hook("filter", "input", 1)),
        Chain("filter-output", (*asked_first(settings), *output_rules(settings)), Hook("filter", "output", 0)),
        *empty_chains(),
        *named.empty_chains(),
        *host_dns.empty_chains(),
        *logged_chains(settings),
        Chain("dns-postrouting", answer_rules(settings), Hook("filter", "postrouting", 110)),
        Chain(names.NEIGHBOURS, _neighbour_types()),
        Chain(names.DENY_EGRESS, _deny_egress(settings)),
        Chain(names.DENY_INGRESS, (*copies(settings, Direction.INGRESS), _deny(settings))),
        *ended_chains(settings),
        *_silent_chains(settings),
        *_queue_chains(settings),
    )


def limitable_chains(settings: RenderSettings, *, is_limited: bool = False) -> tuple[Chain, ...]:
    """Those base chains in which limits on packets are looked up first, on a node where somebody has one."""
    sender, receiver = ((of_sender(settings),), (of_receiver(),)) if is_limited else ((), ())
    to_host = _limited_input(settings) if is_limited else _input(settings)
    return (
        Chain(names.FILTER_FORWARD, (*sender, *_forward(settings)), Hook("filter", "forward", 0)),
        Chain(names.FILTER_DELIVERY, (*receiver, *_delivery(settings)), Hook("filter", "forward", 1)),
        Chain(names.FILTER_INPUT, to_host, Hook("filter", "input", 0)),
    )


def _anti_spoofing(settings: RenderSettings) -> tuple[Rule, ...]:
    if settings.source_check is SourceCheck.OFF:
        return ()
    rules = [Rule((Lookup((Field.IIFNAME,), names.WORKLOADS, negated=True), expr.Accept()), "not from a workload")]
    if settings.source_check is SourceCheck.STRICT:
        rules += [
            Rule((Lookup((Field.IIFNAME, Field.IP_SADDR), names.sources(4)), expr.Accept())),
            Rule((Lookup((Field.IIFNAME, Field.IP6_SADDR), names.sources(6)), expr.Accept())),
        ]
    rules += [
        Rule((Compare(Field.IP6_SADDR, Op.EQ, IPv6Network("fe80::/10")), expr.Accept()), "link-local"),
        Rule((Compare(Field.IP6_SADDR, Op.EQ, IPv6Address("::")), expr.Accept()), "duplicate address detection"),
        Rule(
            (
                Compare(Field.IP_SADDR, Op.EQ, IPv4Address("0.0.0.0")),  # noqa: S104 - a packet's source, not a socket
                Compare(Field.IP_DADDR, Op.EQ, IPv4Address("255.255.255.255")),
                expr.Accept(),
            ),
            "DHCP",
        ),
    ]
    if settings.honours_source_prefixes:
        rules.append(Rule((expr.VerdictMap((Field.IIFNAME,), names.SOURCE_PREFIXES),)))
    wrong = () if settings.source_check is SourceCheck.STRICT else (expr.ReversePathMissing(),)
    return (*rules, Rule((*wrong, expr.Counter(), expr.Drop()), "spoofed source"))


def _mangle(settings: RenderSettings) -> tuple[Rule, ...]:
    anchor = Rule((Compare(Field.CT_STATE, Op.EQ, "invalid"), expr.Counter()), "keeps conntrack loaded")
    return (anchor, *mark_rules(settings), *query_rules(settings))


def _forward(settings: RenderSettings) -> tuple[Rule, ...]:
    return (_ESTABLISHED, *asked_first(settings), *_from_workloads(settings))


def _delivery(settings: RenderSettings) -> tuple[Rule, ...]:
    return (
        _ESTABLISHED,
        *_invalid(Field.OIFNAME, settings),
        Rule((expr.VerdictMap((Field.OIFNAME,), names.TO_ENDPOINT),)),
        *_unknown(Field.OIFNAME, settings),
    )


def _input(settings: RenderSettings) -> tuple[Rule, ...]:
    return (_ESTABLISHED, *asked_first(settings), *_neighbours(), *_from_workloads(settings))


def _limited_input(settings: RenderSettings) -> tuple[Rule, ...]:
    """Neighbour discovery is not counted: a workload that sends too much must not lose its link for it."""
    first = (*_neighbours(), of_sender(settings), _ESTABLISHED)
    return (*first, *asked_first(settings), *_from_workloads(settings))


def _host(settings: RenderSettings) -> tuple[Rule, ...]:
    if settings.endpoint_to_host is not HostAction.DROP:
        return ()
    to_host = Rule((Lookup((Field.IIFNAME,), names.WORKLOADS), expr.Counter(), expr.Drop()), "workload to its own host")
    return (_ESTABLISHED, *host_rules(settings), *_neighbours(), to_host)


def _from_workloads(settings: RenderSettings) -> tuple[Rule, ...]:
    return (
        *_invalid(Field.IIFNAME, settings),
        *_tunnels(settings),
        Rule((expr.VerdictMap((Field.IIFNAME,), names.FROM_ENDPOINT),)),
        *_unknown(Field.IIFNAME, settings),
    )


def _invalid(interface: Field, settings: RenderSettings) -> tuple[Rule, ...]:
    """Only a workload's packets: asymmetric routing through this node is nobody's business here."""
    if not settings.drops_invalid:
        return ()
    state = Compare(Field.CT_STATE, Op.EQ, "invalid")
    return (Rule((state, Lookup((interface,), names.WORKLOADS), expr.Counter(), expr.Drop()), "invalid"),)


def _tunnels(settings: RenderSettings) -> tuple[Rule, ...]:
    """A workload that may send encapsulated packets could reach other nodes' workloads behind the policy's back."""
    is_workload = Lookup((Field.IIFNAME,), names.WORKLOADS)
    rules = []
    if not settings.allows_vxlan:
        port = Compare(Field.DPORT, Op.EQ, _VXLAN_PORT)
        match = (Compare(Field.L4PROTO, Op.EQ, _UDP), port, is_workload)
        rules.append(Rule((*match, expr.Counter(), expr.Drop()), "VXLAN from a workload"))
    if not settings.allows_ipip:
        protocol = Compare(Field.L4PROTO, Op.EQ, _IPIP)
        rules.append(Rule((protocol, is_workload, expr.Counter(), expr.Drop()), "IP in IP from a workload"))
    return tuple(rules)


def _neighbours() -> tuple[Rule, ...]:
    """IPv6 does not work at all without its neighbours, so policy is not asked (Calico: workload to host)."""
    is_icmp = Compare(Field.L4PROTO, Op.EQ, _ICMPV6)
    return (Rule((is_icmp, Lookup((Field.IIFNAME,), names.WORKLOADS), expr.Jump(names.NEIGHBOURS))),)


def _neighbour_types() -> tuple[Rule, ...]:
    return tuple(
        Rule((Compare(Field.ICMPV6_TYPE, Op.EQ, number), expr.Accept()), "neighbour discovery")
        for number in _NEIGHBOUR_TYPES
    )


def _unknown(interface: Field, settings: RenderSettings) -> tuple[Rule, ...]:
    """An interface that looks like a workload's, before its endpoint is known or after it is gone."""
    return tuple(
        Rule((Compare(interface, Op.EQ, f"{prefix}*"), expr.Counter(), expr.Drop()), "no endpoint")
        for prefix in settings.interface_prefixes
    )


def _deny_egress(settings: RenderSettings) -> tuple[Rule, ...]:
    end = (*copies(settings, Direction.EGRESS), _deny(settings))
    return (*_hold_denied(settings), _no_bucket(), *end) if settings.holds_denied else end


def _queue_chains(settings: RenderSettings) -> tuple[Chain, ...]:
    """Only those that are used: a kernel without queues refuses the rule."""
    chains = []
    if settings.holds_answers or settings.holds_host_answers:
        to_learner = expr.Queue(settings.answer_queue, bypass=not settings.closes_without_learner)
        chains.append(Chain(names.QUEUE_ANSWERS, (Rule((to_learner,)),)))
    if settings.holds_denied:
        chains.append(Chain(names.QUEUE_DENIED, (Rule((expr.Queue(settings.denied_queue),)),)))
    return tuple(chains)


def _silent_chains(settings: RenderSettings) -> tuple[Chain, ...]:
    """Where denied packets are rejected, administrators' policies still drop theirs (network-policy-api: Deny)."""
    if settings.deny_action is DenyAction.DROP:
        return ()
    drop = (*copies(settings, Direction.EGRESS), Rule((expr.Counter(), expr.Drop()), "denied silently"))
    return (
        Chain(names.DROP_EGRESS, (*_hold_denied(settings), _no_bucket(), *drop) if settings.holds_denied else drop),
    )


def _hold_denied(settings: RenderSettings) -> tuple[Rule, ...]:
    """The first packet to an address that is perhaps about to be learned waits for it, once, within limits."""
    may_wait = (
        Lookup((Field.IIFNAME,), names.DNS_CLIENTS),
        Compare(Field.CT_STATE, Op.EQ, "new"),
        expr.MarkBits(settings.repeated_mark, Op.EQ, 0),
    )
    rate = expr.RateLimitPer(
        names.HELD_RATE, (Field.IIFNAME,), settings.held_packets_per_second, "second", settings.held_packets_burst
    )
    hold = Rule((*may_wait, rate, expr.Goto(names.QUEUE_DENIED)), "may wait for a name")
    return (*held_copies(settings, may_wait), hold)


def _no_bucket() -> Rule:
    """Counts what was denied at once because no further interface finds room in the set of rates."""
    clients = Lookup((Field.IIFNAME,), names.DNS_CLIENTS)
    return Rule(
        (
            clients,
            Compare(Field.CT_STATE, Op.EQ, "new"),
            Lookup((Field.IIFNAME,), names.HELD_RATE, negated=True),
            expr.Counter(),
        ),
        names.HELD_RATE_FULL,
    )


def _deny(settings: RenderSettings) -> Rule:
    end = expr.Drop() if settings.deny_action is DenyAction.DROP else expr.Reject()
    return Rule((expr.Counter(), end), "denied")
