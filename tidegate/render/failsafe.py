"""What no host endpoint's policy cuts off: failsafe ports, and the ICMPv6 by which hosts find each other.

Before conntrack a reply cannot be told from a request but by its ports, so there the chains take both.
"""

from collections.abc import Iterable, Iterator

from nft import expr
from nft.expr import Compare, Field, Op
from nft.model import Chain, Rule
from policy.hosts import NEIGHBOUR_TYPES, FailsafePort
from tidegate.render import names
from tidegate.render.family import V4, V6
from tidegate.render.settings import RenderSettings

_TCP = 6
_ICMPV6 = 58


def failsafe_chains(settings: RenderSettings) -> tuple[Chain, ...]:
    """The chains that host endpoints ask first. They accept or return."""
    inbound, outbound = settings.failsafe_inbound, settings.failsafe_outbound
    neighbours = Rule((Compare(Field.L4PROTO, Op.EQ, _ICMPV6), expr.Jump(names.HOST_NEIGHBOURS)))
    requests_in = (neighbours, *_rules(inbound, Field.DPORT, is_source=True))
    requests_out = (neighbours, *_rules(outbound, Field.DPORT, is_source=False))
    return (
        Chain(names.HOST_NEIGHBOURS, tuple(_neighbours())),
        Chain(names.FAILSAFE_IN, requests_in),
        Chain(names.FAILSAFE_OUT, (*requests_out, *_open_connections(inbound))),
        Chain(names.FAILSAFE_IN_RAW, (*requests_in, *_rules(outbound, Field.SPORT, is_source=True))),
        Chain(names.FAILSAFE_OUT_RAW, (*requests_out, *_rules(inbound, Field.SPORT, is_source=False))),
    )


def _open_connections(inbound: Iterable[FailsafePort]) -> Iterator[Rule]:
    """What the host says on connections that were open before conntrack first saw them.

    Policy that begins in the middle of one must not silence the host until its client happens to speak. A program
    that begins a connection sends SYN, whatever port it has.
    """
    for rule in _rules((port for port in inbound if port.protocol == _TCP), Field.SPORT, is_source=False):
        protocol, port, *rest = rule.statements
        yield Rule((protocol, port, expr.MidStream(), *rest), "failsafe, open before")


def _neighbours() -> Iterator[Rule]:
    for number in NEIGHBOUR_TYPES:
        yield Rule((Compare(Field.ICMPV6_TYPE, Op.EQ, number), expr.Accept()), "neighbour discovery")


def _rules(ports: Iterable[FailsafePort], where: Field, *, is_source: bool) -> Iterator[Rule]:
    """Rules about a port; `is_source`: the network, if there is one, is where the packet comes from."""
    for port in ports:
        match: list[expr.Match] = [Compare(Field.L4PROTO, Op.EQ, port.protocol), Compare(where, Op.EQ, port.port)]
        if port.net is not None:
            family = V4 if port.net.version == V4.version else V6
            match.append(Compare(family.source if is_source else family.destination, Op.EQ, port.net))
        yield Rule((*match, expr.Counter(), expr.Accept()), "failsafe")
