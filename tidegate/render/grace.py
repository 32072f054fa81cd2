"""Grace: an endpoint may connect again, for a while, to an address that it used while it was learned (ADR 40).

    ip saddr . ip daddr @d4-x  update @g4-x { ip saddr . ip daddr timeout G }  accept     live: noted by being used
    ip saddr . ip daddr @d4-x  accept                                                      live, and @g4-x is full
    ip saddr . ip daddr @g4-x  update @g4-x { ip saddr . ip daddr timeout G }  accept     its time is over: in grace

The rules fill the sets, so that grace needs no agent. Nothing gets in but by a packet that the learned set admits:
what was never used, and what a guard refused, has no grace. Each further connection prolongs it (the packet process
bounds that, and takes out what policy has withdrawn: `dnsagent.grace`). A full set takes no new pairs, and what is
learned is open all the same.
"""

from collections.abc import Iterator

from nft import expr
from nft.model import Set
from policy.rules import Action, CompiledRule, DomainOptions, DomainSetID
from tidegate.render import names
from tidegate.render.family import FAMILIES
from tidegate.render.match import Conjunction, learned_match
from tidegate.render.sets import GC_SECONDS
from tidegate.render.settings import RenderSettings


def grace_seconds(of: CompiledRule | DomainOptions, settings: RenderSettings) -> float:
    """How long the grace is that a rule, or the options of its names, gives; 0 is none."""
    if isinstance(of, CompiledRule) and (of.destination.domain_set is None or of.action is not Action.ALLOW):
        return 0.0
    return settings.grace_seconds if of.grace_seconds is None else of.grace_seconds


def notes(rule: CompiledRule, condition: Conjunction, settings: RenderSettings) -> Iterator[tuple[expr.Remember, ...]]:
    """What a condition of the rule notes where it matches: the rule is written once for each, in this order."""
    seconds = grace_seconds(rule, settings)
    learned = learned_match(rule, condition) if seconds else None
    if learned is None:
        yield ()
        return
    yield (expr.Remember(learned.grace_set, learned.pair, int(seconds * 1000)),)
    if not learned.is_graced:
        yield ()


def grace_sets(domain_set: DomainSetID, options: DomainOptions, settings: RenderSettings) -> tuple[Set, ...]:
    """The sets of the two families, which the rules fill; none without grace."""
    if not grace_seconds(options, settings):
        return ()
    return tuple(
        Set(
            name=names.grace_set(domain_set, family.version),
            key=(family.address, family.address),
            has_timeout=True,
            is_dynamic=True,
            size=settings.learned_set_size,
            gc_interval_seconds=GC_SECONDS,
        )
        for family in FAMILIES
    )
