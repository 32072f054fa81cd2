"""Where the table hands DNS to the packet process, whose sockets answer in the server's place.

    mangle-prerouting    what is to be taken over is marked, as the client addressed it: what a DNS client sends to a
                         trusted server over TCP, and over UDP what a client of the forwarder sends
    dns-prerouting       behind destination NAT: packets of connections that were taken over go to their sockets, a new
                         connection goes to the listener; where nobody listens the mark is taken off, and the packet
                         goes its own way (or, of a client of the forwarder, nowhere, if so configured)
    filter-input         asks the workload's policy, as filter-forward would have: the addresses are the packet's own
    filter-host          lets it in
    filter-output        what our sockets say in a workload's name to a server that is a workload of this node itself

The mark routes the packet to the host (a rule and a table of the routing policy, `dnsagent.steering`).
"""

from nft import expr
from nft.expr import Compare, Field, Lookup, Op
from nft.model import Rule
from tidegate.render import names
from tidegate.render.family import FAMILIES, Family
from tidegate.render.settings import RenderSettings

_TCP, _UDP = 6, 17


def mark_rules(settings: RenderSettings) -> tuple[Rule, ...]:
    """Marks what is to be taken over. A new connection counts against its workload's rate."""
    if not settings.intercepts:
        return ()
    rate = expr.RateLimitPer(
        names.TCP_RATE,
        (Field.IIFNAME,),
        settings.tcp_connections_per_second,
        "second",
        settings.tcp_connections_burst,
    )
    mark = expr.SetMark(settings.intercept_mark, settings.intercept_mark)
    no_bucket = Lookup((Field.IIFNAME,), names.TCP_RATE, negated=True)
    rules = []
    for family in FAMILIES:
        to_server = _to_server(names.DNS_CLIENTS if settings.reads_tcp else names.DNS_PROXIED, _TCP, family)
        is_new = Compare(Field.CT_STATE, Op.EQ, "new")
        rules += [
            Rule((*to_server, Compare(Field.CT_STATE, Op.NE, "new"), mark), "DNS over TCP"),
            Rule((*to_server, is_new, rate, mark), "DNS over TCP"),
            Rule((*to_server, is_new, no_bucket, expr.Counter()), names.TCP_RATE_FULL),
        ]
        if settings.forwards:
            rules.append(Rule((*_to_server(names.DNS_PROXIED, _UDP, family), mark), "DNS for the forwarder"))
    return tuple(rules)


def _to_server(clients: str, protocol: int, family: Family) -> tuple[expr.Match, ...]:
    return (
        Lookup((Field.IIFNAME,), clients),
        Compare(Field.L4PROTO, Op.EQ, protocol),
        Compare(Field.CT_DIRECTION, Op.EQ, "original"),
        Lookup((family.destination, Field.DPORT), names.servers(family.version)),
    )


def handing_rules(settings: RenderSettings) -> tuple[Rule, ...]:
    """Gives marked packets to their sockets, and what servers answer to sockets that speak in a workload's name."""
    if not settings.intercepts:
        return ()
    is_marked = expr.MarkBits(settings.intercept_mark, Op.EQ, settings.intercept_mark)
    mark = expr.SetMark(settings.intercept_mark, settings.intercept_mark)
    is_tcp = Compare(Field.L4PROTO, Op.EQ, _TCP)
    is_udp = Compare(Field.L4PROTO, Op.EQ, _UDP)
    is_reply = Compare(Field.CT_DIRECTION, Op.EQ, "reply")
    is_new = Compare(Field.CT_STATE, Op.EQ, "new")
    taken = tuple(
        Rule(
            (is_marked, is_new, expr.TransparentProxy(family.version, _TCP, settings.intercept_port), expr.Accept()),
            "DNS over TCP to the listener",
        )
        for family in FAMILIES
    )
    datagrams = tuple(
        Rule(
            (is_marked, expr.TransparentProxy(family.version, _UDP, settings.intercept_port), expr.Accept()),
            "DNS to the forwarder",
        )
        for family in FAMILIES
        if settings.forwards
    )
    forwarded = () if settings.closes_without_learner else (Lookup((Field.IIFNAME,), names.DNS_PROXIED),)
    is_closed = settings.closes_without_forwarder or settings.closes_without_learner
    closed = Rule((is_marked, *forwarded, expr.Counter(), expr.Drop()), "nobody answers or learns")
    return (
        Rule((is_marked, is_tcp, expr.SocketTransparent(), expr.Accept()), "DNS over TCP, taken over before"),
        *taken,
        *datagrams,
        *((closed,) if is_closed else ()),
        Rule((is_marked, is_udp, expr.LogToGroup(settings.query_group)), "DNS query, not to the forwarder after all"),
        Rule((is_marked, expr.SetMark(settings.intercept_mark, 0)), "nobody listens"),
        Rule((is_tcp, is_reply, expr.SocketTransparent(), mark), "answer to a socket that speaks for a workload"),
    )


def host_rules(settings: RenderSettings) -> tuple[Rule, ...]:
    """Lets taken connections into the host, where workloads may not go otherwise; policy has been asked."""
    if not settings.intercepts:
        return ()
    is_marked = expr.MarkBits(settings.intercept_mark, Op.EQ, settings.intercept_mark)
    return (Rule((is_marked, expr.Accept()), "DNS, taken over"),)


def output_rules(settings: RenderSettings) -> tuple[Rule, ...]:
    """A server that is a workload here is asked under its own policy, as if its client had come by itself."""
    if not settings.intercepts:
        return ()
    is_ours = expr.MarkBits(settings.agent_mark, Op.EQ, settings.agent_mark)
    is_new = Compare(Field.CT_STATE, Op.EQ, "new")
    return (Rule((is_ours, is_new, expr.VerdictMap((Field.OIFNAME,), names.TO_ENDPOINT)), "DNS in a workload's name"),)
