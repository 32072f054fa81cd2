"""Where the table hands DNS over TCP to the packet process, whose socket answers in the server's place.

    mangle-prerouting    what a DNS client sends to a trusted server over TCP is marked, as the client addressed it
    dns-prerouting       behind destination NAT: packets of connections that were taken over go to their sockets, a new
                         connection goes to the listener; where nobody listens the mark is taken off, and the packet
                         goes its own way
    filter-input         asks the workload's policy, as filter-forward would have: the addresses are the packet's own
    filter-host          lets it in
    filter-output        what our sockets say in a workload's name to a server that is a workload of this node itself

The mark routes the packet to the host (a rule and a table of the routing policy, `dnsagent.steering`).
"""

from nft import expr
from nft.expr import Compare, Field, Lookup, Op
from nft.model import Rule
from tidegate.render import names
from tidegate.render.family import FAMILIES
from tidegate.render.settings import RenderSettings

_TCP = 6


def mark_rules(settings: RenderSettings) -> tuple[Rule, ...]:
    """Marks what is to be taken over. A new connection counts against its workload's rate."""
    if not settings.reads_tcp:
        return ()
    rate = expr.RateLimitPer(
        names.TCP_RATE,
        (Field.IIFNAME,),
        settings.tcp_connections_per_second,
        "second",
        settings.tcp_connections_burst,
    )
    mark = expr.SetMark(settings.intercept_mark, settings.intercept_mark)
    rules = []
    for family in FAMILIES:
        to_server = (
            Lookup((Field.IIFNAME,), names.DNS_CLIENTS),
            Compare(Field.L4PROTO, Op.EQ, _TCP),
            Compare(Field.CT_DIRECTION, Op.EQ, "original"),
            Lookup((family.destination, Field.DPORT), names.servers(family.version)),
        )
        is_new = Compare(Field.CT_STATE, Op.EQ, "new")
        rules += [
            Rule((*to_server, Compare(Field.CT_STATE, Op.NE, "new"), mark), "DNS over TCP"),
            Rule((*to_server, is_new, rate, mark), "DNS over TCP"),
        ]
    return tuple(rules)


def handing_rules(settings: RenderSettings) -> tuple[Rule, ...]:
    """Gives marked packets to their sockets, and what servers answer to sockets that speak in a workload's name."""
    if not settings.reads_tcp:
        return ()
    is_marked = expr.MarkBits(settings.intercept_mark, Op.EQ, settings.intercept_mark)
    mark = expr.SetMark(settings.intercept_mark, settings.intercept_mark)
    is_tcp = Compare(Field.L4PROTO, Op.EQ, _TCP)
    is_reply = Compare(Field.CT_DIRECTION, Op.EQ, "reply")
    is_new = Compare(Field.CT_STATE, Op.EQ, "new")
    taken = tuple(
        Rule(
            (is_marked, is_new, expr.TransparentProxy(family.version, _TCP, settings.intercept_port), expr.Accept()),
            "DNS over TCP to the listener",
        )
        for family in FAMILIES
    )
    return (
        Rule((is_marked, expr.SocketTransparent(), expr.Accept()), "DNS over TCP, taken over before"),
        *taken,
        Rule((is_marked, expr.SetMark(settings.intercept_mark, 0)), "nobody listens"),
        Rule((is_tcp, is_reply, expr.SocketTransparent(), mark), "answer to a socket that speaks for a workload"),
    )


def host_rules(settings: RenderSettings) -> tuple[Rule, ...]:
    """Lets taken connections into the host, where workloads may not go otherwise; policy has been asked."""
    if not settings.reads_tcp:
        return ()
    is_marked = expr.MarkBits(settings.intercept_mark, Op.EQ, settings.intercept_mark)
    return (Rule((is_marked, expr.Accept()), "DNS, taken over"),)


def output_rules(settings: RenderSettings) -> tuple[Rule, ...]:
    """A server that is a workload here is asked under its own policy, as if its client had come by itself."""
    if not settings.reads_tcp:
        return ()
    is_ours = expr.MarkBits(settings.agent_mark, Op.EQ, settings.agent_mark)
    is_new = Compare(Field.CT_STATE, Op.EQ, "new")
    return (Rule((is_ours, is_new, expr.VerdictMap((Field.OIFNAME,), names.TO_ENDPOINT)), "DNS in a workload's name"),)
