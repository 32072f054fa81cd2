"""The empty node's table: base chains, maps and sets that are there whatever the policy says."""

from nft.expr import KeyType
from nft.model import Key, Set, Table, VerdictMapping
from tidegate.render import names
from tidegate.render.base import base_chains
from tidegate.render.dns import server_elements, server_sets
from tidegate.render.ended import ended_sets
from tidegate.render.family import FAMILIES
from tidegate.render.fragment import has_elements
from tidegate.render.places import HostPlace
from tidegate.render.settings import RenderSettings
from tidegate.render.tunnels import node_sets

_LIMITED = (names.LIMITED_FROM, names.LIMITED_TO)
_MAX_INTERFACES = 65536
"""Rate-limit buckets: one for each interface that ever had a packet held."""


def static_table(settings: RenderSettings) -> Table:
    """The table of a node without endpoints."""
    sets = {item.name: item for item in (*_sets(), *node_sets(settings.tunnels), *ended_sets(settings))}
    elements: dict[str, frozenset[Key]] = {name: frozenset() for name, item in sets.items() if has_elements(item)}
    maps = {
        name: VerdictMapping(name=name, key=(KeyType.IFNAME,))
        for name in (names.FROM_ENDPOINT, names.TO_ENDPOINT, names.SOURCE_PREFIXES, *_LIMITED, *map(str, HostPlace))
    }
    return Table(
        name=settings.table_name,
        chains={chain.name: chain for chain in base_chains(settings)},
        sets=sets,
        elements=elements | server_elements(settings),
        maps=maps,
        verdicts={name: {} for name in maps},
    )


def _sets() -> tuple[Set, ...]:
    return (
        Set(name=names.WORKLOADS, key=(KeyType.IFNAME,)),
        Set(name=names.DNS_CLIENTS, key=(KeyType.IFNAME,)),
        Set(name=names.DNS_PROXIED, key=(KeyType.IFNAME,)),
        *server_sets(),
        *(Set(name=names.sources(family.version), key=(KeyType.IFNAME, family.address)) for family in FAMILIES),
        Set(name=names.HELD_RATE, key=(KeyType.IFNAME,), has_timeout=True, is_dynamic=True, size=_MAX_INTERFACES),
        Set(name=names.TCP_RATE, key=(KeyType.IFNAME,), has_timeout=True, is_dynamic=True, size=_MAX_INTERFACES),
    )
