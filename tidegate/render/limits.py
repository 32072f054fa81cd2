"""Limits on one endpoint's traffic: chains of one rule each, which drop what is beyond.

    filter-forward, filter-input   every packet of a limited sender    -> qe-..  packets a second
    filter-delivery                every packet to a limited receiver  -> qi-..  packets a second
    from-.., to-..                 what begins a connection            -> ce-.., ci-..  connections a second
                                                                       -> me-.., mi-..  connections at the same time

The kernel keeps the state of a limit in its rule, so each has a chain for itself: it is written anew, and begins anew,
when this one number changes, and not when policy or another endpoint does. Numbers come before policy (Calico: QoS
controls), so connections that policy denies count against the rate. The base chains look limits up only on a node
where somebody has one, and towards the host behind neighbour discovery, without which IPv6 does not work. What the
host itself sends to its workloads is not counted, as it is not filtered.
"""

from collections.abc import Iterator
from dataclasses import replace

from nft import expr
from nft.expr import Field, Op
from nft.model import Chain, Rule
from policy.limits import Limits, Rate
from policy.rules import Direction, Endpoint
from tidegate.config.packets import DenyAction
from tidegate.render import names
from tidegate.render.names import LimitKind
from tidegate.render.settings import RenderSettings

_FIRST = expr.FirstOfConnection()


def limit_chains(endpoint: Endpoint, settings: RenderSettings) -> Iterator[Chain]:
    """The chains of an endpoint's limits. Connections too many are refused as policy refuses them, packets dropped."""
    refusal = expr.Drop() if settings.deny_action is DenyAction.DROP else expr.Reject()
    for direction in Direction:
        limits = in_force(endpoint, direction, settings)
        if limits.packets:
            yield _chain(endpoint, direction, LimitKind.PACKETS, _faster(limits.packets), expr.Drop())
        if limits.connections:
            yield _chain(endpoint, direction, LimitKind.CONNECTIONS, _faster(limits.connections), refusal)
        if limits.max_connections:
            over = expr.ConnectionsOver(limits.max_connections)
            yield _chain(endpoint, direction, LimitKind.MAX_CONNECTIONS, over, refusal)


def in_force(endpoint: Endpoint, direction: Direction, settings: RenderSettings) -> Limits:
    """The endpoint's limits, with the node's where it has none of its own; a rate is None or above zero."""
    limits = endpoint.limits.ingress if direction is Direction.INGRESS else endpoint.limits.egress
    is_ingress = direction is Direction.INGRESS
    default = settings.ingress_connections_per_second if is_ingress else settings.egress_connections_per_second
    rate = limits.connections or Rate(default, default)
    return replace(limits, connections=rate if rate.per_second else None)


def questions(endpoint: Endpoint, direction: Direction, settings: RenderSettings) -> tuple[Rule, ...]:
    """Asks the limits about new connections, before policy. A packet that was held and comes again counts once."""
    limits = in_force(endpoint, direction, settings)
    rules = []
    if limits.connections:
        jump = expr.Jump(names.limit_chain(endpoint.id, direction, LimitKind.CONNECTIONS))
        rules.append(Rule((_FIRST, _first_time(settings), jump)))
    if limits.max_connections:
        rules.append(Rule((_FIRST, expr.Jump(names.limit_chain(endpoint.id, direction, LimitKind.MAX_CONNECTIONS)))))
    return tuple(rules)


def of_sender(settings: RenderSettings) -> Rule:
    """Asks the packet rate of the workload that sends."""
    return Rule((_first_time(settings), expr.VerdictMap((Field.IIFNAME,), names.LIMITED_FROM)))


def of_receiver() -> Rule:
    """Asks the packet rate of the workload that receives."""
    return Rule((expr.VerdictMap((Field.OIFNAME,), names.LIMITED_TO),))


def _first_time(settings: RenderSettings) -> expr.MarkBits:
    return expr.MarkBits(settings.repeated_mark, Op.EQ, 0)


def _faster(rate: Rate) -> expr.RateLimit:
    return expr.RateLimit(rate.per_second, "second", rate.burst, is_over=True)


def _chain(
    endpoint: Endpoint, direction: Direction, kind: LimitKind, beyond: expr.Statement, end: expr.Terminal
) -> Chain:
    rule = Rule((beyond, expr.Counter(), end), names.limit_comment(endpoint.id, direction, kind))
    return Chain(names.limit_chain(endpoint.id, direction, kind), (rule,))
