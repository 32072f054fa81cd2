"""Where the table shows DNS to the packet process: queries before destination NAT, answers after it was undone.

Both are seen as the client sees them, so a service address is a trusted server under that address.
"""

from nft import expr
from nft.expr import Compare, Field, KeyType, Lookup, Op
from nft.model import Key, Rule, Set
from tidegate.render import names
from tidegate.render.family import FAMILIES, Family
from tidegate.render.settings import RenderSettings

_UDP = 17
_DNS_PORT = 53
_UNTRUSTED_PER_SECOND = 50
"""Of each family. They are for explanation alone; a workload that floods its own server must not flood the learner."""


def query_rules(settings: RenderSettings) -> tuple[Rule, ...]:
    """Copies of the queries to trusted servers, but for those that the forwarder gets. Queries are never delayed."""
    return tuple(
        Rule(
            (
                Lookup((Field.IIFNAME,), names.DNS_CLIENTS),
                *_is_dns(family.destination, Field.DPORT, "original", family),
                expr.MarkBits(settings.intercept_mark, Op.EQ, 0),
                expr.LogToGroup(settings.query_group),
            ),
            "DNS query",
        )
        for family in FAMILIES
    )


def answer_rules(settings: RenderSettings) -> tuple[Rule, ...]:
    """Answers of trusted servers, held until learned, or copied where the mode does not hold them.

    They are replies of tracked connections that policy has let out: an unasked answer does not get here as a reply.
    """
    end = expr.Goto(names.QUEUE_ANSWERS) if settings.holds_answers else expr.LogToGroup(settings.query_group)
    trusted = tuple(
        Rule(
            (
                Lookup((Field.OIFNAME,), names.DNS_CLIENTS),
                *_is_dns(family.source, Field.SPORT, "reply", family),
                end,
            ),
            "DNS answer",
        )
        for family in FAMILIES
    )
    ours = (expr.MarkBits(settings.agent_mark, Op.EQ, settings.agent_mark), expr.Accept())
    return (Rule(ours, "the forwarder's own answers"), *trusted, *(_untrusted(family, settings) for family in FAMILIES))


def _untrusted(family: Family, settings: RenderSettings) -> Rule:
    """Copies of some answers of other servers: they teach nothing, but explain why an address stays closed."""
    return Rule(
        (
            Lookup((Field.OIFNAME,), names.DNS_CLIENTS),
            Compare(Field.L4PROTO, Op.EQ, _UDP),
            Compare(Field.SPORT, Op.EQ, _DNS_PORT),
            Compare(Field.CT_DIRECTION, Op.EQ, "reply"),
            Lookup((family.source, Field.SPORT), names.servers(family.version), negated=True),
            expr.RateLimit(_UNTRUSTED_PER_SECOND, "second", _UNTRUSTED_PER_SECOND),
            expr.LogToGroup(settings.query_group),
        ),
        "untrusted DNS answer",
    )


def _is_dns(server: Field, port: Field, direction: str, family: Family) -> tuple[expr.Match, ...]:
    return (
        Compare(Field.L4PROTO, Op.EQ, _UDP),
        Compare(Field.CT_DIRECTION, Op.EQ, direction),
        Lookup((server, port), names.servers(family.version)),
    )


def server_sets() -> tuple[Set, ...]:
    """The sets of trusted servers (address . port) of the two families."""
    return tuple(Set(name=names.servers(family.version), key=(family.address, KeyType.PORT)) for family in FAMILIES)


def server_elements(settings: RenderSettings) -> dict[str, frozenset[Key]]:
    """The trusted servers as elements of those sets."""
    return {
        names.servers(family.version): frozenset(
            (server.address, server.port)
            for server in settings.trusted_servers
            if server.address.version == family.version
        )
        for family in FAMILIES
    }
