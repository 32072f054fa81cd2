"""DNS of the host's own processes, on a node whose host endpoints have rules by names (ADR 41).

    output  -150  dns-output   a question to a trusted server: marks its connection (asked); a copy to the learner
    input    110  dns-input    the answer to one: waits until its addresses are in the sets, as answers to workloads do

Questions are seen before destination NAT and answers behind what undoes it, as the processes see them. A stub on a
loopback address is a server like others. What the packet process itself asks is left alone, with its answers: it has a
mark (the agent's in a workload's name; in its own that of held packets, which nothing else looks at here), so that its
connections are never marked. Over TCP each packet of the connection comes by: the learner puts the streams together.

The mark is one of the connection. No packet of another connection pays more than the look at it.
"""

from nft import expr
from nft.expr import Compare, ConnectionMarkBits, Field, Lookup, Op
from nft.model import Chain, Hook, Rule
from tidegate.render import names
from tidegate.render.family import FAMILIES
from tidegate.render.fragment import Fragment
from tidegate.render.settings import RenderSettings

_TCP, _UDP = 6, 17
_HOOKS = {names.DNS_OUTPUT: Hook("filter", "output", -150), names.DNS_INPUT: Hook("filter", "input", 110)}


def empty_chains() -> tuple[Chain, ...]:
    """The chains that are filled when a host endpoint has rules by names: before, no packet meets a rule in them."""
    return tuple(Chain(name, hook=hook) for name, hook in _HOOKS.items())


def render_host_dns(settings: RenderSettings) -> Fragment:
    """The chains as they are then."""
    rules = {names.DNS_OUTPUT: _questions(settings), names.DNS_INPUT: _answers(settings)}
    return Fragment(chains={name: Chain(name, found, _HOOKS[name]) for name, found in rules.items()})


def _questions(settings: RenderSettings) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            (
                Compare(Field.L4PROTO, Op.EQ, protocol),
                expr.MarkBits(settings.agent_mark | settings.repeated_mark, Op.EQ, 0),
                Compare(Field.CT_DIRECTION, Op.EQ, "original"),
                Lookup((family.destination, Field.DPORT), names.servers(family.version)),
                expr.SetConnectionMark(settings.asked_mark, settings.asked_mark),
                expr.LogToGroup(settings.query_group),
            ),
            "DNS query of the host",
        )
        for protocol in _protocols(settings)
        for family in FAMILIES
    )


def _answers(settings: RenderSettings) -> tuple[Rule, ...]:
    holds = settings.holds_host_answers
    end = expr.Goto(names.QUEUE_ANSWERS) if holds else expr.LogToGroup(settings.query_group)
    return tuple(
        Rule(
            (
                Compare(Field.L4PROTO, Op.EQ, protocol),
                ConnectionMarkBits(settings.asked_mark, Op.EQ, settings.asked_mark),
                Compare(Field.CT_DIRECTION, Op.EQ, "reply"),
                Lookup((family.source, Field.SPORT), names.servers(family.version)),
                end,
            ),
            "DNS answer to the host",
        )
        for protocol in _protocols(settings)
        for family in FAMILIES
    )


def _protocols(settings: RenderSettings) -> tuple[int, ...]:
    return (_UDP, _TCP) if settings.reads_host_tcp else (_UDP,)
