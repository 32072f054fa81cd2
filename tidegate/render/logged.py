"""Packets that Log rules have copied wait here, behind all policy, until the copies are read (ADR 61).

    policy            a Log rule copies the packet, with the rule's tag, and marks it; evaluation goes on
    input        4    log-input         what has the mark loses it and goes to the queue
    postrouting  5    log-postrouting   likewise

So a packet waits once, whatever the number of Log rules it met, and only if policy lets it pass: of what is denied the
copy is all that is left. Established connections meet no Log rule, have no mark and never wait.
"""

from nft import expr
from nft.expr import MarkBits, Op
from nft.model import Chain, Hook, Rule
from tidegate.render import names
from tidegate.render.settings import RenderSettings

COMMENT = "logged"
"""Of the rule that counts what comes to wait."""
_HOOKS = {
    names.LOG_INPUT: Hook("filter", "input", 4),
    names.LOG_POSTROUTING: Hook("filter", "postrouting", 5),
}
"""Behind every chain of policy, and before source NAT: whatever leaves this table passes one of the two."""


def logged_chains(settings: RenderSettings) -> tuple[Chain, ...]:
    """The base chains, empty where nothing waits, and what they lead to."""
    if not settings.holds_logged:
        return tuple(Chain(name, hook=hook) for name, hook in _HOOKS.items())
    is_logged = MarkBits(settings.logged_mark, Op.EQ, settings.logged_mark)
    wait = (Rule((is_logged, expr.Jump(names.LOG_HOLD)), "waits for its record"),)
    return (
        *(Chain(name, wait, hook) for name, hook in _HOOKS.items()),
        Chain(names.LOG_HOLD, _hold(settings)),
        Chain(names.QUEUE_LOGGED, (Rule((_queue(settings),)),)),
    )


def _hold(settings: RenderSettings) -> tuple[Rule, ...]:
    """The mark goes first: in a tunnel the packet would take it along and wait again.

    The last rule is for the moment before the queue's chain is filled.
    """
    hold = (
        Rule((expr.SetMark(settings.logged_mark, 0), expr.Counter()), COMMENT),
        Rule((expr.Jump(names.QUEUE_LOGGED),)),
    )
    return (*hold, Rule((expr.Counter(), expr.Drop()), "nobody records")) if settings.log_drops_overflow else hold


def _queue(settings: RenderSettings) -> expr.Queue:
    assert settings.log_queue is not None
    return expr.Queue(settings.log_queue, bypass=not settings.log_drops_overflow)
