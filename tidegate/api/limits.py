"""Limits in force, and what went beyond them: of workloads' traffic, and of the table's own sets. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nft.counts import Count
from policy.rules import Direction, Endpoint, NodeState
from tidegate.render import RenderSettings, names
from tidegate.render.limits import in_force
from tidegate.render.names import LimitKind

_BOUNDS = {names.HELD_RATE_FULL: "held-rate", names.TCP_RATE_FULL: "tcp-rate"}
_BOUND_CHAINS = ("mangle-prerouting", names.DENY_EGRESS, names.DROP_EGRESS)
"""Where what found such a set full is counted."""
_NONE = Count()


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitView:
    """One limit of one endpoint."""

    endpoint: str
    name: str
    """As the annotation calls it: `ingressPacketRate`."""
    limit: int
    """A second, or at the same time."""
    burst: int | None
    """At once, where the limit is a rate."""
    dropped: int
    """Packets beyond it."""


def limits(state: NodeState, settings: RenderSettings, counts: Mapping[str, Count]) -> Iterator[LimitView]:
    """All of the node, by endpoint."""
    for _, item in sorted(state.endpoints.items()):
        for direction in Direction:
            for kind, limit, burst in _of(item.endpoint, direction, settings):
                comment = names.limit_comment(item.endpoint.id, direction, kind)
                yield LimitView(
                    endpoint=item.endpoint.id,
                    name=f"{direction.value}{kind.value}",
                    limit=limit,
                    burst=burst,
                    dropped=counts.get(comment, _NONE).packets,
                )


def full_sets(counts: Mapping[str, Count]) -> dict[str, int]:
    """Packets that found no place in one of the table's sets of rates, by set: see `docs/design/render.md`."""
    return {name: counts.get(comment, _NONE).packets for comment, name in _BOUNDS.items()}


def counting_chains(state: NodeState, settings: RenderSettings) -> Iterator[str]:
    """The chains whose counters `limits` and `full_sets` want: a few, where the whole table may be large."""
    yield from _BOUND_CHAINS
    for item in state.endpoints.values():
        for direction in Direction:
            for kind, _, _ in _of(item.endpoint, direction, settings):
                yield names.limit_chain(item.endpoint.id, direction, kind)


def _of(
    endpoint: Endpoint, direction: Direction, settings: RenderSettings
) -> Iterator[tuple[LimitKind, int, int | None]]:
    found = in_force(endpoint, direction, settings)
    if not endpoint.interface_name or not endpoint.is_active:
        return
    for kind, rate in ((LimitKind.PACKETS, found.packets), (LimitKind.CONNECTIONS, found.connections)):
        if rate is not None:
            yield kind, rate.per_second, rate.burst
    if found.max_connections is not None:
        yield LimitKind.MAX_CONNECTIONS, found.max_connections, None
