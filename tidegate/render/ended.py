"""Connections that were ended must not begin anew from their far end.

When its entry is gone, the next packet of a connection is a new one to conntrack, from whichever end it comes. What the
far end sends on (data, retransmissions) looks like a connection of its own the other way round, and a policy that lets
anybody in, as is usual where only what goes out is restricted, would let it in and then, as established, the answers
out: the connection would go on as if it had never been ended. So the direction of the answers is remembered, and what
comes that way is dropped, unless it begins a connection by the rules of its protocol (TCP: SYN).

Only new packets get here. The other direction needs no memory: policy denies it.
"""

from nft import expr
from nft.expr import Compare, Field, KeyType, Lookup, Op
from nft.model import Chain, Rule, Set
from tidegate.render import names
from tidegate.render.family import FAMILIES, Family
from tidegate.render.settings import RenderSettings

MAX_ENDED = 131_072
"""Directions remembered, of one family: 12 MB of kernel memory. At the bound connections are ended without memory of
their far end, and counted."""
STREAM_SECONDS = 86_400
"""How long the far end of a TCP connection is remembered. It repeats itself for 15 minutes (tcp_retries2), but one that
had nothing to say may begin to speak hours later."""
DATAGRAM_SECONDS = 600
"""Of all other protocols, in which a conversation of the far end's own cannot be told from the ended one if it has the
same ports: three times as long as conntrack remembers a flow of datagrams (nf_conntrack_udp_timeout_stream)."""
_TCP = 6


def asked_first(settings: RenderSettings) -> tuple[Rule, ...]:
    """The rule behind `established` where packets are first asked about."""
    if not settings.ends_connections:
        return ()
    return (Rule((Compare(Field.CT_STATE, Op.EQ, "new"), expr.Jump(names.ENDED))),)


def ended_chains(settings: RenderSettings) -> tuple[Chain, ...]:
    """The chain that looks into the memory."""
    if not settings.ends_connections:
        return ()
    return (Chain(names.ENDED, tuple(rule for family in FAMILIES for rule in _rules(family))),)


def ended_sets(settings: RenderSettings) -> tuple[Set, ...]:
    """The memory. Whoever ends connections writes it."""
    if not settings.ends_connections:
        return ()
    return tuple(item for family in FAMILIES for item in _sets(family))


def _rules(family: Family) -> tuple[Rule, ...]:
    ends = (family.source, family.destination, Field.L4PROTO)
    known = Lookup((*ends, Field.SPORT, Field.DPORT), names.ended(family.version))
    drop = (expr.Counter(), expr.Drop())
    comment = "of a connection that was ended"
    return (
        Rule((expr.MidStream(), known, *drop), comment),
        Rule((Compare(Field.L4PROTO, Op.NE, _TCP), known, *drop), comment),
        Rule((Lookup(ends, names.ended_pairs(family.version)), *drop), comment),
    )


def _sets(family: Family) -> tuple[Set, ...]:
    pair = (family.address, family.address, KeyType.PROTOCOL)
    return tuple(
        Set(name=name, key=key, has_timeout=True, size=MAX_ENDED, gc_interval_seconds=600, is_learned=True)
        for name, key in (
            (names.ended(family.version), (*pair, KeyType.PORT, KeyType.PORT)),
            (names.ended_pairs(family.version), pair),
        )
    )
