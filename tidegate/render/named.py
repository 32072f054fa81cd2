"""Connections that must name themselves: their first packets are shown to the packet process until it has decided.

    policy      a rule that binds its names marks the connection (bound), then accepts
    forward  3  named-forward      bound and not judged: to the queue; judged: goes on, or is dropped
    input    3  named-input        the same for what a workload sends to its own host

The packet process holds data until it has read a name, then sends it through the base chain once more with a mark of
the packet that says what it found; the rules move that to the mark of the connection, which is never asked about again.
What the far end sends passes meanwhile: the name is the client's to say. Packets of a connection that was refused are
dropped in both directions. Nobody at the queue, or a full one, drops: nothing unjudged passes.
"""

from nft import expr
from nft.expr import Compare, ConnectionMarkBits, Field, MarkBits, Op
from nft.model import Chain, Hook, Rule
from tidegate.render import names
from tidegate.render.fragment import Fragment
from tidegate.render.settings import RenderSettings

_UDP = 17
_HOOKS = {names.NAMED_FORWARD: Hook("filter", "forward", 3), names.NAMED_INPUT: Hook("filter", "input", 3)}


def empty_chains() -> tuple[Chain, ...]:
    """The chains that are filled when the first rule binds its names: without one, no packet meets a rule in them."""
    return tuple(Chain(name, hook=hook) for name, hook in _HOOKS.items())


def render_named(settings: RenderSettings) -> Fragment:
    """The chains as they are while a rule binds its names."""
    rules = (*_judged(settings), *_unjudged(settings))
    chains = {name: Chain(name, rules, hook) for name, hook in _HOOKS.items()}
    if settings.has_queue:
        chains[names.QUEUE_NAMED] = Chain(names.QUEUE_NAMED, (Rule((expr.Queue(settings.named_queue),)),))
    return Fragment(chains=chains)


def bind(settings: RenderSettings) -> expr.SetConnectionMark:
    """What a rule does to a connection that must name itself."""
    return expr.SetConnectionMark(settings.bound_mark, settings.bound_mark)


def _judged(settings: RenderSettings) -> tuple[Rule, ...]:
    named, unnamed = settings.named_mark, settings.unnamed_mark
    is_unnamed = MarkBits(unnamed, Op.EQ, unnamed)
    refuse = (expr.SetConnectionMark(unnamed, unnamed), expr.Counter())
    is_refused = ConnectionMarkBits(unnamed, Op.EQ, unnamed)
    return (
        Rule(
            (
                MarkBits(named, Op.EQ, named),
                expr.SetConnectionMark(named, named),
                expr.SetMark(named, 0),
                expr.Counter(),
                expr.Accept(),
            ),
            "named what it may",
        ),
        Rule((is_unnamed, Compare(Field.L4PROTO, Op.EQ, _UDP), *refuse, expr.Reject()), "named nothing that it may"),
        Rule((is_unnamed, *refuse, expr.Drop()), "named nothing that it may"),
        Rule((is_refused, expr.Counter(), expr.Drop()), "refused for its name"),
    )


def _unjudged(settings: RenderSettings) -> tuple[Rule, ...]:
    """Its second rule is for the moment before the queue's chain is filled, and for kernels without queues."""
    is_unjudged = (
        ConnectionMarkBits(settings.bound_mark | settings.named_mark, Op.EQ, settings.bound_mark),
        Compare(Field.CT_DIRECTION, Op.EQ, "original"),
        Compare(Field.CT_STATE, Op.EQ, "new,established"),
    )
    ask = (
        (Rule((*is_unjudged, expr.Counter(), expr.Jump(names.QUEUE_NAMED)), "must name itself"),)
        if settings.has_queue
        else ()
    )
    return (*ask, Rule((*is_unjudged, expr.Counter(), expr.Drop()), "nobody can judge"))
