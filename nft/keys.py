"""Set keys as the kernel keeps them: packed registers, and intervals as their first and last key.

Pure. Two tables are the same only if the kernel says so, so wanted elements are packed and compared with what a dump
brings, rather than dumps parsed into values: a range that somebody added by hand needs no name in our language then.
"""

import sys
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from nft.expr import KeyType, Range, Value
from nft.model import Key

REGISTER_BYTES = 4
"""Fields of a concatenated key are padded to whole registers (kernel: NFT_REG32_SIZE)."""

_NUMBER_BYTES = {
    KeyType.PROTOCOL: 1,
    KeyType.PORT: 2,
    KeyType.MARK: 4,
    KeyType.ICMP_TYPE: 1,
    KeyType.ICMPV6_TYPE: 1,
    KeyType.NUMBER: 4,
    KeyType.CT_STATE: 4,
    KeyType.CT_DIRECTION: 1,
    KeyType.NFPROTO: 1,
}
_HOST_ORDER = frozenset({KeyType.MARK, KeyType.CT_STATE})
_IFNAME_BYTES = 16


class Packed(NamedTuple):
    """A key, or in an interval set the keys from `first` to `last`, both inclusive."""

    first: bytes
    last: bytes


def packed(key: Key, types: Sequence[KeyType]) -> Packed:
    """The key as the kernel keeps it; the two are equal unless a field is a network or range.

    Raises:
        ValueError: a value does not fit its type.
    """
    bounds = [_bounds(value, kind) for value, kind in zip(key, types, strict=True)]
    if len(bounds) == 1:
        return Packed(*bounds[0])
    return Packed(_joined(first for first, _ in bounds), _joined(last for _, last in bounds))


def _joined(fields: Iterable[bytes]) -> bytes:
    return b"".join(field + bytes(-len(field) % REGISTER_BYTES) for field in fields)


def _bounds(value: Value | Range, kind: KeyType) -> tuple[bytes, bytes]:
    match value:
        case IPv4Address() | IPv6Address():
            return value.packed, value.packed
        case IPv4Network() | IPv6Network():
            return value.network_address.packed, value.broadcast_address.packed
        case Range(first=first, last=last):
            return _number(first, kind), _number(last, kind)
        case int():
            number = _number(value, kind)
            return number, number
        case str() if kind is KeyType.IFNAME and len(value.encode()) < _IFNAME_BYTES:
            name = value.encode().ljust(_IFNAME_BYTES, b"\0")
            return name, name
        case _:
            raise ValueError(f"cannot pack {value!r} as {kind}")


def _number(value: int, kind: KeyType) -> bytes:
    try:
        return value.to_bytes(_NUMBER_BYTES[kind], sys.byteorder if kind in _HOST_ORDER else "big")
    except (KeyError, OverflowError) as error:
        raise ValueError(f"cannot pack {value} as {kind}") from error


def intervals(bounds: Iterable[tuple[bytes, bool]], length: int) -> frozenset[Packed]:
    """The intervals of a set of one field, from its elements in the kernel as (key, is an end) in any order.

    The kernel keeps where intervals begin, and where one ends and none begins; the end is the first key outside, and
    is missing where the interval goes up to the largest key (kernel: nft_set_rbtree.c).
    """
    largest = b"\xff" * length
    found: list[Packed] = []
    begun: bytes | None = None
    for key, is_end in sorted(bounds, key=lambda bound: (bound[0], not bound[1])):
        if begun is not None:
            found.append(Packed(begun, _before(key)))
        begun = None if is_end else key
    if begun is not None:
        found.append(Packed(begun, largest))
    return frozenset(found)


def _before(key: bytes) -> bytes:
    return (int.from_bytes(key, "big") - 1).to_bytes(len(key), "big")
