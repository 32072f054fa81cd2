"""Addresses and ports that no rule can tell apart: they have one answer, however many there are. Pure.

    rules and sets name 10.0.0.0/8 and 10.1.0.0/16   ->   borders 10.0.0.0 | 10.1.0.0 | 10.2.0.0 | 11.0.0.0
    address -> between which borders it lies         ->   two in the same gap are in the same networks and sets

Fifty thousand connections to as many addresses are a few hundred questions.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import final

from nft.expr import Compare, KeyType, Range, Statement, Value
from nft.model import Key, Table

_ADDRESSES = (IPv4Address, IPv6Address)
_NETWORKS = (IPv4Network, IPv6Network)


@final
class Classes:
    """The gaps between whatever a table names."""

    def __init__(self, table: Table, learned: Mapping[str, Collection[Key]]) -> None:
        """`learned`: the elements of learned sets, by set."""
        borders: dict[int, set[int]] = {4: set(), 6: set()}
        ports: set[int] = set()
        for kind, value in (*_compared(table), *_held(table, learned)):
            if isinstance(value, (*_ADDRESSES, *_NETWORKS)):
                borders[value.version].update(_ends(value))
            elif kind is KeyType.PORT:
                ports.update(_port_ends(value))
        self._borders = {4: sorted(borders[4]), 16: sorted(borders[6])}
        self._ports = sorted(ports)

    def of_address(self, packed: bytes) -> int:
        """The number of the gap that the packed address is in; of one family."""
        return bisect_right(self._borders[len(packed)], int.from_bytes(packed, "big"))

    def of_port(self, port: int) -> int:
        """The number of the gap that the port is in."""
        return bisect_right(self._ports, port)


def statements(table: Table) -> Iterator[Statement]:
    """All statements of all rules."""
    return (item for chain in table.chains.values() for rule in chain.rules for item in rule.statements)


def _compared(table: Table) -> Iterator[tuple[KeyType, Value | Range]]:
    return ((item.field.type, item.value) for item in statements(table) if isinstance(item, Compare))


def _held(table: Table, learned: Mapping[str, Collection[Key]]) -> Iterator[tuple[KeyType, Value]]:
    for source in (table.elements, learned):
        for name, keys in source.items():
            yield from _values(table.sets[name].key, keys)
    for name, verdicts in table.verdicts.items():
        yield from _values(table.maps[name].key, verdicts)


def _values(kinds: tuple[KeyType, ...], keys: Iterable[Key]) -> Iterator[tuple[KeyType, Value]]:
    return (pair for key in keys for pair in zip(kinds, key, strict=True))


def _ends(value: IPv4Address | IPv6Address | IPv4Network | IPv6Network) -> tuple[int, int]:
    if isinstance(value, _ADDRESSES):
        return int(value), int(value) + 1
    return int(value.network_address), int(value.broadcast_address) + 1


def _port_ends(value: Value | Range) -> tuple[int, int]:
    if isinstance(value, Range):
        return value.first, value.last + 1
    assert isinstance(value, int), "a port is a number"
    return value, value + 1
