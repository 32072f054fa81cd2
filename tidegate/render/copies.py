"""Copies of denied packets for the flow records: conntrack forgets what is denied before anybody hears of it. Pure."""

from nft import expr
from nft.model import Rule
from policy.rules import Direction
from tidegate.render.settings import RenderSettings

INGRESS_GROUP, EGRESS_GROUP = 1, 2
"""NFLOG groups (Calico: the groups of its flow logs)."""
COPY_BYTES = 128
"""Of a packet: its headers."""
HELD = "held"
"""The prefix of copies of packets that are not denied yet, but wait for a name."""


def copies(settings: RenderSettings, direction: Direction) -> tuple[Rule, ...]:
    """What is about to be denied is told to the flow records, where there are any."""
    return (Rule((copy(direction),), "flow record"),) if settings.copies_denied else ()


def copy(direction: Direction) -> expr.LogToGroup:
    """The statement alone."""
    return expr.LogToGroup(INGRESS_GROUP if direction is Direction.INGRESS else EGRESS_GROUP, snap_bytes=COPY_BYTES)


def held_copies(settings: RenderSettings, may_wait: tuple[expr.Match, ...]) -> tuple[Rule, ...]:
    """What waits in vain is dropped out of the queue, and never comes to the rules behind: it is told here."""
    if not settings.copies_denied:
        return ()
    return (Rule((*may_wait, expr.LogToGroup(EGRESS_GROUP, prefix=HELD, snap_bytes=COPY_BYTES)), "flow record"),)
